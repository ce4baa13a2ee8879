"""The queue in other tools, and their answers as decisions: Label Studio, FiftyOne, folders of links."""

import json
import os
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError, UsageError
from pipeline.files import write_text
from pipeline.library import cells, label_studio, labels
from pipeline.review import fiftyone_table, link_folders, spreadsheets
from pipeline.review.decisions import BAD, KEEP, LABEL, UNKNOWN

LABEL_STUDIO, FIFTYONE, FOLDERS, SHEET = "label-studio", "fiftyone", "folders", ""
FORMATS = [LABEL_STUDIO, FIFTYONE, FOLDERS]
WORDS = [UNKNOWN, BAD, KEEP]


def write(queue: pd.DataFrame, format_: str, path: Path, *, classes: list[str], folders: dict[str, Path]) -> str:
    """Writes a queue for one of the tools (`FORMATS`), the least certain image first; returns what to do there.

    Args:
      queue: columns `spreadsheets.SHEET_COLUMNS` and `model`.
      classes: those that people may name, besides the ones that the queue suggests.
      folders: every root's folder, by name.
    """
    queue = queue.sort_values(["score", "image"], na_position="first", ignore_index=True)
    names = sorted({*classes, *queue["label"]} - {""})
    take = f"wallaby review --take {path} --by YOUR-NAME"
    if format_ == LABEL_STUDIO:
        base = os.path.commonpath([os.path.abspath(folder.parent) for folder in folders.values()])
        write_text(json.dumps(_tasks(queue, base, folders), ensure_ascii=False, indent=1) + "\n", path)
        write_text(label_studio.interface([*names, *WORDS]), path.with_suffix(".xml"))
        start = f"start Label Studio with LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={base}"
        return f"{start}\nimport it there, with {path.with_suffix('.xml')} as interface; its export: {take}"
    if format_ == FIFTYONE:
        fiftyone_table.write(queue, path, folders)
        take = take.replace(str(path), str(path / fiftyone_table.ANSWERS))
        return f"in {path}: python {fiftyone_table.LOADER}; then: {take}"
    link_folders.write(queue, path, folders, [*names, *WORDS])
    return f"drag pictures, or whole folders, to {path / link_folders.DECIDED}; then: {take}"


def recognise(path: Path) -> str:
    """Which tool's answers these are; "" for a sheet.

    Raises:
      DataError: if they are none.
    """
    if path.is_dir():
        for name, format_ in ((link_folders.LIST, FOLDERS), (fiftyone_table.ANSWERS, FIFTYONE)):
            if (path / name).exists():
                return format_
        advice = "name what `wallaby review --out folders` wrote, or a file"
        raise DataError("a folder without answers", where=path, mend=advice)
    if not path.exists():
        raise DataError("it does not exist", where=path, mend="name a filled sheet, an export or a folder")
    with path.open("rb") as file:
        head = file.read(1000).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] in (b"[", b"{"):
        return LABEL_STUDIO
    return FIFTYONE if b"filepath" in head.partition(b"\n")[0] else SHEET


def read(path: Path, format_: str, *, classes: pd.Series, by: str, at: str) -> pd.DataFrame:
    """A tool's answers, one row per answer: what `as_decisions` takes, with the row or task in `where`.

    Args:
      classes: those that labels have already.
      by: who decided, where the tool does not say.
      at: when, where the tool does not say.

    Raises:
      UsageError: if nobody knows who decided.
      DataError: if there is no answer, an image has several answers of one person at one moment, or a content hash or a
        time is none.
    """
    if format_ == FOLDERS:
        answers = link_folders.read(path)
    elif format_ == FIFTYONE:
        answers = fiftyone_table.read(path / fiftyone_table.ANSWERS if path.is_dir() else path, set(classes))
    else:
        answers = _from_label_studio(path)
    if answers.empty:
        raise DataError("nobody has decided anything here", where=path, mend="decide some pictures first")
    answers = answers.reindex(columns=[*answers.columns, *({"by", "at"} - set(answers))], fill_value="")
    if by and answers["by"].nunique() == 1:  # one person, whom the tool knows by a number
        answers = answers.assign(by=by)
    answers = answers.assign(by=answers["by"].replace("", by), at=answers["at"].replace("", at))
    if (answers["by"] == "").any():
        raise UsageError("who decided?", mend="--by NAME")
    _refuse_twice(answers, path)
    return answers


def as_decisions(answers: pd.DataFrame, source: object, *, tool: str, classes: pd.Series) -> pd.DataFrame:
    """Decisions (`decisions.COLUMNS`) from answers on the images that have their contents today.

    Raises:
      DataError: if a class is misspelt, or called like a word of a decision.
    """
    made = spreadsheets.as_decisions(answers.reset_index(drop=True)).assign(tool=tool)
    named = made[made["decision"] == LABEL]
    cells.refuse_words(named, source)
    labels.check_labels(named, source)
    labels.check_spelling(made, source, known=classes)
    return made


def _tasks(queue: pd.DataFrame, base: str, folders: dict[str, Path]) -> list[dict]:
    tasks = []
    for row in queue.itertuples():
        file = os.path.relpath(os.path.abspath(labels.locate(row.image, folders)), base)
        data = {"image_id": row.sha256, "name": row.image, "suggested": row.label}
        data |= {"recipe": row.recipe, "group": row.group, "reason": row.reason, "model": row.model}
        score = 0.0 if pd.isna(row.score) else float(row.score)
        tasks.append(label_studio.task(file, data, label=row.label, score=score, model=row.model))
    return tasks


def _from_label_studio(path: Path) -> pd.DataFrame:
    answers = label_studio.answers(path)
    columns = ["image_id", "name", "recipe", "suggested", "model"]
    answers = answers.reindex(columns=[*label_studio.COLUMNS, *columns], fill_value="").fillna("")
    nameless = answers[answers["image_id"] == ""]
    if len(nameless):
        advice = "import what `wallaby review --out label-studio` writes, or `wallaby import library` takes the export"
        raise DataError(
            "a task that this project did not write", where=f"{path}, task {nameless.index[0]}", mend=advice
        )
    answer = answers["label"].mask(answers["status"] == labels.UNKNOWN, UNKNOWN)
    names = {"name": "image", "image_id": "sha256", "suggested": "label"}
    columns = [*names.values(), "subclass", "recipe", "model", "by", "at", "answer"]
    answers = answers.assign(answer=answer).drop(columns="label").rename(columns=names)
    cells.check(answers[columns], path)
    answers["where"] = [f"task {task}" for task in answers.index]
    return answers[[*columns, "where"]].reset_index(drop=True)


def _refuse_twice(answers: pd.DataFrame, path: Path) -> None:
    """Refuses several answers of one person for one image at one moment: nobody knows which was meant.

    Raises:
      DataError: with the row or task of the second.
    """
    key = ["image", "by", "at"]
    again = answers[answers.duplicated(key)]
    if len(again):
        first = again.iloc[0]
        number = int((answers[key] == first[key]).all(axis=1).sum())
        what = f"an image has {number} answers of {first['by']} at once: {first['image']}"
        raise DataError(what, where=f"{path}, {first['where']}", mend="leave one of them")
