"""Lineage: every image that a model, or any ancestor of it, was trained, validated or tested on, and in which role.

It travels with the model. Without it a warm start followed by a fresh split would test the model on what its
ancestors learnt, and accuracy would rise by itself, round after round.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import LeakageError
from pipeline.files import read_table
from pipeline.library import duplicates
from pipeline.library.benchmarks import PREFIX

TIES = ["burst", "evidence"]
TEXTS = ["sha256", "phash", "group", "together", *TIES, "role"]
COLUMNS = [*TEXTS, "first_round", "last_round"]


def empty() -> pd.DataFrame:
    """The lineage of a model that has seen nothing."""
    return pd.DataFrame({name: pd.Series(dtype=str if name in TEXTS else int) for name in COLUMNS})


def read(path: Path) -> pd.DataFrame:
    """Reads a lineage; one that was written before bursts were found has none.

    Raises:
      DataError: if it cannot be read.
    """
    return with_ties(read_table(path))


def extend(lineage: pd.DataFrame, splits: pd.DataFrame, *, round_: int) -> pd.DataFrame:
    """Adds today's sets; an image that is known keeps its role, its hash and the round in which it was first seen.

    It keeps its burst and the evidence for it, too: what has once decided its place is never computed again.

    Args:
      splits: columns `sha256`, `phash`, `group`, `together` and `set`; `burst` and `evidence` where they are known.
      round_: that of the model which is trained on them.
    """
    today = with_ties(splits).drop_duplicates("sha256").set_index("sha256")
    seen = lineage["sha256"].isin(today.index)
    known = lineage.assign(last_round=lineage["last_round"].where(~seen, round_))
    together = known["sha256"].map(today["together"]).astype("str")
    known["together"] = together.where(together.fillna("") != "", known["together"])  # as people say now
    had_none = known["burst"] == ""
    for name in TIES:
        known[name] = known[name].mask(had_none, known["sha256"].map(today[name]).astype("str").fillna(""))
    new = today[~today.index.isin(lineage["sha256"])].rename(columns={"set": "role"}).reset_index()
    new = new.assign(first_round=round_, last_round=round_)
    return pd.concat([known, new])[COLUMNS].sort_values("sha256", ignore_index=True)


def with_ties(table: pd.DataFrame) -> pd.DataFrame:
    """The table with columns `TIES`, "" where it was written before bursts were found."""
    return table.assign(**{name: "" for name in TIES if name not in table})


def overlaps(splits: pd.DataFrame, lineage: pd.DataFrame, *, near_duplicate_distance: int) -> pd.DataFrame:
    """Finds images that would change sides.

    An image changes sides if it had another role in the lineage; if it is new, and a near-duplicate had another role
    there or is in another set today; or if its content stands in two of today's sets. All benchmarks are one side, so
    that a set can be renamed.

    Returns:
      Columns `image`, `set`, `role` (the other side).
    """
    twice = splits.merge(splits, on="sha256", suffixes=("", "_other"))
    twice = twice[twice["set"] != twice["set_other"]].rename(columns={"set_other": "role"})

    own = splits["sha256"].map(lineage.set_index("sha256")["role"]).astype("str")
    moved = splits.assign(role=own)[own.notna() & (_side(own) != _side(splits["set"]))]

    new = splits[own.isna()]
    roles = pd.concat([splits[["phash", "set"]].rename(columns={"set": "role"}), lineage[["phash", "role"]]])
    near = new.merge(_near_hashes(roles["phash"], near_duplicate_distance), on="phash")
    near = near.merge(roles.drop_duplicates(), left_on="near_phash", right_on="phash", suffixes=("", "_other"))
    near = near[_side(near["role"]) != _side(near["set"])]

    found = pd.concat([frame[["image", "set", "role"]] for frame in (twice, moved, near)])
    return found.drop_duplicates().sort_values(["set", "image"], ignore_index=True)


def refuse_overlaps(splits: pd.DataFrame, lineage: pd.DataFrame, *, near_duplicate_distance: int) -> None:
    """Refuses a split in which an image would change sides (see `overlaps`).

    Raises:
      LeakageError: if any image would change sides; it names the first three.
    """
    found = overlaps(splits, lineage, near_duplicate_distance=near_duplicate_distance)
    if len(found):
        some = "; ".join(f"{row.image} ({row.role} -> {row.set})" for row in found.head(3).itertuples())
        raise LeakageError(
            f"{found['image'].nunique()} images would change sides, and the scores would lie",
            where=f"{some}{'; ...' if len(found) > 3 else ''}",
            mend="take them out of the benchmark set, or start again from `wallaby init-base`, which has seen nothing",
        )


def _side(roles: pd.Series) -> pd.Series:
    return roles.where(~roles.str.startswith(PREFIX, na=False), PREFIX)


def _near_hashes(phashes: pd.Series, distance: int) -> pd.DataFrame:
    """Each non-empty hash (`phash`) with every hash near to it (`near_phash`), itself among them."""
    unique = phashes[phashes != ""].drop_duplicates()
    pairs = duplicates.near_hash_pairs(unique, distance)
    itself = np.repeat(np.arange(len(unique))[:, None], 2, axis=1)
    both_ways = np.concatenate([itself, pairs, pairs[:, ::-1]])
    return pd.DataFrame({"phash": unique.to_numpy()[both_ways[:, 0]], "near_phash": unique.to_numpy()[both_ways[:, 1]]})
