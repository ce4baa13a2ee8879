"""Calibration: one temperature makes scores honest, and how honest they are (Guo, Pleiss, Sun, Weinberger 2017)."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from pipeline.evaluation import independence, intervals

TINY = 1e-12
BOUNDS = (0.05, 20.0)
BINS = 15  # of equal width


def scale(probs: np.ndarray, temperature: float) -> np.ndarray:
    """Returns `probs` (N, C) as if the logits had been divided by `temperature`."""
    logits = np.log(np.maximum(probs, TINY)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    scaled = np.exp(logits)
    return scaled / scaled.sum(axis=1, keepdims=True)


def fit_temperature(probs: np.ndarray, targets: np.ndarray) -> float:
    """The temperature that makes the log loss of `probs` (N, C) for class indices `targets` (N,) least; 1 if N is 0."""
    if not len(targets):
        return 1.0
    rows = np.arange(len(targets))

    def log_loss(log_temperature: float) -> float:
        scaled = scale(probs, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(scaled[rows, targets], TINY)).mean())

    found = minimize_scalar(log_loss, bounds=tuple(np.log(BOUNDS)), method="bounded")
    return float(np.exp(found.x))


def reliability(
    scores: pd.Series, right: pd.Series, cluster: pd.Series | None = None, *, confidence: float, bins: int = BINS
) -> pd.DataFrame:
    """The reliability diagram (Guo et al. 2017, figure 1): how often scores of a bin are right.

    Args:
      scores, right, cluster: of each image, its score, whether the class said is its own, and its cluster (N,);
        without the last, every image is alone.

    Returns:
      One row per bin that is not empty: `low` and `high` (low < score <= high), `n`, `mean_score`, `accuracy` and its
      interval `accuracy_low`, `accuracy_high`, and `independent`, the clusters among the `n` images.
    """
    place = np.clip(np.ceil(np.asarray(scores, float) * bins).astype(int) - 1, 0, bins - 1)
    n = np.bincount(place, minlength=bins)
    hits = np.bincount(place, np.asarray(right, float), minlength=bins)
    total = np.bincount(place, np.asarray(scores, float), minlength=bins)
    sums = independence.gather(right, cluster, place, parts=bins)
    low, high = intervals.share(sums, confidence=confidence)
    with np.errstate(invalid="ignore"):
        table = pd.DataFrame(
            {
                "low": np.arange(bins) / bins,
                "high": np.arange(1, bins + 1) / bins,
                "n": n,
                "mean_score": total / n,
                "accuracy": hits / n,
                "accuracy_low": low,
                "accuracy_high": high,
                "independent": sums.clusters.astype(int),
            }
        )
    return table[n > 0].reset_index(drop=True)


def expected_error(reliability: pd.DataFrame) -> float:
    """The expected calibration error (Guo et al. 2017, equation 3): the mean gap of score and accuracy, by images."""
    if reliability.empty:
        return np.nan
    gaps = (reliability["accuracy"] - reliability["mean_score"]).abs()
    return float(np.average(gaps, weights=reliability["n"]))
