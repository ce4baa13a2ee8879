"""Splits: train, val and test by group; sticky through the base's lineage, stratified by class and sub-class."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.library import duplicates
from pipeline.library.benchmarks import PREFIX

COLUMNS = ["image", "sha256", "phash", "group", "label", "subclass", "origin", "set"]
SETS = ["train", "val", "test"]


@dataclass(frozen=True)
class Assigned:
    """Each image has a `set`, or is left out with a `reason`; the two add up to all of them."""

    images: pd.DataFrame
    left_out: pd.DataFrame


def assign(
    curated: pd.DataFrame, lineage: pd.DataFrame, *, val: float, test: float, salt: str, near_duplicate_distance: int
) -> Assigned:
    """Gives each curated image its set.

    Rules:
      1. An image keeps the set it has in the lineage.
      2. A group that is tied to one side of the lineage (same content, or near-duplicate) joins that side.
      3. A new image that ties two sides together is left out and named; so is one tied to a benchmark.
      4. New groups fill each class's quotas of test and val, spread over sub-classes, in the order of a salted hash;
         groups with staged or synthetic images are trained on only, and do not count for the quotas.

    Args:
      curated: columns `image`, `sha256`, `phash`, `group`, `label`, `subclass`, `origin`.
      lineage: of the base.
      val, test: share of a class's groups of real images.
    """
    rows = curated.sort_values("image", ignore_index=True)
    rows = rows.assign(own=rows["sha256"].map(lineage.set_index("sha256")["role"]).astype("str"))
    tie = _ties(rows, lineage, near_duplicate_distance)
    sides = pd.concat(
        [
            pd.DataFrame({"tie": tie[: len(rows)], "role": rows["own"].to_numpy()}),
            pd.DataFrame({"tie": tie[len(rows) :], "role": lineage["role"].to_numpy()}),
        ]
    ).dropna()
    by_tie = sides.drop_duplicates().sort_values("role").astype({"role": "str"}).groupby("tie")["role"]
    number = by_tie.nunique()
    rows["tie"] = tie[: len(rows)]
    rows["set"] = rows["own"].fillna(rows["tie"].map(by_tie.first().where(number == 1)).astype("str"))

    new = ~rows["tie"].isin(number.index)
    rows.loc[new, "set"] = _fill_quotas(rows, new, val=val, test=test, salt=salt)

    rows["reason"] = ""
    between = rows["set"].isna()  # only rule 3 leaves an image without a set
    rows.loc[between, "reason"] = "ties " + rows.loc[between, "tie"].map(by_tie.agg(" and ".join)).astype("str")
    benchmark = rows["set"].str.startswith(PREFIX, na=False)
    rows.loc[benchmark, "reason"] = "belongs with " + rows.loc[benchmark, "set"]
    left_out = between | benchmark
    return Assigned(
        rows.loc[~left_out, COLUMNS].reset_index(drop=True),
        rows.loc[left_out, [*COLUMNS[:-1], "reason"]].reset_index(drop=True),
    )


def unmeasured(assigned: pd.DataFrame) -> dict[str, list[str]]:
    """The classes that have no image in a set, for each of train, val and test that misses any."""
    counts = assigned.groupby(["label", "set"]).size().unstack(fill_value=0).reindex(columns=SETS, fill_value=0)
    missing = {name: sorted(counts.index[counts[name] == 0]) for name in SETS}
    return {name: classes for name, classes in missing.items() if classes}


def _ties(rows: pd.DataFrame, lineage: pd.DataFrame, distance: int) -> np.ndarray:
    """The component of each curated image, then of each lineage row, under: same group, same content, near hash."""
    both = pd.concat([rows[["sha256", "phash", "group"]], lineage[["sha256", "phash"]]], ignore_index=True)
    pairs = [
        duplicates.same_pairs(both["group"].fillna("")),
        duplicates.same_pairs(both["sha256"]),
        duplicates.near_hash_pairs(both["phash"], distance),
    ]
    return duplicates.connected(len(both), np.concatenate(pairs))


def _fill_quotas(rows: pd.DataFrame, new: pd.Series, *, val: float, test: float, salt: str) -> pd.Series:
    groups = (
        rows.assign(real=rows["origin"] == "real")
        .groupby("tie")
        .agg(
            label=("label", "first"),
            subclass=("subclass", "first"),
            name=("sha256", "min"),
            real=("real", "all"),
            known=("set", "first"),
        )
    )
    groups["new"] = groups.index.isin(rows.loc[new, "tie"])
    groups["position"] = [hashlib.sha256(f"{salt}:{name}".encode()).hexdigest() for name in groups["name"]]
    groups["set"] = groups["known"]
    groups.loc[groups["new"], "set"] = "train"
    for _, members in groups.groupby("label"):
        free = members[members["new"] & members["real"]].sort_values(["subclass", "position"]).index
        known = members["known"].value_counts()
        staged = members["new"] & ~members["real"]
        spare = len(free) - (0 if "train" in known or staged.any() else 1)  # few groups: train, then test, then val
        for name, share in (("test", test), ("val", val)):
            quota = max(1, round(share * members["real"].sum())) - known.get(name, 0)
            for_val = 1 if name == "test" and spare > 1 and "val" not in known else 0
            picked = _evenly(free, min(quota, spare - for_val))
            groups.loc[picked, "set"] = name
            free, spare = free.difference(picked, sort=False), spare - len(picked)
    return rows.loc[new, "tie"].map(groups["set"])


def _evenly(items: pd.Index, number: int) -> pd.Index:
    """`number` of `items` at even distances: systematic sampling, which keeps the shares of a sorted list."""
    if number <= 0:
        return items[:0]
    return items[((np.arange(number) + 0.5) * len(items) / number).astype(int)]
