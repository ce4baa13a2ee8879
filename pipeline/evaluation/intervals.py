"""How far a figure may lie from the truth: intervals for shares, for means and for F1."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

RESAMPLES = 1000
MANY = 10_000  # values: from here on, the normal approximation of a mean and its bootstrap agree


def wilson(successes: ArrayLike, n: ArrayLike, *, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The interval of shares `successes` / `n`, low and high (N,), NaN where `n` is 0 (Wilson 1927).

    `scipy.stats.binomtest` gives the same, one share at a time.
    """
    successes, n = np.asarray(successes, float), np.asarray(n, float)
    z = special.ndtri(0.5 + confidence / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = successes / n
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0.0, share), np.clip(centre + half, share, 1.0)


def mean(values: np.ndarray, *, confidence: float, seed: int = 0) -> tuple[float, float]:
    """The interval of the mean of `values` (N,), by bootstrap where they are few; NaN for fewer than two."""
    if len(values) < 2:
        return np.nan, np.nan
    from scipy import stats  # here: it takes a second to import, and the review page needs shares alone

    if len(values) > MANY:
        low, high = stats.norm.interval(confidence, np.mean(values), stats.sem(values))
        return float(low), float(high)
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def f1(
    targets: np.ndarray, predicted: np.ndarray, *, confidence: float, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The intervals of `macro_f1` and `weighted_f1` over the classes among `targets`; NaN for fewer than two images.

    A bootstrap within each class (Efron, Tibshirani 1993, chapter 8): its size is what the set was made with. What
    counts of a resample is how often each pair of target and prediction stands in it, which is multinomial, so
    that no image is drawn.

    Args:
      targets, predicted: class indices (N,).
    """
    if len(targets) < 2:
        return {"macro_f1": (np.nan, np.nan), "weighted_f1": (np.nan, np.nan)}
    random = np.random.default_rng(seed)
    number = int(max(targets.max(), predicted.max())) + 1
    pairs, counts = np.unique(targets.astype(np.int64) * number + predicted, return_counts=True)
    of, said = pairs // number, pairs % number
    classes, starts = np.unique(of, return_index=True)
    place = np.full(number, -1)
    place[classes] = np.arange(len(classes))
    right, sizes = np.zeros((RESAMPLES, len(classes))), np.empty(len(classes))
    times_said = np.zeros((RESAMPLES, len(classes)))
    for row, (start, end) in enumerate(zip(starts, np.append(starts[1:], len(pairs)), strict=True)):
        sizes[row] = counts[start:end].sum()
        drawn = random.multinomial(int(sizes[row]), counts[start:end] / sizes[row], size=RESAMPLES)
        right[:, row] = drawn[:, said[start:end] == classes[row]].sum(axis=1)
        columns = place[said[start:end]]
        times_said[:, columns[columns >= 0]] += drawn[:, columns >= 0]
    scores = 2 * right / (sizes + times_said)
    quantiles = [0.5 - confidence / 2, 0.5 + confidence / 2]
    macro, weighted = scores.mean(axis=1), scores @ (sizes / sizes.sum())
    return {
        name: (float(low), float(high))
        for name, values in {"macro_f1": macro, "weighted_f1": weighted}.items()
        for low, high in [np.quantile(values, quantiles)]
    }
