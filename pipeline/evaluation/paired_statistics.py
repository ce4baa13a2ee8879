"""Which of two models is better, by how much and how surely, from the images that only one of them gets right.

All take pairs as `paired_scores.align` makes them: one row per image, `right` and `right_before`.
"""

from statistics import NormalDist

import numpy as np
import pandas as pd
from scipy import special

from pipeline.evaluation import paired_scores
from pipeline.evaluation.scores import known

STEPS = 30  # of bisection: the limits are exact to nine decimals
COLUMNS = [
    *("n", "candidate", "champion", "difference", "low", "high", "gained", "lost", "p", "adjusted_p"),
    *("judged", "lost_for_sure"),
]


def changes(pairs: pd.DataFrame) -> pd.Series:
    """What changed for each image (N,): 1 gained, -1 lost, 0 neither."""
    return pairs["right"].astype(int) - pairs["right_before"].astype(int)


def counts(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Columns `by`, `n` images, share right `before` and `now`, images `gained` and `lost`, one row per group."""
    change = changes(pairs)
    groups = pairs.assign(gained=change > 0, lost=change < 0).groupby(by, sort=True)
    return groups.agg(
        n=("right", "size"),
        before=("right_before", "mean"),
        now=("right", "mean"),
        gained=("gained", "sum"),
        lost=("lost", "sum"),
    ).reset_index()


def what_changed(scores: pd.DataFrame, before: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What changed in each set, `changed_sets`, and class, `changed_classes`, the training set left out.

    Args:
      scores, before: two models' scores, by today's names.

    Returns:
      As `counts`, by `set` and by `set` and `label`; the class that lost most comes first.
    """
    tested = [known(rows[rows["set"] != "train"]) for rows in (scores, before)]
    pairs = paired_scores.shared(paired_scores.align(*tested))
    by_class = counts(pairs, ["set", "label"]).assign(net=lambda rows: rows["gained"] - rows["lost"])
    by_class = by_class.sort_values(["net", "set", "label"], ignore_index=True).drop(columns="net")
    return {"changed_sets": counts(pairs, ["set"]), "changed_classes": by_class}


def interval(
    gained: np.ndarray | int, lost: np.ndarray | int, n: np.ndarray | int, *, confidence: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The score interval of the difference of two accuracies on the same images (Tango 1998, Statistics in Medicine
    17: 891-908).

    Unlike Wald's it does not collapse where few images differ: of 100 images on which both agree it is -3.7 to +3.7
    points.

    Args:
      gained: images that the first model alone gets right, any shape.
      lost: images that the second model alone gets right.
      n: images, at least 1.
      confidence: of the interval, two-sided: each limit is wrong in (1 - confidence) / 2.

    Returns:
      The lower and upper limit of first - second, -1 to 1.
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
    """Compares the two models within each set or class, and finds those in which the first has lost.

    Args:
      pairs: columns `right`, `right_before` and `by`.
      min_images: a smaller group is shown, not judged.

    Returns:
      As `judge`, indexed by group.
    """
    table = counts(pairs, [by]).rename(columns={"before": "champion"}).set_index(by)
    return judge(table, confidence=confidence, min_images=min_images)


def judge(table: pd.DataFrame, *, confidence: float, min_images: int) -> pd.DataFrame:
    """Finds the groups in which the candidate has lost more images than chance explains.

    The p-value is McNemar's exact one, one-sided: how likely at least so many of the images that only one model
    gets right were lost, were each as likely gained. Of up to 1,500 classes some look bad by chance, so the p-values
    are adjusted for the number of groups by Benjamini and Hochberg (1995). Why theirs and not Holm's: where no group
    has truly lost, both stop a model at most at the rate 1 - confidence. Where some have, the model is stopped with
    right, and theirs finds more of them; at most a share of 1 - confidence of those it finds is then there by chance.
    They ask for independent groups, which classes and benchmarks are: no image is in two. Intervals are as wide as
    having picked the groups by their p-value asks for (Benjamini and Yekutieli 2005).

    Args:
      table: columns `n`, `champion` (its accuracy), `gained` and `lost`, one row per group.

    Returns:
      Columns `COLUMNS`; `lost_for_sure` where the adjusted p-value is below 1 - confidence. A group that is not judged
      has neither p-value nor interval.
    """
    groups = table.assign(p=np.nan, adjusted_p=np.nan, low=np.nan, high=np.nan, lost_for_sure=False)
    groups["difference"] = (groups["gained"] - groups["lost"]) / groups["n"]
    groups["candidate"] = groups["champion"] + groups["difference"]
    groups["judged"] = groups["n"] >= min_images
    some = groups[groups["judged"]]
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
        groups.loc[some.index, ["p", "adjusted_p", "low", "high"]] = np.column_stack([p, adjusted, low, high])
        groups.loc[some.index, "lost_for_sure"] = lost_for_sure
    return groups[COLUMNS]


def mcnemar(right: np.ndarray, right_before: np.ndarray) -> float:
    """The exact two-sided p of as many disagreements falling so unevenly (McNemar 1947).

    Args:
      right, right_before: of the same images (N,), in the same order.
    """
    from scipy import stats  # here: as in `judge`

    change = changes(pd.DataFrame({"right": right, "right_before": right_before}))
    gained, lost = int((change > 0).sum()), int((change < 0).sum())
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def mean_change(change: np.ndarray, *, confidence: float) -> tuple[float, float, float]:
    """The mean change per image, and the ends of its interval.

    With changes of -1, 0 and 1 it is the difference of two paired proportions (Agresti 2013, "Categorical Data
    Analysis", 11.1.3); with those of several seeds, each image has the mean of its changes.

    Args:
      change: of each image (N,), N at least 1.
    """
    change = np.asarray(change, float)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * float(change.std()) / np.sqrt(len(change))
    mean = float(change.mean())
    return mean, mean - half, mean + half


def over_seeds(trials: list[pd.DataFrame], baselines: list[pd.DataFrame], *, confidence: float) -> dict[str, dict]:
    """Each set's difference in accuracy between trials and baselines, paired by seed and by image.

    The interval is about the images: which ones happen to be in the set. How much luck a training has, only several
    seeds tell.

    Args:
      trials, baselines: scores of all sets, one table per seed, in the same order.

    Returns:
      For each set `difference`, `low`, `high`, `gained` and `lost` (images, over all seeds) and `paired` (images).
    """
    aligned = [paired_scores.align(trial, baseline) for trial, baseline in zip(trials, baselines, strict=True)]
    pairs = paired_scores.shared(pd.concat(aligned, ignore_index=True))
    pairs = pairs.assign(change=changes(pairs))
    differences = {}
    for name, rows in pairs.groupby("set"):
        images = rows.groupby(["sha256", "label"])["change"].mean()
        difference, low, high = mean_change(images.to_numpy(), confidence=confidence)
        differences[str(name)] = {
            "paired": len(images),
            "difference": round(difference, 6),
            "low": round(low, 6),
            "high": round(high, 6),
            "gained": int((rows["change"] > 0).sum()),
            "lost": int((rows["change"] < 0).sum()),
        }
    return differences
