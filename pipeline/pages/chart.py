"""The learning curve as plain geometry, in SVG units; `report.html` draws it."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

WIDTH, HEIGHT = 540, 290
LEFT, RIGHT, TOP, BOTTOM = 54, 446, 28, 256  # the edges of the plot
LINE_GAP = 17  # least distance of two labels
MEASURES = {"Loss": "loss", "Accuracy": "accuracy"}
LINES = {"training": "", "validation": "val_"}  # name and prefix of the column


@dataclass(frozen=True)
class Line:
    """A curve as an SVG path, broken where a value is missing, and the height of its name at the right."""

    name: str
    path: str
    label_y: float


@dataclass(frozen=True)
class Panel:
    """One measure over the epochs. Ticks are (position, text); `best` is (x, y, epoch) on the validation line."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    best: tuple[float, float, int] | None
    slower: list[float]  # where the learning rate was lowered


def panels(history: pd.DataFrame, best_epoch: int | None = None) -> list[Panel]:
    """Returns a panel a measure that has values; none for an empty history."""
    if history.empty:
        return []
    history = history.replace([np.inf, -np.inf], np.nan).reset_index(drop=True)
    if best_epoch is None and history["val_loss"].notna().any():
        best_epoch = int(history["epoch"].iloc[int(history["val_loss"].argmin())])
    columns = {title: [prefix + measure for prefix in LINES.values()] for title, measure in MEASURES.items()}
    return [_panel(title, history, best_epoch) for title in MEASURES if history[columns[title]].notna().any(axis=None)]


def _panel(title: str, history: pd.DataFrame, best_epoch: int | None) -> Panel:
    values = {name: history[prefix + MEASURES[title]].astype(float) for name, prefix in LINES.items()}
    ticks = round_numbers(min(v.min() for v in values.values()), max(v.max() for v in values.values()))
    first, last = history["epoch"].min(), history["epoch"].max()

    def x(epoch: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * ((epoch - first) / (last - first) if last > first else 0.5), 1)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)

    xs = [x(epoch) for epoch in history["epoch"]]
    lines = [
        Line(name, _path(xs, [y(value) for value in series]), y(series.dropna().iloc[-1]))
        for name, series in values.items()
        if series.notna().any()
    ]
    best = values["validation"][history["epoch"] == best_epoch].dropna()
    rate = history["learning_rate"]
    return Panel(
        title=title,
        lines=_apart(lines),
        x_ticks=[(x(epoch), str(epoch)) for epoch in _epochs(int(first), int(last))],
        y_ticks=[(y(tick), f"{tick * 100:g}%" if title == "Accuracy" else f"{tick:g}") for tick in ticks],
        best=(x(best_epoch), y(best.iloc[0]), best_epoch) if best_epoch is not None and len(best) else None,
        slower=[x(epoch) for epoch in history.loc[rate < rate.shift(), "epoch"]],
    )


def _path(xs: list[float], ys: list[float]) -> str:
    """Runs of known values; `h0` gives a lone one a round dot."""
    path, pen = [], "M"
    for x, y in zip(xs, ys, strict=True):
        if math.isnan(y):
            pen = "M"
        else:
            path.append(f"{pen}{x} {y}" + ("h0" if pen == "M" else ""))
            pen = "L"
    return "".join(path)


def _apart(lines: list[Line]) -> list[Line]:
    """Moves two names that would cover each other."""
    if len(lines) < 2:
        return lines
    upper, lower = sorted(lines, key=lambda line: line.label_y)
    push = max(0.0, LINE_GAP - (lower.label_y - upper.label_y)) / 2
    moved = [Line(upper.name, upper.path, upper.label_y - push), Line(lower.name, lower.path, lower.label_y + push)]
    return sorted(moved, key=lambda line: line.name)  # validation is drawn last, on top


def round_numbers(low: float, high: float) -> list[float]:
    """About five round numbers that enclose `low` and `high`."""
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    steps = range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)
    return [round(number * step, 10) for number in steps]


def _epochs(first: int, last: int) -> list[int]:
    """At most eight round epochs."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if (last - first) / step <= 7)
    return [epoch for epoch in range(first, last + 1) if epoch % step == 0] or [first]
