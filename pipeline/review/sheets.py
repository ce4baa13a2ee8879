"""The queue as a spreadsheet and back; and the reviews' way into the label table."""

from pathlib import Path

import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import DataError, UsageError
from pipeline.files import read_json, read_table, write_csv
from pipeline.library import benchmarks, labels
from pipeline.review import decisions
from pipeline.review.decisions import Applied
from pipeline.review.near_cutoff import RECIPE as NEAR_CUTOFF
from pipeline.review.recipes import RECIPES


def queues(folder: Path = paths.QUEUE) -> dict[str, pd.DataFrame]:
    """The tables of a queue, by name: the round's recipes in their order, or those that a throw-away run made.

    Raises:
      DataError: if the last round made none.
    """
    names = [recipe.name for recipe in RECIPES]
    if folder != paths.QUEUE:
        names = sorted(file.stem for file in folder.glob("*.parquet"))
    return {name: read_table(folder / f"{name}.parquet") for name in names}


def model_digest(folder: Path = paths.QUEUE) -> str:
    """The model whose suggestions a queue shows: its predictions lie beside."""
    return read_json(folder.parent / paths.PREDICTIONS.name / "summary.json")["model"]


def write(path: Path, folder: Path = paths.QUEUE) -> int:
    """Writes the queue of `folder` with an empty column `decision`; returns its number of rows.

    Raises:
      UsageError: if the file exists: it may hold decisions.
    """
    if path.exists():
        raise UsageError("the file exists and may hold decisions", where=path, mend="name another file")
    sheet = decisions.to_sheet(queues(folder))
    write_csv(sheet, path)
    return len(sheet)


def take(path: Path, folder: Path = paths.QUEUE, *, by: str, at: str) -> tuple[Path, int]:
    """Takes a filled sheet of the queue of `folder` as a review table; returns its file and its number of decisions.

    Raises:
      UsageError: without a reviewer's name, or if the sheet is another queue's, which another model has suggested.
      DataError: if no decision is filled in, or an image has an unknown root.
    """
    if not by:
        raise UsageError("who decided?", mend="--by NAME")
    sheet = labels.read_csv(path, ["decision", "image"])
    found = decisions.from_sheet(sheet, path, by=by, at=at, model=model_digest(folder))
    if found.empty:
        raise DataError(
            "no row has a decision", where=path, mend="fill the column with yes, a class, keep, unknown or bad"
        )
    if (NEAR_CUTOFF in set(found["recipe"])) != (folder != paths.QUEUE):
        raise UsageError(
            "the sheet is not of this queue",
            where=path,
            mend="--throwaway NAME, if a throw-away made it; without, if the round did",
        )
    names = list(config.load(sections.Roots).folders)
    labels.check_images(found["image"], names, path)
    labels.check_spelling(found, path, known=labels.read(paths.LABELS, names)["label"])
    return decisions.write(found, paths.REVIEWS, path.stem), len(found)


def apply(*, dry_run: bool) -> Applied:
    """Brings every review into the label table."""
    names = list(config.load(sections.Roots).folders)
    applied = decisions.apply(
        labels.read(paths.LABELS, names),
        decisions.read_all(paths.REVIEWS, names),
        benchmarks.read_all(paths.BENCHMARKS, names)["image"],
    )
    if not dry_run and (applied.added or applied.changed):
        labels.write(applied.table, paths.LABELS)
    return applied
