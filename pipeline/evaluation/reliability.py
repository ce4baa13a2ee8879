"""How far calibrated scores are to be trusted, and how many images of a class a list of suggestions will bring.

One temperature makes scores honest on the whole, not for rare classes, and not among pictures of no class. So scores
are compared with the truth once more, on images that the model has not learnt from (Platt 1999), and what these leave
open is part of the interval. Classes differ in how far their scores hold: each has an offset in log-odds, normal with a
spread that is estimated, too (a logistic model with random intercepts; Breslow, Clayton 1993, Journal of the American
Statistical Association 88: 9-25), and a pool has its own share of images of no class (`dirt`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit, logit

from pipeline.evaluation import joint
from pipeline.evaluation.scores import clusters_of
from pipeline.library.benchmarks import PREFIX

PRIOR = 1.0  # standard deviation: without evidence, scores are believed as they are, give or take so much
OFFSETS = np.linspace(-6, 6, 97)  # of a class, in log-odds: where its distribution is computed
SPREADS = np.geomspace(0.1, 3, 13)  # standard deviations of the offsets that may be
USUAL_SPREAD, UNSURE = 0.8, 0.6  # classes of one model differ by about so much; standard deviation of its logarithm
ROUNDS = 4  # of fitting all classes' slope, and each class's offset, in turn
DRAWS = 2000
BINS, FEWEST_STRANGE = 10, 20  # of scores of a pool, and images of either kind that its share of no class needs
TINY = 1e-6
COLUMNS = ["set", "label", "top_labels", "top_scores"]
CLUSTER = "cluster"  # a column that scores of earlier models lack
MEASURED = ("val", "test", "open:below-cutoff")


def _believed_spreads() -> np.ndarray:
    """How likely each of `SPREADS` is without evidence."""
    chance = np.exp(-((np.log(SPREADS / USUAL_SPREAD) / UNSURE) ** 2) / 2)
    return chance / chance.sum()


@dataclass(frozen=True)
class Trust:
    """A score s of a class is right with the log-odds `slope` * logit(s) + `offset` + that of the class.

    Attributes:
      mean, covariance: of slope and offset, (2,) and (2, 2).
      spreads: how likely each of `SPREADS` is the standard deviation of the offsets of classes (S,).
      offsets: how likely each of `OFFSETS` is that of a class (O,), for those that were measured.
    """

    mean: np.ndarray
    covariance: np.ndarray
    spreads: np.ndarray = field(default_factory=_believed_spreads)
    offsets: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Yield:
    """Groups that accepting the right suggestions will bring, its interval, and how likely that they are enough."""

    expected: float
    low: int
    high: int
    chance: float


def held(
    scores: pd.DataFrame, *, least: float = 0.0, places: int | None = None, pool: np.ndarray | None = None
) -> Trust:
    """How far the scores of suggestions like these are to be trusted: see `suggestions` and `fit`.

    Args:
      pool: the highest score of each image of the pool, which may be dirtier than the measured sets: these count as if
        they had the pool's share of images of no class (`dirt`; Saerens, Latinne, Decaestecker 2002, Neural Computation
        14: 21-41).
    """
    known = suggestions(scores, least=least, places=places)
    score, right, label = (known[name].to_numpy() for name in ("score", "right", "label"))
    weight, doubt = np.ones(len(known)), 0.0
    if pool is not None and len(pool):
        strange = known["strange"].to_numpy()
        images = known.drop_duplicates("image")
        found = dirt(images["first"].to_numpy(), images["strange"].to_numpy(bool), pool)
        if found is not None:
            share, error = found
            weight, further = (_weights(strange, images["strange"].mean(), each) for each in (share, share + error))
            doubt = abs(fit(score, right, label, further).mean[1] - fit(score, right, label, weight).mean[1])
    trusted = fit(score, right, label, weight)
    return replace(trusted, covariance=trusted.covariance + np.diag([0.0, doubt**2]))


def _weights(strange: np.ndarray, measured: float, share: float) -> np.ndarray:
    share = min(max(share, 0.001), 0.999)
    return np.where(strange, share / measured, (1 - share) / (1 - measured))


def dirt(score: np.ndarray, strange: np.ndarray, pool: np.ndarray) -> tuple[float, float] | None:
    """The share of images of no class in a pool, and its standard error; None where too few are measured to say.

    The pool's scores are a mixture of those of both kinds (expectation maximisation on the shares; Dempster, Laird,
    Rubin 1977). The error is that of resampling all three (Efron, Tibshirani 1993).

    Args:
      score: the highest score of each measured image (N,), `strange` where it is of no class (N,), bool.
      pool: that of each image of the pool (P,).
    """
    if min(strange.sum(), (~strange).sum()) < FEWEST_STRANGE:
        return None
    edges = np.unique(np.quantile(pool, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, some), minlength=len(edges) + 1)
        for some in (score[strange], score[~strange], pool)
    ]
    random = np.random.default_rng(0)
    drawn = [[random.multinomial(each.sum(), each / each.sum()) for each in counts] for _ in range(50)]
    return _share(*counts), float(np.std([_share(*each) for each in drawn]))


def _share(strange: np.ndarray, usual: np.ndarray, pool: np.ndarray) -> float:
    """The share of `strange` in `pool`: all as counts per bin (B,)."""
    parts = [(each + 0.5) / (each + 0.5).sum() for each in (strange, usual)]
    share = 0.5
    for _ in range(200):
        of = share * parts[0] / (share * parts[0] + (1 - share) * parts[1])
        share = float((of @ pool + 0.5) / (pool.sum() + 1))
    return share


def suggestions(scores: pd.DataFrame, *, least: float = 0.0, places: int | None = None) -> pd.DataFrame:
    """What the model said of images it has not learnt from, one row per image and class: columns `score`, `right`, the
    `label` suggested, the number of the `image`, its highest score `first`, and whether it is `strange`, of no class.

    Args:
      scores: those of all sets, columns `COLUMNS`.
      least: suggestions of a lower score are passed over.
      places: only the first so many classes of each image; by default all that are stored.
    """
    known = scores.loc[scores["set"].isin(["train", "val", "test"]), "label"].unique()
    rows = _measured(scores)[["label", "top_labels", "top_scores"]].reset_index(drop=True)
    strange = ~rows["label"].isin(known) | (rows["label"] == "")
    rows = rows.assign(image=rows.index, strange=strange, first=rows["top_scores"].map(_first))
    rows = rows.assign(**{name: rows[name].map(lambda best: best[:places]) for name in ("top_labels", "top_scores")})
    rows = rows.explode(["top_labels", "top_scores"])
    said = rows["top_scores"].astype(float).to_numpy()
    right = (rows["label"] == rows["top_labels"]).to_numpy()
    of = {name: rows[name].to_numpy() for name in ("image", "first", "strange")}
    found = pd.DataFrame({"score": said, "right": right, "label": rows["top_labels"].to_numpy()} | of)
    return found[found["score"] >= least].reset_index(drop=True)


def _first(scores: Sequence[float]) -> float:
    return float(scores[0]) if len(scores) else 0.0


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
    said = names.to_numpy(object)[judged.labels]
    return fit(judged.scores[shown], right[shown], said[shown])


def _measured(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["set"].isin(MEASURED) | scores["set"].str.startswith(PREFIX)]


def fit(
    score: np.ndarray, right: np.ndarray, label: np.ndarray | None = None, weight: np.ndarray | None = None
) -> Trust:
    """Fits how far scores are to be trusted to suggestions (N,) and whether they were `right` (N,); N may be 0.

    Args:
      label: the classes suggested (N,); without, how much classes differ is believed to be as usual.
      weight: how many suggestions each stands for (N,).
    """
    odds, right = _odds(score), np.asarray(right, float)
    weight = np.ones(len(odds)) if weight is None else weight
    design = np.stack([odds, np.ones_like(odds)], axis=1)
    believed, mean = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    codes, names = pd.factorize(np.zeros(0, object) if label is None else np.asarray(label, object))
    of_class, spreads, offsets = np.zeros(len(odds)), _believed_spreads(), np.zeros((0, len(OFFSETS)))
    for _ in range(ROUNDS if len(names) else 1):

        def loss(values: np.ndarray, more: np.ndarray = of_class) -> float:
            said = design @ values + more
            misfit = weight @ (np.logaddexp(0, said) - right * said)
            return float(misfit + ((values - believed) ** 2).sum() / (2 * PRIOR**2))

        mean = minimize(loss, mean, method="BFGS").x
        if len(names):
            spreads, offsets = _of_classes(design @ mean, right, weight, codes, len(names))
            of_class = (offsets @ OFFSETS)[codes]
    probable = expit(design @ mean + of_class)
    curvature = (design * (weight * probable * (1 - probable))[:, None]).T @ design + np.eye(2) / PRIOR**2
    known = dict(zip(map(str, names), offsets, strict=True))
    return Trust(mean, np.linalg.inv(curvature), spreads, known)


def _of_classes(
    said: np.ndarray, right: np.ndarray, weight: np.ndarray, codes: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The `spreads` (S,) and `offsets` (C, O) of `Trust`, by Bayes' rule on both grids, given all that is common.

    Args:
      said: log-odds of each suggestion (N,) by what is common to all classes.
    """
    fits = np.zeros((classes, len(OFFSETS)))
    for place, offset in enumerate(OFFSETS):
        each = weight * (right * (said + offset) - np.logaddexp(0, said + offset))
        fits[:, place] = np.bincount(codes, each, minlength=classes)
    fits = np.exp(fits - fits.max(axis=1, keepdims=True))
    normal = np.exp(-((OFFSETS / SPREADS[:, None]) ** 2) / 2)
    normal /= normal.sum(axis=1, keepdims=True)
    evidence = fits @ normal.T  # (C, S)
    log_chance = np.log(_believed_spreads()) + np.log(evidence).sum(axis=0)
    spreads = np.exp(log_chance - log_chance.max())
    spreads /= spreads.sum()
    return spreads, fits * ((spreads / evidence) @ normal)


def likely(held: Trust, score: np.ndarray, label: ArrayLike | None = None) -> np.ndarray:
    """How likely suggestions with these scores (N,), of these classes (N,), are right."""
    return _drawn(held, score, label).mean(axis=0)


def expect(
    held: Trust,
    score: np.ndarray,
    *,
    short_by: int,
    confidence: float,
    brings: np.ndarray | None = None,
    burst: np.ndarray | None = None,
    of_bursts: Trust | None = None,
    label: ArrayLike | None = None,
    reviewer_error: tuple[float, float] = (0, 0),
) -> Yield:
    """What suggestions will bring.

    Args:
      score: the best of each near-duplicate group, or of each burst as a whole (G,).
      short_by: groups that the class needs.
      brings: groups that each brings, or none of them (G,); by default one.
      burst: which of them are bursts (G,); by default none.
      of_bursts: how far the scores of bursts are to be trusted; by default as those of images.
      label: the classes suggested (G,), or the one of all; by default none that was measured.
      reviewer_error: blind checks of which so many differed, and how many there were (`reviewers.measure`): a share of
        right suggestions is refused, and as large a share of wrong ones accepted.
    """
    labels = None if label is None else np.broadcast_to(np.asarray(label, object), np.shape(score))
    probable, number = _drawn(held, score, labels), np.ones(len(score), int) if brings is None else brings
    if burst is not None and of_bursts is not None:
        some = None if labels is None else labels[burst]
        probable[:, burst] = _drawn(of_bursts, np.asarray(score)[burst], some)
    differing, checked = reviewer_error
    if checked:  # who errs twice in (1 - e)^2 of images agrees with himself
        share = np.random.default_rng(2).beta(differing + 0.5, checked - differing + 0.5, (DRAWS, 1))
        error = 1 - np.sqrt(1 - share)
        probable = probable * (1 - error) + (1 - probable) * error
    brought = (np.random.default_rng(1).random(probable.shape) < probable) @ number
    low, high = np.quantile(brought, [0.5 - confidence / 2, 0.5 + confidence / 2], method="nearest")
    return Yield(float((probable @ number).mean()), int(low), int(high), float((brought >= short_by).mean()))


def _drawn(held: Trust, score: np.ndarray, label: ArrayLike | None = None) -> np.ndarray:
    """How likely each of `score` (G,) is right, under as many readings as there are draws (DRAWS, G)."""
    random = np.random.default_rng(0)
    slope, offset = random.multivariate_normal(held.mean, held.covariance, DRAWS).T
    # that of all is known from so many classes only
    spread = random.choice(SPREADS, DRAWS, p=held.spreads) * np.sqrt(1 + 1 / max(len(held.offsets), 1))
    codes, names = pd.factorize(np.full(len(score), "", object) if label is None else np.asarray(label, object))
    of_class = np.empty((DRAWS, len(names)))
    for place, name in enumerate(names):
        known = held.offsets.get(str(name))
        drawn = random.normal(0, spread) if known is None else random.choice(OFFSETS, DRAWS, p=known / known.sum())
        of_class[:, place] = drawn
    said = slope[:, None] * _odds(score) + offset[:, None]
    return expit(said + of_class[:, codes]) if len(names) else expit(said)


def _odds(score: np.ndarray) -> np.ndarray:
    return logit(np.clip(np.asarray(score, float), TINY, 1 - TINY))
