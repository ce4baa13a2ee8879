"""How people fare: decisions, the time that they take, and how often a second, blind reading says something else."""

import math
from typing import Any

import numpy as np
import pandas as pd

from pipeline.review.decisions import LABEL, UNDO, YES

CONFIDENCE = 0.95


def reviewers(log: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a reviewer, by name.

    A person who is wrong in a share e of the decisions, each time by chance, contradicts himself in d = 2 e (1 - e) of
    the second readings, if two wrong answers are never the same: so e = (1 - sqrt(1 - 2 d)) / 2, a lower bound
    otherwise. A mistake that is made again, out of conviction, does not show.

    Args:
      log: as `decisions.read_log` returns it.

    Returns:
      `by`; `decisions`, `images` and `labels` that hold; `seconds`, the median of a decision; `minutes` in all;
      `minutes_per_label`; `again`, images read twice, `differ` of them; `error`, `low`, `high`: the share of wrong
      decisions by these, with a 95 % interval, None without any.
    """
    undone = log["id"].isin(log.loc[log["decision"] == UNDO, "undoes"])
    hold = log[~undone & (log["decision"] != UNDO)]
    found = []
    for by, said in hold.groupby("by"):
        first = said[said["blind"] != YES].drop_duplicates("image", keep="last").set_index("image")
        blind = said[said["blind"] == YES].drop_duplicates("image", keep="last").set_index("image")
        blind = blind[blind.index.isin(first.index)]
        same = (first.loc[blind.index, ["decision", "label"]] == blind[["decision", "label"]]).all(axis=1)
        seconds = pd.to_numeric(said["seconds"], errors="coerce").fillna(0.0)
        strokes = seconds.groupby([said["at"], said["session"]]).sum()
        labels = int((first["decision"] == LABEL).sum())
        minutes = float(seconds.sum()) / 60
        found.append(
            {
                "by": str(by),
                "decisions": len(strokes),
                "images": len(first),
                "labels": labels,
                "seconds": _rounded(strokes[strokes > 0].median()),
                "minutes": round(minutes, 2),
                "minutes_per_label": _rounded(minutes / labels if labels else math.nan),
                "again": len(blind),
                "differ": int((~same).sum()),
                **_error(int((~same).sum()), len(blind)),
            }
        )
    return found


def bound(good: int, judged: int) -> float | None:
    """The highest share of good images in a list of which a random sample was judged (Clopper, Pearson 1934).

    One-sided, 95 %; None before anything is judged.
    """
    from scipy import stats

    if not judged:
        return None
    return 1.0 if good == judged else float(stats.beta.ppf(CONFIDENCE, good + 1, judged - good))


def _error(differ: int, n: int) -> dict[str, float | None]:
    from pipeline.evaluation import intervals  # here: scipy takes a second

    if not n:
        return {"error": None, "low": None, "high": None}
    low, high = intervals.wilson(differ, n, confidence=CONFIDENCE)
    shares = {"error": differ / n, "low": float(low), "high": float(high)}
    return {name: _rounded((1 - math.sqrt(max(0.0, 1 - 2 * share))) / 2) for name, share in shares.items()}


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
