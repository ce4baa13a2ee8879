"""`wallaby moved`: the rows of every source table follow images that were moved or renamed; no image is touched."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import config, sections
from pipeline.commands import Answer, now, user
from pipeline.errors import DataError, Exit, UsageError, closest
from pipeline.files import in_turn, write_csv
from pipeline.library import importing, index, labels, moves, roots
from pipeline.library.tables import read_csv
from pipeline.review import decisions, moving
from pipeline.review.moving import Facts, Moved, Sources
from pipeline.workspace import Workspace

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
        """The plan without its steps, for JSON."""
        return {name: value for name, value in vars(self).items() if name != "steps"}


def moved(
    workspace: Workspace,
    old: str,
    new: str,
    *,
    by: str = "",
    new_root: Path | None = None,
    dry_run: bool = False,
    show: Callable[[Relocation], None] = lambda plan: None,
) -> Answer:
    """Moves the rows of all images below `old` whose files lie at `new`; answers with the `Relocation`.

    Args:
      old: a root, ROOT/folder, or ROOT/path of an image; or that place on disk.
      new: the same; or a folder that lies in no root: it becomes the folder of the root `old`, or else a new root.
      by: who moved them; by default git's user.
      new_root: in the latter case, the folder above it that becomes the new root.
      show: is given what will be done, before anything is written.

    Raises:
      UsageError: if a place is none.
      DataError: if no row fits; nothing is written then.
    """
    by = by or user()
    with in_turn(workspace.labels_lock, str(workspace.labels)):
        plan = _relocation(workspace, old, new, new_root, by=by)
        show(plan)
        if not dry_run:
            for step in plan.steps:
                step()
    if not plan.rows:
        text = f"nothing to move: {plan.before} images are called '{plan.new}' already"
    else:
        text = "nothing is written" if dry_run else "moved; next: dvc repro"
    return Answer(plan, text, Exit.SOME_FAILED if plan.left else Exit.DONE)


def _relocation(workspace: Workspace, old: str, new: str, new_root: Path | None, *, by: str) -> Relocation:
    folders, place = workspace.folders, Path(new).resolve()
    source, target = _named(old, folders) or old.rstrip("/"), _named(new, folders)
    if target is None and not place.is_dir():
        advice = f"{closest(new.partition('/')[0], set(folders))} (roots in {config.PARAMS})"
        raise UsageError(f"'{new}' is no root, no place in one, and no folder", where=WHERE, mend=advice)
    if new_root and (target or not place.is_relative_to(new_root.resolve())):
        advice = "leave --root out, or name a folder above NEW"
        raise UsageError(f"{new_root} is no new root above {new}", where=WHERE, mend=advice)
    if target is None and source in folders and not new_root:
        return _folder_of(workspace, source, place)
    return _rows(workspace, source, target, place, (new_root or place).resolve(), by=by)


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


def _folder_of(workspace: Workspace, name: str, folder: Path) -> Relocation:
    """A root that lies elsewhere as a whole: its folder is named in the params, and no table changes."""
    importing.name_root(folder, {other: path for other, path in workspace.folders.items() if other != name}, name)
    tables, indexed = _tables(workspace).all(), _indexed(workspace, name)
    wanted = {image: indexed[image] for image in list(indexed)[:: max(1, len(indexed) // CHECKED)]}
    for table in tables.values():
        rows = table[moves.below(table["image"], name)].reindex(columns=["image", "sha256"], fill_value="")
        wanted |= {image: sha256 or indexed.get(image, "") for image, sha256 in rows.itertuples(index=False)}
    there = index.contents(list(wanted), {name: folder}, workspace.index_cache)
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
    examples = [(image, str(labels.locate(image, {name: folder}))) for image in wanted if image not in left]
    home = workspace.home.resolve()
    written = folder.relative_to(home) if folder.is_relative_to(home) else folder
    rows = {str(workspace.params_file): 1}
    steps = [_named_root(workspace, name, written, of=name)]
    return Relocation(name, str(folder), rows, left, examples[:EXAMPLES], steps=steps)


def _rows(workspace: Workspace, source: str, target: str | None, place: Path, folder: Path, *, by: str) -> Relocation:
    steps: list[Callable[[], None]] = []
    folders, root = workspace.folders, source.partition("/")[0]
    if target is None:
        name, _ = importing.name_root(folder, folders, folder.name.replace(" ", "-").lstrip("."))
        steps.append(_named_root(workspace, name, folder, of=root))
        folders[name] = folder
        target = f"{name}/{place.relative_to(folder).as_posix()}".removesuffix("/.")
    tables = _tables(workspace)
    images = pd.concat([table["image"] for table in tables.all().values()]).drop_duplicates()
    leaving, before = images[moves.leaving(images, source, target)].tolist(), int(moves.below(images, target).sum())
    if not leaving:
        if before:
            return Relocation(source, target, {}, {}, [], before=before)
        advice = closest(source, moves.places(images))
        raise DataError(f"no row names an image below '{source}'", where="data", mend=advice)
    both = [*leaving, *(moves.renamed(image, source, target) for image in leaving)]
    there = index.contents(both, folders, workspace.index_cache)
    after = moving.move(tables, Facts(source, target, there, _indexed(workspace, source)))
    plan = _plan(source, target, after.all(), before)
    if not plan.rows:
        image, why = next(iter(plan.left.items()))
        what = f"none of {len(leaving)} images below '{source}' can move, first {image}: {why}"
        raise DataError(what, where=target, mend="name the place where they lie now")
    if root in folders:
        steps += _emptied(workspace, root, folders[root], by=by)
    for name, one in after.all().items():
        if one.rows:
            steps.append(partial(_write, Path(name), one.table, tables.reviews.get(name)))
    return replace(plan, steps=steps)


def _named_root(workspace: Workspace, name: str, folder: Path, *, of: str) -> Callable[[], None]:
    """The step that names a folder in the params, as a root of the kind of the root `of`."""
    kinds = workspace.params(sections.Roots).model_dump()
    kind = next((kind for kind, named in kinds.items() if of in named), "library")
    return partial(config.set_root, kind, name, folder, workspace.params_file)


def _tables(workspace: Workspace) -> Sources:
    """All tables, as people keep them: rows that a strict reader would refuse are there to be moved."""
    label_table = _read(workspace.labels, labels.REQUIRED).reindex(columns=labels.COLUMNS, fill_value="")
    sets = sorted(workspace.benchmarks.glob("[!.]*.csv"))
    reviews = decisions.read_tables(workspace.reviews)
    return Sources(
        {str(workspace.labels): label_table.assign(status=label_table["status"].replace("", "ok"))},
        {str(file): _read(file, ["image", "label"]) for file in sets},
        {str(workspace.reviews / name): table.reset_index(drop=True) for name, table in reviews.items()},
        {str(path): _read(path, ["image", "sha256"]) for path in [workspace.quarantine] if path.exists()},
        {str(path): _read(path, ["decision", "image"]) for path in [workspace.replaced] if path.exists()},
    )


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    return read_csv(path, columns).reset_index(drop=True)


def _indexed(workspace: Workspace, place: str) -> dict[str, str]:
    """The contents that the last index, or the scan's cache, knows below a place."""
    seen = [index.cached(workspace.index_cache).images, index.written(workspace.index).images]
    rows = pd.concat([rows[moves.below(rows["image"], place)] for rows in seen])
    return dict(zip(rows["image"], rows["sha256"], strict=True))


def _plan(source: str, target: str, after: dict[str, Moved], before: int) -> Relocation:
    images = sorted(frozenset().union(*(one.images for one in after.values())))
    left: dict[str, str] = {}
    for one in after.values():
        left |= one.left
    return Relocation(
        source,
        target,
        {name: one.rows for name, one in after.items() if one.rows},
        left,
        [(image, moves.renamed(image, source, target)) for image in images[:EXAMPLES]],
        sum(one.united for one in after.values()),
        len(frozenset().union(*(one.unverified for one in after.values()))),
        before,
    )


def _emptied(workspace: Workspace, root: str, folder: Path, *, by: str) -> list[Callable[[], None]]:
    """That a root has no image any more is meant, if these were its last."""
    if not index.names({root: folder}).empty:
        return []
    table, states = roots.read(workspace.root_losses), roots.known(workspace.index, workspace.index_cache)
    lost = roots.standing(states, index.names({}), [root])
    seen = states[0].accepted & states[1].accepted
    if lost.empty or ((table["name"] == root) & ~(table["name"] + " " + table["at"]).isin(seen)).any():
        return []
    note = "its images were moved"
    return [partial(roots.add, table, lost, workspace.root_losses, by=by, at=now(), note=note)]


def _write(path: Path, table: pd.DataFrame, before: pd.DataFrame | None) -> None:
    if before is None:
        write_csv(table, path)
    else:
        decisions.rewrite(path, partial(_with_later_rows, before=before, after=table))


def _with_later_rows(table: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """A review table after the move, with the rows that people have added since it was read."""
    return pd.concat([after, table.iloc[len(before) :]], ignore_index=True).fillna("")
