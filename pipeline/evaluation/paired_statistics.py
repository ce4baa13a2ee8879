"""Which of two models is better, by how much and how surely, from the images that only one of them gets right.

All take pairs as `paired_scores.align` makes them: one row per image, `right`, `right_before` and `cluster`. Images of
one cluster belong together, and clusters are what is independent (`independence`).
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from pipeline.evaluation import independence, luck, paired_scores
from pipeline.evaluation.independence import Sums
from pipeline.evaluation.luck import Luck
from pipeline.evaluation.scores import clusters_of, known

STEPS = 30  # of bisection: the limits are exact to nine decimals
COLUMNS = [
    *("n", "independent", "candidate", "champion", "difference", "low", "high", "gained", "lost", "p", "adjusted_p"),
    *("judged", "lost_for_sure", "look", "unseen"),
]
MOST = 10**7  # images that anybody is told to gather
POWER = 0.8  # with which a loss is seen that is said not to stay unseen


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
    points. Where images belong together, it is that of as many effective images (Yang, Sun, Hardin 2012, Computational
    Statistics and Data Analysis 56: "Confidence intervals for the difference of marginal probabilities in clustered
    matched-pair binary data"): all three counts are then multiplied by `independence.effective` / n.

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


def needed(
    gained: int,
    lost: int,
    n: int,
    *,
    tolerance: float,
    confidence: float,
    effective: float | None = None,
    power: float = 0.5,
) -> int | None:
    """About how many images would show that the loss is within `tolerance`, if the rates stay; None if not even `MOST`.

    The size at which Tango's test excludes the loss with chance `power` (Liu, Hsueh, Hsieh, Chen 2002, Statistics in
    Medicine 21: 231-245, "Tests for equivalence or non-inferiority for paired binary data", section 4). Above one half,
    the rates are seen with caution, since these few images have them by luck: no more gained than lost, and one image
    more that differs.

    Args:
      effective: what the `n` images are worth (`independence.effective`), if not `n`; further images belong together as
        these do.
      power: the chance that so many images show it.
    """
    rates = np.array([gained, lost], float) / n
    if power > 0.5:
        difference = min(rates[0] - rates[1], 0.0)
        differing = min(max(rates.sum() + 1 / n, -difference), 1.0)
        rates = np.array([differing + difference, differing - difference]) / 2
    difference = rates[0] - rates[1]
    room = difference + tolerance
    if room <= 0:
        return None
    z, z_power = special.ndtri(0.5 + confidence / 2), special.ndtri(power)
    of_one = float(score(rates[0], rates[1], np.array(1.0), np.array(-tolerance)))
    supposed_error = room / of_one  # of one image, were the loss the tolerance
    true_error = float(np.sqrt(max(rates.sum() - difference**2, 0.0)))
    images = ((z * supposed_error + z_power * true_error) / room) ** 2
    images *= n / (n if effective is None else effective)
    return int(np.ceil(images)) if images <= MOST else None


def sign_flip(change: np.ndarray, cluster: ArrayLike | None = None) -> float:
    """How likely at least so many more images are lost, were each cluster as likely to change the other way.

    The exact permutation test that flips the signs of whole clusters (Fisher 1935; Datta, Satten 2008, Biometrics 64:
    501-507, on signed ranks of clusters). Where every image is alone it is McNemar's exact test, one-sided.

    Args:
      change: of each image (N,): 1, 0 or -1.
      cluster: of each image (N,); without, every one is alone.
    """
    codes = independence.numbered(cluster, len(change))
    net = np.bincount(codes, change).round().astype(int)
    from scipy import stats  # here: as in `intervals.mean`

    sizes, numbers = np.unique(np.abs(net[net != 0]), return_counts=True)
    chances = np.ones(1)  # of 0, 1, 2 ... images lost, in clusters that all lose or gain their net change
    for size, number in zip(sizes, numbers, strict=True):
        spread = np.zeros(size * number + 1)
        spread[::size] = stats.binom.pmf(np.arange(number + 1), number, 0.5)
        chances = np.convolve(chances, spread)
    return float(min(chances[-net[net < 0].sum() :].sum(), 1.0))


def by_group(pairs: pd.DataFrame, by: str, *, confidence: float, min_images: int) -> pd.DataFrame:
    """Compares the two models within each set or class, and finds those in which the first has lost.

    Args:
      pairs: columns `right`, `right_before`, `by` and, if it is known, `cluster`.
      min_images: a group with fewer independent images is shown, not judged.

    Returns:
      As `judge`, indexed by group.
    """
    table = counts(pairs, [by]).rename(columns={"before": "champion"}).set_index(by)
    change, part = changes(pairs).to_numpy(), table.index.get_indexer(pairs[by])
    rows = pairs[[by]].assign(change=change, cluster=clusters_of(pairs))
    sums = independence.gather(change, rows["cluster"], part, parts=len(table))
    groups = rows.groupby(by, sort=True)
    p = [sign_flip(some["change"].to_numpy(), some["cluster"].to_numpy()) for _, some in groups]
    return judge(
        table.assign(independent=sums.clusters.astype(int), p=np.asarray(p, float)),
        sums,
        confidence=confidence,
        min_images=min_images,
    )


def judge(table: pd.DataFrame, sums: Sums | None = None, *, confidence: float, min_images: int) -> pd.DataFrame:
    """Finds the groups in which the candidate has lost more images than chance explains.

    The p-value is that of `sign_flip`: how likely at least so many of the images that only one model gets right were
    lost, were each cluster as likely to gain. Of up to 1,500 classes some look bad by chance, so the p-values
    are adjusted for the number of groups by Benjamini and Hochberg (1995). Why theirs and not Holm's: where no group
    has truly lost, both stop a model at most at the rate 1 - confidence. Where some have, the model is stopped with
    right, and theirs finds more of them; at most a share of 1 - confidence of those it finds is then there by chance.
    They ask for independent groups, which classes and benchmarks are: no image is in two. Intervals are as wide as
    having picked the groups by their p-value asks for (Benjamini and Yekutieli 2005).

    Args:
      table: columns `n`, `champion` (its accuracy), `gained` and `lost`, one row per group; where images belong
        together also `independent` (clusters) and `p`.
      sums: of the changes of each group's images; without, every image is alone.
      min_images: a group with fewer independent images is not judged.

    Returns:
      Columns `COLUMNS`; `lost_for_sure` where the adjusted p-value is below 1 - confidence; `look` where the p-value
      alone is, judged or not; `unseen` the share that a group can lose without that being sure (`unseen`). A group that
      is not judged has neither p-value nor interval.
    """
    from scipy import stats  # here: as in `intervals.mean`

    if sums is None:
        p = stats.binom.sf(table["lost"] - 1, table["gained"] + table["lost"], 0.5)
        table = table.assign(independent=table["n"], p=p)
        sums = independence.singles(table["gained"] - table["lost"], table["n"], table["gained"] + table["lost"])
    groups = table.assign(adjusted_p=np.nan, low=np.nan, high=np.nan, lost_for_sure=False)
    groups["difference"] = (groups["gained"] - groups["lost"]) / groups["n"]
    groups["candidate"] = groups["champion"] + groups["difference"]
    groups["judged"] = groups["independent"] >= min_images
    groups["look"] = groups["p"] < 1 - confidence
    groups["p"] = groups["p"].where(groups["judged"])
    some = groups[groups["judged"]]
    groups["unseen"] = unseen(groups["independent"], len(some), confidence=confidence)
    groups.loc[~groups["judged"], "unseen"] = 1.0
    if len(some):
        adjusted = stats.false_discovery_control(some["p"], method="bh")
        wrong = 1 - confidence
        lost_for_sure = adjusted < wrong
        picked = max(int(lost_for_sure.sum()), 1) / len(some)
        low, high = difference(
            some["gained"].to_numpy(), some["lost"].to_numpy(), sums[groups["judged"].to_numpy()],
            confidence=1 - wrong * picked,
        )  # fmt: skip
        groups.loc[some.index, ["adjusted_p", "low", "high"]] = np.column_stack([adjusted, low, high])
        groups.loc[some.index, "lost_for_sure"] = lost_for_sure
    groups["look"] &= ~groups["lost_for_sure"]
    return groups[COLUMNS]


def unseen(independent: ArrayLike, groups: int, *, confidence: float) -> np.ndarray:
    """The share (G,) that a group must lose before `judge` is sure of it in `POWER` of all draws; 1 if it never is.

    If this group alone has lost, its p-value, 1/2 to the power of the images lost, must be below the level divided by
    the number of groups (the first step of Benjamini and Hochberg); so many are lost with a chance that the binomial
    distribution says (Clopper, Pearson 1934).

    Args:
      independent: images of each group (G,).
      groups: how many are judged.
    """
    number = np.asarray(independent, float)
    least = np.floor(np.log2(max(groups, 1) / (1 - confidence))) + 1
    with np.errstate(invalid="ignore"):
        share = special.betaincinv(least, np.maximum(number - least + 1, 1e-9), POWER)
    return np.where(number >= least, share, 1.0)


def difference(gained: np.ndarray, lost: np.ndarray, sums: Sums, *, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The `interval` (G,) at the effective number of images.

    Args:
      gained, lost: images of each group (G,).
      sums: of the changes of its images.
    """
    factor = independence.effective(sums, confidence=confidence) / sums.n
    return interval(gained * factor, lost * factor, sums.n * factor, confidence=confidence)


def mcnemar(right: np.ndarray, right_before: np.ndarray, cluster: ArrayLike | None = None) -> float:
    """The exact two-sided p of as many disagreements falling so unevenly (McNemar 1947), by clusters (`sign_flip`).

    Args:
      right, right_before, cluster: of the same images (N,), in the same order.
    """
    change = changes(pd.DataFrame({"right": right, "right_before": right_before})).to_numpy()
    return min(2 * min(sign_flip(change, cluster), sign_flip(-change, cluster)), 1.0)


def over_seeds(
    trials: list[pd.DataFrame],
    baselines: list[pd.DataFrame],
    *,
    confidence: float,
    compared: int = 1,
    lucks: Mapping[str, Luck] | None = None,
) -> dict[str, dict]:
    """Each set's difference in accuracy between trials and baselines, paired by seed and by image.

    The interval is about further images and further trainings. Over images it is `interval`, where the results of
    several seeds on one image belong together; what the luck of trainings adds is `luck.Luck.widen`. One training each
    without `lucks` tells nothing of luck, and its interval always has 0 in it (`luck.of_one`).

    Args:
      trials, baselines: scores of all sets, one table per seed, in the same order.
      compared: how many differences are looked at together: all their intervals are right with chance `confidence`
        (Bonferroni; Dunn 1961, Journal of the American Statistical Association 56: 52-64).
      lucks: for each set, of the difference of two trainings with one seed, from all trainings (`luck.of_trainings`);
        of sets that are not in it, the differences of these seeds alone say it.

    Returns:
      For each set `difference`, `low`, `high`, `gained` and `lost` (images, over all seeds), `paired` (images) and
      `independent` ones among them.
    """
    tables = zip(trials, baselines, strict=True)
    aligned = [paired_scores.align(*both).assign(seed=seed) for seed, both in enumerate(tables)]
    pairs = paired_scores.shared(pd.concat(aligned, ignore_index=True))
    pairs = pairs.assign(change=changes(pairs))
    differences = {}
    for name, rows in pairs.groupby("set"):
        low, high = _over_seeds(rows, (lucks or {}).get(str(name)), confidence=1 - (1 - confidence) / compared)
        images = rows.drop_duplicates(["sha256", "label"])
        differences[str(name)] = {
            "paired": len(images),
            "independent": int(images["cluster"].nunique()),
            "difference": round(float(rows["change"].mean()), 6),
            "low": round(low, 6),
            "high": round(high, 6),
            "gained": int((rows["change"] > 0).sum()),
            "lost": int((rows["change"] < 0).sum()),
        }
    return differences


def _over_seeds(rows: pd.DataFrame, known: Luck | None, *, confidence: float) -> tuple[float, float]:
    """The interval of the mean change of `rows`: columns `change`, `seed`, `sha256`, `label` and `cluster`."""
    seeds = rows["seed"].nunique()
    gained, lost = ((rows["change"] == sign).to_numpy().sum(keepdims=True) for sign in (1, -1))
    sums = independence.gather(rows["change"].to_numpy(), rows["cluster"].to_numpy())
    low, high = (float(limit[0]) for limit in difference(gained, lost, sums, confidence=confidence))
    centre = float(rows["change"].mean())
    if seeds == 1:
        if known is None:
            half = luck.of_one(centre, confidence=confidence)
            return max(min(low, centre - half), -1.0), min(max(high, centre + half), 1.0)
        return replace(known, shared=np.inf).widen(centre, low, high, confidence=confidence)
    by_seed = rows.groupby("seed")["change"].mean()
    away = rows.assign(away=rows["change"] - rows["seed"].map(by_seed))
    totals = away.groupby(["cluster", "seed"])["away"].sum().unstack(fill_value=0.0).to_numpy()
    rest = totals - totals.mean(axis=1, keepdims=True)
    shared = float((rest**2).sum()) / ((seeds - 1) * seeds * (len(rows) / seeds) ** 2)
    own = luck.of_seeds(by_seed.to_numpy(), shared)
    found = own if known is None else replace(known, variance=known.variance / seeds, shared=shared)
    return found.widen(centre, low, high, confidence=confidence)
