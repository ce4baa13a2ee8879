"""The plots of the error report: the learning curves, how often scores are right, and precision over coverage."""

import numpy as np
import pandas as pd

from pipeline.pages.plots import Dot, Frame, Line, Plot, Rule, Text, band, path, percents, round_numbers

FRAME = Frame(width=540, height=290, left=54, right=520, top=28, bottom=256)
NAMED = Frame(width=540, height=290, left=54, right=446, top=28, bottom=256)  # with room for the names of lines
NAME_GAP = 17  # least distance of two names
MEASURES = {"Loss": "loss", "Accuracy": "accuracy"}
LINES = {"training": "", "validation": "val_"}  # name and prefix of the column
MOST_BREAKS = 8  # rules in a plot where the learning rate was lowered: more are a schedule, and would hide the curve
SHARES = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def learning(history: pd.DataFrame, best_epoch: int | None = None) -> list[Plot]:
    """Returns a plot per measure that has values; none for an empty history."""
    if history.empty:
        return []
    history = history.replace([np.inf, -np.inf], np.nan).reset_index(drop=True)
    if best_epoch is None and history["val_loss"].notna().any():
        best_epoch = int(history["epoch"].iloc[int(history["val_loss"].argmin())])
    columns = {title: [prefix + measure for prefix in LINES.values()] for title, measure in MEASURES.items()}
    measured = [title for title in MEASURES if history[columns[title]].notna().any(axis=None)]
    return [_measure(title, history, best_epoch) for title in measured]


def falls_steadily(history: pd.DataFrame) -> tuple[float, float] | None:
    """The first and the last learning rate of a schedule that lowers it again and again; None for a few steps."""
    if int(_lowered(history).sum()) <= MOST_BREAKS:
        return None
    rate = history["learning_rate"].astype(float)
    return float(rate.max()), float(rate.iloc[-1])


def _lowered(history: pd.DataFrame) -> pd.Series:
    return history["learning_rate"] < history["learning_rate"].shift()


def _measure(title: str, history: pd.DataFrame, best_epoch: int | None) -> Plot:
    values = {name: history[prefix + MEASURES[title]].astype(float) for name, prefix in LINES.items()}
    values = {name: series for name, series in values.items() if series.notna().any()}
    ticks = round_numbers(min(v.min() for v in values.values()), max(v.max() for v in values.values()))
    first, last = int(history["epoch"].min()), int(history["epoch"].max())
    x, y = NAMED.across(first, last), NAMED.up(ticks[0], ticks[-1])
    slower = [] if falls_steadily(history) else [x(epoch) for epoch in history.loc[_lowered(history), "epoch"]]
    rules = [Rule(at, NAMED.top, at, NAMED.bottom, "break") for at in slower]
    names = _apart({name: y(series.dropna().iloc[-1]) for name, series in values.items()})
    texts = [Text(NAMED.right + 10, NAMED.bottom + 20, "epoch")]
    texts += [
        Text(NAMED.right + 10, at + 4, name, kind="accent" if name == "validation" else "")
        for name, at in names.items()
    ]
    dots = []
    best = history.loc[history["epoch"] == best_epoch, LINES["validation"] + MEASURES[title]].dropna()
    if best_epoch is not None and len(best):
        at = x(best_epoch)
        rules.append(Rule(at, NAMED.top - 8, at, NAMED.bottom, "rule"))
        dots.append(Dot(at, y(float(best.iloc[0])), kind="ring"))
        anchor = "end" if at > NAMED.width / 2 else "start"
        texts.append(Text(at, NAMED.top - 13, f"best: epoch {best_epoch}", anchor, "accent"))
    return Plot(
        NAMED,
        title,
        x_ticks=[(x(epoch), str(epoch)) for epoch in _epochs(first, last)],
        y_ticks=percents(ticks, y) if title == "Accuracy" else [(y(tick), f"{tick:g}") for tick in ticks],
        rules=rules,
        lines=[
            Line(
                path(zip(map(x, history["epoch"]), map(y, series), strict=True)),
                "training" if name == "training" else "",
            )
            for name, series in values.items()
        ],
        dots=dots,
        texts=texts,
    )


def _apart(names: dict[str, float]) -> dict[str, float]:
    """Moves two names that would cover each other."""
    if len(names) < 2:
        return names
    upper, lower = sorted(names, key=names.__getitem__)
    push = max(0.0, NAME_GAP - (names[lower] - names[upper])) / 2
    return {upper: names[upper] - push, lower: names[lower] + push}


def _epochs(first: int, last: int) -> list[int]:
    """At most eight round epochs."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if (last - first) / step <= 7)
    return [epoch for epoch in range(first, last + 1) if epoch % step == 0] or [first]


def reliability(bins: pd.DataFrame) -> Plot | None:
    """Plots the share of right answers against the mean score of each bin; None if there are no bins.

    Args:
      bins: columns `low`, `high`, `n`, `mean_score`, `accuracy`, `accuracy_low`, `accuracy_high`.
    """
    if bins.empty:
        return None
    x, y = FRAME.across(0, 1), FRAME.up(0, 1)
    dots = [
        Dot(
            x(row.mean_score),
            y(row.accuracy),
            (x(row.mean_score), y(row.accuracy_low), x(row.mean_score), y(row.accuracy_high)),
            f"score {row.low:.0%} to {row.high:.0%}: {row.accuracy:.1%} of {row.n:,} right"
            f" ({row.accuracy_low:.0%} to {row.accuracy_high:.0%})",
            "ring",
        )
        for row in bins.itertuples()
    ]
    return Plot(
        FRAME,
        "Right by score",
        percents(SHARES, x),
        percents(SHARES, y),
        rules=[Rule(x(0), y(0), x(1), y(1), "wanted")],
        dots=dots,
    )


def coverage(curve: pd.DataFrame, *, wanted: float, shown: float | None, precision: float | None) -> Plot | None:
    """Plots the precision of the answers shown against their share, over all thresholds; None for an empty curve.

    Args:
      curve: columns `shown`, `precision`, `low`, `high`, the highest threshold first.
      wanted: the precision asked for.
      shown, precision: of the threshold that was chosen.
    """
    if curve.empty:
        return None
    scale = round_numbers(min(curve["precision"].min(), wanted - 0.02), 1.0)
    x, y = FRAME.across(0, 1), FRAME.up(scale[0], min(scale[-1], 1.0))

    def points(column: str) -> list[tuple[float, float]]:
        return list(zip(map(x, curve["shown"]), map(y, curve[column].clip(lower=scale[0])), strict=True))

    dots = []
    if shown is not None and precision is not None:
        text = f"chosen: {shown:.1%} shown, {precision:.1%} of these right"
        dots = [Dot(x(shown), y(max(precision, scale[0])), text=text, kind="ring")]
    return Plot(
        FRAME,
        "Right when shown, by the share shown",
        percents(SHARES, x),
        percents([tick for tick in scale if tick <= 1.0], y),
        rules=[Rule(FRAME.left, y(wanted), FRAME.right, y(wanted), "wanted")],
        bands=[band(points("high"), points("low"))],
        lines=[Line(path(points("precision")))],
        dots=dots,
    )
