"""How many independent images a set is worth where images belong together: bursts, duplicates, repeated contents.

What belongs together is a cluster. The variance of a share or mean over clusters, divided by that of as many images
drawn one by one, is the design effect (Kish 1965; Rao, Scott 1992, Biometrics 48: 577-585). An interval is then that of
`effective` images instead of all (Korn, Graubard 1998; Saha, Miller, Wang 2016, Int J Biostat 12: "A comparison of some
approximate confidence intervals for a single proportion for clustered binary outcome data"). Where every image is
alone, the design effect is exactly 1, and every interval is the usual one.

Few clusters, or few in which something differs, say little about the design effect. Two corrections, both measured by
`scripts/bench_bursts.py`:
  1. the estimate is shrunk towards the greatest plausible effect, that of clusters whose images are all right or all
     wrong together, as if one cluster had been seen to be so. It weighs little where many clusters have images of the
     rarer outcome, and alone decides where all images have one outcome.
  2. Student's t takes the place of z, with the degrees of freedom of the part of the variance that is estimated
     (Satterthwaite 1946): as many as there are clusters where these are large, without end where all images are alone.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special


@dataclass(frozen=True)
class Moments:
    """Sums of products of weights and weighted values, arrays (G,), one entry per part."""

    weights: np.ndarray
    both: np.ndarray
    values: np.ndarray

    def around(self, mean: np.ndarray) -> np.ndarray:
        """The sums (G,) of squared weighted distances from `mean` (G,)."""
        return self.values - 2 * mean * self.both + mean**2 * self.weights


@dataclass(frozen=True)
class Sums:
    """What intervals need of the values of images, arrays (G,), one entry per part of a set.

    Attributes:
      n: images.
      clusters: the independent ones among them.
      size, total: the sum of the images' weights (1 each, unless said otherwise), and of their weighted values.
      alone, together: moments of single images, and of whole clusters.
      varied: clusters of several images in which some have another value than the most frequent one, each counted by
        the square root of the share of these: one frame of ten says less of how alike a burst is than all ten.
    """

    n: np.ndarray
    clusters: np.ndarray
    size: np.ndarray
    total: np.ndarray
    alone: Moments
    together: Moments
    varied: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The share or mean (G,), NaN of no image."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.total / self.size

    def __getitem__(self, some: object) -> "Sums":
        """Those of `some` of the parts."""
        picked: dict[str, Any] = {
            field.name: Moments(*(getattr(value, part.name)[some] for part in fields(Moments)))
            if isinstance(value := getattr(self, field.name), Moments)
            else value[some]
            for field in fields(self)
        }
        return Sums(**picked)


def images(n: float, independent: float | None = None, *, word: str = " images") -> str:
    """How a number of images reads, in full where fewer are independent: "2,400 images, 310 independent"."""
    fewer = independent is not None and not np.isnan(independent) and int(independent) < n
    return f"{int(n):,}{word}" + (f", {int(independent):,} independent" if fewer and independent is not None else "")


def surplus(sums: Sums) -> np.ndarray:
    """How many standard errors (G,) the variance between clusters is above that of images which are independent.

    The score test of extra-binomial variation (Tarone 1979, Biometrika 66: 585-590): about a standard normal value
    where the values do not depend on the clusters. All images weigh the same.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = sums.alone.around(sums.mean)
        pairs = sums.together.weights - sums.alone.weights
        above = (sums.together.around(sums.mean) / plain - 1) * sums.alone.weights / np.sqrt(2 * pairs)
    return np.where((pairs > 0) & (plain > 0), above, 0.0)


def singles(total: ArrayLike, n: ArrayLike, squares: ArrayLike | None = None) -> Sums:
    """The sums of images that are all alone.

    Args:
      total: the sum of their values (G,): of a share, the images that are right.
      n: images (G,).
      squares: the sum of their squared values (G,); without, of values 0 and 1.
    """
    total, n = np.atleast_1d(np.asarray(total, float)), np.atleast_1d(np.asarray(n, float))
    total, n = np.broadcast_arrays(total, n)
    each = Moments(n, total, total if squares is None else np.atleast_1d(np.asarray(squares, float)))
    return Sums(n, n, n, total, each, each, np.zeros_like(n))


def gather(
    values: ArrayLike,
    cluster: ArrayLike | None = None,
    part: ArrayLike | None = None,
    *,
    parts: int = 1,
    weight: ArrayLike | None = None,
) -> Sums:
    """Sums the values of images by part and cluster.

    Args:
      values: of each image (N,): right or not, or a change of -1, 0 or 1.
      cluster: of each image (N,), any kind of name; without, every image is alone.
      part: the number, below `parts`, of the part that each image belongs to (N,); without, all are of one part.
      parts: how many parts there are, G.
      weight: how many images each stands for (N,).
    """
    values = np.asarray(values, float)
    part = np.zeros(len(values), np.int64) if part is None else np.asarray(part, np.int64)
    weights = np.ones(len(values)) if weight is None else np.asarray(weight, float)
    weighted = weights * values
    codes = numbered(cluster, len(values))
    units, of = np.unique(part * (codes.max(initial=0) + 1) + codes, return_inverse=True)
    home = units // (codes.max(initial=0) + 1)

    def by_part(what: np.ndarray, at: np.ndarray = part) -> np.ndarray:
        return np.bincount(at, what, minlength=parts).astype(float)

    n, size, total = by_part(np.ones(len(values))), by_part(weights), by_part(weighted)
    with np.errstate(divide="ignore", invalid="ignore"):
        usual = np.round(total / size)
    unusual = values != usual[part]
    members, sizes = np.bincount(of, minlength=len(units)), np.bincount(of, weights, minlength=len(units))
    totals, differing = np.bincount(of, weighted, minlength=len(units)), np.bincount(of, unusual, minlength=len(units))
    return Sums(
        n,
        by_part(np.ones(len(units)), home),
        size,
        total,
        Moments(by_part(weights**2), by_part(weights * weighted), by_part(weighted**2)),
        Moments(by_part(sizes**2, home), by_part(sizes * totals, home), by_part(totals**2, home)),
        by_part(np.where(members > 1, np.sqrt(differing / members), 0.0), home),
    )


def numbered(cluster: ArrayLike | None, n: int) -> np.ndarray:
    """The clusters of `n` images as numbers (N,), from 0 on in the order in which they come; None: all are alone."""
    return np.arange(n) if cluster is None else pd.factorize(np.asarray(cluster))[0].astype(np.int64)


def running(right: ArrayLike, cluster: ArrayLike) -> Sums:
    """The sums of the first image, of the first two, and so on (N,), as `gather` gives them for each.

    Args:
      right: of each image (N,), bool.
      cluster: of each image (N,).
    """
    right = np.asarray(right, bool)

    rows = pd.DataFrame({"cluster": pd.factorize(np.asarray(cluster))[0], "right": right.astype(float)})
    groups = rows.groupby("cluster", sort=False)
    before = groups.cumcount().to_numpy(float)
    hits = groups["right"].cumsum().to_numpy(float) - right
    grown = Moments(2 * before + 1, hits + right * (before + 1), right * (2 * hits + 1))
    n, total = np.arange(1.0, len(right) + 1), np.cumsum(right).astype(float)

    def varied(differing: np.ndarray, here: np.ndarray) -> np.ndarray:
        """As `Sums.varied`, if those that are not the usual ones are as many as `differing`, and one more `here`."""
        weight = np.where(before > 0, np.sqrt((differing + here) / (before + 1)), 0.0)
        weight_before = np.where(before > 1, np.sqrt(differing / np.maximum(before, 1)), 0.0)
        return np.cumsum(weight - weight_before)

    return Sums(
        n,
        np.cumsum(before == 0).astype(float),
        n,
        total,
        Moments(n, total, total),
        Moments(*(np.cumsum(getattr(grown, field.name)) for field in fields(Moments))),
        np.where(np.round(total / n) == 1, varied(before - hits, ~right), varied(hits, right)),
    )


def design_effect(sums: Sums) -> np.ndarray:
    """How many times as large the variance of the mean (G,) is as that of as many images drawn one by one; at least 1.

    The ratio of the cluster-robust variance to the plain one (Rao, Scott 1992, section 2), shrunk as described above.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = sums.alone.around(sums.mean)
        seen = np.where(plain > 0, sums.together.around(sums.mean) / plain, 1.0) - 1
        most = sums.together.weights / sums.alone.weights - 1
        return 1 + np.maximum((sums.varied * seen + most) / (sums.varied + 1), 0.0)


def students(sums: Sums, *, confidence: float | np.ndarray) -> np.ndarray:
    """By what factor (G,) Student's t is above z, two-sided; 1 where all images are alone.

    The degrees of freedom are those of the effective number of clusters less one, over the square of the share of the
    variance that clusters may have (Satterthwaite 1946), at least 1.
    """
    quantile = 0.5 + np.asarray(confidence, float) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        most = sums.together.weights / sums.alone.weights
        freedom = (sums.size**2 / sums.together.weights - 1) * (most / (most - 1)) ** 2
        t = special.stdtrit(np.maximum(freedom, 1.0), quantile)
        return np.where(most > 1, t / special.ndtri(quantile), 1.0)


def inflation(sums: Sums, *, confidence: float | np.ndarray) -> np.ndarray:
    """By what factor (G,) clusters widen the square of an interval: the design effect, and Student's t for z."""
    return design_effect(sums) * students(sums, confidence=confidence) ** 2


def effective(sums: Sums, *, confidence: float | np.ndarray) -> np.ndarray:
    """How many images (G,), drawn one by one, would tell as much; `n` where every image is alone and weighs the same.

    Student's t is part of it (Korn, Graubard 1998): the intervals go on with z.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums.size**2 / sums.alone.weights / inflation(sums, confidence=confidence)
