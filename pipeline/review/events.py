"""Class events from the command line, and what each changes."""

import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import UsageError
from pipeline.library import benchmarks, classes, labels
from pipeline.library.classes import Classes
from pipeline.review import decisions

UNDO = "undo"


def listed() -> pd.DataFrame:
    """The events so far (`classes.COLUMNS`)."""
    return classes.read(paths.CLASSES).events


def change(event: str, names: list[str], given: dict[str, str], *, dry_run: bool) -> list[tuple[str, str, int]]:
    """Adds an event to the class events, or takes the last one back.

    Args:
      event: one of `classes.EVENTS`, or undo.
      names: the class and, where the event needs it, what it becomes.
      given: further columns of the event.

    Returns:
      Which images count otherwise than before: the class before, the class now (empty: none), their number.

    Raises:
      UsageError: if the names do not fit the event.
      DataError: if the event does not fit the others, or names no class.
    """
    before = classes.read(paths.CLASSES)
    wanted = {UNDO: 0, classes.RETIRE: 1, classes.SET: 1}.get(event, 2)
    if len(names) != wanted:
        raise UsageError(f"{event} takes {wanted} names, not {len(names)}", where="wallaby classes")
    if event == UNDO:
        if before.events.empty:
            raise UsageError("there is no event to take back", where=paths.CLASSES)
        after = classes.check(before.events.iloc[:-1], paths.CLASSES)
    else:
        row = {"event": event, "class": names[0], "to": names[1] if wanted == 2 else "", **given}
        after = classes.add(paths.CLASSES, row, _known())
    differing = _differing(before, after)
    if not dry_run:
        classes.write(after.events, paths.CLASSES)
    return differing


def _known() -> set[str]:
    roots = list(config.load(sections.Roots).folders)
    said = labels.read(paths.LABELS, roots)["label"], benchmarks.read_all(paths.BENCHMARKS, roots)["label"]
    return {*said[0], *said[1], *decisions.read_all(paths.REVIEWS, roots)["label"]} - {""}


def _differing(before: Classes, after: Classes) -> list[tuple[str, str, int]]:
    table = labels.read(paths.LABELS, list(config.load(sections.Roots).folders))
    was, now = _today(before, table), _today(after, table)
    pairs = pd.DataFrame({"was": was, "now": now})[was != now].value_counts().sort_index()
    return [(was, now, int(number)) for (was, now), number in pairs.items()]


def _today(events: Classes, table: pd.DataFrame) -> pd.Series:
    named = events.apply(table)["label"]
    return named.mask(named.isin(events.retired), "")
