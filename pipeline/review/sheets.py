"""The queue as a spreadsheet and back."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import DataError, UsageError
from pipeline.files import read_json, read_table, write_csv
from pipeline.library import labels
from pipeline.review import contents, decisions
from pipeline.review.decisions import BAD, COLUMNS, KEEP, LABEL, UNKNOWN
from pipeline.review.near_cutoff import RECIPE as NEAR_CUTOFF
from pipeline.review.recipes import RECIPES

SHEET_COLUMNS = ["decision", "image", "recipe", "group", "rank", "label", "score", "reason", "sha256"]
ACCEPT, SKIP = "yes", ""


@dataclass(frozen=True)
class Taken:
    """The review table that was written, if any; its number of decisions; and the images of which no file has the
    content any more that was decided on: these decisions are left out."""

    file: Path | None
    number: int
    missing: list[str]


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
    sheet = to_sheet(queues(folder))
    write_csv(sheet, path)
    return len(sheet)


def take(path: Path, folder: Path = paths.QUEUE, *, by: str, at: str) -> Taken:
    """Takes a filled sheet of the queue of `folder` as a review table; each decision lands on the image that has today
    the content of its row.

    Raises:
      UsageError: without a reviewer's name, or if the sheet is another queue's, which another model has suggested.
      DataError: with file and row, if no decision is filled in, an image has an unknown root, a content hash was
        changed, or a class is called like another word of a decision (no, label, undo).
    """
    if not by:
        raise UsageError("who decided?", mend="--by NAME")
    sheet = labels.read_csv(path, ["decision", "image"])
    found = from_sheet(sheet, path, by=by, at=at, model=model_digest(folder))
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
    found = decisions.check_new(found, names, path, session=path.stem).assign(id="")  # it is named where it lands
    labels.check_spelling(found, path, known=labels.read(paths.LABELS, names)["label"])
    landed = contents.land(found)
    file = decisions.write(landed.rows, paths.REVIEWS, path.stem) if len(landed.rows) else None
    return Taken(file, len(landed.rows), landed.gone["image"].tolist())


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
    rows = said.assign(decision=decision, suggested=said["label"], label=label).reindex(columns=COLUMNS, fill_value="")
    return rows.assign(subclass=rows["subclass"].fillna("").where(decision == LABEL, ""))
