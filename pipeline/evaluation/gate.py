"""The gate: candidate against champion on the same benchmark images, from stored scores alone."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.evaluation import paired
from pipeline.evaluation.ensembling import is_ensemble
from pipeline.library.benchmarks import PREFIX
from pipeline.library.classes import Classes

PASS, FAIL, INVESTIGATE = "pass", "fail", "investigate"


@dataclass(frozen=True)
class Verdict:
    """`verdict` is pass, fail or investigate; `benchmarks` has the figures of each set; `model` is the candidate."""

    verdict: str
    reason: str
    benchmarks: dict[str, dict[str, Any]]
    model: str


def decide(
    candidate: pd.DataFrame, champion: pd.DataFrame | None, *, tolerance: float, confidence: float, min_images: int
) -> Verdict:
    """Decides whether the candidate may replace the champion.

    On each benchmark both knew the images of, and on the classes that both know, the difference of the two accuracies
    has an interval for paired proportions (`paired.mean_difference`).

    Rules, the first that holds:
      1. investigate  the scores are those of an ensemble: they say nothing of the model that would be released
      2. pass         there is no champion
      3. investigate  there is no benchmark to decide on: none at all, or each has fewer than `min_images` in common
      4. fail         on a benchmark the candidate is worse by more than `tolerance`: the whole interval says so
      5. investigate  on a benchmark it may be worse by more than `tolerance`: the interval does not exclude it, and
                      its accuracy is lower
      6. pass         otherwise

    Args:
      candidate, champion: scores of all sets; columns `sha256`, `set`, `label`, `label_rank`, `model`.
    """
    model = " ".join(sorted(candidate["model"].unique()))
    if is_ensemble(model):
        return Verdict(
            INVESTIGATE, "the scores are those of an ensemble; empty evaluate.ensemble to judge the model", {}, model
        )
    if champion is None:
        return Verdict(PASS, "there is no champion yet: the first model has nothing to be held against", {}, model)
    names = sorted(name for name in candidate["set"].unique() if name.startswith(PREFIX))
    figures = {name.removeprefix(PREFIX): _compare(candidate, champion, name, confidence) for name in names}
    deciding = {name: f for name, f in figures.items() if f["n"] >= min_images}
    if not deciding:
        return Verdict(
            INVESTIGATE, f"no benchmark has {min_images} images in common with the champion's", figures, model
        )
    worse = sorted(name for name, f in deciding.items() if f["high"] < -tolerance)
    if worse:
        return Verdict(FAIL, f"worse than the champion on {_say(worse, figures)}", figures, model)
    doubtful = sorted(name for name, f in deciding.items() if f["low"] < -tolerance and f["difference"] < 0)
    if doubtful:
        return Verdict(INVESTIGATE, f"may be worse than the champion on {_say(doubtful, figures)}", figures, model)
    return Verdict(PASS, f"not worse than the champion on {_say(sorted(deciding), figures)}", figures, model)


def by_todays_names(scores: pd.DataFrame, classes: Classes) -> pd.DataFrame:
    """An older model's scores by today's names: where two classes were merged since then, it was right within them."""
    named = scores.assign(label=classes.names(scores["label"]), predicted=classes.names(scores["predicted"]))
    right = (named["label"] == named["predicted"]) & (named["label_rank"] > 0)
    return named.assign(label_rank=named["label_rank"].mask(right, 1))


def _compare(candidate: pd.DataFrame, champion: pd.DataFrame, name: str, confidence: float) -> dict[str, Any]:
    ours, theirs = (scores[scores["set"] == name] for scores in (candidate, champion))
    pairs = paired.pair(ours, theirs)
    right, right_before = pairs["right"], pairs["right_before"]
    n = len(pairs)
    figures: dict[str, Any] = {"n": n, "same_version": _content(ours) == _content(theirs)}
    if not n:
        return figures
    change = right.astype(int) - right_before.astype(int)
    difference, low, high = paired.mean_difference(change, confidence=confidence)
    return figures | {
        "candidate": round(float(right.mean()), 6),
        "champion": round(float(right_before.mean()), 6),
        "difference": round(difference, 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "gained": int((change > 0).sum()),
        "lost": int((change < 0).sum()),
        "new_classes": sorted(
            set(ours.loc[ours["label_rank"] > 0, "label"]) - set(theirs.loc[theirs["label_rank"] > 0, "label"])
        ),
    }


def _content(rows: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(rows["sha256"], rows["label"], strict=True))


def _say(names: list[str], figures: dict[str, dict[str, Any]]) -> str:
    return "; ".join(
        f"{name} ({figures[name]['candidate']:.1%} against {figures[name]['champion']:.1%},"
        f" {figures[name]['n']} images in common)"
        for name in names
    )
