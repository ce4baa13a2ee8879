"""`wallaby import`: names a user's images in the tables, and their folder in the params; no image is copied."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline import config
from pipeline.commands import Answer
from pipeline.errors import DataError, Exit, UsageError
from pipeline.files import in_turn, write_csv
from pipeline.library import exchange, freshness, importing, index, labels
from pipeline.library.tables import tidy
from pipeline.workspace import Workspace

LIBRARY, POOL, BENCHMARK = "library", "pool", "benchmark"
NAMED = 3  # images of each kind


@dataclass(frozen=True)
class Imported:
    """What was written, or would be.

    Attributes:
      root: the name ROOT[/path] of the `folder`.
      added, known: the numbers of images that are new to the tables, and of those that are not.
      unlabelled: how many have no label, and are left to the pool.
      again: how many of those added are copies of labelled images.
      differing: known images whose label differs; the older one stays.
      replaced: known images whose file has another content than their label was given to.
      conflicts: images that people gave different labels in another tool, left to them.
      missing: images whose file is not there.
      notes: what else is worth a line.
    """

    root: str
    folder: str
    added: int = 0
    known: int = 0
    unlabelled: int = 0
    again: int = 0
    differing: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Place:
    """The folder that is imported, its name ROOT[/path], whether ROOT is `new`, and all roots with it."""

    folder: Path
    name: str
    new: bool
    folders: dict[str, Path]


@dataclass(frozen=True)
class _Labelled:
    """The rows that a folder or a file has, its place, and what is said of it (see `Imported`)."""

    rows: pd.DataFrame
    place: _Place
    conflicts: list[str] = field(default_factory=list)
    unlabelled: int = 0
    notes: list[str] = field(default_factory=list)


def library(
    workspace: Workspace,
    source: Path,
    *,
    root: str = "",
    folder: Path | None = None,
    origin: str = "real",
    dry_run: bool = False,
) -> Answer:
    """Adds labelled images to the label table.

    Args:
      source: a folder with one folder per class, or a file of another tool, as `exchange` reads.
      root: the new root's name; by default it is found.
      folder: where a file's relative paths count from; by default its own folder.

    Raises:
      UsageError, DataError: if anything does not fit; nothing is written then.
    """
    listed = _labelled(workspace, LIBRARY, source, root, folder, origin)
    rows, place = listed.rows, listed.place
    table = labels.read(workspace.labels, list(place.folders))
    incoming = _with_contents(workspace, labels.check(rows, list(place.folders), source), place)
    then = incoming["image"].map(table.set_index("image")["sha256"]).astype("str").fillna("")
    replaced = (then != "") & (incoming["sha256"] != "") & (then != incoming["sha256"])
    new = incoming[~incoming["image"].isin(table["image"])]
    seen = index.written(workspace.index).images
    again = importing.labelled_already(table, new, seen, place.folders, place.name if place.new else "")
    merged = labels.merge(table, incoming)
    added = rows[~rows["image"].isin(table["image"]) & (rows["status"] == "ok")]
    used = table.loc[table["status"] == "ok", "label"]
    labels.check_spelling(added.assign(label=tidy(added["label"])), source, known=used)
    if not dry_run:
        _name(workspace, LIBRARY, place)
        with in_turn(workspace.labels_lock, str(workspace.labels)):  # hashing takes long: it may have changed since
            now = labels.read(workspace.labels, list(place.folders))
            labels.write(labels.merge(now, incoming).table, workspace.labels)
    imported = Imported(
        place.name,
        str(place.folder),
        merged.added,
        merged.known,
        listed.unlabelled,
        again,
        merged.differing,
        incoming.loc[replaced, "image"].tolist(),
        listed.conflicts,
        _missing(incoming, place),
        listed.notes,
    )
    return _answer(imported, dry_run=dry_run)


def pool(
    workspace: Workspace, source: Path, *, root: str = "", folder: Path | None = None, dry_run: bool = False
) -> Answer:
    """Makes a folder of images a pool, or part of one.

    Raises:
      UsageError, DataError: if anything does not fit; nothing is written then.
    """
    _check(source, folder)
    if source.is_file():
        raise UsageError("a pool is a folder of pictures", where=source)
    place = _place(workspace, POOL, folder or source, root)
    left_out = importing.LeftOut()
    number = importing.count_images(place.folder, left_out)
    if not number:
        raise DataError("no image in the folder", where=place.folder)
    if not dry_run:
        _name(workspace, POOL, place)
    added, known = (number, 0) if place.new else (0, number)
    imported = Imported(place.name, str(place.folder), added, known, notes=left_out.sentences())
    return _answer(imported, dry_run=dry_run)


def benchmark(
    workspace: Workspace,
    name: str,
    source: Path,
    *,
    root: str = "",
    folder: Path | None = None,
    replace: bool = False,
    dry_run: bool = False,
) -> Answer:
    """Makes a benchmark set called `name`, whose images may have no label; other arguments as for `library`.

    Args:
      replace: allow a new version of the set.

    Raises:
      UsageError, DataError: if anything does not fit; nothing is written then.
    """
    listed = _labelled(workspace, BENCHMARK, source, root, folder)
    place = listed.place
    path = workspace.benchmarks / f"{name}.csv"
    if path.exists() and not replace:
        raise UsageError(
            f"benchmark set '{name}' exists and is frozen", where=path, mend="--replace makes a new version of it"
        )
    table = _with_contents(workspace, labels.check(listed.rows, list(place.folders), source)[["image", "label"]], place)
    if not dry_run:
        _name(workspace, BENCHMARK, place)
        write_csv(table, path)
    imported = Imported(
        place.name,
        str(place.folder),
        len(table),
        unlabelled=listed.unlabelled,
        conflicts=listed.conflicts,
        missing=_missing(table, place),
        notes=listed.notes,
    )
    return _answer(imported, dry_run=dry_run)


def _check(source: Path, folder: Path | None) -> None:
    if not source.exists():
        raise DataError("there is no such folder or file", where=source)
    if folder and not folder.is_dir():
        raise DataError("the folder does not exist", where=folder)


def _place(workspace: Workspace, kind: str, folder: Path, root: str) -> _Place:
    folder, folders = folder.resolve(), workspace.folders
    preferred = root
    if not root:
        labelled = labels.read_csv(workspace.labels, labels.REQUIRED)["image"]
        preferred = importing.first_root(kind, folder, folders, labelled)
    name, new = importing.name_root(folder, folders, preferred)
    if root and name != root:
        raise UsageError(f"the folder is known as '{name}' already", where=folder, mend="leave --root out")
    return _Place(folder, name, new, folders | ({name: folder} if new else {}))


def _labelled(
    workspace: Workspace, kind: str, source: Path, root: str, folder: Path | None, origin: str = "real"
) -> _Labelled:
    _check(source, folder)
    if source.is_dir():
        place = _place(workspace, kind, folder or source, root)
        left_out = importing.LeftOut()
        rows = importing.from_folders(place.folder, place.name, origin=origin, left_out=left_out)
        return _Labelled(rows, place, notes=left_out.sentences())
    listed = exchange.read(source, origin=origin)
    place = _place(workspace, kind, folder or listed.folder, root)
    rows, conflicts = exchange.place(listed, place.folder, place.name, source)
    return _Labelled(rows, place, conflicts, listed.unlabelled)


def _missing(rows: pd.DataFrame, place: _Place) -> list[str]:
    unread = rows.loc[rows["sha256"] == "", "image"]  # all others have just been read
    return [image for image in unread if not labels.is_file(image, place.folders)]


def _with_contents(workspace: Workspace, rows: pd.DataFrame, place: _Place) -> pd.DataFrame:
    now = freshness.contents(rows["image"].tolist(), place.folders, workspace.index_cache)
    return rows.assign(sha256=rows["image"].map(now).astype("str"))


def _name(workspace: Workspace, kind: str, place: _Place) -> None:
    if place.new:
        config.set_root(kind, place.name, place.folder, workspace.params_file)


def _answer(imported: Imported, *, dry_run: bool) -> Answer:
    would = "would be" if dry_run else "are"
    text = f"{imported.added} images {would} added as {imported.root} ({imported.folder}), {imported.known} were known"
    if imported.again:
        text += f"\n  {imported.again} of them are copies of images that are labelled under other names"
    for image in imported.differing[:NAMED]:
        text += f"\n  kept the older label of {image}"
    if imported.replaced:
        text += f"\n  {len(imported.replaced)} known images have another content than was labelled, first"
        text += f" {imported.replaced[0]}: their labels wait until a person confirms them"
    for image in imported.conflicts[:NAMED]:
        text += f"\n  people differ, left alone: {image}"
    if imported.missing:
        number = len(imported.missing)
        text += f"\n  {number} {'file is' if number == 1 else 'files are'} not there, first {imported.missing[0]}"
    for note in imported.notes:
        text += f"\n  {note}"
    if imported.unlabelled:
        text += f"\n  {imported.unlabelled} without a label are left out"
    code = Exit.SOME_FAILED if imported.conflicts else Exit.DONE
    following = "\nnext: dvc repro" if "\n" in text else "; next: dvc repro"
    return Answer(imported, text + following, code)
