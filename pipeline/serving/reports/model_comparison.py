"""The newest model against the one before: on the same weeks, or as a shadow on the same pictures."""

import itertools

import numpy as np
import pandas as pd

from pipeline.evaluation import paired_statistics
from pipeline.serving.reports import estimates, periods
from pipeline.serving.reports.log import KEY
from pipeline.serving.verdicts import WRONG

SAME_PICTURES, SAME_TIME, OTHER_TIME = "the same pictures, by shadow", "the same {unit}s", "each its own time"
COLUMNS = [  # `basis` is one of these three; of `unknown` images it is not known whether the later model is right
    *("before", "after", "basis", "n_before", "n_after", "right_before", "right_after"),
    *("difference", "low", "high", "unknown"),
]


def served(
    units: pd.DataFrame, design: pd.DataFrame, versions: list[str], *, unit: str, confidence: float
) -> pd.DataFrame:
    """Each model that served against the one before it, of all usable pictures.

    Pictures of other weeks are other pictures: where both served in the same hours, days or weeks (`unit`), only these
    are compared, each with the same weight for both. Where they never did, the rows say so, and the difference may be
    that of the pictures.

    Args:
      versions: in the order in which they were released.

    Returns:
      `COLUMNS`; `difference` is of the later less the earlier.
    """
    usable = units[units["usable"]]
    usable = usable.assign(start=periods.of(usable["at"], unit))
    found = []
    for before, after in itertools.pairwise(versions):
        own = [usable[usable["version"] == version] for version in (before, after)]
        if not len(own[0]) or not len(own[1]):
            continue
        common = np.intersect1d(own[0]["start"], own[1]["start"])
        pairs = [_pair([rows[rows["start"] == start] for rows in own], design, confidence) for start in common]
        if pairs:
            found.append({"before": before, "after": after, "basis": SAME_TIME.format(unit=unit), **_pooled(pairs)})
        whole = _pair(own, design, confidence)
        found.append({"before": before, "after": after, "basis": OTHER_TIME, **whole})
    return pd.DataFrame(found, columns=COLUMNS)


def shadowed(units: pd.DataFrame, shadows: pd.DataFrame, design: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Each candidate against the model that served, on the audited pictures that both named: `COLUMNS`.

    Whether the candidate was right follows from the picture's true class. Where the model that served was wrong and
    nobody named the class, that is only known of a candidate that said the same. The others are `unknown`, and the
    candidate may be right on all of them or on none: the interval reaches from the lower end for none to the upper end
    for all (Manski 2003, "Partial identification of probability distributions", worst-case bounds), and `difference`
    and `right_after` lie in the middle. Leaving them out would favour the model that served.
    """
    usable = units[units["usable"]]
    both = usable.merge(shadows, on=KEY).rename(columns={"right": "right_before"})
    same = both["shadow_label"] == both["label"]
    right = np.where(same, both["right_before"], both["in_classes"] & (both["shadow_label"] == both["truth"]))
    unknown = ~same & (both["verdict"] == WRONG) & (both["truth"] == "")
    both = both.assign(right=right, unknown=unknown)
    rows = []
    for (before, after), own in both.groupby(["version", "shadow_version"], sort=False):
        none, every = (own.assign(right=own["right"] | (own["unknown"] & counted)) for counted in (False, True))
        low, high = (
            estimates.mean(some.assign(gain=paired_statistics.changes(some)), design, "gain", confidence=confidence)
            for some in (none, every)
        )
        right_before = estimates.shares(own, design, confidence=confidence, of="right_before")["share"].iloc[0]
        gain = (low["mean"] + high["mean"]) / 2
        rows.append(
            {"before": before, "after": after, "basis": SAME_PICTURES, "n_before": len(own), "n_after": len(own)}
            | {"right_before": right_before, "right_after": right_before + gain, "difference": gain}
            | {"low": low["low"], "high": high["high"], "unknown": int(own["unknown"].sum())}
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _pair(own: list[pd.DataFrame], design: pd.DataFrame, confidence: float) -> dict[str, float]:
    first, second = (estimates.shares(rows, design, confidence=confidence).iloc[0] for rows in own)
    gain, low, high = estimates.difference(first, second)
    told = {"n_before": int(first["n"]), "n_after": int(second["n"]), "unknown": 0}
    told |= {"right_before": first["share"], "right_after": second["share"]}
    return told | {"difference": gain, "low": low, "high": high}


def _pooled(pairs: list[dict[str, float]]) -> dict[str, float]:
    """The difference over several stretches of time, each with the weight of what both were evaluated on in it."""
    table = pd.DataFrame(pairs)
    weight = table["n_before"] * table["n_after"] / (table["n_before"] + table["n_after"])
    weight /= weight.sum()
    mean = (table[["right_before", "right_after", "difference"]].mul(weight, axis=0)).sum()
    below = np.sqrt(((weight * (table["difference"] - table["low"])) ** 2).sum())
    above = np.sqrt(((weight * (table["high"] - table["difference"])) ** 2).sum())
    counts = table[["n_before", "n_after", "unknown"]].sum().astype(int)
    return {**counts, **mean, "low": mean["difference"] - below, "high": mean["difference"] + above}
