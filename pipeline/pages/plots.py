"""Plots of shares and counts as plain geometry, in SVG units, over time or a row each; `serving.html` draws them."""

from dataclasses import dataclass, field

import pandas as pd

from pipeline.pages import chart

WIDTH, HEIGHT = 620, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 604, 22, 204
ROW, NAME, EDGE = 26, 170, 500  # height of a row; where its plot begins and ends
MOST_TICKS = 8
LETTERS = 22  # of a name that are shown
FORMATS = {"hour": "%d %b %H:00", "day": "%a %d", "week": "%d %b"}


@dataclass(frozen=True)
class Dot:
    """A value with its interval, from `low` to `high` (heights in a plot over time, places in a row), and what it says.

    `marked`: it is unlike the others.
    """

    x: float
    y: float
    low: float
    high: float
    text: str
    marked: bool = False


@dataclass(frozen=True)
class OverTime:
    """`line` joins the dots; `bars` are (x, y, width, height, text); `marks` are (x, text), vertical lines; ticks are
    (position, text)."""

    title: str
    line: str
    dots: list[Dot]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    bars: list[tuple[float, float, float, float, str]] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """One share a row: `rows` are (name, dot, n); `ticks` are (x, text) and the plot is `height` high."""

    title: str
    rows: list[tuple[str, Dot, str]]
    ticks: list[tuple[float, str]]
    height: float


def shares_over_time(title: str, table: pd.DataFrame, unit: str, marks: list[tuple[pd.Timestamp, str]]) -> OverTime:
    """Args:
    table: columns `start`, `share`, `low`, `high`, `n` and, if there is one, `unusual` (bool).
    marks: times to mark, and what happened.
    """
    ticks = _percents(float(table["low"].min()), float(table["high"].max()))
    x = _Places(table["start"], unit)

    def y(share: float) -> float:
        return _height(share, ticks[0], ticks[-1])

    dots = [
        Dot(
            x(row["start"]),
            y(row["share"]),
            y(row["low"]),
            y(row["high"]),
            _said(f"{row['start']:{FORMATS[unit]}}", *(row[name] for name in ("share", "n", "low", "high"))),
            bool(row.get("unusual", False)),
        )
        for row in table.to_dict("records")
    ]
    return OverTime(
        title,
        "M" + "L".join(f"{dot.x} {dot.y}" for dot in dots),
        dots,
        _time_ticks(table["start"], unit, x),
        [(y(tick), f"{100 * tick:g}%") for tick in ticks],
        marks=[(x.moment(when), text) for when, text in marks if table["start"].min() <= when],
    )


def counts_over_time(title: str, start: pd.Series, values: pd.Series, unit: str, noun: str) -> OverTime:
    """Bars, one a stretch of time."""
    ticks = chart.round_numbers(0.0, float(values.max()) or 1.0)
    x = _Places(start, unit)
    width = max(round(0.7 * x.step, 1), 1.0)
    bars = [
        (round(x(when) - width / 2, 1), y, width, round(BOTTOM - y, 1), f"{when:{FORMATS[unit]}}: {value:,.0f} {noun}")
        for when, value in zip(start, values, strict=True)
        for y in [_height(value, 0.0, ticks[-1])]
    ]
    y_ticks = [(_height(tick, 0.0, ticks[-1]), f"{tick:,.0f}") for tick in ticks]
    return OverTime(title, "", [], _time_ticks(start, unit, x), y_ticks, bars)


def rows(title: str, table: pd.DataFrame, *, name: str, of: str = "") -> Rows:
    """One row of `table` below the other.

    Args:
      table: the columns `name`, `share`, `low`, `high`, `n`; or, for `of`, that name itself, and `of`_low and so on.
    """
    share, low, high, n = (of, f"{of}_low", f"{of}_high", f"{of}_n") if of else ("share", "low", "high", "n")
    ends = table[[low, high]]
    ticks = _percents(float(ends.min(axis=None)), float(ends.max(axis=None)))

    def x(value: float) -> float:
        return round(NAME + (EDGE - NAME) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)

    found = []
    for number, row in enumerate(table.to_dict("records")):
        y = TOP + ROW * number + ROW / 2
        text = _said(row[name], row[share], row[n], row[low], row[high])
        dot = Dot(x(row[share]), y, x(row[low]), x(row[high]), text)
        found.append((_short(str(row[name])), dot, f"{row[share]:.0%}, n = {row[n]:,}"))
    return Rows(title, found, [(x(tick), f"{100 * tick:g}%") for tick in ticks], TOP + ROW * len(table))


class _Places:
    """Where a time lies between the edges of a plot, each stretch in the middle of its room."""

    def __init__(self, start: pd.Series, unit: str):
        length = {"hour": pd.Timedelta(hours=1), "day": pd.Timedelta(days=1), "week": pd.Timedelta(days=7)}[unit]
        self._first = start.min()
        self._length = length
        self._number = round((start.max() - self._first) / length) + 1
        self.step = (RIGHT - LEFT) / self._number

    def __call__(self, start: pd.Timestamp) -> float:
        return self.moment(start + self._length / 2)

    def moment(self, when: pd.Timestamp) -> float:
        return round(LEFT + self.step * ((when - self._first) / self._length), 1)


def _time_ticks(start: pd.Series, unit: str, x: _Places) -> list[tuple[float, str]]:
    step = -(-len(start) // MOST_TICKS)
    return [(x(when), f"{when:{FORMATS[unit]}}") for when in start[::step]]


def _said(name: object, share: float, n: int, low: float, high: float) -> str:
    return f"{name}: {share:.1%} of {n:,}, {low:.1%} to {high:.1%}"


def _percents(low: float, high: float) -> list[float]:
    """Round shares that enclose both, none beyond 0 and 1."""
    found = [tick for tick in chart.round_numbers(low, high) if 0 <= tick <= 1]
    return found if len(found) > 1 else [0.0, 0.5, 1.0]


def _height(value: float, low: float, high: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low), 1)


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"
