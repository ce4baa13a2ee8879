"""`wallaby moved`: the rows of every source table follow images that were moved or renamed; no image is touched."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import DataError, UsageError, closest
from pipeline.files import in_turn, write_csv
from pipeline.library import importing, index, labels, moves, roots
from pipeline.library.tables import read_csv
from pipeline.review import decisions, moving
from pipeline.review.moving import Facts, Moved, Sources

EXAMPLES = 3
CHECKED = 10_000  # images of the last index, at most, that are looked for in a folder that becomes a root's
WHERE = "wallaby moved"


@dataclass(frozen=True)
class Relocation:
    """What moves, and how it is written.

    Attributes:
      old, new: the places, as names ROOT[/path]; of a root whose folder changes, `new` is that folder.
      rows: that move, by table.
      left: images whose rows stay, and why.
      examples: some old and new names.
      united: rows that met an equal one.
      unverified: images that move though nobody knows what content they had.
      before: images that are called by the new place already.
      steps: writes one file each, in this order; stopped after any of them, all of them may be done again.
    """

    old: str
    new: str
    rows: dict[str, int]
    left: dict[str, str]
    examples: list[tuple[str, str]]
    united: int = 0
    unverified: int = 0
    before: int = 0
    steps: list[Callable[[], None]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: value for name, value in vars(self).items() if name != "steps"}


def relocate(
    old: str,
    new: str,
    *,
    by: str,
    at: str,
    dry_run: bool,
    new_root: Path | None = None,
    show: Callable[[Relocation], None] = lambda plan: None,
) -> Relocation:
    """Moves the rows of all images below `old` whose files lie at `new`.

    Args:
      old: a root, ROOT/folder, or ROOT/path of an image; or that place on disk.
      new: the same; or a folder that lies in no root: it becomes the folder of the root `old`, or else a new root.
      new_root: in the latter case, the folder above it that becomes the new root.
      show: is given what will be done, before anything is written.

    Raises:
      UsageError: if a place is none.
      DataError: if no row fits; nothing is written then.
    """
    known = config.load(sections.Roots)
    with in_turn(config.own("labels.lock"), str(paths.LABELS)):
        source, target = _named(old, known.folders) or old.rstrip("/"), _named(new, known.folders)
        if target is None and not Path(new).is_dir():
            advice = f"{closest(new.partition('/')[0], set(known.folders))} (roots in configs/params.yaml)"
            raise UsageError(f"'{new}' is no root, no place in one, and no folder", where=WHERE, mend=advice)
        if new_root and (target or not Path(new).resolve().is_relative_to(new_root.resolve())):
            advice = "leave --root out, or name a folder above NEW"
            raise UsageError(f"{new_root} is no new root above {new}", where=WHERE, mend=advice)
        if target is None and source in known.folders and not new_root:
            plan = _folder_of(source, Path(new).resolve(), known.folders)
        else:
            place = Path(new).resolve()
            plan = _rows(source, target, place, (new_root or place).resolve(), known, by=by, at=at)
        show(plan)
        if not dry_run:
            for step in plan.steps:
                step()
    return plan


def _named(place: str, folders: dict[str, Path]) -> str | None:
    """The place as ROOT[/path]; None for one in no root.

    Raises:
      UsageError: if it leaves its root.
    """
    root, _, below = place.rstrip("/").partition("/")
    if root in folders:
        fault = labels.image_fault(f"{root}/{below or 'x'}", list(folders))
        if fault:
            raise UsageError(f"{fault[0]}: {place}", where=WHERE, mend=fault[1])
        return place.rstrip("/")
    for name, folder in folders.items():
        for path, top in ((Path(place).absolute(), folder), (Path(place).resolve(), folder.resolve())):
            if path.is_relative_to(top):
                return f"{name}/{path.relative_to(top).as_posix()}".removesuffix("/.")
    return None


def _folder_of(name: str, folder: Path, folders: dict[str, Path]) -> Relocation:
    """A root that lies elsewhere as a whole: its folder is named in the params, and no table changes."""
    importing.name_root(folder, {other: path for other, path in folders.items() if other != name}, name)
    tables, indexed = _tables().all(), _indexed(name)
    wanted = {image: indexed[image] for image in list(indexed)[:: max(1, len(indexed) // CHECKED)]}
    for table in tables.values():
        rows = table[moves.below(table["image"], name)].reindex(columns=["image", "sha256"], fill_value="")
        wanted |= {image: sha256 or indexed.get(image, "") for image, sha256 in rows.itertuples(index=False)}
    there = index.contents(list(wanted), {name: folder}, config.cache(index.CACHE))
    left = {
        image: moving.OTHER if image in there else moving.ABSENT
        for image, sha256 in wanted.items()
        if not there.get(image) or (sha256 and there[image] != sha256)
    }
    if len(left) == len(wanted):
        first = next(iter(left.items()), None)
        reason = f", first {first[0]}: {first[1]}" if first else ""
        what = f"none of the {len(wanted)} known images of root '{name}' lies there{reason}"
        raise DataError(what, where=folder, mend="name the folder in which they lie now")
    kind = next(kind for kind, named in config.load(sections.Roots).model_dump().items() if name in named)
    examples = [(image, str(labels.locate(image, {name: folder}))) for image in wanted if image not in left]
    inside = folder.is_relative_to(paths.workspace().resolve())
    written = folder.relative_to(paths.workspace().resolve()) if inside else folder
    steps: list[Callable[[], None]] = [partial(config.set_root, kind, name, written)]
    return Relocation(name, str(folder), {str(config.PARAMS): 1}, left, examples[:EXAMPLES], steps=steps)


def _rows(
    source: str, target: str | None, place: Path, folder: Path, known: sections.Roots, *, by: str, at: str
) -> Relocation:
    steps: list[Callable[[], None]] = []
    folders, root = dict(known.folders), source.partition("/")[0]
    if target is None:
        name, _ = importing.name_root(folder, folders, folder.name.replace(" ", "-").lstrip("."))
        kind = next((kind for kind, named in known.model_dump().items() if root in named), "library")
        steps.append(partial(config.set_root, kind, name, folder))
        folders[name] = folder
        target = f"{name}/{place.relative_to(folder).as_posix()}".removesuffix("/.")
    tables = _tables()
    images = pd.concat([table["image"] for table in tables.all().values()]).drop_duplicates()
    ours, before = images[moves.leaving(images, source, target)].tolist(), int(moves.below(images, target).sum())
    if not ours:
        if before:
            return Relocation(source, target, {}, {}, [], before=before)
        advice = closest(source, moves.places(images))
        raise DataError(f"no row names an image below '{source}'", where="data", mend=advice)
    both = [*ours, *(moves.renamed(image, source, target) for image in ours)]
    there = index.contents(both, folders, config.cache(index.CACHE))
    moved = moving.move(tables, Facts(source, target, there, _indexed(source)))
    plan = _plan(source, target, moved.all(), before)
    if not plan.rows:
        image, why = next(iter(plan.left.items()))
        what = f"none of {len(ours)} images below '{source}' can move, first {image}: {why}"
        raise DataError(what, where=target, mend="name the place where they lie now")
    if root in folders:
        steps += _emptied(root, folders[root], by=by, at=at)
    for name, one in moved.all().items():
        if one.rows:
            steps.append(partial(_write, Path(name), one.table, tables.reviews.get(name)))
    return replace(plan, steps=steps)


def _tables() -> Sources:
    """All tables, as people keep them: rows that a strict reader would refuse are there to be moved."""
    label_table = _read(paths.LABELS, labels.REQUIRED).reindex(columns=labels.COLUMNS, fill_value="")
    sets = sorted(paths.BENCHMARKS.glob("[!.]*.csv"))
    reviews = decisions.read_tables(paths.REVIEWS)
    return Sources(
        {str(paths.LABELS): label_table.assign(status=label_table["status"].replace("", "ok"))},
        {str(file): _read(file, ["image", "label"]) for file in sets},
        {str(paths.REVIEWS / name): table.reset_index(drop=True) for name, table in reviews.items()},
        {str(path): _read(path, ["image", "sha256"]) for path in [paths.QUARANTINE] if path.exists()},
        {str(path): _read(path, ["decision", "image"]) for path in [paths.REPLACED] if path.exists()},
    )


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    return read_csv(path, columns).reset_index(drop=True)


def _indexed(place: str) -> dict[str, str]:
    """The contents that the last index, or the scan's cache, knows below a place."""
    seen = [index.cached(config.cache(index.CACHE)).images, index.written(paths.INDEX).images]
    rows = pd.concat([rows[moves.below(rows["image"], place)] for rows in seen])
    return dict(zip(rows["image"], rows["sha256"], strict=True))


def _plan(source: str, target: str, moved: dict[str, Moved], before: int) -> Relocation:
    images = sorted(frozenset().union(*(one.images for one in moved.values())))
    left: dict[str, str] = {}
    for one in moved.values():
        left |= one.left
    return Relocation(
        source,
        target,
        {name: one.rows for name, one in moved.items() if one.rows},
        left,
        [(image, moves.renamed(image, source, target)) for image in images[:EXAMPLES]],
        sum(one.united for one in moved.values()),
        len(frozenset().union(*(one.unverified for one in moved.values()))),
        before,
    )


def _emptied(root: str, folder: Path, *, by: str, at: str) -> list[Callable[[], None]]:
    """That a root has no image any more is meant, if these were its last."""
    if not index.names({root: folder}).empty:
        return []
    table, states = roots.read(paths.ROOTS), roots.known(paths.INDEX, config.cache(index.CACHE))
    lost = roots.standing(states, index.names({}), [root])
    seen = states[0].accepted & states[1].accepted
    if lost.empty or ((table["name"] == root) & ~(table["name"] + " " + table["at"]).isin(seen)).any():
        return []
    return [partial(roots.add, table, lost, paths.ROOTS, by=by, at=at, note="its images were moved")]


def _write(path: Path, table: pd.DataFrame, before: pd.DataFrame | None) -> None:
    if before is None:
        write_csv(table, path)
    else:
        decisions.rewrite(path, partial(_with_later_rows, before=before, after=table))


def _with_later_rows(now: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """A review table after the move, with the rows that people have added since it was read."""
    return pd.concat([after, now.iloc[len(before) :]], ignore_index=True).fillna("")
