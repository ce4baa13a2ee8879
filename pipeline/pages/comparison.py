"""Networks side by side: a table, and accuracy against speed."""

import math
from dataclasses import dataclass

import pandas as pd

from pipeline.pages import chart, rendering

WIDTH, RIGHT = 700, 660  # of the drawing, and the right edge of the plot
CHARACTER, LINE = 6.6, 15  # width and height of a name's letters, about
GAP = 9  # between a point and its name
DOT = 6  # half of a point's room

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """A network in the plot, in SVG units: `low` and `high` are the ends of its interval.

    Its name begins ("start") or ends ("end") at `name_x`.
    """

    name: str
    x: float
    y: float
    low: float
    high: float
    name_x: float
    name_y: float
    anchor: str
    pareto: bool


@dataclass(frozen=True)
class Scatter:
    """Ticks are (position, text); `front` is the path of the Pareto front."""

    points: list[Point]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    front: str


def comparison(rows: pd.DataFrame, *, title: str, advice: str, facts: dict[str, str], failed: dict[str, str]) -> str:
    """Returns the page that shows which network fits the data at hand.

    Args:
      rows: columns `name`, `accuracy`, `low`, `high`, `macro_f1`, `n`, `p_best`, `latency_ms`, `images_per_second`,
        `train_seconds`, `epochs`, `images`, `memory_mb`, `size_mb`, `parameters`, `image_size`, `pareto`, `reported`,
        the most accurate first.
      advice: which fits, and why.
      facts: name and text of how it was measured, in the order shown.
      failed: name and reason of the networks that could not be measured.
    """
    return rendering.render(
        "comparison.html",
        title=title,
        advice=advice,
        facts=facts,
        rows=rows.to_dict("records"),
        failed=failed,
        scatter=scatter(rows),
        chart=chart,
        right=RIGHT,
        width=WIDTH,
    )


def scatter(rows: pd.DataFrame) -> Scatter:
    """Accuracy over images a second; the latter on a logarithmic scale."""
    grid = chart.round_numbers(rows["low"].min(), min(1.0, rows["high"].max()))
    speeds = rows["images_per_second"].astype(float)
    first, last = math.log10(speeds.min()) - 0.1, math.log10(speeds.max()) + 0.1

    def x(speed: float) -> float:
        return round(chart.LEFT + (RIGHT - chart.LEFT) * (math.log10(speed) - first) / (last - first), 1)

    def y(share: float) -> float:
        return round(chart.BOTTOM - (chart.BOTTOM - chart.TOP) * (share - grid[0]) / (grid[-1] - grid[0]), 1)

    rows = rows.sort_values("accuracy", ascending=False)
    places = list(zip(map(x, rows["images_per_second"]), map(y, rows["accuracy"]), strict=True))
    taken: list[Box] = [(across - DOT, down - DOT, across + DOT, down + DOT) for across, down in places]
    points: list[Point] = []
    for row, (across, down) in zip(rows.itertuples(), places, strict=True):
        name_x, name_y, anchor = place_name(row.name, across, down, taken)
        taken.append(name_box(row.name, name_x, name_y, anchor))
        ends = y(row.low), y(row.high)
        points.append(Point(row.name, across, down, *ends, name_x, name_y, anchor, bool(row.pareto)))
    front = sorted((point.x, point.y) for point in points if point.pareto)
    return Scatter(
        points=points,
        x_ticks=[(x(speed), f"{speed:g}") for speed in _round_speeds(10**first, 10**last)],
        y_ticks=[(y(tick), f"{tick * 100:g}%") for tick in grid],
        front="M" + "L".join(f"{across} {down}" for across, down in front),
    )


def place_name(name: str, x: float, y: float, taken: list[Box]) -> tuple[float, float, str]:
    """Where the name of a point stands: beside it, as near as there is room within the plot.

    Returns:
      x, y and anchor; where there is no room at all, the place that covers the fewest others.
    """
    lines = range(-int((y - chart.TOP) // LINE), int((chart.BOTTOM - y) // LINE) + 1)
    places = [
        (x + side * GAP, y + line * LINE, anchor)
        for line in sorted(lines, key=abs)
        for side, anchor in ((1, "start"), (-1, "end"))
    ]

    def covered(place: tuple[float, float, str]) -> int:
        left, top, right, bottom = name_box(name, *place)
        over = sum(left < b[2] and b[0] < right and top < b[3] and b[1] < bottom for b in taken)
        return over + len(taken) * (left < chart.LEFT or right > WIDTH)

    return min(places, key=covered)


def name_box(name: str, x: float, y: float, anchor: str) -> Box:
    """The room that a name takes."""
    width = CHARACTER * len(name)
    left = x if anchor == "start" else x - width
    return left, y - LINE / 2, left + width, y + LINE / 2


def _round_speeds(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten between the two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for factor in (1, 2, 5) if low <= (value := factor * 10.0**power) <= high]
