"""Calibration: one temperature makes scores honest, and how honest they are (Guo, Pleiss, Sun, Weinberger 2017)."""

import numpy as np
import pandas as pd
from scipy import special
from scipy.optimize import brentq, minimize_scalar

from pipeline.evaluation import independence, intervals

TINY = 1e-12
BOUNDS = (0.05, 20.0)
BINS = 15  # of equal width
IMAGINED = 2.0  # images
USUAL, PLAUSIBLE, CERTAIN = 2.0, 2.8, 3.2  # standard deviations
EXCESS = 0.02  # share of the log loss
RESAMPLES = 200
MANY = 50_000  # images, of which fewer resamples tell as much


def scale(probs: np.ndarray, temperature: float) -> np.ndarray:
    """Returns `probs` (N, C) as if the logits had been divided by `temperature`."""
    logits = np.log(np.maximum(probs, TINY)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    scaled = np.exp(logits)
    return scaled / scaled.sum(axis=1, keepdims=True)


def fit_temperature(probs: np.ndarray, targets: np.ndarray) -> float:
    """The temperature for `probs` (N, C), class indices `targets` (N,) being true; 1 if N is 0.

    The least log loss is sought (Guo et al. 2017, section 4.2), with two guards for few images, or few mistakes:
      1. as if `IMAGINED` images more had been drawn from the model's own probabilities, which keeps the temperature
         finite where no image is wrong (catalytic prior: Huang, Stein, Rubin, Kou 2020, PNAS 117: 12004-12010).
      2. what chance explains is not followed. The evidence against 1 is the signed root of the likelihood ratio, about
         standard normal if 1 is right, without the one image that speaks most against 1: a single confident mistake
         is no proof. Up to `PLAUSIBLE`, the temperature moves by what is beyond `USUAL`, and no farther than costs
         `EXCESS` of the log loss if 1 is right. From `CERTAIN` on it moves all the way, and between them in proportion
         (firm shrinkage: Gao, Bruce 1997, Statistica Sinica 7: 855-874). A prior strong enough for the same would still
         be felt where hundreds of images contradict it.
    """
    if not len(targets):
        return 1.0
    logits = np.log(np.maximum(probs, TINY))
    imagined = IMAGINED / len(targets)
    likely = special.softmax(logits, axis=1)
    toward = logits[np.arange(len(targets)), targets] + imagined * (likely * logits).sum(axis=1)

    def each(log_temperature: float) -> np.ndarray:
        """The log loss of each image (N,), with its share of the imagined ones."""
        sharp = np.exp(-log_temperature)
        return (1 + imagined) * special.logsumexp(logits * sharp, axis=1) - toward * sharp

    def lost(log_temperature: float) -> float:
        return float(each(log_temperature).sum())

    best = float(minimize_scalar(lost, bounds=tuple(np.log(BOUNDS)), method="bounded").x)
    least, gains = lost(best), each(0.0) - each(best)
    evidence = float(np.sqrt(max(2 * gains.sum(), 0.0)))
    without_one = float(np.sqrt(max(2 * (gains.sum() - gains.max()), 0.0)))
    moved = _moved(evidence, without_one, affordable=float(np.sqrt(2 * EXCESS * lost(0.0))))
    if moved <= 0:
        return 1.0
    if moved >= evidence:
        return float(np.exp(best))

    def farther(log_temperature: float) -> float:
        return float(np.sqrt(max(2 * (lost(log_temperature) - least), 0.0)) - (evidence - moved))

    return float(np.exp(brentq(farther, 0.0, best, xtol=1e-4)))


def _moved(evidence: float, without_one: float, *, affordable: float) -> float:
    """How far from 1, of the `evidence`, the temperature moves; all in standard deviations."""
    cautious = min(max(min(without_one, PLAUSIBLE) - USUAL, 0.0), affordable)
    certain = np.clip((without_one - PLAUSIBLE) / (CERTAIN - PLAUSIBLE), 0.0, 1.0)
    return float(cautious + certain * (evidence - cautious))


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


def expected_error_of_a_perfect_model(
    scores: pd.Series, cluster: pd.Series | None = None, *, bins: int = BINS, confidence: float, seed: int = 0
) -> tuple[float, float]:
    """The expected calibration error that honest scores have by chance alone: its mean, and its upper bound.

    The error is a mean of absolute gaps, so that chance only adds to it: on few images, no model has 0 (Bröcker, Smith
    2007, Weather and Forecasting 22: 651-661; Kumar, Liang, Ma 2019, section 4). Images are called right as often as
    their scores say, again and again (consistency resampling), those of a cluster together.

    Args:
      scores, cluster: as those of `reliability`.
      confidence: of the upper bound.
    """
    values = np.asarray(scores, float)
    if not len(values):
        return np.nan, np.nan
    random = np.random.default_rng(seed)
    place = np.clip(np.ceil(values * bins).astype(int) - 1, 0, bins - 1)
    codes = independence.numbered(cluster, len(values))
    errors = []
    for _ in range(RESAMPLES if len(values) <= MANY else RESAMPLES // 4):
        right = random.random(codes.max() + 1)[codes] < values
        errors.append(np.abs(np.bincount(place, right - values, minlength=bins)).sum() / len(values))
    return float(np.mean(errors)), float(np.quantile(errors, confidence))
