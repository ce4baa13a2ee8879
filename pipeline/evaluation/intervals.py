"""How far a figure may lie from the truth: intervals for shares, for means and for F1.

Images that belong together are one cluster, and clusters are what is independent (`independence`).
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse, special

from pipeline.evaluation import independence

RESAMPLES = 1000
MANY = 10_000  # values: from here on, the normal approximation of a mean and its bootstrap agree
DRAWN = 2_000_000  # numbers of a resampling in memory at once
COCHRAN = 25
FEWEST_WRONG, FEWEST_PER_CLASS = 10, 4  # independent images that F1 needs: wrong ones, and of a class on average


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


def share(sums: independence.Sums, *, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the shares that `sums` has (G,), low and high, NaN of no image.

    Wilson's at the effective number of images (`independence`), which is `wilson` where every image is alone.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = independence.effective(sums, confidence=confidence) / sums.size
    return wilson(sums.total * factor, sums.size * factor, confidence=confidence)


def difference(
    now: ArrayLike, n: ArrayLike, before: ArrayLike, n_before: ArrayLike, *, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the difference of two shares of independent samples, low and high (N,); NaN of no image.

    Newcombe's hybrid score interval (1998, Statistics in Medicine 17: 873-890, "Interval estimation for the difference
    between independent proportions", method 10). Where both are of the same images it is wider than it needs to be.

    Args:
      now, before: the shares.
      n, n_before: images of each, effective ones where they belong together.
    """
    now, n, before, n_before = (np.asarray(values, float) for values in (now, n, before, n_before))
    low, high = wilson(now * n, n, confidence=confidence)
    low_before, high_before = wilson(before * n_before, n_before, confidence=confidence)
    below = np.sqrt((now - low) ** 2 + (high_before - before) ** 2)
    return now - before - below, now - before + np.sqrt((high - now) ** 2 + (before - low_before) ** 2)


def most_of_finite(successes: int, drawn: int, population: int, *, level: float) -> int:
    """The most successes that a population may have if so many are among those drawn from it without replacement.

    The one-sided exact bound (Clopper, Pearson 1934), of the hypergeometric distribution (Buonaccorsi 1987, American
    Statistician 41: 215-218): a population with more would show so few in at most `level` of all draws. It needs no
    independence: every image of the population is as likely drawn as every other, whatever belongs together.
    """
    least, most = successes, population - (drawn - successes)
    found = np.arange(successes + 1)

    def chance(held: int) -> float:
        """How likely at most `successes` are drawn of `held`."""
        ways = _log_choose(held, found) + _log_choose(population - held, drawn - found)
        return float(np.exp(ways - _log_choose(population, drawn)).sum())

    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if chance(middle) > level else (least, middle - 1)
    return least


def _log_choose(n: ArrayLike, k: ArrayLike) -> np.ndarray:
    n, k = np.asarray(n, float), np.asarray(k, float)
    possible = (k >= 0) & (k <= n)
    k = np.where(possible, k, 0)
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return np.where(possible, ways, -np.inf)


def mean(
    values: np.ndarray, cluster: ArrayLike | None = None, *, confidence: float, seed: int = 0
) -> tuple[float, float]:
    """The interval of the mean of `values` (N,), by bootstrap where they are few; NaN where none can be right.

    That is the case for fewer than two clusters, and where the clusters are fewer than `COCHRAN` times their squared
    skewness (Cochran 1977, "Sampling Techniques", 2.15): what decides the mean of such values is mostly not among them.

    Clusters are resampled whole (Davison, Hinkley 1997, "Bootstrap Methods", 3.8), and few of them widen the interval
    as `independence.students` says. Of many values it is the normal one, with the cluster-robust standard error.

    Args:
      cluster: of each value (N,); without, every one is alone.
    """
    codes = independence.numbered(cluster, len(values))
    number = int(codes.max(initial=-1)) + 1
    if number < 2:
        return np.nan, np.nan
    from scipy import stats  # here: it takes a second to import, and the review page needs shares alone

    totals, sizes = np.bincount(codes, values), np.bincount(codes)
    centre = float(np.mean(values))
    rests = totals - sizes * centre
    if number < COCHRAN * float(stats.skew(rests)) ** 2:
        return np.nan, np.nan
    wider = float(independence.students(independence.gather(values, codes), confidence=confidence)[0])
    if len(values) > MANY:
        error = np.sqrt(number / (number - 1) * (rests @ rests)) / len(values)
        half = float(stats.norm.ppf(0.5 + confidence / 2) * error * wider)
        return centre - half, centre + half
    resampled = stats.bootstrap(
        (totals, sizes),
        _ratio,
        paired=True,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return centre - wider * (centre - float(resampled.low)), centre + wider * (float(resampled.high) - centre)


def _ratio(totals: np.ndarray, sizes: np.ndarray, axis: int = -1) -> np.ndarray:
    return totals.sum(axis=axis) / sizes.sum(axis=axis)


def f1(
    targets: np.ndarray, predicted: np.ndarray, cluster: ArrayLike | None = None, *, confidence: float, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The intervals of `macro_f1` and `weighted_f1` over the classes among `targets`; NaN where none can be right.

    That is the case for fewer independent images than `FEWEST_PER_CLASS` times the classes, or fewer wrong ones than
    `FEWEST_WRONG`: measured by `scripts/bench_promises.py`.

    A bootstrap of clusters within each class (Efron, Tibshirani 1993, chapter 8): how many a class has is what the set
    was made with. What counts of a resample is how often each kind of cluster is in it, which is multinomial, so that
    no image is drawn: single images with the same answer are of one kind, every larger cluster is its own kind.
    The bias that the resamples show is taken off (their chapter 10), and the interval widened by the degrees of freedom
    that the classes take, and for few clusters as `independence.students` says.

    Args:
      targets, predicted: class indices (N,).
      cluster: of each image (N,); without, every one is alone.
    """
    codes = independence.numbered(cluster, len(targets))
    classes, target = np.unique(targets, return_inverse=True)
    independent, wrong = int(codes.max(initial=-1)) + 1, len(np.unique(codes[targets != predicted]))
    if independent < max(FEWEST_PER_CLASS * len(classes), 2) or wrong < FEWEST_WRONG:
        return {"macro_f1": (np.nan, np.nan), "weighted_f1": (np.nan, np.nan)}
    random = np.random.default_rng(seed)
    place = np.full(int(max(targets.max(), predicted.max())) + 1, -1)
    place[classes] = np.arange(len(classes))
    images = pd.DataFrame({"target": target, "cluster": codes, "said": predicted})
    members = images.groupby(["target", "cluster"])["said"].transform("size")
    kind = images["said"].where(members == 1, len(place) + images["cluster"])
    kinds = images.assign(kind=kind).groupby(["target", "kind", "said"], as_index=False).size()
    sizes = np.bincount(target).astype(float)
    right, said = np.zeros((RESAMPLES, len(classes))), np.zeros((RESAMPLES, len(classes)))
    drawn_sizes = np.empty((RESAMPLES, len(classes)))
    for row, rows in kinds.groupby("target", sort=True):
        of, first = np.unique(rows["kind"], return_inverse=True)
        number = np.bincount(first, rows["size"]).astype(int)
        units = np.where(of < len(place), number, 1)
        each = (rows["size"] / units[first]).to_numpy()  # images of one unit that get this answer
        columns, answers = np.unique(place[rows["said"]], return_inverse=True)
        given = sparse.csr_array((each, (first, answers)), (len(of), len(columns)))
        for start in range(0, RESAMPLES, step := max(DRAWN // len(of), 1)):
            some = slice(start, min(start + step, RESAMPLES))
            drawn = random.multinomial(units.sum(), units / units.sum(), size=some.stop - some.start)
            answered = drawn @ given
            drawn_sizes[some, row] = answered.sum(axis=1)
            right[some, row] = answered[:, columns == row].sum(axis=1)
            said[some, columns[columns >= 0]] += answered[:, columns >= 0]
    hits, answers = np.bincount(target, targets == predicted), place[predicted]
    times = np.bincount(answers[answers >= 0], minlength=len(classes))
    measured, resampled = 2 * hits / (sizes + times), 2 * right / (drawn_sizes + said)
    wider = float(independence.students(independence.gather(targets == predicted, codes), confidence=confidence)[0])
    wider *= float(np.sqrt(independent / (independent - len(classes))))
    quantiles = [0.5 - confidence / 2, 0.5 + confidence / 2]

    def interval(centre: float, values: np.ndarray) -> tuple[float, float]:
        unbiased = 2 * centre - values.mean()
        low, high = unbiased + wider * (np.quantile(values, quantiles) - values.mean())
        return float(np.clip(low, 0.0, centre)), float(np.clip(high, centre, 1.0))

    return {
        name: interval(centre, values)
        for name, centre, values in (
            ("macro_f1", measured.mean(), resampled.mean(axis=1)),
            ("weighted_f1", measured @ sizes / sizes.sum(), resampled @ (sizes / sizes.sum())),
        )
    }
