"""What people say of a sample of the images that would be put into quarantine: how many good ones that may cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation import intervals
from pipeline.files import read_table
from pipeline.review import landing
from pipeline.review.decisions import BAD, LABEL, PURGE_RECIPE, UNKNOWN


@dataclass(frozen=True)
class Audit:
    """What people say of the sample of the images that the last round would put into quarantine.

    Attributes:
      whole: all these images, `image`, `sha256`, `score`, `model`.
      spared: those of them that people named, or called worth keeping for a name.
      sample, judged, good: numbers of images of the sample; the good ones are `spared`.
      bound: the largest share of good images that the sample does not exclude (Wilson, one-sided), NaN before it.
      confidence: of the bound.
    """

    whole: pd.DataFrame
    spared: pd.Index
    sample: int
    judged: int
    good: int
    bound: float
    confidence: float
    in_quarantine: int

    @property
    def complete(self) -> bool:
        return bool(self.sample) and self.judged == self.sample

    def as_dict(self) -> dict[str, Any]:
        bound = None if np.isnan(self.bound) else round(self.bound, 4)
        numbers = {"sample": self.sample, "judged": self.judged, "good": self.good, "bound": bound}
        return {"in_quarantine": self.in_quarantine, "listed": len(self.whole)} | numbers

    def __str__(self) -> str:
        lines = [
            f"{self.in_quarantine} images are in quarantine; the last round would put {len(self.whole)} more there"
        ]
        if self.sample:
            lines.append(f"{self.judged} of the {self.sample} drawn from them are judged, {self.good} are good")
        if self.complete:
            most = int(np.floor(self.bound * len(self.whole)))
            share = f"at most {self.bound:.1%} of them are good ({most} images)"
            lines.append(f"{share}, at {self.confidence:.0%} confidence")
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
    judged = int(sample.isin(last.index[last.isin([LABEL, UNKNOWN, BAD])]).sum())
    good = int(sample.isin(spared).sum())
    bound = float(intervals.wilson(good, judged, confidence=2 * confidence - 1)[1]) if judged else np.nan
    return Audit(whole, spared, len(sample), judged, good, bound, confidence, len(away))
