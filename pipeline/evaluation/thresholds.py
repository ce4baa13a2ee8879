"""The threshold: from which score on an answer is shown to a user; below it the honest answer is `unknown`.

It is chosen so that, of the answers shown, at least a share that the user names is right. An image of a class that the
model does not know has no right answer: where a benchmark holds such images, they count.

How the threshold is found; the first rule that a score meets:
  1. assured     of models and images drawn again and again, the answers shown from there on are right less often than
                 promised in at most 1 - confidence of all draws (see below)
  2. estimated   there are too few images for that: the lowest score from which on the share itself reaches it
  3. unreached   at no score is the share reached: nothing is shown

A promise must survive that the threshold is searched on the same images. So thresholds are tested one after the other,
the highest first, each at the full level, and the first that fails ends the search: fixed sequence testing
(Angelopoulos, Bates, Candès, Jordan, Lei 2021, "Learn then test", section 3; Maurer, Hothorn, Lehmacher 1995). The
order knows nothing of right and wrong: given the k-th highest score, the images above it are drawn independently. A
test is the exact binomial one (Clopper, Pearson 1934), at the effective number of images where they belong together
(`independence`; Korn, Graubard 1998). The search looks at those ranks alone where the exact test may have one more
wrong answer, since between them it only loses power, and at the last. It begins at `FIRST` of the independent images
or, where the scores themselves do not say that the test is likely to pass there, above.

A class has a threshold of its own if that is assured, too, and
  1. more answers are shown with it. All such classes leave the images that the threshold of the others is chosen on:
     otherwise these would live on the surplus that the class has given away.
  2. or the answers of the class are less often right than promised at the threshold of all, by the same exact test. If
     none of its own is assured, the class is not shown at all. It stays among the images of the others' threshold,
     which can only be the better without it.
These tests share `OF_CLASSES` of the level in equal parts (Bonferroni), if any class has images enough to pass one.
Every other class has the overall threshold, and the promise is for all answers together.
"""

from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

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
FIRST = 0.2  # share of the independent images at which the search begins, at the latest
LIKELY = 1.28  # standard deviations of the number of wrong answers, by which the first test passes in nine of ten
OF_CLASSES = 0.1  # share of the level that all classes together have for thresholds of their own
POINTS = 200  # of a curve
TINY = 1e-9
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
      class_rules: the rule of each threshold in `classes`, assured or unreached; empty in files of earlier versions.
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
    class_rules: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        on = f"{images(self.n, self.independent)} of {' and '.join(self.chosen_on)}"
        shown = len(self.classes) - len(self.unreached_classes)
        those = f"answers of {shown} {'class' if shown == 1 else 'classes'}"
        if self.rule == UNREACHED and shown:
            rule = ASSURED if set(self.class_rules.values()) <= {ASSURED, UNREACHED} and self.class_rules else "chosen"
            why = f"no other answer is: at no score are {self.precision:.0%} of them right"
            return f"{those} are shown from scores of their own on ({rule} on {on}), and {why}"
        if self.rule == UNREACHED:
            return f"no answer is shown: at no score are {self.precision:.0%} right"
        sentence = f"answers are shown from a score of {self.threshold:.3f} on ({self.rule} on {on})"
        apart = [f"{those} from scores of their own"] if shown else []
        if self.unreached_classes:
            apart.append(f"those of {len(self.unreached_classes)} never")
        return sentence + (f"; {' and '.join(apart)}" if apart else "")

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
      confidence: with which an assured threshold keeps the promise.
      min_images: a class that is said of fewer independent images has no threshold of its own.
    """
    chosen = deciding(scores)
    rows = scores[scores["set"].isin(chosen)]
    answers = _Answers(
        rows["score"].to_numpy(float),
        (rows["label_rank"] == 1).to_numpy(),
        clusters_of(rows).to_numpy(),
        rows["predicted"].to_numpy(),
    )
    level = 1 - confidence
    enough = pd.Series(answers.cluster).groupby(answers.said).nunique()
    enough = enough[enough >= min_images]
    for_class = level * OF_CLASSES / max(len(enough), 1)
    enough = enough[precision ** enough.to_numpy(float) <= for_class]  # all right, and even so too few
    for_all = level * (1 - OF_CLASSES) if len(enough) else level
    threshold, rule = _lowest(answers, precision, for_all)
    own = {name: _assured(answers.of(answers.said == name), precision, for_class) for name in sorted(enough.index)}

    classes = {name: value for name, value in own.items() if value < threshold}
    if classes:
        others = answers.of(~np.isin(answers.said, list(classes)))
        of_others, rule_of_others = _lowest(others, precision, for_all)
        gained = sum((answers.of(answers.said == name).score >= value).sum() for name, value in classes.items())
        if gained + (others.score >= of_others).sum() > (answers.score >= threshold).sum():
            threshold, rule = of_others, rule_of_others
        else:
            classes = {}
    for name in set(own) - set(classes):
        shown = answers.of((answers.said == name) & ((answers.score >= threshold) | (threshold == NEVER)))
        if len(shown.score) and _surely_below(shown, precision, for_class):
            classes[name] = own[name]
    classes = dict(sorted(classes.items()))
    unreached = [name for name, value in classes.items() if value == NEVER]
    model, independent = " ".join(sorted(scores["model"].unique())), len(set(answers.cluster))
    rules = {name: UNREACHED if value == NEVER else ASSURED for name, value in classes.items()}
    return Thresholds(
        model, temperature, precision, chosen, len(rows), threshold, rule, classes, unreached, independent, rules
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


@dataclass(frozen=True)
class _Answers:
    """Answers of a model, arrays (N,): scores, whether they are right, clusters, and the class that is said."""

    score: np.ndarray
    right: np.ndarray
    cluster: np.ndarray
    said: np.ndarray

    def of(self, some: np.ndarray) -> "_Answers":
        return _Answers(self.score[some], self.right[some], self.cluster[some], self.said[some])


def _lowest(answers: _Answers, precision: float, level: float) -> tuple[float, str]:
    if not len(answers.score):
        return NEVER, UNREACHED
    if (assured := _assured(answers, precision, level)) < NEVER:
        return assured, ASSURED
    steps, sums = _steps(answers.score, answers.right, answers.cluster)
    reached = np.flatnonzero((sums.mean >= precision) & (sums.clusters >= LEAST))
    return (_rounded_down(steps[reached[-1]]), ESTIMATED) if len(reached) else (NEVER, UNREACHED)


def _assured(answers: _Answers, precision: float, level: float) -> float:
    """The last threshold before the first, from above, that fails its test; `NEVER` if that is the first of all."""
    if not len(answers.score):
        return NEVER
    steps, sums = _steps(answers.score, answers.right, answers.cluster)
    ranks = _ranks(int(sums.clusters[-1]), precision, level)
    if not len(ranks):
        return NEVER
    above = np.cumsum(np.sort(answers.score)[::-1])[sums.n.astype(int) - 1] / sums.n
    expected = (1 - above[np.searchsorted(sums.clusters, ranks)]) * ranks  # wrong answers, if the scores are honest
    likely = expected + LIKELY * np.sqrt(np.maximum(expected, 0)) <= np.arange(len(ranks)) + 0.5
    first = np.flatnonzero(likely & (ranks <= FIRST * sums.clusters[-1]))
    ranks = np.append(ranks[first[-1] if len(first) else 0 :], sums.clusters[-1])
    looked = np.unique(np.searchsorted(sums.clusters, ranks))
    n = independence.effective(sums[looked], confidence=1 - 2 * level)
    right = sums[looked].mean * n
    with np.errstate(invalid="ignore"):
        p_value = np.where(right > 0, special.betainc(np.maximum(right, TINY), n - right + 1, precision), 1.0)
    passed = int(np.cumprod(p_value <= level).sum())
    return _rounded_down(steps[looked[passed - 1]]) if passed else NEVER


def _ranks(most: int, precision: float, level: float) -> np.ndarray:
    """The numbers of answers, at most `most`, from which on the exact test may have one more that is wrong."""
    ranks = _all_ranks(most.bit_length(), precision, level)
    return ranks[ranks <= most]


@cache
def _all_ranks(bits: int, precision: float, level: float) -> np.ndarray:
    numbers = np.arange(1, 2**bits)
    wrong = special.bdtrik(level, numbers, 1 - precision)
    wrong = np.floor(np.where(np.isnan(wrong), -1, wrong) + TINY)
    wrong -= special.bdtr(np.maximum(wrong, 0), numbers, 1 - precision) > level
    return numbers[np.flatnonzero(np.diff(np.maximum.accumulate(wrong), prepend=-1) > 0)]


def _surely_below(answers: _Answers, precision: float, level: float) -> bool:
    sums = independence.gather(answers.right, answers.cluster)
    n = float(independence.effective(sums, confidence=1 - 2 * level)[0])
    right = float(sums.mean[0]) * n
    return bool(special.betaincc(right + 1, max(n - right, TINY), precision) <= level)


def _rounded_down(score: float) -> float:
    """To the 6 places that are stored: what stands in the file must show what was counted."""
    return float(np.floor(score * 1e6) / 1e6)


def _steps(values: np.ndarray, right: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, independence.Sums]:
    """Each value that occurs, highest first; the sums of the images that lie at or above it, right or not."""
    order = np.argsort(-values, kind="stable")
    values = values[order]
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    return values[last], independence.running(right[order], cluster[order])[last]
