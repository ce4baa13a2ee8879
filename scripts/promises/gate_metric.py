"""Worlds of the gate's metric: a candidate that is truly worse by the tolerance in the metric that is chosen."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from pipeline.evaluation import paired_metrics
from pipeline.evaluation.gate import PASS

from .gate import CHURN, CLASSES, RIGHT, TOLERANCE, compare, decide
from .lines import Line, at_most, promise

SHARES = np.geomspace(1, 0.1, CLASSES) / np.geomspace(1, 0.1, CLASSES).sum()  # the rarest class: a tenth of the largest
NAMES = np.array([f"class {code}" for code in range(CLASSES)], object)
SURE, UNSURE, SPREAD = 0.75, 0.05, 0.5  # the true class's score in right and wrong answers, and the width of its luck


def true_f1(recall: float, metric: str) -> float:
    """The F1 of a model that names this share of each class, and any of the other classes else."""
    wrong = (1 - recall) / (CLASSES - 1)
    said = SHARES * recall + (1 - SHARES) * wrong
    scores = 2 * SHARES * recall / (SHARES + said)
    return float(scores.mean() if metric == paired_metrics.MACRO_F1 else SHARES @ scores)


def lost(metric: str, tolerance: float) -> float:
    """By how much the recall of each class must fall that the F1 falls by the tolerance."""
    before = true_f1(RIGHT, metric)
    return float(brentq(lambda loss: before - true_f1(RIGHT - loss, metric) - tolerance, 0.0, 0.5))


def drawn(
    number: int, *, loss: float, nats: float, burst: int, random: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scores of candidate and champion: `loss` of recall, and `nats` of log loss beside what that costs."""
    bursts = -(-number // burst)
    label = np.repeat(random.choice(CLASSES, bursts, p=SHARES), burst)[:number]
    luck = [np.repeat(random.random(bursts), burst)[:number] for _ in range(2)]
    before = luck[0] < RIGHT
    now = np.where(before, luck[1] >= (CHURN / 2 + loss) / RIGHT, luck[1] < CHURN / 2 / (1 - RIGHT))
    tables = []
    for right, worse in ((now, nats), (before, 0.0)):
        other = (label + random.integers(1, CLASSES, number)) % CLASSES
        score = np.where(before, SURE, UNSURE) * np.exp(SPREAD * (random.random(number) - 0.5) - worse)
        tables.append(
            pd.DataFrame(
                {
                    "set": "benchmark:field",
                    "label": NAMES[label],
                    "predicted": NAMES[np.where(right, label, other)],
                    "score": 0.9,
                    "label_rank": np.where(right, 1, random.integers(2, 9, number)),
                    "label_score": score.clip(1e-6),
                    "shown": right,
                    "sha256": [f"{place:07d}" for place in range(number)],
                    "image": [f"{place:07d}" for place in range(number)],
                    "cluster": [f"{place // burst:07d}" for place in range(number)],
                }
            )
        )
    return tables[0], tables[1]


def passing(metric: str, runs: int, random: np.random.Generator, *, worse: bool, number: int, burst: int) -> float:
    """How often the first rule, that of the metric, is met."""
    loss = lost(metric, TOLERANCE) if worse and metric != paired_metrics.LOG_LOSS else 0.0
    nats = TOLERANCE if worse and metric == paired_metrics.LOG_LOSS else 0.0
    met = []
    for _ in range(runs):
        verdict = decide(compare(*drawn(number, loss=loss, nats=nats, burst=burst, random=random)), metric)
        met.append(verdict.verdict == PASS)
    return float(np.mean(met))


METRICS = (paired_metrics.MACRO_F1, paired_metrics.WEIGHTED_F1, paired_metrics.LOG_LOSS)


@promise
def gate_metric(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 6: where another metric than top-1 is chosen, a model that is worse in it by the tolerance does not pass"""
    for metric in METRICS:
        for number, burst in ((500, 1), (2000, 1), (2000, 5)):
            share = passing(metric, runs, random, worse=True, number=number, burst=burst)
            name = f"{number:,} images in bursts of {burst}" if burst > 1 else f"{number:,} images"
            yield at_most(f"gate by {metric}, worse by the tolerance, {name}: passes", share, runs, 0.05)
        share = passing(metric, runs, random, worse=False, number=5000, burst=1)
        yield at_most(f"gate by {metric}, equal, 5,000 images: does not pass", 1 - share, runs, 0.05)
