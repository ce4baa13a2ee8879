"""Stage index: scan the roots, verify and hash every image. Always runs; costs little when nothing changed.

A root that had images and has none, or has lost many at once, stops it before anything is written.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline import files, sections, stages
from pipeline.files import write_json, write_table
from pipeline.library import benchmarks, index, labels, look_store, moves, quarantine, roots
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Products:
    """The rows of the library, the pool and the quarantine (`index.COLUMNS`), and what the summary says."""

    library: pd.DataFrame
    pool: pd.DataFrame
    quarantined: pd.DataFrame
    summary: dict[str, Any]


def compute(
    scanned: pd.DataFrame,
    labelled: pd.DataFrame,
    listed: pd.Series,
    *,
    root_names: list[str],
    never_pool: list[str],
    quarantined: pd.DataFrame,
    accepted: frozenset[str],
) -> Products:
    """Divides what was scanned.

    Args:
      scanned: one row per image of all roots.
      labelled: the label table, with the contents that its labels were given to.
      listed: names of the images that are labelled or in a benchmark.
      never_pool: roots whose images are never for the pool: an image of a benchmark must never be trained on.
      quarantined: the quarantine table.
      accepted: keys of the losses that a person has recorded as meant.
    """
    library, pool = index.divide(scanned, listed, never_pool)
    pool, away = quarantine.set_apart(pool, quarantined)
    moved, missing = moves.suggested(labelled, scanned), int((~labelled["image"].isin(scanned["image"])).sum())
    counts = labels.root_of(scanned["image"]).value_counts()
    summary = {
        "roots": {name: int(counts.get(name, 0)) for name in root_names},
        "accepted": sorted(accepted),
        "missing": missing,
        "moved": moved.to_dict("records"),
    }
    return Products(library, pool, away, summary)


def main(workspace: Workspace) -> None:
    params, known = workspace.params(sections.Index), workspace.params(sections.Roots)
    folders, names = workspace.folders, workspace.root_names
    labelled = labels.read(workspace.labels, names)
    listed = pd.concat([labelled["image"], benchmarks.read_all(workspace.benchmarks, names)["image"]])
    meant, written = roots.read(workspace.root_losses), index.written(workspace.index)

    def check(cached: index.Before, scanned: pd.DataFrame) -> None:
        for before in (written, cached):
            roots.refuse(before, scanned, meant, folders, max_missing=params.max_missing, labelled=labelled)
        for line in roots.notes(written.images, scanned, names):
            print(f"index: {line}")

    never_pool = [*known.library, *known.benchmark]
    with look_store.spool(lambda images: index.is_library(images, listed, never_pool)) as spooled:
        scanned = index.scan(
            folders,
            workspace.index_cache,
            max_megapixels=params.max_megapixels,
            check=check,
            accepted=roots.keys(meant),
            spool=spooled.add,
        )
        library = scanned[index.is_library(scanned["image"], listed, never_pool) & (scanned["phash"] != "")]
        look_store.update(
            workspace.looks,
            library.drop_duplicates("sha256").set_index("sha256")["image"],
            spooled,
            lambda image: index.look_of(image, folders, params.max_megapixels),
            version=index.FACTS,
        )
    labelled = note_contents(workspace, scanned)
    made = compute(
        scanned,
        labelled,
        listed,
        root_names=names,
        never_pool=never_pool,
        quarantined=quarantine.read(workspace.quarantine),
        accepted=roots.keys(meant),
    )
    for name, rows in zip(index.TABLES, (made.library, made.pool, made.quarantined), strict=True):
        write_table(rows, workspace.index / name)
    write_json(made.summary, workspace.index / index.SUMMARY)
    moved = pd.DataFrame(made.summary["moved"], columns=moves.COLUMNS)
    for line in [*moves.sentences(moved), *moves.lost(made.summary["missing"] - int(moved["images"].sum()))]:
        print(f"index: {line}")
    failed = int((made.library["failure"] != "").sum()), int((made.pool["failure"] != "").sum())
    away = len(made.quarantined)
    print(
        f"index: {len(made.library)} in the library ({failed[0]} unusable), {len(made.pool)} in the pool"
        f" ({failed[1]} unusable)" + (f", {away} in quarantine" if away else "")
    )


def note_contents(workspace: Workspace, scanned: pd.DataFrame) -> pd.DataFrame:
    """Fills in, in the label table and the benchmarks, the contents of rows that have none; returns the label table."""
    with files.in_turn(workspace.labels_lock, str(workspace.labels)):
        table = labels.read(workspace.labels, workspace.root_names)
        filled = labels.with_contents(table, scanned)
        if noted := int((filled["sha256"] != table["sha256"]).sum()):
            labels.write(filled, workspace.labels)
            print(f"index: noted in {workspace.labels} which content each of {noted} labels was given to")
        if noted := benchmarks.note_contents(workspace.benchmarks, scanned):
            print(f"index: noted in {workspace.benchmarks} which content each of {noted} labels was given to")
    return filled


if __name__ == "__main__":
    stages.run("index", main)
