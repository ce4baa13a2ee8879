"""Stretches of time: hours, days or weeks from Monday on, in UTC, whichever a plot can show."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from pipeline.errors import UsageError

SECOND = 1_000_000  # microseconds
HOUR, DAY = 3600 * SECOND, 86_400 * SECOND
LENGTHS = {"hour": HOUR, "day": DAY, "week": 7 * DAY}
MOST = {"hour": 3 * DAY, "day": 92 * DAY}  # the longest time that is told by it
MONDAY = 4 * DAY  # 1970 began on a Thursday


def unit_for(at: pd.Series) -> str:
    """What to tell these times (N,) by: hour, day or week."""
    span = int(at.max()) - int(at.min()) if len(at) else 0
    return next((unit for unit, most in MOST.items() if span <= most), "week")


def of(at: pd.Series, unit: str) -> np.ndarray:
    """The beginning of the hour, day or week in which each of these times (N,) lies, in microseconds."""
    length, offset = LENGTHS[unit], MONDAY if unit == "week" else 0
    values = at.to_numpy(np.int64) - offset
    return values - values % length + offset


def times(at: pd.Series) -> pd.Series:
    """Microseconds since 1970 as times that pandas knows."""
    return pd.to_datetime(at, unit="us")


def microseconds(when: str | datetime | None) -> int | None:
    """A date or time, UTC unless it says otherwise, in microseconds since 1970.

    Raises:
      UsageError: if it is none.
    """
    if when is None:
        return None
    try:
        time = when if isinstance(when, datetime) else datetime.fromisoformat(when)
    except ValueError:
        raise UsageError(f"'{when}' is no date", mend="write it as 2026-03-01, or 2026-03-01T12:00") from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round(time.timestamp()) * SECOND
