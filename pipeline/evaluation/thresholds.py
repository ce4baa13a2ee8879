"""The threshold: from which score on an answer is shown to a user; below it the honest answer is `unknown`.

It is chosen so that, of the answers shown, at least a share that the user names is right. An image of a class that the
model does not know has no right answer: where a benchmark holds such images, they count.

How a threshold is found, overall and for each class that is said often enough; the first rule that a score meets:
  1. assured     the lowest score from which on the lower bound (one-sided, by clusters: `intervals.share`) of the share
                 that is right reaches the precision. The lowest of many scores is picked on the same images, and where
                 the share itself were asked for, half of all thresholds would be too low.
  2. estimated   there are too few images for that: the lowest score from which on the share itself reaches it
  3. unreached   at no score is the share reached: nothing is shown
A class without images enough has the overall threshold.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import DataError
from pipeline.evaluation import independence, intervals
from pipeline.evaluation.independence import images
from pipeline.evaluation.scores import OUT_OF_CLASS, clusters_of
from pipeline.files import read_json, write_json
from pipeline.library.benchmarks import PREFIX

FILE = "thresholds.json"
UNKNOWN = "unknown"
ASSURED, ESTIMATED, UNREACHED = "assured", "estimated", "unreached"
NEVER = float("inf")
LEAST = 10  # independent answers shown: fewer are no estimate
POINTS = 200  # of a curve
CURVE = ["threshold", "shown", "precision", "low", "high"]


@dataclass(frozen=True)
class Thresholds:
    """When the answer of a model is shown.

    Attributes:
      model: digest of the model whose scores they are for.
      temperature: of its bundle, which the scores are calibrated with.
      precision: the share right among the answers shown that was asked for.
      chosen_on: the sets, `n` images in all.
      threshold: the lowest score that is shown; `NEVER` if none is.
      rule: assured, estimated or unreached (see above).
      classes: thresholds of classes' own, by the class that is said.
      unreached_classes: of these, the classes that are never shown.
      independent: clusters among the `n` images; None in files of earlier versions.
    """

    model: str
    temperature: float
    precision: float
    chosen_on: list[str]
    n: int
    threshold: float
    rule: str
    classes: dict[str, float]
    unreached_classes: list[str]
    independent: int | None = None

    def __str__(self) -> str:
        if self.rule == UNREACHED:
            return f"no answer is shown: at no score are {self.precision:.0%} right"
        on = f"{images(self.n, self.independent)} of {' and '.join(self.chosen_on)}"
        return f"answers are shown from a score of {self.threshold:.3f} on ({self.rule} on {on})"

    def of(self, predicted: pd.Series) -> np.ndarray:
        """The threshold (N,) of each class that is said."""
        return predicted.map(self.classes).astype(float).fillna(self.threshold).to_numpy()

    def shown(self, predicted: pd.Series, score: pd.Series) -> np.ndarray:
        """Which answers (N,) are shown; every other one is `UNKNOWN`."""
        return np.asarray(score, float) >= self.of(predicted)


def choose(
    scores: pd.DataFrame, *, precision: float, confidence: float, min_images: int, temperature: float
) -> Thresholds:
    """Chooses on all benchmarks together or, where none has an image of a class that the model knows, on the test set.

    Args:
      scores: columns `set`, `predicted`, `score`, `label_rank`, `model`, `sha256` and, if it is known, `cluster`.
      confidence: of rule 1.
      min_images: a class that is said of fewer independent images has no threshold of its own.
    """
    chosen = deciding(scores)
    rows = scores[scores["set"].isin(chosen)]
    right = (rows["label_rank"] == 1).to_numpy()
    values, cluster = rows["score"].to_numpy(float), clusters_of(rows).to_numpy()
    threshold, rule = _lowest(values, right, cluster, precision, confidence)
    said = rows["predicted"].to_numpy()
    counts = pd.Series(cluster).groupby(said).nunique()
    classes, unreached = {}, []
    for name in sorted(counts.index[counts >= min_images]):
        of_class = said == name
        classes[name], how = _lowest(values[of_class], right[of_class], cluster[of_class], precision, confidence)
        if how == UNREACHED:
            unreached.append(name)
    model, independent = " ".join(sorted(scores["model"].unique())), len(set(cluster))
    return Thresholds(
        model, temperature, precision, chosen, len(rows), threshold, rule, classes, unreached, independent
    )


def deciding(scores: pd.DataFrame) -> list[str]:
    """The sets that thresholds are chosen on: those that are as a user's pictures are."""
    inside = scores.loc[scores["label_rank"] != OUT_OF_CLASS, "set"]
    if inside.str.startswith(PREFIX).any():
        return sorted(name for name in scores["set"].unique() if name.startswith(PREFIX))
    return ["test"] if (inside == "test").any() else []


def outcome(scores: pd.DataFrame, *, confidence: float) -> dict[str, dict[str, Any]]:
    """What becomes of each set when answers are withheld.

    Args:
      scores: columns `set`, `label_rank`, `shown`, `sha256` and, if it is known, `cluster`.

    Returns:
      For each set `shown` (share of its images with an answer); `shown_precision` (share right of these answers), if
      there are any, and images of known classes; and `refused` (share of the images of unknown classes without an
      answer), if it has such; each with its interval.
    """
    found = {}
    counted = scores[["set", "label_rank", "shown"]].assign(cluster=clusters_of(scores))
    for name, rows in counted.groupby("set"):
        shown, outside = rows["shown"], rows["label_rank"] == OUT_OF_CLASS
        shares = {
            "shown": (shown, shown | True),
            "shown_precision": (rows["label_rank"] == 1, shown & (not outside.all())),
            "refused": (~shown, outside),
        }
        figures: dict[str, Any] = {}
        for key, (holds, of) in shares.items():
            if of.any():
                sums = independence.gather(holds[of], rows.loc[of, "cluster"])
                (low,), (high,) = intervals.share(sums, confidence=confidence)
                figures |= {key: float(sums.mean[0]), f"{key}_low": float(low), f"{key}_high": float(high)}
        found[str(name)] = figures
    return found


def curve(scores: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Precision and coverage over the threshold, columns `CURVE`, at most `POINTS` rows, the highest threshold first.

    `shown` is the share of images at or above the threshold, `precision` the share right among them; images of classes
    that the model does not know count.
    """
    if scores.empty:
        return pd.DataFrame(columns=CURVE)
    right, cluster = (scores["label_rank"] == 1).to_numpy(), clusters_of(scores).to_numpy()
    values, sums = _steps(scores["score"].to_numpy(float), right, cluster)
    places = np.unique(np.linspace(0, len(values) - 1, POINTS).round().astype(int))
    picked = sums[places]
    low, high = intervals.share(picked, confidence=confidence)
    columns = [values[places], picked.n / len(scores), picked.mean, low, high]
    return pd.DataFrame(dict(zip(CURVE, columns, strict=True)))


def write(thresholds: Thresholds, path: Path) -> None:
    values = asdict(thresholds)
    values["threshold"] = _or_none(thresholds.threshold)
    values["classes"] = {name: _or_none(value) for name, value in thresholds.classes.items()}
    write_json(values, path)


def read(path: Path, model_digest: str = "") -> Thresholds:
    """Reads what `write` wrote.

    Raises:
      DataError: if it is missing or unreadable, or was chosen for another model than `model_digest`.
    """
    values = read_json(path)
    try:
        never = {name: NEVER if value is None else value for name, value in values["classes"].items()}
        threshold = NEVER if values["threshold"] is None else values["threshold"]
        found = Thresholds(**(values | {"threshold": threshold, "classes": never}))
    except (KeyError, TypeError, AttributeError):
        raise DataError("not a table of thresholds", where=path, mend="run `dvc repro evaluate`") from None
    if model_digest and found.model != model_digest:
        raise DataError(
            f"the thresholds are those of another model, {found.model[:12]}", where=path, mend="run `dvc repro`"
        )
    return found


def _or_none(threshold: float) -> float | None:
    return None if threshold == NEVER else round(threshold, 6)


def _lowest(
    values: np.ndarray, right: np.ndarray, cluster: np.ndarray, precision: float, confidence: float
) -> tuple[float, str]:
    if not len(values):
        return NEVER, UNREACHED
    steps, sums = _steps(values, right, cluster)
    low, _ = intervals.share(sums, confidence=2 * confidence - 1)  # one-sided
    enough = sums.clusters >= LEAST
    for rule, reached in {ASSURED: low >= precision, ESTIMATED: (sums.mean >= precision) & enough}.items():
        if reached.any():
            return _rounded_down(steps[np.flatnonzero(reached)[-1]]), rule
    return NEVER, UNREACHED


def _rounded_down(score: float) -> float:
    """To the 6 places that are stored: what stands in the file must show what was counted."""
    return float(np.floor(score * 1e6) / 1e6)


def _steps(values: np.ndarray, right: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, independence.Sums]:
    """Each value that occurs, highest first; the sums of the images that lie at or above it, right or not."""
    order = np.argsort(-values, kind="stable")
    values = values[order]
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    return values[last], independence.running(right[order], cluster[order])[last]
