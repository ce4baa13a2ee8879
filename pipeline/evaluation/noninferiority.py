"""Two models on the same images: how the images that only one of them names tell which is better."""

import numpy as np
import pandas as pd
from scipy import special

STEPS = 30  # of bisection: the limits are exact to nine decimals
COLUMNS = [
    *("n", "candidate", "champion", "difference", "low", "high", "gained", "lost", "p", "adjusted_p"),
    *("judged", "lost_for_sure"),
]


def interval(
    gained: np.ndarray | int, lost: np.ndarray | int, n: np.ndarray | int, *, confidence: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The score interval of the difference of two accuracies on the same images (Tango 1998, Statistics in Medicine
    17: 891-908).

    Unlike Wald's it does not collapse where few images differ: of 100 images named alike it says -3.7 to +3.7 points.

    Args:
      gained: images that the candidate alone names, any shape.
      lost: images that the champion alone names.
      n: images, at least 1.
      confidence: of the interval, two-sided: each limit is wrong in (1 - confidence) / 2.

    Returns:
      The lower and upper limit of candidate - champion, -1 to 1.
    """
    gained, lost, n = np.broadcast_arrays(*(np.asarray(values, dtype=np.float64) for values in (gained, lost, n)))
    difference, z = (gained - lost) / n, special.ndtri(0.5 + np.asarray(confidence) / 2)

    def limit(side: int) -> np.ndarray:
        inside, outside = difference.copy(), np.full(n.shape, float(side))
        for _ in range(STEPS):
            middle = (inside + outside) / 2
            plausible = np.abs(score(gained, lost, n, middle)) < z
            inside, outside = np.where(plausible, middle, inside), np.where(plausible, outside, middle)
        return outside

    return limit(-1), limit(1)


def score(gained: np.ndarray, lost: np.ndarray, n: np.ndarray, supposed: np.ndarray) -> np.ndarray:
    """How many standard errors the difference lies above the `supposed` one; the error is that of the likeliest
    shares under which the supposed difference is true (Tango 1998, equations 5 to 7)."""
    a, c = 2 * n, -lost * supposed * (1 - supposed)
    b = -gained - lost + (2 * n - gained + lost) * supposed
    share_lost = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / (2 * a)
    variance = np.maximum(n * (2 * share_lost + supposed * (1 - supposed)), np.finfo(float).tiny)
    return (gained - lost - n * supposed) / np.sqrt(variance)


def needed(gained: int, lost: int, n: int, *, tolerance: float, confidence: float) -> int | None:
    """About how many images would show that the loss is within `tolerance`, if the rates stay; None if none would."""
    difference, differing = (gained - lost) / n, (gained + lost) / n
    room = difference + tolerance
    if room <= 0:
        return None
    z = special.ndtri(0.5 + confidence / 2)
    by_flips = z * z * (differing - difference * difference) / room**2
    by_size = z * z * (1 - room) / room  # the interval of images that are all named alike
    return int(np.ceil(max(by_flips, by_size)))


def by_group(pairs: pd.DataFrame, by: str, *, confidence: float, min_images: int) -> pd.DataFrame:
    """Compares the two models within each benchmark or class, and finds those in which the candidate has lost.

    Args:
      pairs: columns `right`, `right_champion` and `by`.
      min_images: a smaller group is shown, not judged.

    Returns:
      As `judge`, indexed by group.
    """
    gained, lost = pairs["right"] & ~pairs["right_champion"], ~pairs["right"] & pairs["right_champion"]
    counts = pairs.assign(gained=gained, lost=lost).groupby(by, sort=True)
    found = counts.agg(
        n=("right", "size"), champion=("right_champion", "mean"), gained=("gained", "sum"), lost=("lost", "sum")
    )
    return judge(found, confidence=confidence, min_images=min_images)


def judge(counts: pd.DataFrame, *, confidence: float, min_images: int) -> pd.DataFrame:
    """Finds the groups in which the candidate has lost more images than chance explains.

    The p-value is McNemar's exact one, one-sided: how likely at least so many of the images that only one model names
    were lost, were each as likely gained. Of up to 1,500 classes some look bad by chance, so the p-values are adjusted
    for the number of groups by Benjamini and Hochberg (1995). Why theirs and not Holm's: where no group has truly
    lost, both stop a model at most at the rate 1 - confidence. Where some have, the model is stopped with right, and
    theirs finds more of them; at most a share of 1 - confidence of those it finds is then there by chance. They ask
    for independent groups, which classes and benchmarks are: no image is in two. Intervals are as wide as having
    picked the groups by their p-value asks for (Benjamini and Yekutieli 2005).

    Args:
      counts: columns `n`, `champion` (its accuracy), `gained` and `lost`, a row a group.

    Returns:
      Columns `COLUMNS`; `lost_for_sure` where the adjusted p-value is below 1 - confidence. A group that is not judged
      has neither p-value nor interval.
    """
    found = counts.assign(p=np.nan, adjusted_p=np.nan, low=np.nan, high=np.nan, lost_for_sure=False)
    found["difference"] = (found["gained"] - found["lost"]) / found["n"]
    found["candidate"] = found["champion"] + found["difference"]
    found["judged"] = found["n"] >= min_images
    some = found[found["judged"]]
    if len(some):
        from scipy import stats  # here: as in `intervals.mean`

        p = stats.binom.sf(some["lost"] - 1, some["gained"] + some["lost"], 0.5)
        adjusted = stats.false_discovery_control(p, method="bh")
        wrong = 1 - confidence
        lost_for_sure = adjusted < wrong
        picked = max(int(lost_for_sure.sum()), 1) / len(some)
        low, high = interval(
            *(some[name].to_numpy() for name in ("gained", "lost", "n")), confidence=1 - wrong * picked
        )
        found.loc[some.index, ["p", "adjusted_p", "low", "high"]] = np.column_stack([p, adjusted, low, high])
        found.loc[some.index, "lost_for_sure"] = lost_for_sure
    return found[COLUMNS]
