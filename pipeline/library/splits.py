"""Splits: train, val and test by group; sticky through the base's lineage, stratified by class and sub-class."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.library import curation, duplicates
from pipeline.library.benchmarks import PREFIX

COLUMNS = [*curation.COLUMNS, "set", "cluster", "torn"]
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
      2. A group that is tied to one side of the lineage (same content, near-duplicate, burst, kept together) joins it.
      3. A new image that ties two sides together is left out and named; so is one tied to a benchmark.
      4. New groups fill each class's quotas of test and val, spread over sub-classes, in the order of a salted hash;
         groups with staged or synthetic images are trained on only, and do not count for the quotas.

    Args:
      curated: `curation.COLUMNS`.
      lineage: of the base.
      val, test: share of a class's groups of real images.
    """
    rows = curated.sort_values("image", ignore_index=True)
    rows = rows.assign(own=rows["sha256"].map(lineage.set_index("sha256")["role"]).astype("str"))
    tie = _ties(rows, lineage, near_duplicate_distance)
    rows["tie"] = tie[: len(rows)]
    sides = pd.DataFrame(
        {
            "tie": tie,
            "role": np.concatenate([rows["own"].to_numpy(dtype=object), lineage["role"].to_numpy(dtype=object)]),
        }
    )
    sides = sides.dropna().drop_duplicates().sort_values("role")
    several = sides["tie"].duplicated(keep=False)
    side = sides[~several].set_index("tie")["role"]
    rows["set"] = rows["own"].fillna(rows["tie"].map(side).astype("str"))

    new = ~rows["tie"].isin(sides["tie"])
    rows.loc[new, "set"] = _fill_quotas(rows, new, val=val, test=test, salt=salt)

    rows["reason"] = ""
    between = rows["set"].isna()  # only rule 3 leaves an image without a set
    torn = sides[several & sides["tie"].isin(rows.loc[between, "tie"])].groupby("tie")["role"].agg(" and ".join)
    rows.loc[between, "reason"] = "ties " + rows.loc[between, "tie"].map(torn).astype("str")
    benchmark = rows["set"].str.startswith(PREFIX, na=False)
    rows.loc[benchmark, "reason"] = "belongs with " + rows.loc[benchmark, "set"]
    left_out = between | benchmark
    return Assigned(
        rows.loc[~left_out, [*curation.COLUMNS, "set"]].reset_index(drop=True),
        rows.loc[left_out, [*curation.COLUMNS, "reason"]].reset_index(drop=True),
    )


def with_clusters(rows: pd.DataFrame, lineage: pd.DataFrame) -> pd.DataFrame:
    """Adds to each image its `cluster`, and whether it is `torn`.

    A cluster is all that belongs together: one independent observation. A near hash that no second look has confirmed
    keeps images on one side, and makes them no cluster. Torn is an image of val, test or a benchmark
    that belongs together with one that is trained on, today or by an ancestor: an older round, which knew no bursts,
    has put them on two sides, where they stay. It says nothing of how good a model is, and leaves every figure.

    Args:
      rows: of all sets, `curation.COLUMNS` and `set`.
      lineage: of the base.
    """
    tie = _ties(rows, lineage)
    today, before = tie[: len(rows)], tie[len(rows) :]
    trained = {*today[(rows["set"] == "train").to_numpy()], *before[(lineage["role"] == "train").to_numpy()]}
    torn = (rows["set"] != "train") & np.isin(today, list(trained))
    return rows.assign(cluster=duplicates.name(rows["sha256"], today), torn=torn)


def untorn(rows: pd.DataFrame) -> pd.DataFrame:
    """The images that a model may be trained, validated and measured on; tables of earlier years have none torn."""
    return rows[~rows["torn"]] if "torn" in rows else rows


def unmeasured(assigned: pd.DataFrame) -> dict[str, list[str]]:
    """The classes that have no image in a set, for each of train, val and test that misses any."""
    counts = assigned.groupby(["label", "set"]).size().unstack(fill_value=0).reindex(columns=SETS, fill_value=0)
    missing = {name: sorted(counts.index[counts[name] == 0]) for name in SETS}
    return {name: classes for name, classes in missing.items() if classes}


def leakage(rows: pd.DataFrame, lineage: pd.DataFrame, left_out: pd.DataFrame) -> dict[str, Any]:
    """The leakage report: what became of every image that the base or an ancestor has seen.

    Args:
      rows: today's sets, benchmarks included.
      left_out: images that tie two sides together, with `reason`.
    """
    role = rows["sha256"].map(lineage.set_index("sha256")["role"]).astype("str")
    kept = rows.loc[role.notna(), "set"].value_counts().sort_index()
    new = rows.loc[role.isna(), "set"].value_counts().sort_index()
    gone = lineage[~lineage["sha256"].isin(rows["sha256"])]
    return {
        "lineage_images": len(lineage),
        "kept_their_set": {name: int(number) for name, number in kept.items()},
        "new": {name: int(number) for name, number in new.items()},
        "not_used_today": {name: int(number) for name, number in gone["role"].value_counts().sort_index().items()},
        "left_out": {reason: int(number) for reason, number in left_out["reason"].value_counts().sort_index().items()},
        "changed_sides": 0,  # any other number has been refused before
    }


def _ties(rows: pd.DataFrame, lineage: pd.DataFrame, distance: int | None = None) -> np.ndarray:
    """The component of each curated image, then of each lineage row.

    They are tied by today's group, by today's bursts and those of the lineage, equal content, what people keep
    together, and near hashes, if a distance is given.
    """
    columns = ["sha256", "phash", "together"]
    both = pd.concat([rows[["group", "burst", *columns]], lineage[columns]], ignore_index=True)
    before = np.concatenate([np.full(len(rows), ""), lineage["burst"].to_numpy(dtype=object)])
    pairs = [
        duplicates.same_pairs(both["group"].fillna("")),
        duplicates.same_pairs(both["burst"].fillna("")),
        duplicates.same_pairs(pd.Series(before, dtype="str")),
        duplicates.same_pairs(both["sha256"]),
        duplicates.same_pairs(both["together"]),
    ]
    if distance is not None:
        pairs.append(duplicates.near_hash_links(both["phash"], distance))
    return duplicates.connected(len(both), np.concatenate(pairs))


def _fill_quotas(rows: pd.DataFrame, new: pd.Series, *, val: float, test: float, salt: str) -> pd.Series:
    groups = (
        rows.assign(real=rows["origin"] == "real")
        .sort_values(["label", "subclass"], kind="stable")  # a group of two classes counts for the first
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
    groups = groups.sort_values(["label", "subclass", "position"])
    groups["set"] = groups["known"].mask(groups["new"], "train")

    is_free = (groups["new"] & groups["real"]).to_numpy()
    counted = {name: groups["known"] == name for name in SETS} | {"staged": groups["new"] & ~groups["real"]}
    counts = groups[["label", "real"]].assign(**counted).groupby("label").sum()
    sets = groups["set"].to_numpy(dtype=object)
    labels = groups["label"].to_numpy()
    edges = np.append(np.flatnonzero(np.r_[len(labels) > 0, labels[1:] != labels[:-1]]), len(labels))
    for start, end, of in zip(edges[:-1], edges[1:], counts.itertuples(), strict=True):
        free = start + np.flatnonzero(is_free[start:end])
        trained = of.train or of.staged
        spare = len(free) - (0 if trained else 1)  # few groups: train, then test, then val
        for name, share, known in (("test", test, of.test), ("val", val, of.val)):
            quota = max(1, round(share * of.real)) - known
            for_val = 1 if name == "test" and spare > 1 and not of.val else 0
            picked = _evenly(len(free), min(quota, spare - for_val))
            sets[free[picked]] = name
            free, spare = np.delete(free, picked), spare - len(picked)
    return rows.loc[new, "tie"].map(pd.Series(sets, index=groups.index))


def _evenly(size: int, number: int) -> np.ndarray:
    """`number` places among `size` at even distances: systematic sampling, which keeps the shares of a sorted list."""
    return ((np.arange(max(number, 0)) + 0.5) * size / max(number, 1)).astype(int)
