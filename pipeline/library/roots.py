"""Roots that had images and have lost them: an unmounted folder must not pass for an empty one.

What a root had is what the last index wrote, and what the cache of its scan holds. A loss that is meant is recorded in
`data/roots.csv`; a row accepts the loss down to what was left when it was written, for the next index alone: what an
index has seen of the table is kept with what it writes.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError, ResumableError
from pipeline.files import write_csv
from pipeline.library import cells, index, labels, moves
from pipeline.library.index import Before
from pipeline.library.tables import read_csv, where

COLUMNS = ["name", "images", "left", "by", "at", "note"]
LOSS_COLUMNS = ["name", "images", "there", "present", "vanished"]
NAMES = 3  # roots named in a message


def read(path: Path) -> pd.DataFrame:
    """Reads the losses that people meant; every column is text. Without a file, there are none.

    Raises:
      DataError: with file and row, for a row without a name, whose `left` is no number, or whose time is none.
    """
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS, dtype="str")
    table = read_csv(path, COLUMNS[:1]).reindex(columns=COLUMNS, fill_value="")
    wrong = table.index[(table["name"] == "") | (table["at"] == "") | ~table["left"].str.fullmatch(r"\d+")]
    if len(wrong):
        what, mend = "a row without name, number or time", "remove the row: `wallaby roots empty` writes whole ones"
        raise DataError(what, where=where(path, table.index, wrong[0]), mend=mend)
    cells.check(table, path)
    return table.reset_index(drop=True)


def add(table: pd.DataFrame, losses: pd.DataFrame, path: Path, *, by: str, at: str, note: str) -> None:
    """Records that these losses (`LOSS_COLUMNS`) are meant."""
    rows = losses[["name", "images", "there"]].rename(columns={"there": "left"}).astype("str")
    write_csv(pd.concat([table, rows.assign(by=by, at=at, note=note)])[COLUMNS], path)


def keys(table: pd.DataFrame) -> frozenset[str]:
    """What the rows of the table are called."""
    return frozenset(table["name"] + " " + table["at"])


def losses(before: pd.DataFrame, scanned: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """What each root had and has, for the roots that had images.

    Args:
      before, scanned: columns `image`, `sha256`.
      names: of the roots.

    Returns:
      `LOSS_COLUMNS`: `images` it had; how many of them are `there` under their names; how many it has at `present`;
      and how many have `vanished`: their names are gone, and their contents are nowhere.
    """
    had, has = labels.root_of(before["image"]), labels.root_of(scanned["image"])
    there = before["image"].isin(scanned["image"])
    vanished = ~there & ~before["sha256"].isin(set(scanned["sha256"]) - {""})
    counts = {
        "images": had.value_counts(),
        "there": had[there].value_counts(),
        "present": has.value_counts(),
        "vanished": had[vanished].value_counts(),
    }
    table = pd.DataFrame(counts, index=pd.Index(list(names), name="name")).fillna(0).astype(int)
    return table[table["images"] > 0].reset_index()


def known(index_folder: Path, cache: Path) -> list[Before]:
    """What the roots had: by the last index, and by the cache of its scan, which other copies share."""
    return [index.written(index_folder), index.cached(cache)]


def standing(states: list[Before], there: pd.Series, names: Iterable[str]) -> pd.DataFrame:
    """What each root had by `known`, and what is left of it, by names alone (`LOSS_COLUMNS`, without contents).

    Args:
      there: the names of the files that are there.
    """
    names = list(names)
    files = pd.DataFrame({"image": there, "sha256": ""})
    found = pd.concat([losses(state.images, files, names) for state in states])
    table = found.groupby("name")[["images", "there", "present", "vanished"]].agg(
        {"images": "max", "there": "min", "present": "max", "vanished": "max"}
    )
    return table.reindex([name for name in names if name in table.index]).reset_index()


def refuse(
    before: Before,
    scanned: pd.DataFrame,
    table: pd.DataFrame,
    folders: dict[str, Path],
    *,
    max_missing: float,
    labelled: pd.DataFrame,
) -> None:
    """Stops before a loss that nobody has said is meant.

    Args:
      before: what the roots had.
      scanned: what they have.
      table: the losses that people meant, as `read`; rows that `before` has seen count no more.
      folders: of the roots.
      max_missing: share of a root's images that may vanish at once.
      labelled: the label table, for where its images lie now.

    Raises:
      ResumableError: for a root that had images and has none, or has lost more than that share.
    """
    found = losses(before.images, scanned, folders)
    fresh = table[~(table["name"] + " " + table["at"]).isin(before.accepted)]
    least = fresh["left"].astype(int).groupby(fresh["name"]).min().reindex(found["name"]).to_numpy()
    bad = (found["present"] == 0) | (found["vanished"] > max_missing * found["images"])
    bad &= ~(found["there"] >= least)  # without a row there is nothing that it could be compared with
    if not bad.any():
        return
    rows = found[bad].head(NAMES).to_dict("records")
    more = f", and {bad.sum() - len(rows)} more roots" if bad.sum() > len(rows) else ""
    meant = " and ".join(f"`wallaby roots empty {row['name']}`" for row in rows)
    elsewhere = moves.suggested(labels.with_contents(labelled, before.images), scanned).head(1)
    moved = "".join(f"; `{moves.command(row.old, row.new)}` if it was moved" for row in elsewhere.itertuples())
    raise ResumableError(
        "; ".join(_said(row, folders[row["name"]]) for row in rows) + more,
        where=", ".join(str(folders[row["name"]]) for row in rows),
        mend=f"mount it and run the same command again{moved}; if this is meant, {meant}, and again",
    )


def notes(before: pd.DataFrame, scanned: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """What roots have lost since the last index, in sentences."""
    found = losses(before, scanned, names)
    return [
        f"root '{row.name}' has lost {row.vanished} of the {row.images} images that it had"
        for row in found[found["vanished"] > 0].itertuples(index=False)
    ]


def _said(row: dict, folder: Path) -> str:
    name, number = row["name"], row["images"]
    if not folder.is_dir():
        return f"the folder of root '{name}' is not there; it had {number} images"
    if row["present"] == 0:
        return f"root '{name}' is empty; it had {number} images"
    return f"root '{name}' has lost {row['vanished']} of its {number} images at once"
