"""The queue as a spreadsheet and back."""

from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.files import read_json, read_table
from pipeline.library import sheets
from pipeline.review.decisions import BAD, COLUMNS, KEEP, LABEL, UNKNOWN
from pipeline.review.recipes import RECIPES

SHEET_COLUMNS = ["decision", "image", "recipe", "group", "rank", "label", "score", "reason", "sha256"]
ACCEPT, SKIP = "yes", ""


def names(folder: Path) -> list[str]:
    """The recipes whose tables lie in the folder of a queue, in the order in which they run, others behind."""
    present = {path.stem for path in folder.glob("*.parquet")}
    known = [recipe.name for recipe in RECIPES if recipe.name in present]
    return known + sorted(present.difference(known))


def queues(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of a queue, by recipe: those of a round, or those that a throw-away run made.

    Raises:
      DataError: if there is none.
    """
    tables = {name: read_table(folder / f"{name}.parquet") for name in names(folder)}
    if not tables:
        raise DataError("there is no queue", where=folder, mend="run `dvc repro`")
    return tables


def groups(folder: Path) -> pd.DataFrame:
    """The near-duplicate `group` of every `image` of a queue; empty where there is none."""
    columns = ["image", "group"]
    tables = [read_table(file, columns, optional=["near_duplicates"]) for file in sorted(folder.glob("*.parquet"))]
    tables = [table.assign(group=table.get("near_duplicates", table["group"]))[columns] for table in tables]
    return pd.concat([pd.DataFrame(columns=columns, dtype="str"), *tables])


def model_digest(folder: Path) -> str:
    """The model whose suggestions a queue shows: its predictions lie beside."""
    return read_json(folder.parent / "predictions" / "summary.json")["model"]


def to_sheet(queues: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The queues as one sheet for a spreadsheet; people fill its column `decision`."""
    rows = [table.assign(recipe=name, decision="") for name, table in queues.items()]
    return pd.concat(rows, ignore_index=True)[SHEET_COLUMNS]


def for_people(sheet: pd.DataFrame, folders: dict[str, Path]) -> pd.DataFrame:
    """The sheet as people open it: with a `link` to each image, and no cell that a spreadsheet would execute."""
    return sheets.inert(sheet.assign(link=sheets.links(sheet["image"], folders)))


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


def as_decisions(answers: pd.DataFrame) -> pd.DataFrame:
    """Decisions (`decisions.COLUMNS`) from what people wrote: `yes`, a class, `unknown`, `bad` or `keep`.

    Args:
      answers: columns `answer`, `label` (the suggestion), and any of a decision's.
    """
    answer = answers["answer"].str.strip()
    word = answer.str.lower()
    decision = word.where(word.isin([UNKNOWN, BAD, KEEP]), LABEL)
    label = answer.mask(word == ACCEPT, answers["label"]).where(decision == LABEL, "")
    rows = answers.assign(decision=decision, suggested=answers["label"], label=label)
    rows = rows.reindex(columns=COLUMNS, fill_value="")
    return rows.assign(subclass=rows["subclass"].fillna("").where(decision == LABEL, ""))
