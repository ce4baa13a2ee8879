"""The queue as a spreadsheet and back."""

from pathlib import Path

import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import DataError, UsageError
from pipeline.files import read_json, read_table, write_csv
from pipeline.library import labels
from pipeline.review import decisions
from pipeline.review.decisions import BAD, COLUMNS, KEEP, LABEL, UNKNOWN
from pipeline.review.recipes import RECIPES

SHEET_COLUMNS = ["decision", "image", "recipe", "group", "rank", "label", "score", "reason", "sha256"]
ACCEPT, SKIP = "yes", ""


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
    sheet = to_sheet(queues())
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
    found = from_sheet(sheet, path, by=by, at=at, model=model_digest())
    if found.empty:
        raise DataError(
            "no row has a decision", where=path, mend="fill the column with yes, a class, keep, unknown or bad"
        )
    names = list(config.load(sections.Roots).folders)
    labels.check_images(found["image"], names, path)
    labels.check_spelling(found, path, known=labels.read(paths.LABELS, names)["label"])
    return decisions.write(found, paths.REVIEWS, path.stem), len(found)


def to_sheet(queues: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The queues as one sheet for a spreadsheet; people fill its column `decision`."""
    rows = [table.assign(recipe=name, decision="") for name, table in queues.items()]
    return pd.concat(rows, ignore_index=True)[SHEET_COLUMNS]


def from_sheet(sheet: pd.DataFrame, source: object, *, by: str, at: str, model: str) -> pd.DataFrame:
    """Decisions from a filled sheet: `yes` accepts the suggestion, a class names another; `unknown`, `bad`, `keep`.

    Raises:
      DataError: if the sheet lacks a column.
    """
    for column in ("decision", "image", "label", "recipe", "sha256"):
        if column not in sheet:
            raise DataError(
                f"column '{column}' is missing", where=source, mend="`wallaby review --sheet FILE` writes a whole one"
            )
    answer = sheet["decision"].str.strip()
    filled = sheet.assign(answer=answer)  # before the rows are chosen: a table without any would take those of `answer`
    filled = filled[answer != SKIP]
    return as_decisions(filled.assign(by=by, at=at, model=model))


def as_decisions(said: pd.DataFrame) -> pd.DataFrame:
    """Decisions (`decisions.COLUMNS`) from what people wrote: `yes`, a class, `unknown`, `bad` or `keep`.

    Args:
      said: columns `answer`, `label` (the suggestion), and any of a decision's.
    """
    answer = said["answer"].str.strip()
    word = answer.str.lower()
    decision = word.where(word.isin([UNKNOWN, BAD, KEEP]), LABEL)
    label = answer.mask(word == ACCEPT, said["label"]).where(decision == LABEL, "")
    rows = said.assign(decision=decision, suggested=said["label"], label=label)
    return rows.reindex(columns=COLUMNS, fill_value="")
