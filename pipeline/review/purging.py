"""Putting images into quarantine, and taking them out again; how many good ones that may cost, at most."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import UsageError
from pipeline.evaluation import intervals
from pipeline.files import read_table
from pipeline.library import quarantine
from pipeline.review import decisions, landing
from pipeline.review.decisions import BAD, LABEL, PURGE_RECIPE, UNKNOWN


@dataclass(frozen=True)
class Audit:
    """What people say of the sample of the images that the last round would put into quarantine.

    Attributes:
      whole: all these images, `image`, `sha256`, `score`, `model`.
      sample, judged, good: numbers of images; a good one has a name, or is worth keeping for one.
      bound: the largest share of good images that the sample does not exclude, one-sided at `confidence` (Wilson); NaN
        before it.
    """

    whole: pd.DataFrame
    sample: int
    judged: int
    good: int
    bound: float
    in_quarantine: int
    confidence: float

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
            sure = f"at {self.confidence:.0%} confidence"
            lines.append(f"at most {self.bound:.1%} of them are good ({most} images), {sure}")
        return "\n".join(lines)


def audit(*, confidence: float) -> Audit:
    """Judges the list of the last round by its sample.

    Args:
      confidence: of the bound, one-sided.

    Raises:
      DataError: if the round has not come so far, or a table is not readable.
    """
    away = quarantine.read(paths.QUARANTINE)
    whole = read_table(paths.QUEUE / "whole" / f"{PURGE_RECIPE}.parquet")
    whole = whole[~whole["sha256"].isin(away["sha256"])]
    sample = read_table(paths.QUEUE / f"{PURGE_RECIPE}.parquet", ["image"])["image"]
    sample = sample[sample.isin(whole["image"])]
    said = _said(whole)
    judged = sample[sample.isin(said.index[said.isin([LABEL, UNKNOWN, BAD])])]
    good = int(said[judged].isin([LABEL, UNKNOWN]).sum())
    bound = float(intervals.wilson(good, len(judged), confidence=2 * confidence - 1)[1]) if len(judged) else np.nan
    return Audit(whole, len(sample), len(judged), good, bound, len(away), confidence)


def accept(*, lost: float | None, confidence: float, by: str, at: str, dry_run: bool) -> tuple[Audit, int]:
    """Puts the last round's list into quarantine, but for what people named or kept; returns how many images.

    Args:
      lost: the share of good images among them that may be lost, at most.
      confidence: as in `audit`.

    Raises:
      UsageError: if the sample is not judged yet, or does not exclude a greater loss than `lost`.
    """
    found = audit(confidence=confidence)
    if found.whole.empty:
        raise UsageError("there is nothing to put into quarantine", where=paths.QUEUE, mend="run `dvc repro`")
    if not found.complete:
        raise UsageError(
            f"{found.sample - found.judged} of the {found.sample} images drawn are not judged yet",
            where=f"recipe {PURGE_RECIPE} of {paths.QUEUE}",
            mend="decide them (bad, a class, unknown) in the review",
        )
    if lost is None or lost < found.bound:
        given = "name the loss that you accept" if lost is None else f"a loss of {lost:.1%} is not excluded"
        raise UsageError(
            f"{given}: at most {found.bound:.1%} of {len(found.whole)} images are good",
            where=f"{found.good} of {found.judged} judged are",
            mend=f"--lost {np.ceil(found.bound * 1000) / 1000:g}, or lower purge_far in section queue",
        )
    said = _said(found.whole)
    kept = found.whole["image"].isin(said.index[said.isin([LABEL, UNKNOWN])])
    note = f"at most {found.bound:.1%} good, {found.good} of {found.judged} judged"
    new = found.whole[~kept].assign(by=by, at=at, note=note)
    new["score"] = new["score"].map("{:.4f}".format)
    if not dry_run:
        quarantine.write(pd.concat([quarantine.read(paths.QUARANTINE), new.astype("str")]), paths.QUARANTINE)
    return found, len(new)


def undo(*, dry_run: bool) -> int:
    """Takes out of quarantine what was put there last; returns how many images.

    Raises:
      UsageError: if nothing is in quarantine.
    """
    away = quarantine.read(paths.QUARANTINE)
    if away.empty:
        raise UsageError("nothing is in quarantine", where=paths.QUARANTINE)
    last = away["at"] == away["at"].max()
    if not dry_run:
        quarantine.write(away[~last], paths.QUARANTINE)
    return int(last.sum())


def _said(images: pd.DataFrame) -> pd.Series:
    """The last decision on each of these images (`image`, `sha256`), as they were when they were listed."""
    said = decisions.read_all(paths.REVIEWS, list(config.load(sections.Roots).folders))
    return landing.land(said, images).rows.drop_duplicates("image", keep="last").set_index("image")["decision"]
