"""Shares of all transactions, estimated from those that were drawn by stratum and evaluated, with intervals.

Within a stratum every transaction had the same chance, and the queue is in random order, so that those evaluated so
far are a simple random sample of it: each stands for population / evaluated transactions. A share is the ratio of two
such weighted sums (Hajek 1971), for a part of the transactions as for all; its variance is linearised within strata,
with the correction for finite populations (Sarndal, Swensson, Wretman 1992, chapters 5 and 10). The interval is
Wilson's at the effective sample size (Korn, Graubard 1998), which holds near 0 and 1, where the normal one does not.

Transactions with one content get one answer, and some clients send what is easier: such clusters are what is
independent. The variance is multiplied by their design effect, which is 1 where all contents differ (`independence`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.evaluation import independence, intervals
from pipeline.evaluation.scores import clusters_of

SHARE = ["n", "independent", "n_effective", "weight", "share", "low", "high"]


def strata(drawn: pd.DataFrame) -> pd.DataFrame:
    """Counts the transactions of each stratum that were drawn and evaluated, and computes how many each stands for.

    Args:
      drawn: the transactions drawn, columns `stratum`, `probability`, `evaluated` (bool).

    Returns:
      By `stratum`: `drawn`, `evaluated`, `population` (the transactions it was drawn from), and `weight`, how many of
      these an evaluated one stands for, NaN where none is.
    """
    found = drawn.groupby("stratum", observed=True).agg(
        drawn=("probability", "size"), evaluated=("evaluated", "sum"), probability=("probability", "mean")
    )
    population = (found["drawn"] / found["probability"]).round()
    weight = (population / found["evaluated"]).where(found["evaluated"] > 0)
    return found[["drawn", "evaluated"]].assign(population=population, weight=weight)


def shares(
    units: pd.DataFrame, design: pd.DataFrame, by: Sequence[str] = (), *, confidence: float, of: str = "right"
) -> pd.DataFrame:
    """The share of transactions for which `of` holds, in each part of all.

    Args:
      units: evaluated transactions that count, columns `stratum`, `of` (bool), those in `by` and, if it is known,
        `cluster`. What does not count, an unusable picture say, is left out here, and has its part in `design` all
        the same.
      design: as `strata` returns it.
      by: columns that name the part; none: all together.

    Returns:
      One row per part: `by`, `n` (evaluated), `independent` (clusters among them), `n_effective` (as many drawn from
      all alike would tell as much), `weight` (of how many transactions), `share`, and its interval `low`, `high`.
    """
    keys = list(by) or ["part"]
    rows = units[[*by, "stratum"]].assign(hit=units[of].astype(float), w=_weights(units, design))
    rows = rows.assign(cluster=clusters_of(units))
    rows = rows if by else rows.assign(part="all")
    sums = rows.assign(wy=rows["w"] * rows["hit"], ww=rows["w"] ** 2).groupby(keys, observed=True)
    found = sums.agg(n=("hit", "size"), weight=("w", "sum"), hits=("wy", "sum"), squares=("ww", "sum"))
    found["share"] = found["hits"] / found["weight"]
    variance = _variance(rows.join(found["share"], on=keys), "hit", keys, design) / found["weight"] ** 2
    spread = found["share"] * (1 - found["share"])
    alike = found["weight"] ** 2 / found["squares"]  # Kish: where all are right or all wrong, no variance is seen
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = (spread / variance).where((spread > 0) & (variance > 0), alike)
    # Never more than were looked at: the variance is an estimate itself (Korn, Graubard 1998).
    found["n_effective"] = np.minimum(effective, found["n"])
    part = rows.groupby(keys, observed=True).ngroup()
    clusters = independence.gather(rows["hit"], rows["cluster"], part, parts=len(found), weight=rows["w"])
    found["independent"] = clusters.clusters.astype(int)
    found["n_effective"] /= independence.inflation(clusters, confidence=confidence)
    found["low"], found["high"] = intervals.wilson(
        found["share"] * found["n_effective"], found["n_effective"], confidence=confidence
    )
    return found[SHARE].reset_index()[[*by, *SHARE]]


def mean(units: pd.DataFrame, design: pd.DataFrame, of: str, *, confidence: float) -> dict[str, float]:
    """The mean of the column `of` over all transactions that `units` stand for: `n`, `mean`, `low`, `high`.

    For differences between two models on the same pictures, -1, 0 or 1 each; the interval is the normal one, and NaN
    for fewer than two.
    """
    if len(units) < 2:
        return {"n": len(units), "mean": np.nan, "low": np.nan, "high": np.nan}
    weight = _weights(units, design)
    centre = float(np.average(units[of], weights=weight))
    rows = units[["stratum"]].assign(part="all", value=units[of].astype(float), share=centre)
    clusters = independence.gather(units[of], clusters_of(units), weight=weight)
    inflated = float(independence.inflation(clusters, confidence=confidence)[0])
    variance = inflated * float(_variance(rows, "value", ["part"], design).iloc[0]) / float(weight.sum()) ** 2
    half = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt(variance)
    return {"n": len(units), "mean": centre, "low": centre - half, "high": centre + half}


def difference(first: pd.Series, second: pd.Series) -> tuple[float, float, float]:
    """Second less first of two independent rows of `shares`: the difference, low, high (Newcombe 1998, method 10)."""
    gain = second["share"] - first["share"]
    low = gain - np.hypot(second["share"] - second["low"], first["high"] - first["share"])
    high = gain + np.hypot(second["high"] - second["share"], first["share"] - first["low"])
    return float(gain), float(low), float(high)


def _weights(units: pd.DataFrame, design: pd.DataFrame) -> pd.Series:
    return units["stratum"].map(design["weight"]).astype(float)


def _variance(rows: pd.DataFrame, value: str, keys: list[str], design: pd.DataFrame) -> pd.Series:
    """Of the weighted sum of `value` less `share`, by part.

    Transactions of other parts are zeros in it: how many of a stratum's fall into a part is chance, too. A stratum with
    one evaluated transaction has no variance of its own; it is taken from the mean of all.
    """
    rest = rows[value] - rows["share"]
    sums = rows[[*keys, "stratum"]].assign(z=rest, zz=rest**2).groupby([*keys, "stratum"], observed=True)[["z", "zz"]]
    found = sums.sum().join(design[["evaluated", "population"]], on="stratum")
    m, number = found["evaluated"], found["population"]
    alone = m == 1
    squares = (found["zz"] - (found["z"] ** 2 / m).mask(alone, 0.0)) / (m - 1).mask(alone, 1)
    return (number**2 * (1 - m / number) * squares / m).groupby(level=list(range(len(keys)))).sum()
