#!/usr/bin/env python
"""Whether figures are right where images belong together: bursts, repeated contents, steady days; on planted truth.

    scripts/bench_bursts.py [--only SECTION,SECTION] [--runs 1000] [--seed 0]

Every section draws worlds whose truth is known, many times, and calls what the pipeline calls. A line says what is
promised, what was measured, the Monte-Carlo error (two standard errors), and whether the promise holds. Sections:
"""

from collections.abc import Iterator
from itertools import product

import harness
import numpy as np
import pandas as pd
from promises.lines import Line, Registry, error_of, options

from pipeline.evaluation import independence, intervals, paired_statistics
from pipeline.evaluation.independence import Sums
from pipeline.serving.reports import accuracy, drift, estimates
from pipeline.serving.reports.periods import DAY

CONFIDENCE, TOLERANCE = 0.95, 0.02
BURSTS = {"1": [1], "2": [2], "5": [5], "10": [10], "mixed": [1, 1, 1, 2, 5, 10, 30]}
ACCURACIES = [0.5, 0.7, 0.8, 0.9, 0.95, 0.99]
CORRELATIONS = [0.1, 0.3, 0.6, 0.9]
SIZES = [200, 1000, 5000]
LEAST = 4  # a world has a `LEAST`th of the runs at least, however large it is


section = Registry()


def bursts(kind: str, n: int, random: np.random.Generator) -> np.ndarray:
    """The cluster of each of `n` images (N,), in bursts of a kind of `BURSTS`."""
    sizes = random.choice(BURSTS[kind], n)
    return np.repeat(np.arange(n), sizes)[:n]


def drawn(
    cluster: np.ndarray, shares: list[float], correlation: float, runs: int, random: np.random.Generator
) -> np.ndarray:
    """Outcomes (runs, N), numbers of the `shares`; images of a cluster are alike with an intra-cluster correlation.

    Each cluster has shares of its own, Dirichlet around the `shares` (of two outcomes, the beta-binomial distribution).
    """
    concentration = np.asarray(shares) * (1 - correlation) / correlation
    of = random.standard_gamma(np.maximum(concentration, 1e-6), (runs, cluster.max() + 1, len(shares)))
    of = np.cumsum(of / of.sum(axis=2, keepdims=True), axis=2)[:, cluster]
    return (random.random((runs, len(cluster), 1)) > of[:, :, :-1]).sum(axis=2)


def gathered(values: np.ndarray, cluster: np.ndarray) -> Sums:
    """The sums of each run of `values` (runs, N)."""
    runs = np.arange(len(values))
    own = (runs[:, None] * (cluster.max() + 1) + cluster).ravel()
    return independence.gather(values.ravel(), own, np.repeat(runs, len(cluster)), parts=len(values))


def in_world(n: int, runs: int) -> int:
    """How often a world of `n` images is drawn."""
    return max(runs * SIZES[0] // n, runs // LEAST)


@section
def share_intervals(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """intervals of shares: coverage, and width beside one that is told the true design effect"""
    for kind in BURSTS:
        coverages, widths, rivals = [], [], []
        for n, correlation, truth in product(SIZES, CORRELATIONS, ACCURACIES):
            cluster = bursts(kind, n, random)
            right = drawn(cluster, [1 - truth, truth], correlation, in_world(n, runs), random)
            sums = gathered(right, cluster)
            low, high = intervals.share(sums, confidence=CONFIDENCE)
            worth = n / (1 + correlation * (np.square(np.bincount(cluster)).sum() / n - 1))
            rival = intervals.wilson(sums.mean * worth, worth, confidence=CONFIDENCE)
            coverages.append(((low <= truth) & (truth <= high)).mean())
            widths.append((high - low).mean())
            rivals.append((rival[1] - rival[0]).mean())
        number = sum(in_world(n, runs) for n in SIZES) * len(CORRELATIONS) * len(ACCURACIES)
        mean = float(np.mean(coverages))
        yield Line(f"share, bursts of {kind}: mean coverage", "0.93 to 0.98", mean, error_of(mean, number), 0.93, 0.98)
        worst = float(np.min(coverages))
        yield Line(f"share, bursts of {kind}: worst coverage", ">= 0.90", worst, error_of(worst, runs // LEAST), 0.90)
        ratio = float(np.sum(widths) / np.sum(rivals))
        yield Line(f"share, bursts of {kind}: width, known effect = 1", "<= 1.3", ratio, 0.0, most=1.3)


@section
def gate(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """the gate: how often a candidate that is worse by exactly the tolerance passes, and one that is as good"""
    for kind in BURSTS:
        rates: list[float] = []
        fine: list[float] = []
        for n, correlation, churn in product(SIZES, CORRELATIONS, [0.0, 0.02, 0.1]):
            cluster, number = bursts(kind, n, random), in_world(n, runs)
            for lost, passes in ((churn + TOLERANCE, rates), (churn, fine)):
                outcome = drawn(cluster, [lost, 1 - lost - churn + 1e-9, churn + 1e-9], correlation, number, random) - 1
                low, _ = paired_statistics.difference(
                    (outcome > 0).sum(axis=1),
                    (outcome < 0).sum(axis=1),
                    gathered(outcome, cluster),
                    confidence=CONFIDENCE,
                )
                passes.append((low > -TOLERANCE).mean())
        worst, number = float(np.max(rates)), sum(in_world(n, runs) for n in SIZES) * len(rates) // len(SIZES)
        mean = float(np.mean(rates))
        yield Line(
            f"gate, bursts of {kind}: worse by the tolerance passes, mean",
            "<= 0.05",
            mean,
            error_of(mean, number),
            most=0.05,
        )
        yield Line(
            f"gate, bursts of {kind}: the same, worst world",
            "<= 0.05",
            worst,
            error_of(worst, runs // LEAST),
            most=0.05,
        )
        yield Line(f"gate, bursts of {kind}: an equal model passes", "(for comparison)", float(np.mean(fine)), 0.0)


@section
def report(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """reports on served traffic in which contents repeat (Zipf): the interval of the share that is right"""
    for exponent, audited in product([0.8, 1.1], [150, 400]):
        weight = 1 / np.arange(1, 3001) ** exponent
        number, right, hits = min(runs, 500), 0.85, 0
        for _ in range(number):
            content = random.choice(3000, audited, p=weight / weight.sum())
            units = pd.DataFrame({"sha256": content.astype(str), "client": random.integers(0, 30, audited).astype(str)})
            units = units.assign(right=(random.random(3000) < right)[content], position=0, stratum="all")
            units = units.assign(request_id=units.index.astype(str), probability=0.01, evaluated=True)
            units["cluster"] = accuracy.clusters(units, units["right"])
            found = estimates.shares(units, estimates.strata(units), confidence=CONFIDENCE).iloc[0]
            hits += found["low"] <= right <= found["high"]
        share = hits / number
        name = f"report, contents by Zipf {exponent}, {audited} judged: coverage"
        yield Line(name, "0.93 to 0.98", share, error_of(share, number), 0.93, 0.98)


@section
def drifts(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """reports where every day has a steady burst of its own: how often one names a drift, and a true one is named"""
    for burst, days, classes in [(0, 14, 10), (30, 14, 10), (150, 14, 10), (600, 14, 10), (150, 6, 10), (150, 14, 3)]:
        number = min(runs, 400)
        named = sum(len(drifting(random, burst=burst, days=days, classes=classes)) > 0 for _ in range(number))
        share = named / number
        name = f"drift, {days} days, {classes} classes, bursts of {burst}: reports naming one"
        yield Line(name, "<= 0.05", share, error_of(share, number), most=0.05)
    for burst in (0, 30):
        number = min(runs, 50)
        share = sum("brightness" in drifting(random, burst=burst, darker_from=10) for _ in range(number)) / number
        yield Line(f"drift, darker from day 10 on, bursts of {burst}: found", "(for comparison)", share, 0.0)


def drifting(
    random: np.random.Generator, *, burst: int, days: int = 14, classes: int = 10, darker_from: int = 1000
) -> set[str]:
    """The features in which a report names a drift, on a log of 200 different images a day beside its burst."""
    parts = []
    for day in range(days):
        bright = np.append(random.normal(0.5, 0.15, 200), random.normal(random.normal(0.5, 0.15), 0.01, burst))
        score = np.append(random.beta(5, 2, 200), np.clip(random.normal(random.beta(5, 2), 0.01, burst), 0, 1))
        label = np.append(random.integers(0, classes, 200), np.full(burst, random.integers(0, classes)))
        at = day * DAY + random.integers(0, DAY, len(bright))
        bright -= 0.25 * (day >= darker_from)
        parts.append(pd.DataFrame({"at": at, "brightness": bright, "score": score, "label": label.astype(str)}))
    log = pd.concat(parts, ignore_index=True).assign(version="v", width=640, height=480, status=200)
    found = drift.find(log.astype({"label": "category", "version": "category"}), "day", reference_days=7.0)
    return set(found.loc[found["drift"] != "", "feature"])


def main() -> None:
    parser = options(
        harness.parser(f"{__doc__}{section.described()}"),
        runs=1000,
        what="draws of each world of 200 images; fewer of larger ones",
    )
    arguments = parser.parse_args()
    broken = section.run(arguments.only, arguments.runs, arguments.seed)
    raise SystemExit(f"{broken} promises are broken" if broken else 0)


if __name__ == "__main__":
    main()
