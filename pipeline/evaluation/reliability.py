"""How far calibrated scores are to be trusted, and how many images of a class a list of suggestions will bring.

One temperature makes scores honest on the whole, not for rare classes, and not among pictures of no class. So scores
are held against the truth once more, on images that the model has not learnt from (Platt 1999), and what these leave
open is part of the interval.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, logit

from pipeline.evaluation import joint
from pipeline.evaluation.scores import clusters_of
from pipeline.library.benchmarks import PREFIX

PRIOR = 1.0  # standard deviation: without evidence, scores are believed as they are, give or take so much
CLASS_SPREAD = 0.7  # in log-odds: classes of one model differ by about so much in how far their scores hold
DRAWS = 2000
TINY = 1e-6
COLUMNS = ["set", "label", "top_labels", "top_scores"]
CLUSTER = "cluster"  # a column that scores of earlier models lack
MEASURED = ("val", "test", "open:below-cutoff")


@dataclass(frozen=True)
class Trust:
    """A score s is right with the log-odds `slope` * logit(s) + `offset`: `mean` (2,), `covariance` (2, 2) of both."""

    mean: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True)
class Yield:
    """Groups that accepting the right suggestions will bring, its interval, and how likely that they are enough."""

    expected: float
    low: int
    high: int
    chance: float


def held(scores: pd.DataFrame, *, least: float = 0.0, places: int | None = None) -> Trust:
    """How far the scores of suggestions like these are to be trusted: see `suggestions` and `fit`."""
    known = suggestions(scores, least=least, places=places)
    return fit(known["score"].to_numpy(), known["right"].to_numpy())


def suggestions(scores: pd.DataFrame, *, least: float = 0.0, places: int | None = None) -> pd.DataFrame:
    """What the model said of images it has not learnt from, a row an image and class: columns `score`, `right`.

    Args:
      scores: those of all sets, columns `COLUMNS`.
      least: suggestions of a lower score are passed over.
      places: only the first so many classes of each image; by default all that are stored.
    """
    rows = _measured(scores)[["label", "top_labels", "top_scores"]]
    rows = rows.assign(**{name: rows[name].map(lambda best: best[:places]) for name in ("top_labels", "top_scores")})
    rows = rows.explode(["top_labels", "top_scores"])
    said = rows["top_scores"].astype(float).to_numpy()
    found = pd.DataFrame({"score": said, "right": (rows["label"] == rows["top_labels"]).to_numpy()})
    return found[found["score"] >= least].reset_index(drop=True)


def held_of_bursts(scores: pd.DataFrame, *, classes: int, least: float = 0.0, places: int = 1) -> Trust:
    """How far the scores of bursts that are judged as a whole (`joint.judge`) are to be trusted.

    They are measured on what belongs together in the sets that the model has not learnt from: the mean of many frames
    is right more often than its score says.

    Args:
      scores: those of all sets, columns `COLUMNS`, and `CLUSTER` where it is known.
      classes: that the model knows.
      least, places: as in `suggestions`.
    """
    rows = _measured(scores)
    rows = rows.assign(cluster=clusters_of(rows) + "\n" + rows["set"])
    images, labels = (rows.groupby("cluster")["label"].transform(how) for how in ("size", "nunique"))
    rows = rows[(images > 1) & (labels == 1)].reset_index(drop=True)
    if rows.empty:
        return fit(np.empty(0), np.empty(0))
    each = rows[["top_labels", "top_scores"]].explode(["top_labels", "top_scores"])
    code, names = pd.factorize(each["top_labels"], sort=True)
    burst, first = np.unique(rows["cluster"].to_numpy(object), return_index=True)
    number = np.searchsorted(burst, rows["cluster"].to_numpy(object))
    frame, score = each.index.to_numpy(), each["top_scores"].to_numpy(float)
    judged = joint.judge(number, frame, code, score, classes=max(classes, len(names)), top_k=places)
    right = names.to_numpy(object)[judged.labels] == rows["label"].to_numpy(object)[first][:, None]
    shown = (judged.labels >= 0) & (judged.scores >= least)
    return fit(judged.scores[shown], right[shown])


def _measured(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["set"].isin(MEASURED) | scores["set"].str.startswith(PREFIX)]


def fit(score: np.ndarray, right: np.ndarray) -> Trust:
    """Fits how far scores are to be trusted to suggestions (N,) and whether they were `right` (N,); N may be 0."""
    odds, right = _odds(score), np.asarray(right, float)
    design = np.stack([odds, np.ones_like(odds)], axis=1)
    believed = np.array([1.0, 0.0])

    def loss(values: np.ndarray) -> float:
        said = design @ values
        return float(np.logaddexp(0, said).sum() - right @ said + ((values - believed) ** 2).sum() / (2 * PRIOR**2))

    mean = minimize(loss, believed, method="BFGS").x
    probable = expit(design @ mean)
    curvature = (design * (probable * (1 - probable))[:, None]).T @ design + np.eye(2) / PRIOR**2
    return Trust(mean, np.linalg.inv(curvature))


def likely(held: Trust, score: np.ndarray) -> np.ndarray:
    """How likely suggestions with these scores (N,) are right."""
    return _drawn(held, score).mean(axis=0)


def expect(
    held: Trust,
    score: np.ndarray,
    *,
    short_by: int,
    confidence: float,
    brings: np.ndarray | None = None,
    burst: np.ndarray | None = None,
    of_bursts: Trust | None = None,
) -> Yield:
    """What suggestions of one class will bring.

    Args:
      score: the best of each near-duplicate group, or of each burst as a whole (G,).
      short_by: groups that the class needs.
      brings: groups that each brings, or none of them (G,); by default one.
      burst: which of them are bursts (G,); by default none.
      of_bursts: how far the scores of bursts are to be trusted; by default as those of images.
    """
    probable, number = _drawn(held, score), np.ones(len(score), int) if brings is None else brings
    if burst is not None and of_bursts is not None:
        probable[:, burst] = _drawn(of_bursts, np.asarray(score)[burst])
    brought = (np.random.default_rng(1).random(probable.shape) < probable) @ number
    low, high = np.quantile(brought, [0.5 - confidence / 2, 0.5 + confidence / 2], method="nearest")
    return Yield(float((probable @ number).mean()), int(low), int(high), float((brought >= short_by).mean()))


def _drawn(held: Trust, score: np.ndarray) -> np.ndarray:
    """How likely each of `score` (G,) is right, under as many readings as there are draws (DRAWS, G)."""
    random = np.random.default_rng(0)
    slope, offset = random.multivariate_normal(held.mean, held.covariance, DRAWS).T
    offset = offset + random.normal(0, CLASS_SPREAD, DRAWS)
    return expit(slope[:, None] * _odds(score) + offset[:, None])


def _odds(score: np.ndarray) -> np.ndarray:
    return logit(np.clip(np.asarray(score, float), TINY, 1 - TINY))
