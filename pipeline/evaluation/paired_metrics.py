"""How two models differ, on the same images, in a metric that is chosen, with an interval of the difference.

What is right on each image (`top1`, `top5`) is compared as `paired_statistics` does. For F1 the interval is that of a
linearised statistic: how much each image moves the metric (the influence function, Hampel 1974, Journal of the American
Statistical Association 69: 383-393), summed over clusters (Binder 1983, International Statistical Review 51: 279-292).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from pipeline.evaluation import independence, intervals, paired_statistics
from pipeline.evaluation.scores import TINY

TOP1, TOP5, MACRO_F1, WEIGHTED_F1, LOG_LOSS = "top1", "top5", "macro_f1", "weighted_f1", "log_loss"
WORDS = {
    TOP1: "named right",
    TOP5: "among the five likest",
    MACRO_F1: "macro F1",
    WEIGHTED_F1: "weighted F1",
    LOG_LOSS: "log loss",
}
NEEDED = ["label", "predicted", "label_rank", "label_score"]  # columns, of each model


@dataclass(frozen=True)
class Difference:
    """The metric of both models, and how much better the candidate is.

    Attributes:
      candidate, champion: as the metric counts: of log loss, less is better.
      difference, low, high: positive where the candidate is better; `low` and `high` are NaN where no interval can be
        right (`intervals.mean`).
    """

    candidate: float
    champion: float
    difference: float
    low: float
    high: float


def difference(pairs: pd.DataFrame, metric: str, *, confidence: float) -> Difference:
    """Compares the models on images whose class both know.

    Args:
      pairs: `label` and `cluster`, and `predicted`, `label_rank`, `label_score` of both models, those of the champion
        with the suffix `_before`.
      metric: one of `WORDS`.
    """
    cluster = pairs["cluster"]
    if metric in (TOP1, TOP5):
        most = 1 if metric == TOP1 else 5
        now, then = (pairs[name].to_numpy() <= most for name in ("label_rank", "label_rank_before"))
        change = now.astype(int) - then.astype(int)
        sums = independence.gather(change, cluster)
        gained, lost = np.array([(change > 0).sum()]), np.array([(change < 0).sum()])
        (low,), (high,) = paired_statistics.difference(gained, lost, sums, confidence=confidence)
        return Difference(float(now.mean()), float(then.mean()), float(change.mean()), float(low), float(high))
    if metric == LOG_LOSS:
        losses = [
            -np.log(np.maximum(pairs[name].astype(float), TINY)) for name in ("label_score", "label_score_before")
        ]
        known = (losses[0].notna() & losses[1].notna()).to_numpy()  # a corrected label may have no score
        now, then = (loss.to_numpy()[known] for loss in losses)
        low, high = intervals.mean(then - now, cluster[known], confidence=confidence)
        return Difference(float(now.mean()), float(then.mean()), float((then - now).mean()), low, high)
    return _of_f1(pairs, weighted=metric == WEIGHTED_F1, confidence=confidence)


def _of_f1(pairs: pd.DataFrame, *, weighted: bool, confidence: float) -> Difference:
    target, classes = pd.factorize(pairs["label"])
    named = pd.Index(classes)
    (now, moved, change), (then, moved_before, change_before) = (
        _f1(target, named.get_indexer(pairs[name]), len(classes), weighted=weighted)
        for name in ("predicted", "predicted_before")
    )
    codes = independence.numbered(pairs["cluster"], len(pairs))
    number = int(codes.max(initial=-1)) + 1
    if number < 2:
        return Difference(now, then, now - then, np.nan, np.nan)
    totals = np.bincount(codes, moved - moved_before)
    quantile = 0.5 + confidence / 2
    t, z = float(special.stdtrit(number - 1, quantile)), float(special.ndtri(quantile))
    # As if z squared images more had changed: else the interval of models that never differ would be a point, as Wald's
    # is (Agresti, Min 2005, Statistics in Medicine 24: 729-740). For balanced classes this is Tango's interval there.
    imagined = z * z * float(np.mean(change * change_before))
    half = t * float(np.sqrt(number / (number - 1) * (totals @ totals) + imagined))
    return Difference(now, then, now - then, now - then - half, now - then + half)


def _f1(target: np.ndarray, named: np.ndarray, classes: int, *, weighted: bool) -> tuple[float, np.ndarray, np.ndarray]:
    """The mean F1, how much each image (N,) adds to it, and by how much it would change if the answer did."""
    sizes, is_known = np.bincount(target, minlength=classes), named >= 0
    right = named == target
    both = (sizes + np.bincount(named[is_known], minlength=classes)).astype(float)
    scores = 2 * np.bincount(target[right], minlength=classes) / both
    weights = sizes / sizes.sum() if weighted else np.full(classes, 1 / classes)
    share = weights / both
    moved = share[target] * (2.0 * right - scores[target])
    moved[is_known] -= (share * scores)[named[is_known]]
    return float(weights @ scores), moved, 2 * share[target]
