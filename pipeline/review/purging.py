"""What people say of a sample of the images that would be put into quarantine: how many good ones that may cost.

The sample is drawn image by image, without replacement, so that its bound is exact for lists of any length, whatever
belongs together in them (`intervals.most_of_finite`). Who tries one list after the other until a bound pleases gets
more than the promise has: so each list tried since images were last put away spends a part of the level, the first
`FIRST` of it, and every further one as much of what is left (alpha spending: Foster, Stine 2008, JRSS B 70: 429-444).
All lists together are then wrong in at most 1 - confidence.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation import intervals
from pipeline.files import read_table
from pipeline.review import landing
from pipeline.review.decisions import BAD, LABEL, PURGE_RECIPE, UNKNOWN

FIRST = 0.8  # of the level that is left, what a list spends
JUDGED = [LABEL, UNKNOWN, BAD]


@dataclass(frozen=True)
class Audit:
    """What people say of the sample of the images that the last round would put into quarantine.

    Attributes:
      whole: all these images, `image`, `sha256`, `score`, `model`.
      spared: those of them that people named, or called worth keeping for a name.
      sample, judged, good: numbers of images of the sample; the good ones are `spared`.
      bound: the largest share of good images that the sample does not exclude (exact, one-sided), NaN before it.
      confidence: of the bounds of all lists tried, together.
      tried: lists of which people judged images since images were last put away, this one among them.
    """

    whole: pd.DataFrame
    spared: pd.Index
    sample: int
    judged: int
    good: int
    bound: float
    confidence: float
    in_quarantine: int
    tried: int = 1

    @property
    def complete(self) -> bool:
        return bool(self.sample) and self.judged == self.sample

    def as_dict(self) -> dict[str, Any]:
        bound = None if np.isnan(self.bound) else round(self.bound, 4)
        numbers = {"sample": self.sample, "judged": self.judged, "good": self.good, "bound": bound, "tried": self.tried}
        return {"in_quarantine": self.in_quarantine, "listed": len(self.whole)} | numbers

    def __str__(self) -> str:
        lines = [
            f"{self.in_quarantine} images are in quarantine; the last round would put {len(self.whole)} more there"
        ]
        if self.sample:
            lines.append(f"{self.judged} of the {self.sample} drawn from them are judged, {self.good} are good")
        if self.complete:
            most = round(self.bound * len(self.whole))
            share = f"at most {self.bound:.1%} of them are good ({most} images)"
            together = f" in all {self.tried} lists tried together" if self.tried > 1 else ""
            lines.append(f"{share}, at {self.confidence:.0%} confidence{together}")
        return "\n".join(lines)


def audit(queue: Path, away: pd.DataFrame, decided: pd.DataFrame, *, confidence: float) -> Audit:
    """Compares the sample in a queue with what people decided.

    Args:
      queue: the folder of the recipes' tables.
      away: the quarantine, as `quarantine.read` returns it.
      decided: decisions, as `decisions.read_all` returns them; they count on images as these were when listed.
      confidence: of the bound, one-sided.

    Raises:
      DataError: if the round has not come so far, or a table is not readable.
    """
    whole = read_table(queue / "whole" / f"{PURGE_RECIPE}.parquet")
    whole = whole[~whole["sha256"].isin(away["sha256"])]
    sample = read_table(queue / f"{PURGE_RECIPE}.parquet", ["image"])["image"]
    sample = sample[sample.isin(whole["image"])]
    last = landing.land(decided, whole).rows.drop_duplicates("image", keep="last").set_index("image")["decision"]
    spared = last.index[last.isin([LABEL, UNKNOWN])]
    judged = int(sample.isin(last.index[last.isin(JUDGED)]).sum())
    good = int(sample.isin(spared).sum())
    tried = 1 + _tried_before(decided, set(sample), whole, away)
    bound = bound_of(good, judged, len(whole), tried=tried, confidence=confidence)
    return Audit(whole, spared, len(sample), judged, good, bound, confidence, len(away), tried)


def bound_of(good: int, judged: int, listed: int, *, tried: int, confidence: float) -> float:
    """The largest share of good images that a sample of the `tried`th list does not exclude, NaN if none is judged."""
    if not judged:
        return np.nan
    level = (1 - confidence) * FIRST * (1 - FIRST) ** (tried - 1)
    return intervals.most_of_finite(good, judged, listed, level=level) / listed


def _tried_before(decided: pd.DataFrame, sample: set[str], whole: pd.DataFrame, away: pd.DataFrame) -> int:
    """How many samples like this one the other judgements on purge lists fill, since images were last put away."""
    of_purging = decided[(decided["recipe"] == PURGE_RECIPE) & decided["decision"].isin(JUDGED)]
    put_away = pd.to_datetime(away["at"].replace("", None), utc=True, format="ISO8601", errors="coerce").max()
    if not pd.isna(put_away):
        at = pd.to_datetime(of_purging["at"], utc=True, format="ISO8601", errors="coerce")
        of_purging = of_purging[at > put_away]
    today = whole.loc[whole["image"].isin(sample), "sha256"]
    others = of_purging[~of_purging["sha256"].isin(today) & ~of_purging["image"].isin(sample)]
    return math.ceil(others["image"].nunique() / max(len(sample), 1))
