"""Merges the label table of two git branches by image: git calls this program where both have edited it.

`install` tells git so. Tables that only grow are united by git itself (`ATTRIBUTES`).
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.files import write_text
from pipeline.library import labels
from pipeline.library.tables import read_csv
from pipeline.repository import dvc

DRIVER = "wallaby-labels"
ATTRIBUTES = (
    f"data/labels.csv merge={DRIVER}\n"
    "data/classes.csv merge=union\n"
    "data/quarantine.csv merge=union\n"
    "data/roots.csv merge=union\n"
    "data/tries.csv merge=union\n"
    "data/reviews/*.csv merge=union\n"
)
KEY = "image"


def install(root: Path) -> None:
    """Names the driver in the configuration of the git repository around `root`, if there is one."""
    if dvc.git(root, "rev-parse", "--is-inside-work-tree"):
        program = shlex.join([sys.executable, "-m", "pipeline.repository.merging"])
        dvc.git(root, "config", f"merge.{DRIVER}.name", "label tables, image by image")
        dvc.git(root, "config", f"merge.{DRIVER}.driver", f"{program} %O %A %B %P")


def merge(base: pd.DataFrame, ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of both branches; where both changed an image differently, our row, and the image's name beside.

    Args:
      base, ours, theirs: label tables with unique images; a column that one lacks is empty there.

    Returns:
      The table, sorted by image, and the images on which the branches differ, sorted.
    """
    columns = list(dict.fromkeys([*ours.columns, *theirs.columns]))
    tables = [table.set_index(KEY).reindex(columns=columns[1:], fill_value="") for table in (base, ours, theirs)]
    images = sorted(set(tables[1].index) | set(tables[2].index) | set(tables[0].index))
    before, mine, other = (
        table.assign(there=True).reindex(images).fillna({"there": False}).fillna("") for table in tables
    )
    same_as_before = (mine == before).all(axis=1)
    changed_there = (other != before).any(axis=1)
    conflict = ~same_as_before & changed_there & (mine != other).any(axis=1)
    merged = mine.where(~same_as_before, other)
    merged = merged[merged["there"].astype(bool)].drop(columns="there")
    return merged.rename_axis(KEY).reset_index()[columns], list(conflict.index[conflict])


def main(argv: Sequence[str]) -> int:
    """Merges as git asks for it: `%O %A %B %P`; writes into the second file.

    Returns:
      0, or 1 where the branches differ on an image: the table then has both rows between git's marks.
    """
    base, ours, theirs = (read_csv(Path(file), []) if Path(file).stat().st_size else None for file in argv[:3])
    if ours is None or theirs is None:  # not a table on one side: left to people
        return 1
    base = ours.head(0) if base is None else base  # both branches have added the table
    merged, conflicts = merge(base, ours, theirs)
    if not conflicts:
        labels.write(merged.reindex(columns=labels.COLUMNS, fill_value=""), Path(argv[1]))
        return 0
    write_text(_marked(merged, theirs, conflicts), Path(argv[1]))
    place = argv[3] if len(argv) > 3 else "labels.csv"
    print(f"{place}: both branches changed {len(conflicts)} images differently, first {conflicts[0]}", file=sys.stderr)
    return 1


def _marked(merged: pd.DataFrame, theirs: pd.DataFrame, conflicts: list[str]) -> str:
    """The table with both rows of each conflict between git's marks; a row that a branch has removed is missing."""
    theirs = theirs.reindex(columns=merged.columns, fill_value="").set_index(KEY, drop=False)
    ours = merged.set_index(KEY, drop=False)
    lines = [",".join(merged.columns) + "\n"]
    for image in sorted({*ours.index, *conflicts}):
        mine, other = (_line(table, image) for table in (ours, theirs))
        lines.append(f"<<<<<<< ours\n{mine}=======\n{other}>>>>>>> theirs\n" if image in conflicts else mine)
    return "".join(lines)


def _line(table: pd.DataFrame, image: str) -> str:
    if image not in table.index:
        return ""
    return table.loc[[image]].to_csv(index=False, header=False, lineterminator="\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
