"""The luck of trainings: by how much two differ though only the seed does, and what that adds to intervals.

An interval over images says which images happen to be in a set. Whoever trains again gets another model, and that
varies, too (Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks", MLSys 3). Several seeds
measure it; with one seed, the spread among settings that mostly change nothing does (Lenth 1989).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

FEWEST = 7  # trainings, from which on Lenth's error is better than their standard deviation
LENTH, FAR = 1.5, 2.5
ALONE = 0.484  # of one value, the half-width at level alpha is this / alpha times the value


@dataclass(frozen=True)
class Luck:
    """What luck adds to a mean difference between trainings.

    Attributes:
      variance: of the mean difference on given images.
      freedom: degrees of freedom of that variance.
      shared: the part of it that the interval over images has already; infinite if that is not known, and the wider
        of both is right.
    """

    variance: float
    freedom: float
    shared: float = 0.0

    def widen(self, difference: float, low: float, high: float, *, confidence: float) -> tuple[float, float]:
        """Widens the interval over images of a difference; the limits stay within -1 to 1.

        The squares of the half-widths, each with its own quantile, are added: that covers at least as often as
        promised, whatever the two variances are (Banerjee 1961, Sankhya A 23: 359-378, "On confidence interval for
        two-means problem based on separate estimates of variances and tabulated values of t-table"). What both
        variances have is taken off once, as for crossed random effects (Owen 2007, Annals of Applied Statistics 1:
        386-411).
        """
        quantile = 0.5 + confidence / 2
        t, z = float(special.stdtrit(self.freedom, quantile)), float(special.ndtri(quantile))
        squares = np.square([low - difference, high - difference])
        both = np.minimum(z**2 * self.shared, squares)
        below, above = np.sqrt(squares + np.maximum(t**2 * self.variance - both, 0.0))
        return max(difference - float(below), -1.0), min(difference + float(above), 1.0)


def of_seeds(differences: np.ndarray, shared: float) -> Luck:
    """The luck in the mean of differences (R,), one per seed, R at least 2: their variance (Student 1908).

    Args:
      shared: as in `Luck`.
    """
    return Luck(float(differences.var(ddof=1)) / len(differences), len(differences) - 1, shared)


def of_trainings(accuracies: pd.DataFrame) -> Luck | None:
    """The luck in the difference of two trainings with one seed, from all trainings; None if it cannot be known.

    Several seeds: the residual variance of settings crossed with seeds (two-way analysis of variance without
    replicates; Fisher 1935, "The Design of Experiments", chapter 4): settings and seeds may each be better than others,
    and all settings are supposed to have as much luck.

    One seed: no more than the spread of the settings themselves. Of `FEWEST` trainings or more it is Lenth's
    pseudo standard error, which a few settings with an effect do not disturb (Lenth 1989, Technometrics 31: 469-473,
    "Quick and easy analysis of unreplicated factorials", equations 1 to 3), else their standard deviation.

    Args:
      accuracies: on one set, one row per setting, one column per seed, NaN where a training has failed.
    """
    values = accuracies.to_numpy(float)
    there = ~np.isnan(values)
    if values.shape[1] > 1:
        setting, seed = np.nonzero(there)
        design = np.hstack([np.eye(values.shape[0])[setting], np.eye(values.shape[1])[seed]])
        freedom = len(setting) - np.linalg.matrix_rank(design)
        if freedom > 0:
            fitted = design @ np.linalg.lstsq(design, values[there], rcond=None)[0]
            return Luck(2 * float(((values[there] - fitted) ** 2).sum()) / freedom, int(freedom))
    first = values[:, 0][there[:, 0]]
    if len(first) < 3:
        return None
    if len(first) < FEWEST:
        return Luck(2 * float(first.var(ddof=1)), len(first) - 1)
    away = np.abs(first - np.median(first))
    rough = LENTH * float(np.median(away))
    error = LENTH * float(np.median(away[away < FAR * rough])) if rough else 0.0
    return Luck(2 * error**2, (len(first) - 1) / 3)


def of_one(difference: float, *, confidence: float) -> float:
    """The half-width of the interval around a single difference of which nothing else is known.

    It covers as often as promised for a normal value of any mean and variance (Machol, Rosenblatt 1966, Proceedings of
    the IEEE 54: 1087-1088, "Confidence interval based on single observation"), and always has 0 in it.
    """
    return ALONE / (1 - confidence) * abs(difference)
