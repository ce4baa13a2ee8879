"""`wallaby roots`: what each root had, and what of it is there; and losses that are meant."""

from typing import Any

from pipeline import config, paths, sections
from pipeline.errors import UsageError, closest
from pipeline.library import index, roots


def listed() -> list[dict[str, Any]]:
    """Each root: `name`, `kind`, `folder`, whether that `exists`, the `images` it had, and how many are `missing`."""
    known = config.load(sections.Roots)
    folders = known.folders
    states = roots.known(paths.INDEX, config.cache(index.CACHE))
    table = roots.standing(states, index.names(folders), folders).set_index("name")
    rows = []
    for kind, named in known.model_dump().items():
        for name in named:
            images, there = (int(table.loc[name, key]) if name in table.index else 0 for key in ("images", "there"))
            place = {"name": name, "kind": kind, "folder": str(folders[name]), "exists": folders[name].is_dir()}
            rows.append(place | {"images": images, "missing": images - there})
    return rows


def accept(name: str, *, by: str, at: str, note: str, dry_run: bool) -> dict[str, Any]:
    """Records that it is meant that a root has lost what it has lost by now; returns its row of `roots.LOSS_COLUMNS`.

    Where nothing is lost, nothing is recorded.

    Raises:
      UsageError: for an unknown root, the nearest is offered, or one that no index has found an image in.
    """
    folders = config.load(sections.Roots).folders
    if name not in folders:
        raise UsageError(f"unknown root '{name}'", where="wallaby roots empty", mend=closest(name, set(folders)))
    states = roots.known(paths.INDEX, config.cache(index.CACHE))
    lost = roots.standing(states, index.names({name: folders[name]}), [name])
    if lost.empty:
        what = f"root '{name}' had no image in the last index: there is nothing to lose"
        raise UsageError(what, where=paths.INDEX, mend="`dvc repro index` looks again")
    row = lost.iloc[0].to_dict()
    if row["there"] < row["images"] and not dry_run:
        roots.add(roots.read(paths.ROOTS), lost, paths.ROOTS, by=by, at=at, note=note)
    return row
