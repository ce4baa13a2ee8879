"""Decisions on their way into the label table."""

from dataclasses import dataclass

import pandas as pd

from pipeline.library import labels
from pipeline.review.decisions import KEEP, LABEL


@dataclass(frozen=True)
class Applied:
    """The new label table, and what became of the decisions, in numbers of images; conflicts and refusals by name."""

    table: pd.DataFrame
    added: int
    changed: int
    before: int
    conflicts: list[str]
    refused: list[str]


def apply(table: pd.DataFrame, decisions: pd.DataFrame, benchmark_images: pd.Series) -> Applied:
    """Brings decisions into the label table; doing so twice changes nothing.

    Each reviewer's latest decision on an image counts. Where reviewers differ, nothing is changed and the image is
    named. A decision is applied if it is newer than the row it meets. A benchmark image is never touched, and to keep
    a label changes nothing.

    Args:
      table: the label table.
      decisions: as `read_all` returns them.
    """
    latest = decisions.drop_duplicates(["image", "by"], keep="last")
    said = (latest["decision"] + " " + latest["label"]).groupby(latest["image"]).nunique()
    conflicts = sorted(said.index[said > 1])
    latest = latest[~latest["image"].isin(conflicts)].drop_duplicates("image", keep="last")
    latest = latest[latest["decision"] != KEEP]
    refused = latest["image"].isin(benchmark_images)
    ours = latest[~refused].set_index("image")

    rows = table.set_index("image")
    known = ours.index.isin(rows.index)
    newer = known.copy()
    newer[known] = ours.loc[known, "at"].to_numpy() > rows.loc[ours.index[known], "at"].to_numpy()
    added = _as_rows(ours[~known]).assign(origin="real")
    changed = _as_rows(ours[newer])
    before = rows.loc[changed.index]
    changed["subclass"] = before["subclass"].where(before["label"] == changed["label"], "")
    rows.loc[changed.index, changed.columns] = changed
    result = pd.concat([rows, added]).fillna("").rename_axis("image").reset_index()
    return Applied(
        result[labels.COLUMNS].sort_values("image", ignore_index=True),
        len(added),
        len(changed),
        len(ours) - len(added) - len(changed),
        conflicts,
        sorted(latest.loc[refused, "image"]),
    )


def _as_rows(decisions: pd.DataFrame) -> pd.DataFrame:
    """The columns of the label table that a decision sets."""
    status = decisions["decision"].replace({LABEL: "ok"})
    accepted = decisions["label"] == decisions["suggested"]
    return pd.DataFrame(
        {
            "label": decisions["label"],
            "status": status,
            "by": decisions["by"],
            "at": decisions["at"],
            "model": decisions["model"].where(accepted & (decisions["decision"] == LABEL), ""),
        }
    )
