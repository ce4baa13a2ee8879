"""The goal of a model: so many of its shown answers right, of at least so many images shown, on one benchmark set.

How far a model is, and which lever moves it: the threshold, the labels of which classes, or images of classes that it
does not know.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation import independence, intervals
from pipeline.evaluation.scores import OUT_OF_CLASS, clusters_of

REACHED, LIKELY, MISSED = "reached", "likely", "missed"
CLASS, UNKNOWN, LABEL, THRESHOLD = "class", "unknown class", "label", "threshold"
MAX_LEVERS = 8


@dataclass(frozen=True)
class Goal:
    """What is wanted.

    Attributes:
      set: the set that it is measured on, as it stands in the scores.
      right: share of the answers that are right, among those shown.
      shown: share of the images that get an answer.
    """

    set: str
    right: float
    shown: float


@dataclass(frozen=True)
class Lever:
    """Something that would bring the goal nearer.

    Attributes:
      kind: `class` (its images get a wrong answer), `unknown class` (the model does not know it, and answers all the
        same), `label` (the label of an image is doubted) or `threshold`.
      label: the class, if it concerns one.
      wrong: how many of the wrong answers it explains, among the images that the goal wants shown.
      enough: whether the goal would be reached without these wrong answers.
    """

    kind: str
    label: str
    wrong: int
    enough: bool


@dataclass(frozen=True)
class Progress:
    """How far a model is from the goal.

    Attributes:
      goal: what is wanted.
      images, independent: of the set, and clusters among them.
      state: `reached` (with the confidence of the interval), `likely` (by the figures, but chance may explain it) or
        `missed`.
      right_now: the share right among the surest answers, `shown` of all images; `right_low` to `right_high`.
      shown_now: the largest share of the images that can be shown so that the share `right` of them is right.
      shown_today: the share that today's thresholds show; `right_today` of it right (NaN if nothing is shown).
      too_many: wrong answers that must go before the share is reached.
      levers: what moves it, the most effective first.
    """

    goal: Goal
    images: int
    independent: int
    state: str
    right_now: float
    right_low: float
    right_high: float
    shown_now: float
    shown_today: float
    right_today: float
    too_many: int
    levers: list[Lever]

    def as_record(self) -> dict[str, Any]:
        """Plain values; what is not known is None."""
        values = asdict(self)
        return {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in values.items()}


def measure(scores: pd.DataFrame, doubted: set[str], goal: Goal, *, confidence: float) -> Progress | None:
    """Compares a model with the goal; None where the set has no image.

    Args:
      scores: columns `image`, `set`, `label`, `label_rank`, `score`, `shown`, `sha256` and, if it is known, `cluster`.
      doubted: the contents whose label the model contradicts (`audit`).
    """
    rows = scores[scores["set"] == goal.set]
    if rows.empty:
        return None
    rows = rows.sort_values(["score", "image"], ascending=[False, True], kind="stable")
    correct = (rows["label_rank"] == 1).to_numpy()
    wanted = int(np.ceil(round(goal.shown * len(rows), 9)))
    first, first_correct = rows.iloc[:wanted], correct[:wanted]
    sums = independence.gather(first_correct, clusters_of(first))
    (low,), (high,) = intervals.share(sums, confidence=2 * confidence - 1)  # one-sided: reached, or not
    share = float(first_correct.mean())
    reachable = np.flatnonzero(np.cumsum(correct) >= goal.right * np.arange(1, len(rows) + 1))
    today = rows["shown"].to_numpy(bool)
    too_many = max(0, int(np.ceil(round(goal.right * wanted - first_correct.sum(), 9))))
    return Progress(
        goal=goal,
        images=len(rows),
        independent=int(clusters_of(rows).nunique()),
        state=REACHED if low >= goal.right else LIKELY if not too_many else MISSED,
        right_now=share,
        right_low=float(low),
        right_high=float(high),
        shown_now=float(reachable[-1] + 1) / len(rows) if len(reachable) else 0.0,
        shown_today=float(today.mean()),
        right_today=float(correct[today].mean()) if today.any() else np.nan,
        too_many=too_many,
        levers=_levers(first[~first_correct], doubted, too_many) if too_many else _threshold(today.sum() < wanted),
    )


def _threshold(too_few_shown: bool) -> list[Lever]:
    return [Lever(THRESHOLD, "", 0, True)] if too_few_shown else []


def _levers(wrong: pd.DataFrame, doubted: set[str], too_many: int) -> list[Lever]:
    outside = wrong["label_rank"] == OUT_OF_CLASS
    suspect = wrong["sha256"].isin(doubted) & ~outside
    levers = [Lever(LABEL, "", int(suspect.sum()), int(suspect.sum()) >= too_many)] if suspect.any() else []
    for kind, part in ((UNKNOWN, wrong[outside]), (CLASS, wrong[~outside & ~suspect])):
        for label, number in part["label"].value_counts().items():
            levers.append(Lever(kind, str(label), int(number), int(number) >= too_many))
    levers.sort(key=lambda lever: (-lever.wrong, lever.kind, lever.label))
    return levers[:MAX_LEVERS]
