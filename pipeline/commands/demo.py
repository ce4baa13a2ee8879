"""`wallaby demo`: writes the demo's library, pool and benchmark set, takes them out again, or plays the reviewer."""

import shutil
from pathlib import Path

import pandas as pd

from pipeline.commands import Answer, now, queue_folder
from pipeline.demo import library, reviewer, silhouettes
from pipeline.errors import UsageError
from pipeline.files import digests, in_turn, write_csv
from pipeline.library import labels, roots
from pipeline.review import applying, decisions, spreadsheets
from pipeline.sections import Roots
from pipeline.workspace import Workspace

BENCHMARK = "field"


def write(workspace: Workspace, *, size: float = 1.0, if_empty: bool = False) -> Answer:
    """Writes the demo's images and tables; answers with the number of label rows, 0 if nothing was done.

    Args:
      size: share of the images, for quick trials.
      if_empty: do nothing where there is a library.

    Raises:
      UsageError: if there is a library that is not the demo's; it is left alone.
    """
    if if_empty and not _library_is_empty(workspace):
        return Answer({"written": 0}, "there is a library; the demo is left out")
    folder, folders = workspace.demo, workspace.folders
    if (folder / library.MARKER).exists():
        return Answer({"written": 0}, f"the demo is in {folder} already")
    if not _library_is_empty(workspace) or folder.exists():
        raise UsageError(
            "there is a library that is not the demo's, and it is left alone",
            where=workspace.labels,
            mend="try the demo in a fresh clone",
        )
    for name in ("library", "pool", "benchmark"):
        if name not in folders or folders[name].resolve() != (folder / name).resolve():
            where = workspace.params_file
            raise UsageError(f"root '{name}' is not the demo's", where=where, mend=f"set it to data/demo/{name}")
    rows, benchmark = library.write(folder, silhouettes.load(), size=size)
    for table in (rows, benchmark):
        table["sha256"] = digests([labels.locate(image, folders) for image in table["image"]])
    with in_turn(workspace.labels_lock, str(workspace.labels)):
        labels.write(labels.check(rows, list(folders), "the demo"), workspace.labels)
    write_csv(benchmark, workspace.benchmarks / f"{BENCHMARK}.csv")
    return Answer({"written": len(rows)}, f"the demo is in {folder}: {len(rows)} label rows; next: dvc repro")


def remove(workspace: Workspace) -> Answer:
    """Takes the demo out of the tables and deletes its images; answers with the number of label rows removed.

    That its roots are empty then is recorded as meant, so that the next round does not wait for them.

    Raises:
      UsageError: if the folder is not the demo's.
    """
    folder, folders = workspace.demo, workspace.folders
    if not (folder / library.MARKER).exists():
        raise UsageError("there is no demo", where=folder)
    names = [name for name, path in folders.items() if path.resolve().is_relative_to(folder.resolve())]
    states = roots.known(workspace.index, workspace.index_cache)
    lost = roots.standing(states, pd.Series(dtype="str"), names)
    if len(lost):
        table, note = roots.read(workspace.root_losses), "wallaby demo --remove"
        roots.add(table, lost, workspace.root_losses, by="the demo", at=now(), note=note)
    with in_turn(workspace.labels_lock, str(workspace.labels)):
        table = labels.read(workspace.labels, list(folders))
        from_demo = labels.root_of(table["image"]).isin(names)
        labels.write(table[~from_demo], workspace.labels)
    (workspace.benchmarks / f"{BENCHMARK}.csv").unlink(missing_ok=True)
    for session in workspace.reviews.glob(f"{reviewer.SESSION}*.csv"):
        if set(labels.read_csv(session, ["by"])["by"]) == {reviewer.NAME}:  # a person's may be called so too
            session.unlink()
    # what was taken back, and what it was
    for path in (workspace.replaced, workspace.reviews / f"{applying.SESSION}.csv"):
        _forget(path, names)
    shutil.rmtree(folder)
    workspace.index_cache.unlink(missing_ok=True)  # it would miss the demo's folders
    number = int(from_demo.sum())
    return Answer({"removed": number}, f"removed the demo: {number} label rows")


def review(workspace: Workspace, *, throwaway: str | None = None) -> Answer:
    """Plays the reviewer: answers a whole queue from the truth, in a review table.

    Args:
      throwaway: the name of the throw-away run whose queue it is ("": the only one); by default the round's queue.

    Raises:
      DataError: if the queue holds no image of the demo.
    """
    queue = queue_folder(workspace, throwaway)
    model = spreadsheets.model_digest(queue)
    table = reviewer.review(spreadsheets.queues(queue), workspace.demo, at=now(), model=model)
    path = decisions.write(table, workspace.reviews, reviewer.SESSION)
    text = f"{len(table)} decisions in {path}; next: wallaby apply"
    return Answer({"decisions": len(table), "file": str(path)}, text)


def _library_is_empty(workspace: Workspace) -> bool:
    """Whether nobody has labelled anything yet, nor laid an image into a library folder."""
    folders = workspace.folders
    table = labels.read(workspace.labels, list(folders))
    libraries = [folders[name] for name in workspace.params(Roots).library]
    return table.empty and not any(folder.is_dir() and any(folder.iterdir()) for folder in libraries)


def _forget(path: Path, root_names: list[str]) -> None:
    """Drops the rows about images of these roots, and a table that has no others."""
    if not path.exists():
        return
    table = labels.read_csv(path, ["image"])
    others = table[~labels.root_of(table["image"]).isin(root_names)]
    if others.empty:
        path.unlink()
    elif len(others) < len(table):
        write_csv(others, path)
