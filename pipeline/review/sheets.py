"""The queue as a spreadsheet and back; and the reviews' way into the label table."""

from pathlib import Path

import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import DataError, UsageError
from pipeline.files import read_json, read_table, write_csv
from pipeline.library import benchmarks, labels
from pipeline.review import decisions
from pipeline.review.decisions import Applied
from pipeline.review.recipes import RECIPES


def queues() -> dict[str, pd.DataFrame]:
    """The recipes' tables, by name.

    Raises:
      DataError: if the last round made none.
    """
    return {recipe.name: read_table(paths.QUEUE / f"{recipe.name}.parquet") for recipe in RECIPES}


def model_digest() -> str:
    """The model whose suggestions the queue shows."""
    return read_json(paths.PREDICTIONS / "summary.json")["model"]


def write(path: Path) -> int:
    """Writes the queue with an empty column `decision`; returns its number of rows.

    Raises:
      UsageError: if the file exists: it may hold decisions.
    """
    if path.exists():
        raise UsageError("the file exists and may hold decisions", where=path, mend="name another file")
    sheet = decisions.to_sheet(queues())
    write_csv(sheet, path)
    return len(sheet)


def take(path: Path, *, by: str, at: str) -> tuple[Path, int]:
    """Takes a filled sheet as a review table; returns the table's file and its number of decisions.

    Raises:
      UsageError: without a reviewer's name.
      DataError: if no decision is filled in, or an image has an unknown root.
    """
    if not by:
        raise UsageError("who decided?", mend="--by NAME")
    sheet = labels.read_csv(path, ["decision", "image"])
    found = decisions.from_sheet(sheet, path, by=by, at=at, model=model_digest())
    if found.empty:
        raise DataError(
            "no row has a decision", where=path, mend="fill the column with yes, a class, keep, unknown or bad"
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
