"""Drift: whether what comes in, and what the model says of it, is still as in the first days of that model.

Two measures of each day or week against the model's first ones. PSI, the population stability index, is the sum over
bins of (p - q) ln(p / q); where nothing has changed, PSI n m / (n + m) is chi-squared with bins - 1 degrees of freedom
(Yurdakul 2018). KS is the greatest distance of the two distribution functions (Kolmogorov, Smirnov). Of thousands of
pictures any nothing is significant, and of a hundred tests one at 1 %: a drift is named only where the PSI is at
least `NOTICED`, and its p-value, corrected for all tests of the report (Benjamini, Yekutieli 2001, which holds however
the tests depend on each other), below `ALPHA`.

Pictures of one day are not independent: a client sends a series, a content goes round. So what is independent is the
day, or week: by how much all stretches of time differ from each other beyond chance says how much any two may differ
while nothing has changed, and the statistic is divided by it, with F in place of chi-squared (Rao, Scott 1981, 1984:
the first-order correction of chi-squared tests for clusters). Most pairs of stretches lie on the same side of a drift,
wherever it begins, so that a low quantile over all pairs does not see it.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.serving.reports import periods
from pipeline.serving.reports.use import ANSWERED

FEATURES = {"brightness": "brightness", "pixels": "size of the picture", "score": "score", "label": "classes said"}
SCORES = ("score", "label")  # what the model says; the others are its input
BINS = 10  # by the reference's deciles
MOST = 20_000  # values of a sample that KS looks at: enough to see a distance of 0.02
LEAST = 50  # pictures, of both: fewer tell nothing
NOTICED, LARGE = 0.1, 0.25  # of PSI, as is customary
ALPHA = 0.01
QUIET = 0.4  # quantile: of the pairs of stretches, more than so many lie on the same side of one drift
HALF = 0.5  # of a picture in each bin: an empty one has no logarithm
COLUMNS = [
    *("version", "feature", "kind", "start", "n", "reference_n", "reference", "now"),
    *("psi", "psi_p", "ks", "ks_p", "drift", "unrest"),
]


def find(log: pd.DataFrame, unit: str, *, reference_days: float) -> pd.DataFrame:
    """Compares each stretch of time with the first days of the same model, feature by feature.

    Args:
      log: transactions, as `Log.transactions` returns them.
      unit: hour, day or week.
      reference_days: the first days of each model that later ones are compared with; of a model that has served for
        less than three times as long, the first third, and whole stretches of `unit` in any case.

    Returns:
      `COLUMNS`: `unrest` is how many times as much stretches differ as independent pictures would; `reference` and
      `now` are means (of classes, the most frequent); p-values are corrected; `drift` is "", noticeable or large.
    """
    answered = log.loc[log["status"] == ANSWERED, ["version", "at", "brightness", "width", "height", "score", "label"]]
    rows = pd.DataFrame(
        {
            "version": answered["version"],
            "start": periods.of(answered["at"], unit),
            "brightness": answered["brightness"],
            "pixels": np.sqrt(answered["width"].astype("float32") * answered["height"]),
            "score": answered["score"],
            "label": answered["label"],
        }
    )
    found = []
    for version, own in rows.groupby("version", observed=True):
        first = own["start"] < _end_of_reference(own["start"], unit, reference_days)
        if first.sum() < LEAST:
            continue
        compare = {feature: _against(feature, own.loc[first, feature]) for feature in FEATURES}
        restless = {feature: _unrest(own, feature, own.loc[first, feature]) for feature in FEATURES}
        for start, now in own[~first].groupby("start"):
            found += [
                {"version": str(version), "start": start, **compare[feature](now[feature], restless[feature])}
                for feature in FEATURES
                if len(now) >= LEAST
            ]
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.DataFrame(found)
    for name in ("psi_p", "ks_p"):
        tested = table[name].notna()
        table.loc[tested, name] = stats.false_discovery_control(table.loc[tested, name], method="by")
    significant = table["psi_p"] < ALPHA
    large, noticed = significant & (table["psi"] >= LARGE), significant & (table["psi"] >= NOTICED)
    table = table.assign(
        drift=np.select([large, noticed], ["large", "noticeable"], ""), start=periods.times(table["start"])
    )
    return table.sort_values(["version", "feature", "start"], ignore_index=True)[COLUMNS]


@dataclass(frozen=True)
class Unrest:
    """How many `times` as much stretches of time differ as those of independent pictures would; at least 1.

    Attributes:
      stretches: as many as it was estimated from, 0 if they were too few.
    """

    times: float = 1.0
    stretches: int = 0


def psi(reference: np.ndarray, now: np.ndarray, unrest: Unrest = Unrest()) -> tuple[float, float]:
    """The index of two rows of counts (B,), and the chance of one as great where nothing has changed."""
    index, statistic, freedom = _statistic(reference, now)
    if unrest.times == 1:
        return index, float(stats.chi2.sf(statistic, freedom))
    return index, float(stats.f.sf(statistic / freedom / unrest.times, freedom, freedom * (unrest.stretches - 1)))


def _statistic(reference: np.ndarray, now: np.ndarray) -> tuple[float, float, int]:
    """The index, the statistic that is chi-squared where all pictures are independent, and its degrees of freedom."""
    used = (reference + now) > 0
    n, m, bins = reference.sum(), now.sum(), int(used.sum())
    p = (now[used] + HALF) / (m + HALF * bins)
    q = (reference[used] + HALF) / (n + HALF * bins)
    index = float(((p - q) * np.log(p / q)).sum())
    return index, index * n * m / (n + m), max(bins - 1, 1)


def unrest(counts: np.ndarray) -> Unrest:
    """How much stretches of time differ, from the counts of each (S, B)."""
    if len(counts) < 3:
        return Unrest()
    pairs = [_statistic(first, second)[1:] for first, second in itertools.combinations(counts, 2)]
    statistic, freedom = np.array(pairs).T
    times = np.quantile(statistic / stats.chi2.ppf(QUIET, freedom), QUIET, method="lower")
    return Unrest(max(float(times), 1.0), len(counts))


def _end_of_reference(start: pd.Series, unit: str, days: float) -> int:
    length = periods.LENGTHS[unit]
    first, last = int(start.min()), int(start.max()) + length
    wanted = min(days * periods.DAY, (last - first) / 3)
    return first + max(round(wanted / length), 1) * length


Comparison = Callable[[pd.Series, Unrest], dict[str, object]]


def _against(feature: str, reference: pd.Series) -> Comparison:
    """What compares later values of a feature with these; what it needs of them is counted once."""
    told: dict[str, object] = {"feature": FEATURES[feature], "kind": "scores" if feature in SCORES else "inputs"}
    told |= {"reference_n": len(reference)}
    against = _against_classes(reference) if feature == "label" else _against_numbers(reference)
    return lambda now, unrest: told | {"n": len(now), "unrest": unrest.times} | against(now, unrest)


def _unrest(rows: pd.DataFrame, feature: str, reference: pd.Series) -> Unrest:
    """How much the stretches of time of `rows` differ in a feature, in the bins that the reference gives."""
    edges = None if feature == "label" else _edges(reference)
    counts = [
        own[feature].value_counts(sort=False).to_numpy() if edges is None else _counts(own[feature], edges)
        for _, own in rows.groupby("start")
        if len(own) >= LEAST
    ]
    return unrest(np.array(counts))


def _against_classes(reference: pd.Series) -> Comparison:
    counts, most = reference.value_counts(sort=False).to_numpy(), str(reference.mode().iloc[0])

    def compare(now: pd.Series, unrest: Unrest) -> dict[str, object]:
        index, p = psi(counts, now.value_counts(sort=False).to_numpy(), unrest)
        says = str(now.mode().iloc[0])
        return {"reference": most, "now": says, "ks": np.nan, "ks_p": np.nan, "psi": index, "psi_p": p}

    return compare


def _against_numbers(reference: pd.Series) -> Comparison:
    edges = _edges(reference)
    counts, some, mean = _counts(reference, edges), _sample(reference), f"{reference.mean():.3g}"

    def compare(now: pd.Series, unrest: Unrest) -> dict[str, object]:
        index, p = psi(counts, _counts(now, edges), unrest)
        ks = stats.ks_2samp(some, _sample(now), method="asymp")
        told = {"reference": mean, "now": f"{now.mean():.3g}", "psi": index, "psi_p": p}
        return told | {"ks": float(ks.statistic), "ks_p": float(ks.pvalue)}

    return compare


def _edges(reference: pd.Series) -> np.ndarray:
    return np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))


def _counts(values: pd.Series, edges: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


def _sample(values: pd.Series) -> pd.Series:
    return values.sample(MOST, random_state=0) if len(values) > MOST else values
