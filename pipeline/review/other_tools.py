"""The queue in other tools, and their answers as decisions: Label Studio, FiftyOne, folders of links."""

import json
import os
from pathlib import Path

import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import DataError, UsageError, closest
from pipeline.files import write_text
from pipeline.library import cells, label_studio, labels
from pipeline.review import contents, decisions, fiftyone_table, link_folders, sheets
from pipeline.review.decisions import BAD, KEEP, LABEL, UNKNOWN
from pipeline.review.sheets import Taken

LABEL_STUDIO, FIFTYONE, FOLDERS, SHEET = "label-studio", "fiftyone", "folders", ""
FORMATS = [LABEL_STUDIO, FIFTYONE, FOLDERS]
WORDS = [UNKNOWN, BAD, KEEP]


def write(format_: str, path: Path, *, recipes: list[str]) -> tuple[int, str]:
    """Writes the queue, or some of its recipes, the least certain first; returns the number of images and what to do.

    Raises:
      UsageError: if the path exists: it may hold answers; or for a recipe or format that there is not.
    """
    if os.path.lexists(path):
        raise UsageError("it exists and may hold answers", where=path, mend="name another place")
    queue = _queue(recipes)
    folders = config.load(sections.Roots).folders
    names = sorted({*labels.read(paths.LABELS, list(folders))["label"], *queue["label"]} - {""})
    take = f"wallaby review --take {path} --by YOUR-NAME"
    if format_ == LABEL_STUDIO:
        base = os.path.commonpath([os.path.abspath(folder.parent) for folder in folders.values()])
        write_text(json.dumps(_tasks(queue, base, folders), ensure_ascii=False, indent=1) + "\n", path)
        write_text(label_studio.interface([*names, *WORDS]), path.with_suffix(".xml"))
        start = f"start Label Studio with LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={base}"
        return len(queue), f"{start}\nimport it there, with {path.with_suffix('.xml')} as interface; its export: {take}"
    if format_ == FIFTYONE:
        fiftyone_table.write(queue, path, folders)
        said = f"in {path}: python {fiftyone_table.LOADER}"
        return len(queue), f"{said}; then: {take.replace(str(path), str(path / fiftyone_table.ANSWERS))}"
    link_folders.write(queue, path, folders, [*names, *WORDS])
    return len(queue), f"drag pictures, or whole folders, to {path / link_folders.DECIDED}; then: {take}"


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


def take(path: Path, format_: str, *, by: str, at: str) -> Taken:
    """Takes a tool's answers as a review table; each lands on the image with the content that was looked at.

    Args:
      by: who decided, where the tool does not say.
      at: when, where the tool does not say.

    Raises:
      UsageError: if nobody knows who decided.
      DataError: if there is no answer, an image has several answers of one person at one moment, a content hash or a
        time is none, or a class is misspelt or called like a word of a decision.
    """
    known = labels.read(paths.LABELS, list(config.load(sections.Roots).folders))["label"]
    if format_ == FOLDERS:
        said = link_folders.read(path)
    elif format_ == FIFTYONE:
        said = fiftyone_table.read(path / fiftyone_table.ANSWERS if path.is_dir() else path, set(known))
    else:
        said = _from_label_studio(path)
    if said.empty:
        raise DataError("nobody has decided anything here", where=path, mend="decide some pictures first")
    said = said.reindex(columns=[*said.columns, *({"by", "at"} - set(said))], fill_value="")
    if by and (said["by"].nunique() == 1):  # one person, whom the tool knows by a number
        said = said.assign(by=by)
    said = said.assign(by=said["by"].replace("", by), at=said["at"].replace("", at))
    if (said["by"] == "").any():
        raise UsageError("who decided?", mend="--by NAME")
    _refuse_twice(said, path)
    landed = contents.land(said)
    missing = landed.gone["image"].drop_duplicates().tolist()
    found = sheets.as_decisions(landed.rows.reset_index(drop=True)).assign(tool=format_)
    named = found[found["decision"] == LABEL]
    cells.refuse_words(named, path)
    labels.check_labels(named, path)
    labels.check_spelling(found, path, known=known)
    file = decisions.write(found, paths.REVIEWS, path.stem) if len(found) else None
    return Taken(file, len(found), missing)


def _queue(recipes: list[str]) -> pd.DataFrame:
    queues = sheets.queues()
    for name in recipes:
        if name not in queues:
            raise UsageError(f"no recipe is called '{name}'", where="--recipe", mend=closest(name, set(queues)))
    chosen = {name: queues[name] for name in recipes or queues}
    rows = sheets.to_sheet(chosen).assign(model=sheets.model_digest())
    return rows.sort_values(["score", "image"], na_position="first", ignore_index=True)


def _tasks(queue: pd.DataFrame, base: str, folders: dict[str, Path]) -> list[dict]:
    tasks = []
    for row in queue.itertuples():
        file = os.path.relpath(os.path.abspath(labels.locate(row.image, folders)), base)
        data = {"image_id": row.sha256, "name": row.image, "suggested": row.label}
        data |= {"recipe": row.recipe, "reason": row.reason, "model": row.model}
        score = 0.0 if pd.isna(row.score) else float(row.score)
        tasks.append(label_studio.task(file, data, label=row.label, score=score, model=row.model))
    return tasks


def _from_label_studio(path: Path) -> pd.DataFrame:
    said = label_studio.answers(path)
    columns = ["image_id", "name", "recipe", "suggested", "model"]
    said = said.reindex(columns=[*label_studio.COLUMNS, *columns], fill_value="").fillna("")
    nameless = said[said["image_id"] == ""]
    if len(nameless):
        advice = "import what `wallaby review --out label-studio` writes, or `wallaby import library` takes the export"
        raise DataError(
            "a task that this project did not write", where=f"{path}, task {nameless.index[0]}", mend=advice
        )
    answer = said["label"].mask(said["status"] == labels.UNKNOWN, UNKNOWN)
    names = {"name": "image", "image_id": "sha256", "suggested": "label"}
    columns = [*names.values(), "subclass", "recipe", "model", "by", "at", "answer"]
    said = said.assign(answer=answer).drop(columns="label").rename(columns=names)
    cells.check(said[columns], path)
    said["where"] = [f"task {task}" for task in said.index]
    return said[[*columns, "where"]].reset_index(drop=True)


def _refuse_twice(said: pd.DataFrame, path: Path) -> None:
    """Refuses several answers of one person for one image at one moment: nobody knows which was meant.

    Raises:
      DataError: with the row or task of the second.
    """
    key = ["image", "by", "at"]
    again = said[said.duplicated(key)]
    if len(again):
        first = again.iloc[0]
        number = int((said[key] == first[key]).all(axis=1).sum())
        what = f"an image has {number} answers of {first['by']} at once: {first['image']}"
        raise DataError(what, where=f"{path}, {first['where']}", mend="leave one of them")
