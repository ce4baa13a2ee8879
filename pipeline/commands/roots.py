"""`wallaby roots`: what each root had, and what of it is there; and losses that are meant."""

from pipeline.commands import Answer, now, user
from pipeline.errors import UsageError, closest
from pipeline.library import index
from pipeline.library import roots as losses
from pipeline.sections import Roots
from pipeline.workspace import Workspace


def listed(workspace: Workspace) -> Answer:
    """Answers with a row per root.

    A row has `name`, `kind`, `folder`, whether that `exists`, the `images` it had, and how many are `missing`.
    """
    folders = workspace.folders
    states = losses.known(workspace.index, workspace.index_cache)
    table = losses.standing(states, index.names(folders), folders).set_index("name")
    rows = []
    for kind, named in workspace.params(Roots).model_dump().items():
        for name in named:
            images, there = (int(table.loc[name, key]) if name in table.index else 0 for key in ("images", "there"))
            place = {"name": name, "kind": kind, "folder": str(folders[name]), "exists": folders[name].is_dir()}
            rows.append(place | {"images": images, "missing": images - there})
    return Answer(rows)


def empty(workspace: Workspace, name: str, *, by: str = "", note: str = "", dry_run: bool = False) -> Answer:
    """Records that it is meant that a root has lost what it has lost by now; answers with its `roots.LOSS_COLUMNS`.

    Where nothing is lost, nothing is recorded.

    Args:
      by: who decides; by default git's user.

    Raises:
      UsageError: for an unknown root, the nearest is offered, or one that no index has found an image in.
    """
    by, folders = by or user(), workspace.folders
    if name not in folders:
        raise UsageError(f"unknown root '{name}'", where="wallaby roots empty", mend=closest(name, set(folders)))
    states = losses.known(workspace.index, workspace.index_cache)
    lost = losses.standing(states, index.names({name: folders[name]}), [name])
    if lost.empty:
        what = f"root '{name}' had no image in the last index: there is nothing to lose"
        raise UsageError(what, where=workspace.index, mend="`dvc repro index` looks again")
    row = lost.iloc[0].to_dict()
    if row["images"] == row["there"]:
        return Answer(row, f"all {row['images']} images of '{name}' are where they were; nothing is recorded")
    if not dry_run:
        table = losses.read(workspace.root_losses)
        losses.add(table, lost, workspace.root_losses, by=by, at=now(), note=note)
    recorded = "would be recorded" if dry_run else f"is recorded in {workspace.root_losses}"
    text = f"that '{name}' has {row['there']} of its {row['images']} images left {recorded}; next: dvc repro"
    return Answer(row, text)
