"""How far a figure may lie from the truth."""

import numpy as np
from scipy import stats


def wilson(successes: np.ndarray, n: np.ndarray, *, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The interval of a share, low and high (N,), NaN where `n` is 0 (Wilson 1927; Brown, Cai, DasGupta 2001).

    `scipy.stats.binomtest` gives the same, one share at a time.
    """
    successes, n = np.asarray(successes, float), np.asarray(n, float)
    z = stats.norm.ppf(0.5 + confidence / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = successes / n
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0.0, share), np.clip(centre + half, share, 1.0)
