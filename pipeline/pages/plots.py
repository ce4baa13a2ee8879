"""Plots as plain geometry, in SVG units: scales, ticks, lines, bands, bars, dots with intervals; `plots.html` draws."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Tick = tuple[float, str]  # where, and what it says
Box = tuple[float, float, float, float]  # left, top, right, bottom
CHARACTER, LINE = 6.6, 15  # width and height of a name's letters, about
GAP = 9  # between a dot and its name


@dataclass(frozen=True)
class Scale:
    """Where values (numbers or times) from `first` to `last` lie: from `start` to `end`; a lone one in the middle."""

    first: Any
    last: Any
    start: float
    end: float

    def __call__(self, value: Any) -> float:
        if self.last == self.first:
            return round((self.start + self.end) / 2, 1)
        return round(self.start + (self.end - self.start) * (value - self.first) / (self.last - self.first), 1)


@dataclass(frozen=True)
class Frame:
    """The size of a drawing, and the edges of the plot in it."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def across(self, first: Any, last: Any) -> Scale:
        return Scale(first, last, self.left, self.right)

    def up(self, first: float, last: float) -> Scale:
        return Scale(first, last, self.bottom, self.top)


@dataclass(frozen=True)
class Dot:
    """A value; `interval` is a line (x1, y1, x2, y2) through it, `text` what a pointer on it reads.

    `kind`: "ring", "faint" (one of many) or "marked" (unlike the others); "" for plain.
    """

    x: float
    y: float
    interval: tuple[float, float, float, float] | None = None
    text: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Line:
    """An SVG path; `kind`: "training", "thin", "wanted", "front" or ""."""

    path: str
    kind: str = ""


@dataclass(frozen=True)
class Rule:
    """A straight line; `kind`: "grid", "break", "limit", "rule", "wanted" or "leader"."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Text:
    """Words that begin ("start"), stand ("middle") or end ("end") at a place; `kind`: "name", "accent" or ""."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    kind: str = ""


@dataclass(frozen=True)
class Plot:
    """What is drawn, in this order: the grid of the ticks, rules, bands (closed paths), bars, lines, dots, texts."""

    frame: Frame
    title: str = ""
    x_ticks: Sequence[Tick] = ()
    y_ticks: Sequence[Tick] = ()
    rules: Sequence[Rule] = ()
    bands: Sequence[str] = ()
    bars: Sequence[Bar] = ()
    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()
    texts: Sequence[Text] = ()


def path(points: Iterable[tuple[float, float]]) -> str:
    """Joins known points; one whose height is NaN breaks the line, and `h0` gives a lone one a round dot."""
    parts, pen = [], "M"
    for x, y in points:
        if math.isnan(y):
            pen = "M"
        else:
            parts.append(f"{pen}{x} {y}" + ("h0" if pen == "M" else ""))
            pen = "L"
    return "".join(parts)


def band(upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]]) -> str:
    """Fills what lies between two lines."""
    return "M" + "L".join(f"{x} {y}" for x, y in [*upper, *reversed(lower)]) + "Z"


def round_numbers(low: float, high: float) -> list[float]:
    """About five round numbers that enclose `low` and `high`."""
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    steps = range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)
    return [round(number * step, 10) for number in steps]


def round_shares(low: float, high: float) -> list[float]:
    """About five round shares that enclose `low` and `high`, none beyond 0 and 1."""
    shares = [share for share in round_numbers(low, high) if 0 <= share <= 1]
    return shares if len(shares) > 1 else [0.0, 0.5, 1.0]


def percents(shares: Iterable[float], place: Scale) -> list[Tick]:
    """A tick per share."""
    return [(place(share), f"{share * 100:g}%") for share in shares]


def place_name(name: str, x: float, y: float, taken: Sequence[Box], frame: Frame) -> tuple[float, float, str]:
    """Where the name of a dot stands: beside it, as near as there is room within the plot.

    Returns:
      x, y and anchor; where there is no room at all, the place that covers the fewest others.
    """
    lines = range(-int((y - frame.top) // LINE), int((frame.bottom - y) // LINE) + 1)
    places = [
        (x + side * GAP, y + line * LINE, anchor)
        for line in sorted(lines, key=abs)
        for side, anchor in ((1, "start"), (-1, "end"))
    ]

    def covered(place: tuple[float, float, str]) -> int:
        left, top, right, bottom = name_box(name, *place)
        over = sum(left < b[2] and b[0] < right and top < b[3] and b[1] < bottom for b in taken)
        return over + len(taken) * (left < frame.left or right > frame.width)

    return min(places, key=covered)


def name_box(name: str, x: float, y: float, anchor: str) -> Box:
    """The room that a name takes."""
    width = CHARACTER * len(name)
    left = x if anchor == "start" else x - width
    return left, y - LINE / 2, left + width, y + LINE / 2
