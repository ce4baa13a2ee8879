"""Networks side by side: a table, and accuracy against speed."""

import math
from dataclasses import dataclass

import pandas as pd

from pipeline.pages import chart, rendering

RIGHT = 500  # the right edge of the plot; names stand beside their points
NAME_GAP = 15  # least distance of two names that would cover each other
NEAR = 150  # names nearer than this, across, may cover each other


@dataclass(frozen=True)
class Point:
    """A network in the plot, in SVG units: `low` and `high` are the ends of its interval."""

    name: str
    x: float
    y: float
    low: float
    high: float
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

    points: list[Point] = []
    for row in rows.sort_values("accuracy", ascending=False).itertuples():
        across, name_y = x(row.images_per_second), y(row.accuracy)
        for other in points:
            if abs(other.x - across) < NEAR and abs(other.name_y - name_y) < NAME_GAP:
                name_y = other.name_y + NAME_GAP
        anchor = "end" if across > (chart.LEFT + RIGHT) / 2 else "start"
        points.append(
            Point(row.name, across, y(row.accuracy), y(row.low), y(row.high), name_y, anchor, bool(row.pareto))
        )
    front = sorted((point.x, point.y) for point in points if point.pareto)
    return Scatter(
        points=points,
        x_ticks=[(x(speed), f"{speed:g}") for speed in _round_speeds(10**first, 10**last)],
        y_ticks=[(y(tick), f"{tick * 100:g}%") for tick in grid],
        front="M" + "L".join(f"{across} {down}" for across, down in front),
    )


def _round_speeds(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten between the two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for factor in (1, 2, 5) if low <= (value := factor * 10.0**power) <= high]
