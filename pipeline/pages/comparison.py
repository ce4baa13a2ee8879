"""Networks side by side: a table, and accuracy against speed."""

import math

import pandas as pd

from pipeline.pages import rendering
from pipeline.pages.plots import (
    Box,
    Dot,
    Frame,
    Line,
    Plot,
    Rule,
    Text,
    name_box,
    path,
    percents,
    place_name,
    round_numbers,
)

FRAME = Frame(width=700, height=300, left=54, right=660, top=28, bottom=256)
ROOM = 6  # half of what a dot takes


def comparison(
    rows: pd.DataFrame,
    *,
    title: str,
    advice: str,
    facts: dict[str, str],
    failed: dict[str, str],
    confidence: float,
) -> str:
    """Returns the page that shows which network fits the data at hand.

    Args:
      rows: columns `name`, `accuracy`, `low`, `high`, `macro_f1`, `n`, `p_best`, `latency_ms`, `images_per_second`,
        `train_seconds`, `epochs`, `images`, `memory_mb`, `size_mb`, `parameters`, `image_size`, `pareto`, `reported`,
        the most accurate first.
      advice: which fits, and why.
      facts: name and text of how it was measured, in the order shown.
      failed: name and reason of the networks that could not be measured.
      confidence: of the intervals.
    """
    return rendering.render(
        "comparison.html",
        title=title,
        advice=advice,
        facts=facts,
        rows=rows.to_dict("records"),
        failed=failed,
        confidence=confidence,
        scatter=scatter(rows),
    )


def scatter(rows: pd.DataFrame) -> Plot:
    """Accuracy over images a second; the latter on a logarithmic scale."""
    ticks = round_numbers(rows["low"].min(), min(1.0, rows["high"].max()))
    speeds = rows["images_per_second"].astype(float)
    first, last = math.log10(speeds.min()) - 0.1, math.log10(speeds.max()) + 0.1
    x, y = FRAME.across(first, last), FRAME.up(ticks[0], ticks[-1])
    rows = rows.sort_values("accuracy", ascending=False)
    places = [(x(math.log10(row.images_per_second)), y(row.accuracy)) for row in rows.itertuples()]
    taken: list[Box] = [(across - ROOM, down - ROOM, across + ROOM, down + ROOM) for across, down in places]
    dots, names, leaders = [], [], []
    for row, (across, down) in zip(rows.itertuples(), places, strict=True):
        name_x, name_y, anchor = place_name(row.name, across, down, taken, FRAME)
        taken.append(name_box(row.name, name_x, name_y, anchor))
        dots.append(Dot(across, down, (across, y(row.low), across, y(row.high)), kind="" if row.pareto else "faint"))
        names.append(Text(name_x, name_y + 4, row.name, anchor, "name" if row.pareto else ""))
        if name_y != down:
            leaders.append(Rule(across, down, name_x, name_y, "leader"))
    front = sorted((dot.x, dot.y) for dot in dots if not dot.kind)
    axis = "images a second, identified on this machine"
    return Plot(
        FRAME,
        x_ticks=[(x(math.log10(speed)), f"{speed:g}") for speed in _round_speeds(10**first, 10**last)],
        y_ticks=percents(ticks, y),
        rules=leaders,
        lines=[Line(path(front), "front")],
        dots=dots,
        texts=[*names, Text((FRAME.left + FRAME.right) / 2, FRAME.bottom + 38, axis, "middle")],
    )


def _round_speeds(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten between the two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for factor in (1, 2, 5) if low <= (value := factor * 10.0**power) <= high]
