"""Label Studio's tasks, for people to choose a class, and its exports, JSON and JSON-MIN: what they chose.

The formats: "Label Studio JSON format of annotated tasks" in its guide; JSON-MIN as its converter writes it: a record
an annotation, the task's data first, then `id`, what was chosen, and facts about the annotation.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, unquote_plus
from xml.sax.saxutils import quoteattr

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import DataError
from pipeline.library import labels
from pipeline.library.walking import is_named_like_an_image

COLUMNS = ["file", "label", "subclass", "status", "by", "at"]
PICTURE, CHOICE = "image", "label"  # where several fields could be meant, those that are called so
SERVED = re.compile(
    r"(?:https?://[^/]+)?/data/(?:local-files/?\?(?:[^#]*&)?d=(?P<local>[^&#]+)|(?P<upload>upload/[^?#]+))"
)
FACTS = {"annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}  # of a JSON-MIN record


class Schema(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)


class Value(Schema):
    choices: list[str] = []
    taxonomy: list[list[str]] = []


class Result(Schema):
    from_name: str = ""
    value: Value = Value()


class Annotation(Schema):
    result: list[Result]
    was_cancelled: bool | None = None
    completed_by: Any = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Task(Schema):
    id: str | None = None
    data: dict[str, Any]
    annotations: list[Annotation] = []


def task(file: str, data: dict[str, str], *, label: str, score: float, model: str) -> dict[str, Any]:
    """A picture to be labelled, with a model's prediction.

    Args:
      file: its path, as it counts from Label Studio's LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.
      data: what comes back with the answer.
    """
    result = {"from_name": CHOICE, "to_name": PICTURE, "type": "choices", "value": {"choices": [label]}}
    predictions = [{"model_version": model, "score": round(score, 5), "result": [result]}] if label else []
    return {"data": {PICTURE: f"/data/local-files/?d={quote(file)}"} | data, "predictions": predictions}


def interface(classes: list[str]) -> str:
    """The labelling interface for `task`: Label Studio's settings take it as code."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in classes)
    return (
        f'<View>\n  <Image name="{PICTURE}" value="${PICTURE}"/>\n'
        f'  <Choices name="{CHOICE}" toName="{PICTURE}" choice="single">\n{choices}\n  </Choices>\n</View>\n'
    )


def answers(path: Path) -> pd.DataFrame:
    """What everybody chose, also where people differ: what each task's `data` says, and `COLUMNS`; its index: the task.

    Raises:
      DataError: as `read`.
    """
    tasks = _tasks(path)
    picture, choice = _picture_field(tasks.values(), path), _choice_field(tasks.values(), path)
    rows = []
    for name, one in tasks.items():
        told = {key: str(value) for key, value in one.data.items() if isinstance(value, str | int | float)}
        told = {key: value for key, value in told.items() if key not in COLUMNS}
        file = _file(one.data.get(picture), f"{path}, task {name}")
        for annotation in one.annotations:
            rows += [{"task": name, "file": file} | told | said for said in _choices(annotation, choice)]
    return pd.DataFrame(rows, columns=None if rows else ["task", *COLUMNS]).fillna("").astype("str").set_index("task")


def read(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Reads what people chose; predictions and cancelled annotations are no choices.

    A choice of several levels (a taxonomy) is a class and its sub-class; the choice "unknown" is that status. A picture
    for which different people chose differently is left to people; of one person, the latest choice counts.

    Returns:
      A row (`COLUMNS`) a picture, and the same for the pictures with different choices, each with an index called
      "task"; and the number of pictures without a choice. `file` is absolute, or counts from Label Studio's own folder.

    Raises:
      DataError: with the task, if it is no such export, a picture is no file of this machine, or the file does not say
        which field is meant.
    """
    tasks = _tasks(path)
    picture, choice = _picture_field(tasks.values(), path), _choice_field(tasks.values(), path)
    rows: list[dict[str, str]] = []
    for name, task in tasks.items():
        file = _file(task.data.get(picture), f"{path}, task {name}")
        rows.append({"task": name, "file": file})  # also of a task without a choice
        for annotation in task.annotations:
            rows += [{"task": name, "file": file} | said for said in _choices(annotation, choice)]
    table = pd.DataFrame(rows, columns=["task", *COLUMNS]).fillna("").astype("str").set_index("task")
    made = table[table["status"] != ""].sort_values("at", kind="stable")
    last_time = made.groupby(["file", "by"])["at"].transform("max")  # of one person, what was chosen in one go
    made = made[(made["by"] == "") | (made["at"] == last_time)]
    different = made.drop_duplicates(["file", "label", "subclass", "status"])["file"]
    latest = made.drop_duplicates("file", keep="last")
    conflict = latest["file"].isin(different[different.duplicated()])
    return latest[~conflict], latest[conflict], table["file"].nunique() - len(latest)


def _tasks(path: Path) -> dict[str, Task]:
    """Tasks by the number that Label Studio shows, or else their place in the file."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"not readable as JSON: {error}", where=path, mend="export the project again") from None
    records = content if isinstance(content, list) else []
    if all(isinstance(record, dict) and "annotation_id" in record for record in records):
        records = [_from_min(record) for record in records]
    if not records or not all(isinstance(record, dict) and "data" in record for record in records):
        advice = "export the Label Studio project as JSON or JSON-MIN"
        raise DataError("not an export of Label Studio: no list of tasks", where=path, mend=advice)
    tasks: dict[str, Task] = {}
    for number, record in enumerate(records, 1):
        try:
            task = Task.model_validate(record)
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
            where = f"{path}, task {record.get('id', number)}"
            raise DataError(f"not as Label Studio writes it: {what}", where=where) from None
        known = tasks.setdefault(task.id or str(number), task)
        if known is not task:  # JSON-MIN repeats a task for each of its annotations
            known.annotations += task.annotations
    return tasks


def _from_min(record: dict[str, Any]) -> dict[str, Any]:
    """A record of JSON-MIN, in which data and choices lie side by side, as a task."""
    names = list(record)
    results = []
    for name in names[names.index("id") + 1 if "id" in names else 0 :]:
        values = record[name] if isinstance(record[name], list) else [record[name]]
        if name not in FACTS:
            results += [
                {"from_name": name, "value": {"choices": [value]} if isinstance(value, str) else value}
                for value in values
                if isinstance(value, str | dict)
            ]
    annotation = {key: record.get(key) for key in ("created_at", "updated_at")}
    annotation |= {"completed_by": record.get("annotator"), "result": results}
    return {"id": record.get("id"), "data": record, "annotations": [annotation]}


def _picture_field(tasks: Iterable[Task], path: Path) -> str:
    found = {
        field
        for task in tasks
        for field, value in task.data.items()
        if field == PICTURE or (isinstance(value, str) and is_named_like_an_image(unquote(value)))
    }
    return _only(found, PICTURE, "several fields name pictures", "no task names a picture", path)


def _choice_field(tasks: Iterable[Task], path: Path) -> str:
    results = [result for task in tasks for annotation in task.annotations for result in annotation.result]
    found = {result.from_name for result in results if result.value.choices or result.value.taxonomy}
    return _only(found, CHOICE, "choices were made in several fields", "no task has a choice", path)


def _only(found: set[str], preferred: str, several: str, none: str, path: Path) -> str:
    if preferred in found or len(found) == 1:
        return preferred if preferred in found else found.pop()
    if not found:
        raise DataError(none, where=path, mend="export again once people have labelled some")
    what = f"{several}: {', '.join(sorted(found))}"
    raise DataError(what, where=path, mend=f"call the field that is meant '{preferred}'")


def _file(said: Any, where: str) -> str:
    """The path of a file on this machine, from what Label Studio shows in the browser."""
    if not isinstance(said, str) or not said.strip():
        raise DataError("the task has no picture", where=where, mend="name its file, or remove the task")
    served = SERVED.match(said)
    if served:
        return unquote_plus(served["local"]).lstrip("/") if served["local"] else unquote(served["upload"])
    if said.startswith("file://"):
        return unquote(said.removeprefix("file://").removeprefix("localhost"))
    if "://" in said or said.startswith("data:"):
        advice = "copy the pictures here, and let the task name its file"
        raise DataError(f"'{said[:200]}' is no file on this machine", where=where, mend=advice)
    return said


def _choices(annotation: Annotation, field: str) -> list[dict[str, str]]:
    if annotation.was_cancelled:
        return []
    who, when = annotation.completed_by, annotation.updated_at or annotation.created_at
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    if when is not None:
        when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    rows = []
    values = [result.value for result in annotation.result if result.from_name == field]
    for name, *levels in [path for value in values for path in [*([c] for c in value.choices), *value.taxonomy]]:
        unknown = name.strip().lower() == labels.UNKNOWN
        rows.append(
            {
                "label": "" if unknown else name.strip(),
                "subclass": "" if unknown else "/".join(level.strip() for level in levels),
                "status": labels.UNKNOWN if unknown else "ok",
                "by": "" if who is None else str(who),
                "at": when.isoformat(timespec="milliseconds") if when else "",
            }
        )
    return rows
