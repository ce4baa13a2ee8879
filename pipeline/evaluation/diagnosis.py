"""Where a model loses accuracy: bias, variance, a shift to the benchmark, or too few images of a class.

The error on unseen images is the sum of gaps (Ng 2018, "Machine Learning Yearning", chapters 20 to 43): from what is
allowed to the training images, from these to unseen images like them, and from these to the benchmark. A gap is a
conclusion only if chance does not explain it.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from pipeline.evaluation import independence, intervals
from pipeline.evaluation.scores import clusters_of, known
from pipeline.library.benchmarks import PREFIX

UNDERFITS, OVERFITS, SHIFT = "underfits", "overfits", "shift"
UNSEEN = ("test", "val")  # the first that has images stands for unseen images like those of training
LEAST_GAP = 0.01  # a smaller loss is no reason to do anything
MAX_CLASSES = 5
FEW = 0.5  # of the training images of the middle class


@dataclass(frozen=True)
class Gap:
    """A part of the error.

    Attributes:
      kind: `underfits`, `overfits` or `shift`.
      of, beside: the sets whose errors are compared; of `underfits`, `beside` names what is allowed.
      gap: how much larger the error of `of` is, as a share; `low` and `high` its interval.
      sure: whether chance explains it not.
    """

    kind: str
    of: str
    beside: str
    gap: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        return self.low > 0 and self.gap >= LEAST_GAP


@dataclass(frozen=True)
class FewImages:
    """A class that is surely weaker than the others and has fewer than half the training images of the middle class.

    Attributes:
      label: the class.
      trained: its independent training images.
      right: the share of its unseen images that are right; at most `high`.
      others: the share right of the images of all other classes.
    """

    label: str
    trained: int
    right: float
    high: float
    others: float


@dataclass(frozen=True)
class Diagnosis:
    """What the figures of a round allow to conclude.

    Attributes:
      gaps: every gap that can be measured, the largest first.
      few: classes with too few images, the weakest first.
      margin: half the width of the widest interval: a smaller gap cannot be told; NaN without gaps.
    """

    gaps: list[Gap]
    few: list[FewImages]
    margin: float

    @property
    def conclusions(self) -> list[Gap]:
        return [gap for gap in self.gaps if gap.sure]

    def as_record(self) -> dict[str, Any]:
        """Plain values: `conclusions` (the kinds), `gaps`, `few` and `margin`."""
        return {
            "conclusions": [gap.kind for gap in self.conclusions],
            "gaps": [asdict(gap) | {"sure": gap.sure} for gap in self.gaps],
            "few": [asdict(row) for row in self.few],
            "margin": None if np.isnan(self.margin) else self.margin,
        }


def diagnose(scores: pd.DataFrame, *, allowed: float, confidence: float) -> Diagnosis:
    """Divides the error of a model into its parts.

    The interval of a difference of two independent shares is that of Newcombe (1998, Statistics in Medicine 17:
    873-890, method 10), from intervals that count clusters; it is so wide that with probability `confidence` no gap at
    all is concluded where there is none (Bonferroni over the gaps).

    The benchmark's images are weighted to the mix of classes of the unseen images: a benchmark with more images of
    difficult classes is not a shift.

    Args:
      scores: columns `set`, `label`, `label_rank`, `sha256` and, if it is known, `cluster`.
      allowed: the share of errors that is good enough.
    """
    inside = known(scores)
    sets = {str(name): rows for name, rows in inside.groupby("set")}
    unseen = next((name for name in UNSEEN if name in sets), "")
    benchmarks = [name for name in sorted(sets) if name.startswith(PREFIX)]
    level = 1 - (1 - confidence) / (2 + len(benchmarks))
    gaps = []
    if "train" in sets:
        trained = _error(sets["train"], level)
        gaps.append(_gap(UNDERFITS, "train", f"the {allowed:.0%} allowed", trained, (allowed, allowed, allowed)))
        if unseen:
            gaps.append(_gap(OVERFITS, unseen, "train", _error(sets[unseen], level), trained))
    if unseen:
        for name in benchmarks:
            here, there = _in_both(sets[unseen], sets[name])
            if len(here) and len(there):
                weighted = _error(there, level, like=here["label"])
                gaps.append(_gap(SHIFT, name, unseen, weighted, _error(here, level)))
    gaps.sort(key=lambda gap: -gap.gap)
    margin = max(((gap.high - gap.low) / 2 for gap in gaps), default=np.nan)
    few = _few_images(sets["train"], sets[unseen], confidence) if unseen and "train" in sets else []
    return Diagnosis(gaps, few, margin)


def _error(rows: pd.DataFrame, confidence: float, like: pd.Series | None = None) -> tuple[float, float, float]:
    """The share of wrong answers and its interval; weighted to the mix of classes of `like` where it is given."""
    wrong = rows["label_rank"].to_numpy() != 1
    if like is None:
        sums = independence.gather(wrong, clusters_of(rows))
        (low,), (high,) = intervals.share(sums, confidence=confidence)
        return float(sums.mean[0]), float(low), float(high)
    # A stratified share: each class by Wilson's centre, since a class without an error has a variance, too (Yan, Su
    # 2010, Journal of Biopharmaceutical Statistics 20: 1014-1029).
    weights = like.value_counts(normalize=True)
    share = variance = 0.0
    z = float(special.ndtri(0.5 + confidence / 2))
    for label, part in rows.assign(wrong=wrong).groupby("label"):
        sums = independence.gather(part["wrong"], clusters_of(part))
        n = float(independence.effective(sums, confidence=confidence)[0])
        mean = float(sums.mean[0])
        centre = (mean * n + z**2 / 2) / (n + z**2)
        share += weights[label] * mean
        variance += weights[label] ** 2 * centre * (1 - centre) / (n + z**2)
    half = z * np.sqrt(variance)
    return share, max(0.0, share - half), min(1.0, share + half)


def _gap(kind: str, of: str, beside: str, more: tuple, less: tuple) -> Gap:
    (share, low, high), (other, other_low, other_high) = more, less
    gap = float(share - other)
    return Gap(
        kind,
        of,
        beside,
        gap,
        gap - float(np.hypot(share - low, other_high - other)),
        gap + float(np.hypot(high - share, other - other_low)),
    )


def _in_both(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    """The images whose class has images in every table."""
    shared = set.intersection(*(set(table["label"]) for table in tables))
    return [table[table["label"].isin(shared)] for table in tables]


def _few_images(train: pd.DataFrame, unseen: pd.DataFrame, confidence: float) -> list[FewImages]:
    """Classes whose recall is surely below that of all others, with few training images."""
    trained = train.assign(cluster=clusters_of(train)).groupby("label")["cluster"].nunique()
    right = (unseen["label_rank"] == 1).to_numpy()
    few = []
    level = 1 - (1 - confidence) / max(1, len(trained))  # Bonferroni over the classes
    for label in trained.index[trained < FEW * trained.median()]:
        here = (unseen["label"] == label).to_numpy()
        if not here.any() or here.all():
            continue
        sums = independence.gather(right[here], clusters_of(unseen[here]))
        _, (high,) = intervals.share(sums, confidence=level)
        others = float(right[~here].mean())
        if high < others:
            few.append(FewImages(str(label), int(trained[label]), float(sums.mean[0]), float(high), others))
    return sorted(few, key=lambda row: row.right)[:MAX_CLASSES]
