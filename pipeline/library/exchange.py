"""Files of other tools that name labelled pictures: zamba's and FiftyOne's tables, Label Studio's exports."""

import csv
import io
import os
import re
import shlex
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.library import label_studio, labels
from pipeline.library.tables import SEPARATORS, parse_csv, where

DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # how an absolute path of Windows begins
SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?\r?\n')  # by which spreadsheets say what separates the cells
UPLOADED = re.compile(r"(?:^|(?<=/))[0-9a-f]{8}-(?=[^/]+$)")  # what Label Studio puts before the name of an upload


@dataclass(frozen=True)
class Listed:
    """The pictures that a file of another tool names.

    Attributes:
      rows: columns `file`, absolute or relative, and those of the label table; the index counts the rows of the file,
        as `labels.read_csv` does, or is called "task" and holds Label Studio's numbers.
      conflicts: column `file`: pictures on which people differ, which are left to them.
      unlabelled: number of pictures without a label.
      folder: where relative files count from, unless a person says otherwise.
    """

    rows: pd.DataFrame
    conflicts: pd.DataFrame
    unlabelled: int
    folder: Path


def read(path: Path, *, origin: str) -> Listed:
    """Reads a table or an export, whichever the file's content is.

    Raises:
      DataError: with row or task, if it is neither, or names no labelled picture.
    """
    with path.open("rb") as file:
        is_json = file.read(100).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{")
    if is_json:
        rows, conflicts, unlabelled = label_studio.read(path)
        listed = Listed(rows.assign(origin=origin), conflicts, unlabelled, path.parent)
    else:
        listed = _from_csv(path, origin)
    if listed.rows.empty and listed.conflicts.empty:
        raise DataError("the file names no labelled picture", where=path, mend="label some pictures, and export again")
    return listed


def place(listed: Listed, folder: Path, root: str, source: object) -> tuple[pd.DataFrame, list[str]]:
    """Names the files `ROOT/path`; returns the rows with `image` instead of `file`, and the conflicts' images.

    Args:
      folder: relative files count from here, absolute ones must lie below it.
      root: the folder's name.

    Raises:
      DataError: with row or task, for a file outside the folder; also if not one of the files is there.
    """
    said = pd.concat([listed.rows["file"], listed.conflicts["file"]])
    inside = os.path.abspath(folder).rstrip("/") + "/"
    said = said.map(lambda file: _as_here(file, folder))
    strangers = bool(said.str.startswith("/").any()) and not any(
        _normal(file, inside).startswith(inside) for file in said
    )
    counted = _below(said, folder, absolute=strangers) if said.index.name == "task" or strangers else said
    files = [_there(_normal(file, inside)) for file in counted]
    for number, name, file in zip(said.index, said, files, strict=True):
        if not name or not file.startswith(inside):
            common = shlex.quote(os.path.commonpath([os.path.dirname(file) for file in files]))
            advice = f"--folder {common if common != '/' else 'names the one that has them all'}"
            advice = advice if name else "name the file, or remove the row"
            raise DataError(f"'{name}' is no file below {folder}", where=where(source, said.index, number), mend=advice)
    if not any(os.path.isfile(file) for file in files):
        what = f"none of its {len(files)} pictures is there, first {files[0]}"
        raise DataError(what, where=source, mend="--folder says where its file paths count from")
    images = [f"{root}/{file.removeprefix(inside)}" for file in files]
    rows = listed.rows.drop(columns="file")
    rows.insert(0, "image", images[: len(rows)])
    return rows, images[len(rows) :]


def _from_csv(path: Path, origin: str) -> Listed:
    table = parse_csv(_with_commas(path.read_bytes()), path, ["filepath"])
    column = _label_column(table, path)
    ours = {"filepath": "file", "site": "group", column: "label"}  # zamba's and FiftyOne's names
    hidden = [name for theirs, name in ours.items() if theirs in table and theirs != name and name in table]
    rows = table.drop(columns=hidden).rename(columns=ours)
    rows = rows[[name for name in ["file", *labels.COLUMNS[1:]] if name in rows]]
    named = rows["label"] != ""
    if column != "label":  # FiftyOne's: an empty label was never given
        rows, named = rows[named], named[named]
    unknown = ~named | (rows["label"].str.lower() == labels.UNKNOWN)
    rows["label"] = rows["label"].mask(unknown, "")
    for name, default in {"status": unknown.map({True: labels.UNKNOWN, False: "ok"}), "origin": origin}.items():
        rows[name] = rows[name].mask(rows[name] == "", default) if name in rows else default
    folder = path.parent
    if rows["file"].head(1).map(lambda file: _only_in(file, folder / "data", folder)).any():
        folder /= "data"  # as FiftyOne lays it out
    return Listed(rows, rows.head(0), len(table) - len(rows), folder)


def _label_column(table: pd.DataFrame, path: Path) -> str:
    """The column `label`, or FiftyOne's `FIELD.label`, or its `ground_truth` where that is the class's name.

    Raises:
      DataError: if there is none, or more than one.
    """
    found = [name for name in table if name in ("label", "ground_truth") or name.endswith(".label")]
    if not found:
        advice = f"it has {', '.join(table)[:200]}; name one 'label'"
        raise DataError("column 'label' is missing", where=path, mend=advice)
    if len(found) > 1:
        what = f"several columns could be the label: {', '.join(found)}"
        raise DataError(what, where=path, mend="keep the one that people decided")
    if table[found[0]].str.startswith("<Class").any():
        advice = f"export the field '{found[0]}.label'"
        raise DataError(f"column '{found[0]}' holds whole labels, not names", where=path, mend=advice)
    return found[0]


def _only_in(file: str, folder: Path, other: Path) -> bool:
    return os.path.isfile(folder / file) and not os.path.isfile(other / file)


def _below(files: pd.Series, folder: Path, *, absolute: bool) -> pd.Series:
    """Drops the folders that relative paths have in common, as many as it takes to find a file below `folder`.

    Label Studio's paths count from its own document root, which may lie anywhere above `folder`.

    Args:
      absolute: absolute paths are meant, too: they come from another machine.
    """
    given, files = files, files.str.lstrip("/") if absolute else files
    relative = files[~files.str.startswith("/")]
    common = os.path.commonpath([os.path.dirname(file) for file in relative]) if len(relative) else ""
    for depth in range(len(Path(common).parts) + 1):
        shorter = relative.map(lambda file, depth=depth: str(Path(*Path(file).parts[depth:])))
        if any(os.path.isfile(_there(f"{folder}/{file}")) for file in shorter):
            return files.where(files.str.startswith("/"), shorter)
    return given


def _normal(file: str, inside: str) -> str:
    """The file's absolute path without `..`, and without links if it leads below `inside` through them."""
    path = os.path.normpath(file if file.startswith("/") else inside + file)
    if path.startswith(inside):
        return path
    return os.path.join(_real(os.path.dirname(path)), os.path.basename(path))


_real = cache(os.path.realpath)


def _as_here(file: str, folder: Path) -> str:
    """A path of Windows as one of this machine; a name that has a backslash, and is there, stays."""
    if "\\" not in file or os.path.isfile(folder / file):
        return file
    drive = DRIVE.match(file)
    file = file.replace("\\", "/")
    return "/" + file[2:].lstrip("/") if drive else file


def _there(path: str) -> str:
    """The path of the file that is there under another spelling: composed or decomposed Unicode, or as an upload."""
    if os.path.isfile(path):
        return path
    spellings = [] if path.isascii() else [unicodedata.normalize(form, path) for form in ("NFC", "NFD")]
    for spelling in [*spellings, UPLOADED.sub("", path)]:
        if spelling != path and os.path.isfile(spelling):
            return spelling
    return path


def _with_commas(data: bytes) -> bytes:
    """A table whose cells are separated by semicolons or tabs, with commas; others as they are."""
    text = data.removeprefix(b"\xef\xbb\xbf")
    named = SEPARATOR_LINE.match(text)
    text = text[named.end() :] if named else text
    try:
        head = text.partition(b"\n")[0].decode()
        separator = (
            named[1].decode() if named else next((one for one in SEPARATORS if one in head and "," not in head), "")
        )
        if not named and not separator:
            return data
        rows = list(csv.reader(io.StringIO(text.decode(), newline=""), delimiter=separator))
    except (UnicodeDecodeError, csv.Error):  # said with its place where the table is read
        return data
    changed = io.StringIO(newline="")
    csv.writer(changed, lineterminator="\n").writerows(rows)
    return changed.getvalue().encode()
