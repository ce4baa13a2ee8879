"""`wallaby classes`: the class events, and what one more of them changes."""

import pandas as pd

from pipeline.commands import Answer, now
from pipeline.errors import UsageError
from pipeline.library import benchmarks, labels
from pipeline.library import classes as events
from pipeline.library.classes import Classes
from pipeline.review import decisions
from pipeline.workspace import Workspace


def listed(workspace: Workspace) -> Answer:
    """Answers with the events so far (`classes.COLUMNS`)."""
    return Answer(events.read(workspace.classes).events)


def add(
    workspace: Workspace,
    event: str,
    name: str,
    to: str = "",
    *,
    min_images: str = "",
    flip: str = "",
    by: str = "",
    note: str = "",
    dry_run: bool = False,
) -> Answer:
    """Adds an event to the class events; answers with the images that count otherwise than before.

    An event that was recorded already, other than a setting, changes nothing: `done` is its row.

    Args:
      event: one of `classes.EVENTS`.
      name: the class.
      to: what it becomes, where the event needs it.
      min_images, flip: further columns of the event.

    Raises:
      DataError: if the event does not fit the others, or names no class.
    """
    done = events.recorded(events.read(workspace.classes), event, name, to)
    if done is not None:
        became = f"'{name}' is '{to}'" if to else f"'{name}' is retired"
        text = f"this is done already: by row {done} of {workspace.classes.name}, {became}; nothing is written"
        return Answer({"changes": [], "done": done}, text)
    row = {"event": event, "class": name, "to": to, "min_images": min_images, "flip": flip}
    row |= {"by": by, "note": note, "at": now()}
    return _change(workspace, events.add(workspace.classes, row, _known(workspace)), dry_run=dry_run)


def undo(workspace: Workspace, *, dry_run: bool = False) -> Answer:
    """Takes the last event back; answers with the images that count otherwise than before.

    Raises:
      UsageError: if there is none.
    """
    table = events.read(workspace.classes).events
    if table.empty:
        raise UsageError("there is no event to take back", where=workspace.classes)
    return _change(workspace, events.check(table.iloc[:-1], workspace.classes), dry_run=dry_run)


def _change(workspace: Workspace, after: Classes, *, dry_run: bool) -> Answer:
    """Writes the events unless it is a trial; `changes` are the class before, the class now and the number of images;
    an image of a retired class has none ("")."""
    table = labels.read(workspace.labels, workspace.root_names)
    pairs = pd.DataFrame({"was": _today(events.read(workspace.classes), table), "is": _today(after, table)})
    counts = pairs[pairs["was"] != pairs["is"]].value_counts().sort_index()
    changes = [(before, today, int(number)) for (before, today), number in counts.items()]
    if not dry_run:
        events.write(after.events, workspace.classes)
    would = "would count" if dry_run else "count"
    lines = [f"{number} images of '{before}' {would} as '{today}'" for before, today, number in changes]
    text = "\n".join(lines) or "no image is called otherwise"
    return Answer({"changes": changes}, f"{text}; {'nothing is written' if dry_run else 'next: dvc repro'}")


def _known(workspace: Workspace) -> set[str]:
    """The names of classes in all tables that people write."""
    names = workspace.root_names
    tables = [
        labels.read(workspace.labels, names),
        benchmarks.read_all(workspace.benchmarks, names),
        decisions.read_all(workspace.reviews, names),
    ]
    return {label for table in tables for label in table["label"]} - {""}


def _today(classes: Classes, table: pd.DataFrame) -> pd.Series:
    named = classes.apply(table)["label"]
    return named.mask(named.isin(classes.retired), "")
