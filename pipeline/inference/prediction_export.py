"""Predictions as files for other people's tools, written shard by shard: CSV, MegaDetector, Label Studio, FiftyOne."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow.compute as pc

from pipeline.errors import UsageError, closest
from pipeline.files import atomic, read_arrow
from pipeline.inference import store
from pipeline.library import label_studio, labels

MEGADETECTOR = "1.6"  # https://lila.science/megadetector-output-format
WHOLE_PICTURE = {
    "category": "1",
    "conf": 1.0,
    "bbox": [0.0, 0.0, 1.0, 1.0],
}  # nothing is detected here, all is classified
DIGITS = 12  # of a model's digest
TASKS = 10_000  # of Label Studio, if no limit is given: they are sorted in memory, and people look at each


@dataclass(frozen=True)
class Selection:
    """Which predictions are wanted. Failures are among them where nothing is filtered.

    Attributes:
      label: of this class only; empty: of all.
      min_score, max_score: with at least and at most this score.
      limit: so many, at most; None: all.
    """

    label: str = ""
    min_score: float = 0.0
    max_score: float = 1.0
    limit: int | None = None

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        if not self.label and (self.min_score, self.max_score) == (0.0, 1.0):
            return rows
        wanted = rows["score"].between(self.min_score, self.max_score)
        return rows[wanted & (rows["label"] == self.label)] if self.label else rows[wanted]


@dataclass(frozen=True)
class Files:
    """Where pictures lie, for a tool that knows one folder: `base` holds the folders of all roots."""

    folders: dict[str, Path]

    @property
    def base(self) -> Path:
        return Path(os.path.commonpath([os.path.abspath(folder.parent) for folder in self.folders.values()]))

    def absolute(self, image: str) -> str:
        return os.path.abspath(labels.locate(image, self.folders))

    def relative(self, image: str) -> str:
        return Path(self.absolute(image)).relative_to(self.base).as_posix()


@dataclass(frozen=True)
class Said:
    """What a store speaks of: the classes, sorted, and how many each image has at most."""

    classes: list[str]
    top_k: int


Writer = Callable[[Iterator[pd.DataFrame], Said, Files, IO[str]], int]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
      title: its name for people.
      file: what it is called where no other name is given.
      write: writes tables of predictions, and returns how many images they had.
      note: how it is opened; `base` is the folder from which paths count.
      failures: whether images without a prediction have a place in it.
      limit: of images, where a person gives none; the least certain come first then.
    """

    title: str
    file: str
    write: Writer
    note: str
    failures: bool = True
    limit: int | None = None


def write(name: str, folder: Path, out: Path, *, selection: Selection, folders: dict[str, Path]) -> int:
    """Writes the predictions in `folder` to the file `out`; returns how many images it names."""
    pieces = select(name, folder, selection)
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        return FORMATS[name].write(pieces, _said(folder), Files(folders), file)


def select(name: str, folder: Path, selection: Selection) -> Iterator[pd.DataFrame]:
    """The predictions that a file of this format would name, piece by piece.

    Raises:
      UsageError: if the class of the selection was never predicted; the nearest is offered.
    """
    format_ = FORMATS[name]
    if selection.label and selection.label not in (classes := _said(folder).classes):
        what = f"no image was predicted as '{selection.label}'"
        raise UsageError(what, where=folder, mend=closest(selection.label, set(classes)))
    pieces = _selected(folder, selection, failures=format_.failures)
    if format_.limit:
        return _least_certain(pieces, selection.limit or format_.limit)
    return _first(pieces, selection.limit) if selection.limit else pieces


def _said(folder: Path) -> Said:
    classes: set[str] = set()
    top_k = 0
    for shard in store.of_one_model(folder):
        lists = read_arrow(shard, ["top_labels"])["top_labels"]
        classes |= set(pc.unique(pc.list_flatten(lists)).to_pylist())
        top_k = max(top_k, pc.max(pc.list_value_length(lists)).as_py() or 0)
    return Said(sorted(classes), top_k)


def _selected(folder: Path, selection: Selection, *, failures: bool) -> Iterator[pd.DataFrame]:
    for shard in store.of_one_model(folder):
        rows = selection.of(read_arrow(shard, store.COLUMNS).to_pandas())
        yield rows if failures else rows[rows["failure"] == ""]


def _first(pieces: Iterator[pd.DataFrame], limit: int) -> Iterator[pd.DataFrame]:
    for piece in pieces:
        yield piece[:limit]
        limit -= len(piece[:limit])
        if not limit:
            return


def _least_certain(pieces: Iterator[pd.DataFrame], limit: int) -> Iterator[pd.DataFrame]:
    """One table, the lowest scores first; no more than that and a shard are in memory."""
    kept = pd.DataFrame()
    for piece in pieces:
        kept = pd.concat([kept, piece], ignore_index=True)
        kept = kept.sort_values(["score", "image"], ignore_index=True)[:limit]
    yield kept


def _csv(pieces: Iterator[pd.DataFrame], said: Said, files: Files, file: IO[str]) -> int:
    """The columns of the store, lists side by side: `label_2` and `score_2` are the second best."""
    number = 0
    for piece in pieces:
        table = piece[["image", "sha256", "label", "score", "margin", "entropy"]].copy()
        table.insert(1, "file", [files.absolute(image) for image in piece["image"]])
        for place in range(1, said.top_k):
            table[f"label_{place + 1}"] = piece["top_labels"].str.get(place)
            table[f"score_{place + 1}"] = piece["top_scores"].str.get(place)
        table = table.assign(failure=piece["failure"], model=piece["model"])
        table.to_csv(file, index=False, header=file.tell() == 0, lineterminator="\n")
        number += len(table)
    return number


def _fiftyone(pieces: Iterator[pd.DataFrame], said: Said, files: Files, file: IO[str]) -> int:
    number = 0
    for piece in pieces:
        table = pd.DataFrame({"filepath": [files.absolute(image) for image in piece["image"]]}, index=piece.index)
        table = table.join(piece[["image", "sha256", "label"]]).assign(confidence=piece["score"])
        table = table.join(piece[["margin", "entropy", "model"]])
        table.to_csv(file, index=False, header=file.tell() == 0, lineterminator="\n")
        number += len(table)
    return number


def _megadetector(pieces: Iterator[pd.DataFrame], said: Said, files: Files, file: IO[str]) -> int:
    """One box, the whole picture, with its classes; `animal` is the name that tools look for."""
    numbers = {label: str(number) for number, label in enumerate(said.classes)}
    head: dict[str, Any] = {
        "info": {"format_version": MEGADETECTOR, "detector": "none: whole pictures", "classifier": "wallaby"},
        "detection_categories": {WHOLE_PICTURE["category"]: "animal"},
        "classification_categories": {number: label for label, number in numbers.items()},
    }
    file.write(json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}") + ',\n "images": [')
    number = 0
    for piece in pieces:
        for image, failure, names, scores in zip(
            *(piece[column] for column in ("image", "failure", "top_labels", "top_scores")), strict=True
        ):
            entry: dict[str, Any] = {"file": files.relative(image)}
            if failure:
                entry |= {"failure": failure, "detections": None}
            else:
                said_of_it = [
                    [numbers[name], round(float(score), 5)] for name, score in zip(names, scores, strict=True)
                ]
                entry["detections"] = [WHOLE_PICTURE | {"classifications": said_of_it}]
            file.write(("," if number else "") + "\n  " + json.dumps(entry, ensure_ascii=False))
            number += 1
    file.write("\n ]\n}\n")
    return number


def _label_studio(pieces: Iterator[pd.DataFrame], said: Said, files: Files, file: IO[str]) -> int:
    tasks = [
        label_studio.task(
            files.relative(row.image),
            {"image_id": row.sha256},
            label=row.label,
            score=row.score,
            model=row.model[:DIGITS],
        )
        for piece in pieces
        for row in piece.itertuples()
    ]
    json.dump(tasks, file, ensure_ascii=False, indent=1)
    return len(tasks)


FORMATS = {
    "csv": Format("CSV", "predictions.csv", _csv, "a row an image, failures among them"),
    "megadetector": Format(
        "MegaDetector batch results",
        "predictions.json",
        _megadetector,
        "Timelapse, AddaxAI: open it with folder {base}",
    ),
    "label-studio": Format(
        "Label Studio tasks",
        "tasks.json",
        _label_studio,
        "Label Studio, started with LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={base}, imports it (docs/other_tools.md)",
        failures=False,
        limit=TASKS,
    ),
    "fiftyone": Format(
        "a table for FiftyOne", "fiftyone.csv", _fiftyone, "docs/other_tools.md has its loader", failures=False
    ),
}
