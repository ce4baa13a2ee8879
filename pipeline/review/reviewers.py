"""How sure reviewers are, and how fast: their own error, from what was decided twice, and minutes a label."""

import numpy as np
import pandas as pd

from pipeline.evaluation import intervals, over_rounds
from pipeline.review.decisions import SETTLING_RECIPE, UNDO, YES, in_force

COLUMNS = [
    *("by", "decisions", "minutes", "minutes_per_label", "checked", "differing", "error", "low", "high"),
    *("shared", "disputed", "overruled"),
]
ANSWER = ["decision", "label"]


def measure(log: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """What is known of each reviewer.

    A blind check is held against the same person's last decision on the image. Who errs in a share e of decisions, each
    time otherwise, agrees with himself in (1 - e)^2 of them, so that e = 1 - sqrt(1 - differing / checked).

    Args:
      log: as `decisions.read_log` returns it.

    Returns:
      `COLUMNS`, sorted by name: decisions that were made (those taken back among them); the minutes they took, as far
      as they are known, and for one; images decided a second time blind, how many of them otherwise, the error that
      follows and its interval (Wilson, of the share that differs); images that others decided, too, how many of them
      otherwise, and how many of these a settling decision gave to somebody else.
    """
    made = log[log["decision"] != UNDO]
    holding = in_force(log)
    minutes = over_rounds.minutes(made)["minutes"].groupby(made["by"])
    checks = _checks(made[made["blind"] == YES], holding)
    pairs = _pairs(holding)
    table = pd.DataFrame(
        {
            "decisions": made.groupby("by").size(),
            "minutes": minutes.sum(min_count=1),
            "minutes_per_label": minutes.mean(),
            "checked": checks.groupby("by").size(),
            "differing": checks.groupby("by")["differs"].sum(),
            "shared": pairs.groupby("by").size(),
            "disputed": pairs.groupby("by")["differs"].sum(),
            "overruled": pairs.groupby("by")["overruled"].sum(),
        }
    ).fillna(dict.fromkeys(("checked", "differing", "shared", "disputed", "overruled"), 0))
    low, high = intervals.wilson(table["differing"], table["checked"], confidence=confidence)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = table["differing"] / table["checked"]
    table = table.assign(
        error=_own_error(share),
        low=_own_error(pd.Series(low, table.index)),
        high=_own_error(pd.Series(high, table.index)),
    )
    whole = ["decisions", "checked", "differing", "shared", "disputed", "overruled"]
    return table.astype(dict.fromkeys(whole, int)).rename_axis("by").reset_index()[COLUMNS]


def checks(log: pd.DataFrame, *, confidence: float) -> tuple[int, int]:
    """Of all reviewers' blind checks, how many differed, and how many there were (`measure`)."""
    measured = measure(log, confidence=confidence)
    return int(measured["differing"].sum()), int(measured["checked"].sum())


def _own_error(share: pd.Series) -> pd.Series:
    return 1 - np.sqrt(1 - share)


def _checks(blind: pd.DataFrame, holding: pd.DataFrame) -> pd.DataFrame:
    """Each image's first blind check by somebody who had decided it, and whether the answers differ."""
    key = ["image", "by"]
    first = holding.drop_duplicates(key, keep="last")[[*key, *ANSWER]]
    both = blind.drop_duplicates(key)[[*key, *ANSWER]].merge(first, on=key, suffixes=("", "_first"))
    return both.assign(differs=_differ(both, "_first"))


def _pairs(holding: pd.DataFrame) -> pd.DataFrame:
    """Each reviewer's last answer on images that others decided, too: whether it differs, and whether it lost."""
    settles = holding[holding["recipe"] == SETTLING_RECIPE].drop_duplicates("image", keep="last")
    said = holding[holding["recipe"] != SETTLING_RECIPE].drop_duplicates(["image", "by"], keep="last")
    said = said[said["image"].duplicated(keep=False)]
    answers = said.drop_duplicates(["image", *ANSWER])["image"]
    said = said.assign(differs=said["image"].isin(answers[answers.duplicated()]))
    both = said.merge(settles[["image", *ANSWER]], on="image", how="left", suffixes=("", "_settled"))
    return both.assign(overruled=both["decision_settled"].notna() & both["differs"] & _differ(both, "_settled"))


def _differ(both: pd.DataFrame, other: str) -> pd.Series:
    return (both["decision"] != both["decision" + other]) | (both["label"] != both["label" + other])
