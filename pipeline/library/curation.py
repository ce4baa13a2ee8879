"""Curation: which labelled images may be learnt from, and for every other one the reason why not."""

import hashlib
from dataclasses import dataclass

import pandas as pd

from pipeline.library import board, duplicates
from pipeline.library.labels import ORIGINS

COLUMNS = ["image", "sha256", "phash", "group", "label", "subclass", "origin"]
EXCLUDED_COLUMNS = ["image", "sha256", "phash", "label", "subclass", "origin", "reason", "detail"]


@dataclass(frozen=True)
class Curated:
    """Kept and excluded images add up to all of them; the board counts the classes before the cutoffs."""

    images: pd.DataFrame
    excluded: pd.DataFrame
    board: pd.DataFrame


def curate(
    labels: pd.DataFrame,
    library: pd.DataFrame,
    benchmarks: pd.DataFrame,
    *,
    min_images: int,
    max_images: int,
    near_duplicate_distance: int,
    max_per_group: int,
) -> Curated:
    """Curates the library.

    Rules, in this order; an image is excluded by the first that names it:
      1. benchmark          it belongs to a benchmark set, or is a near-duplicate of one of its images
      2. unreadable         its file is missing or no picture
      3. unlabelled         nobody labelled it
      4. unknown, bad       people gave it that status
      5. label conflict     a near-duplicate has another label: a person decides
      6. duplicate          an image with the same content, or `max_per_group` near-duplicates, are kept already
      7. below the cutoff   its class has fewer than `min_images` groups
      8. above the cutoff   its class has `max_images` already

    Args:
      labels: the label table.
      library: the index's library table.
      benchmarks: columns `image`, at least.
    """
    rows = library.sort_values("image", ignore_index=True)
    rows = rows.merge(labels.drop(columns=["by", "at", "model", "note"]), on="image", how="left")
    rows = rows.rename(columns={"group": "keep_together"})
    rows = rows.fillna({"label": "", "subclass": "", "origin": "real", "keep_together": "", "status": "unlabelled"})
    rows["reason"], rows["detail"] = "", ""

    readable = rows["failure"] == ""
    groups = duplicates.group(rows[readable], near_duplicate_distance)
    rows["group"] = groups.reindex(rows.index, fill_value="")

    in_benchmark = rows["image"].isin(benchmarks["image"])
    benchmark_groups = set(rows.loc[in_benchmark & readable, "group"])
    _exclude(rows, in_benchmark, "benchmark")
    _exclude(rows, rows["group"].isin(benchmark_groups), "benchmark", "a near-duplicate is in a benchmark set")
    _exclude(rows, ~readable, "unreadable", rows["failure"])
    _exclude(rows, rows["status"] == "unlabelled", "unlabelled")
    for status in ["unknown", "bad"]:
        _exclude(rows, rows["status"] == status, status)
    _exclude_conflicts(rows)
    _exclude_duplicates(rows, max_per_group)

    standing = board.count(rows[rows["reason"] == ""], min_images=min_images)
    below = standing[standing["short_by"] > 0].set_index("label")["short_by"]
    short_by = rows["label"].map(below)
    _exclude(rows, short_by.notna(), "below the cutoff", "short by " + short_by.fillna(0).astype(int).astype(str))
    _exclude_above_cutoff(rows, max_images)

    kept = rows["reason"] == ""
    rows.loc[kept, "group"] = duplicates.join(rows.loc[kept, "sha256"], rows.loc[kept, ["group", "keep_together"]])
    return Curated(
        rows.loc[kept, COLUMNS].reset_index(drop=True),
        rows.loc[~kept, EXCLUDED_COLUMNS].reset_index(drop=True),
        standing,
    )


def _exclude(rows: pd.DataFrame, which: pd.Series, reason: str, detail: "str | pd.Series" = "") -> None:
    which = which & (rows["reason"] == "")
    rows.loc[which, "reason"] = reason
    rows.loc[which, "detail"] = detail if isinstance(detail, str) else detail[which]


def _exclude_conflicts(rows: pd.DataFrame) -> None:
    named = rows.loc[rows["reason"] == "", ["group", "label"]].drop_duplicates().sort_values(["group", "label"])
    several = named[named["group"].duplicated(keep=False)]
    spread = several.groupby("group")["label"].agg(" / ".join)
    _exclude(rows, rows["group"].isin(spread.index), "label conflict", rows["group"].map(spread).astype("str"))


def _exclude_duplicates(rows: pd.DataFrame, max_per_group: int) -> None:
    order = rows.assign(
        origin_rank=rows["origin"].map({origin: rank for rank, origin in enumerate(ORIGINS)}),
        pixels=-rows["width"] * rows["height"],
    ).sort_values(["origin_rank", "pixels", "image"])
    order = order[order["reason"] == ""]
    first = order.groupby("sha256")["image"].transform("first")
    again = order["image"] != first
    same = "same content as " + first.reindex(rows.index)
    _exclude(rows, _among(rows, order.index[again]), "duplicate", same)
    rest = order[~again]
    surplus = rest.index[rest.groupby("group").cumcount() >= max_per_group]
    _exclude(rows, _among(rows, surplus), "duplicate", "near-duplicates are kept already")


def _exclude_above_cutoff(rows: pd.DataFrame, max_images: int) -> None:
    """Keeps real before staged before synthetic, evenly over sub-classes, by hash: mostly the same each round."""
    kept = rows[rows["reason"] == ""]
    if kept.empty or kept["label"].value_counts().iloc[0] <= max_images:
        return
    kept = kept.assign(
        origin_rank=kept["origin"].map({origin: rank for rank, origin in enumerate(ORIGINS)}),
        position=[hashlib.sha256(content.encode()).hexdigest() for content in kept["sha256"]],
    ).sort_values("position")
    kept["turn"] = kept.groupby(["label", "origin_rank", "subclass"]).cumcount()
    kept = kept.sort_values(["label", "origin_rank", "turn", "position"])
    surplus = kept.index[kept.groupby("label").cumcount() >= max_images]
    _exclude(rows, _among(rows, surplus), "above the cutoff", f"{max_images} are kept")


def _among(rows: pd.DataFrame, places: pd.Index) -> pd.Series:
    return pd.Series(rows.index.isin(places), index=rows.index)
