"""Reliability diagram and precision-coverage curve as plain geometry, in SVG units; `report.html` draws them."""

from dataclasses import dataclass

import pandas as pd

from pipeline.pages.chart import BOTTOM, LEFT, TOP, round_numbers

RIGHT = 520
SHARES = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


@dataclass(frozen=True)
class Bin:
    """A bin of scores: its point, its interval from `y_low` to `y_high`, and what it says."""

    x: float
    y: float
    y_low: float
    y_high: float
    text: str


@dataclass(frozen=True)
class Reliability:
    bins: list[Bin]
    diagonal: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class Coverage:
    """`wanted` is the height of the precision asked for; `chosen` is (x, y) of the threshold, if one was found."""

    line: str
    band: str
    wanted: float
    chosen: tuple[float, float] | None
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def reliability(bins: pd.DataFrame) -> Reliability | None:
    """Args:
    bins: columns `low`, `high`, `n`, `mean_score`, `accuracy`, `accuracy_low`, `accuracy_high`.
    """
    if bins.empty:
        return None
    points = [
        Bin(
            _x(row.mean_score),
            _y(row.accuracy),
            _y(row.accuracy_low),
            _y(row.accuracy_high),
            f"score {row.low:.0%} to {row.high:.0%}: {row.accuracy:.1%} of {row.n:,} right"
            f" ({row.accuracy_low:.0%} to {row.accuracy_high:.0%})",
        )
        for row in bins.itertuples()
    ]
    axis = [(_x(share), f"{share:.0%}") for share in SHARES]
    return Reliability(points, f"M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}", axis, [(_y(s), f"{s:.0%}") for s in SHARES])


def coverage(curve: pd.DataFrame, *, wanted: float, shown: float | None, precision: float | None) -> Coverage | None:
    """Args:
    curve: columns `shown`, `precision`, `low`, `high`, the highest threshold first.
    wanted: the precision asked for.
    shown, precision: of the threshold that was chosen.
    """
    if curve.empty:
        return None
    scale = round_numbers(min(curve["precision"].min(), wanted - 0.02), 1.0)
    first, last = scale[0], min(scale[-1], 1.0)

    def y(value: float) -> float:
        return _y((max(value, first) - first) / (last - first))

    def path(values: pd.Series, xs: pd.Series) -> str:
        return "L".join(f"{_x(x)} {y(value)}" for x, value in zip(xs, values, strict=True))

    back = curve[::-1]
    return Coverage(
        line="M" + path(curve["precision"], curve["shown"]),
        band=f"M{path(curve['high'], curve['shown'])}L{path(back['low'], back['shown'])}Z",
        wanted=y(wanted),
        chosen=None if shown is None or precision is None else (_x(shown), y(precision)),
        x_ticks=[(_x(share), f"{share:.0%}") for share in SHARES],
        y_ticks=[(y(tick), f"{tick * 100:g}%") for tick in scale if tick <= 1.0],
    )


def _x(share: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * share, 1)


def _y(share: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * share, 1)
