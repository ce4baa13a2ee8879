"""What `wallaby import` writes: rows of the label table, benchmark sets, and the names of folders in the params."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import DataError, UsageError
from pipeline.files import in_turn, write_csv
from pipeline.library import exchange, freshness, importing, index, labels, moves
from pipeline.library.tables import tidy

FIRST_ROOT = {"library": "library", "pool": "pool", "benchmark": "benchmark"}


def import_pictures(
    kind: str,
    source: Path,
    *,
    benchmark: str,
    root: str,
    folder: Path | None,
    origin: str,
    replace: bool,
    dry_run: bool,
) -> dict[str, Any]:
    """Names a user's pictures in the tables; no picture is copied, moved or changed.

    Args:
      kind: library, pool or benchmark.
      source: a folder with a folder a class, or a file of another tool, as `exchange` reads; for a pool, any folder.
      benchmark: the set's name.
      root: the new root's name; by default it is found.
      folder: where a file's relative paths count from; by default its own folder.
      replace: allow a new version of a benchmark set.

    Returns:
      root, folder, and the numbers of images added and known, the known ones whose label differs, those whose file has
      another content than their row was given to (replaced), those that people gave different labels in another tool
      (conflicts, left to them), the number of unlabelled ones, which are left to the pool, and how many of those added
      are copies of labelled images (again).

    Raises:
      UsageError, DataError: if anything does not fit; nothing is written then.
    """
    if not source.exists():
        raise DataError("there is no such folder or file", where=source)
    if source.is_file() and kind == "pool":
        raise UsageError("a pool is a folder of pictures", where=source)
    if folder and not folder.is_dir():
        raise DataError("the folder does not exist", where=folder)
    listed = exchange.read(source, origin=origin) if source.is_file() else None
    base = (folder or (listed.folder if listed else source)).resolve()
    roots = config.load(sections.Roots)
    name, new = importing.name_root(base, roots.folders, root or _first_root(kind, base, roots.folders))
    if root and name != root:
        raise UsageError(f"the folder is known as '{name}' already", where=base, mend="leave --root out")
    result: dict[str, Any] = {"root": name, "folder": str(base), "unlabelled": 0, "again": 0}
    result |= {"differing": [], "replaced": [], "conflicts": []}

    if kind == "pool":
        found = importing.find_pictures(base)
        if not found:
            raise DataError("no picture in the folder", where=base)
        result |= {"added": found if new else 0, "known": 0 if new else found}
        write = lambda: None  # noqa: E731
    else:
        if listed:
            rows, result["conflicts"] = exchange.place(listed, base, name, source)
            result["unlabelled"] = listed.unlabelled
        else:
            rows = importing.from_folders(base, name, origin=origin)
        names = [*roots.folders, name.partition("/")[0]]
        folders = roots.folders | ({name: base} if new else {})
        change, write = (
            _add_benchmark(rows, benchmark, names, source, folders, replace=replace)
            if kind == "benchmark"
            else _add_labels(rows, names, source, folders)
        )
        result |= change
    if not dry_run:
        if new:
            config.set_root(kind, name, base)
        write()
    return result


def _first_root(kind: str, base: Path, folders: dict[str, Path]) -> str:
    """The kind's own root; but where that has labelled images, is not mounted and is not this folder, the folder's
    name: the root must not lose its place."""
    name = FIRST_ROOT[kind]
    images = labels.read_csv(paths.LABELS, labels.REQUIRED)["image"]
    ours = images[moves.below(images, name)]
    taken = name in folders and not folders[name].is_dir() and len(ours)
    if not taken or any(labels.is_file(image, {name: base}) for image in ours):
        return name
    return base.name.replace(" ", "-").lstrip(".") or name


def _add_labels(rows: pd.DataFrame, root_names: list[str], source: Path, folders: dict[str, Path]):
    table = labels.read(paths.LABELS, root_names)
    incoming = labels.check(rows, root_names, source)
    now = freshness.contents(incoming["image"].tolist(), folders, config.cache(index.CACHE))
    incoming["sha256"] = incoming["image"].map(now).astype("str")
    labelled = incoming["image"].map(table.set_index("image")["sha256"]).astype("str").fillna("")
    replaced = (labelled != "") & (incoming["sha256"] != "") & (labelled != incoming["sha256"])
    again = _labelled_already(table, incoming[~incoming["image"].isin(table["image"])], folders)
    merged = labels.merge(table, incoming)
    added = rows[~rows["image"].isin(table["image"]) & (rows["status"] == "ok")]
    used = table.loc[table["status"] == "ok", "label"]
    labels.check_spelling(added.assign(label=tidy(added["label"])), source, known=used)
    result = {"added": merged.added, "known": merged.known, "differing": merged.differing, "again": again}
    result |= {"replaced": incoming.loc[replaced, "image"].tolist()}

    def write() -> None:
        with in_turn(config.own("labels.lock"), str(paths.LABELS)):  # hashing takes long: it may have changed since
            labels.write(labels.merge(labels.read(paths.LABELS, root_names), incoming).table, paths.LABELS)

    return result, write


def _labelled_already(table: pd.DataFrame, incoming: pd.DataFrame, folders: dict[str, Path]) -> int:
    """How many of these images have a content that is labelled under another name.

    Raises:
      DataError: if such names have no file any more: it is the same image, which was moved.
    """
    indexed = index.written(paths.INDEX).images
    known = labels.with_contents(table, indexed)
    known = known[(known["sha256"] != "") & known["sha256"].isin(incoming["sha256"])]
    if _there(known, folders).all():
        return int(incoming["sha256"].isin(known["sha256"]).sum())
    known = pd.concat([known, table[~table["image"].isin(known["image"])]])
    moved = moves.suggested(known, pd.concat([known[_there(known, folders)], incoming])[["image", "sha256"]])
    if len(moved):
        old, new = (str(moved.loc[0, name]) for name in ("old", "new"))
        root, _, below = new.partition("/")
        place, new_root = new, ""
        if root not in config.load(sections.Roots).folders:
            place = str(folders[root] / below)
            new_root = str(folders[root]) if below and "/" in old else ""
        number, more = int(moved["images"].sum()), len(moved) - 1
        raise DataError(
            f"{number} of these images are labelled already, under names whose files are gone",
            where=f"{old}, which is {place} now" + (f", and {more} more places" if more else ""),
            mend=f"`{moves.command(old, place, root=new_root)}` moves the rows; then import what is new",
        )
    return int(incoming["sha256"].isin(known["sha256"]).sum())


def _there(rows: pd.DataFrame, folders: dict[str, Path]) -> pd.Series:
    return pd.Series([labels.is_file(image, folders) for image in rows["image"]], index=rows.index, dtype=bool)


def _add_benchmark(
    rows: pd.DataFrame, name: str, root_names: list[str], source: Path, folders: dict[str, Path], *, replace: bool
):
    path = paths.BENCHMARKS / f"{name}.csv"
    if path.exists() and not replace:
        raise UsageError(
            f"benchmark set '{name}' exists and is frozen", where=path, mend="--replace makes a new version of it"
        )
    table = labels.check(rows, root_names, source)[["image", "label"]]
    now = freshness.contents(table["image"].tolist(), folders, config.cache(index.CACHE))
    table["sha256"] = table["image"].map(now).astype("str")
    return {"added": len(table), "known": 0}, lambda: write_csv(table, path)
