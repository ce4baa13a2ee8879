"""Class events: what people decided about classes as a whole, in `data/classes.csv`, applied whenever labels are read.

The label table is never rewritten for them: take the row of an event out, and everything is as it was before.
"""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError, closest
from pipeline.files import write_csv
from pipeline.library import cells, labels

COLUMNS = ["event", "class", "to", "min_images", "flip", "by", "at", "note"]
RENAME, MERGE, SPLIT, RETIRE, SET = "rename", "merge", "split", "retire", "set"
MOVES = [RENAME, MERGE, SPLIT]
EVENTS = [*MOVES, RETIRE, SET]


@dataclass(frozen=True)
class Classes:
    """The events in the order in which they were decided, and what they say of today's classes.

    Attributes:
      events: columns `COLUMNS`; its index counts the rows of the file.
      retired: today's names of classes that are no longer trained.
      cutoffs: lower cutoffs of a class's own.
      no_flip: classes whose pictures mean something else when they are mirrored.
    """

    events: pd.DataFrame
    retired: frozenset[str] = frozenset()
    cutoffs: dict[str, int] = field(default_factory=dict)
    no_flip: frozenset[str] = frozenset()

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """Returns the table with today's `label` and, if it has that column, `subclass`.

        A merged class becomes the first level of the sub-class, so that nothing that people said is lost; a sub-class
        that was split off loses that level.
        """
        if self.events.empty or table.empty:
            return table
        has_subclass = "subclass" in table
        said = table[["label", "subclass"]] if has_subclass else table[["label"]].assign(subclass="")
        pairs = said.drop_duplicates()
        today = [
            self._today(label, subclass) for label, subclass in zip(pairs["label"], pairs["subclass"], strict=True)
        ]
        known = pairs.assign(today_label=[t[0] for t in today], today_subclass=[t[1] for t in today])
        found = said.merge(known, on=["label", "subclass"], how="left").set_axis(table.index)
        named = table.assign(label=found["today_label"].astype("str"))
        return named.assign(subclass=found["today_subclass"].astype("str")) if has_subclass else named

    def names(self, said: pd.Series) -> pd.Series:
        """Today's names of classes, for tables that know no sub-classes."""
        return self.apply(said.to_frame("label"))["label"].rename(said.name)

    def refuse_words(self, said: pd.Series, source: object) -> None:
        """Refuses a class that is called like a word of a decision, if no event gives it another name.

        Args:
          said: the names of classes, as people wrote them.
          source: where they stand.

        Raises:
          DataError: with the line to type, which gives the class another name everywhere.
        """
        names = pd.Series(said.unique(), dtype="str")
        faults = {name: fault[0] for name in self.names(names).unique() if (fault := cells.class_fault(name))}
        if not faults:
            return
        name, what = next(iter(sorted(faults.items())))
        other = cells.other_name(name, {*names, *self.events["class"], *self.events["to"]})
        raise DataError(what, where=source, mend=f"wallaby classes rename {shlex.quote(name)} {shlex.quote(other)}")

    def _today(self, label: str, subclass: str) -> tuple[str, str]:
        for event, name, to in zip(self.events["event"], self.events["class"], self.events["to"], strict=True):
            if event == SPLIT:
                old, _, part = name.partition("/")
                if label == old and (subclass == part or subclass.startswith(part + "/")):
                    label, subclass = to, subclass[len(part) + 1 :]
            elif label == name and event == RENAME:
                label = to
            elif label == name and event == MERGE:
                label, subclass = to, f"{label}/{subclass}" if subclass else label
        return label, subclass


def none() -> Classes:
    """No events: every class is called as people called it."""
    return Classes(pd.DataFrame(columns=COLUMNS, dtype=str))


def read(path: Path) -> Classes:
    """Reads and checks the events; a missing file has none.

    Raises:
      DataError: with file and row, for an unknown event, a missing name, a class that an earlier event renamed, merged
        or retired, events that lead back to a name that was given up, or a time that is none.
    """
    if not path.exists():
        return none()
    table = labels.read_csv(path, COLUMNS[:2])
    for column in table.columns:
        if column not in COLUMNS:
            raise DataError(f"unknown column '{column}'", where=path, mend=closest(column, COLUMNS))
    return check(table, path)


def check(table: pd.DataFrame, source: object) -> Classes:
    """Checks the rows of an event table, and returns the events.

    Args:
      table: the rows as text; columns of `COLUMNS` that are missing are added empty.
      source: the table's name in an error.

    Raises:
      DataError: as `read` does.
    """
    table = table.reindex(columns=COLUMNS, fill_value="").astype("str")
    for column in COLUMNS:
        table[column] = table[column].str.strip()
    given_up: dict[str, str] = {}  # name, and what became of it
    retired: set[str] = set()
    cutoffs: dict[str, int] = {}
    no_flip: set[str] = set()
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        event, name, to = row["event"], row["class"], row["to"]
        where = f"{source}, row {number + 2}"
        if event not in EVENTS:
            raise DataError(f"unknown event '{event}'", where=where, mend=closest(event, EVENTS))
        if not name or (event in MOVES) != bool(to):
            needs = "a class and what it becomes" if event in MOVES else "a class and nothing that it becomes"
            raise DataError(f"a {event} names {needs}", where=where, mend="fill or empty the columns class and to")
        parent, _, part = name.partition("/") if event == SPLIT else (name, "", "")
        if event == SPLIT and not part:
            raise DataError("a split names CLASS/SUBCLASS", where=where, mend="say which sub-class becomes a class")
        if to.lower() == labels.UNKNOWN:
            raise DataError("'unknown' is never a class", where=where, mend="retire the class, or relabel its images")
        if wrong := cells.time_fault(row["at"]):
            raise DataError(wrong[0], where=where, mend=wrong[1])
        given_up_already = {parent: "it", to: f"'{to}'"}
        for given, word in given_up_already.items():
            if given in given_up:
                raise DataError(
                    f"{event} '{name}'{f' to {to!r}' if to else ''}: {word} was given up, {given_up[given]}",
                    where=where,
                    mend="use today's name, or remove one of the rows",
                )
        if to.lower() == name.lower():
            raise DataError(
                f"{event} '{name}' to itself",
                where=where,
                mend="remove the row; names that differ by case are one name",
            )
        if event in (RENAME, MERGE):
            given_up[name] = f"row {number + 2} made it '{to}'"
        if event == RENAME:
            cutoffs |= {to: cutoffs.pop(name)} if name in cutoffs else {}
            no_flip |= {to} if name in no_flip else set()
        elif event == RETIRE:
            given_up[name] = f"row {number + 2} retired it"
            retired.add(name)
        elif event == SET:
            if row["min_images"]:
                cutoffs[name] = _whole_number(row["min_images"], where)
            if row["flip"]:
                (no_flip.discard if _yes(row["flip"], where) else no_flip.add)(name)
    return Classes(table, frozenset(retired), cutoffs, frozenset(no_flip - given_up.keys()))


def check_names(classes: Classes, known: set[str], source: object) -> None:
    """Checks that each event names a class that there is.

    Args:
      known: the names that people use in the label table and the benchmarks.

    Raises:
      DataError: with file and row; the nearest name is offered.
    """
    known = set(known)
    events = classes.events
    for number, event, name, to in zip(events.index, events["event"], events["class"], events["to"], strict=True):
        parent = name.partition("/")[0] if event == SPLIT else name
        if parent not in known:
            raise DataError(
                f"unknown class '{parent}'", where=f"{source}, row {number + 2}", mend=closest(parent, known)
            )
        known |= {to} if to else set()


def add(path: Path, event: dict[str, str], known: set[str]) -> Classes:
    """The events of `path` and one more, checked; nothing is written.

    Args:
      event: values of `COLUMNS`; what is missing is empty.
      known: as for `check_names`.

    Raises:
      DataError: as `read` and `check_names`, and for a class that would be called like a word of a decision.
    """
    wrong = cells.class_fault(event.get("to", ""))
    if wrong:
        raise DataError(wrong[0], where=f"{event['event']} '{event['class']}'", mend=wrong[1])
    before = read(path).events
    together = pd.concat([before, pd.DataFrame([event])], ignore_index=True).reindex(columns=COLUMNS).fillna("")
    classes = check(together, path)
    check_names(classes, known, path)
    return classes


def recorded(classes: Classes, event: str, name: str, to: str) -> int | None:
    """The row of the file in which this very event stands; None if there is none, or it is a setting."""
    table = classes.events
    same = (table["event"] == event) & (table["class"] == name) & (table["to"] == to)
    if event == SET or not same.any():
        return None
    return int(table.index[same][0]) + 2


def write(events: pd.DataFrame, path: Path) -> None:
    write_csv(events[COLUMNS], path)


def _whole_number(text: str, where: str) -> int:
    if not text.isdecimal() or int(text) < 3:
        raise DataError(f"min_images is '{text}'", where=where, mend="write a whole number of at least 3")
    return int(text)


def _yes(text: str, where: str) -> bool:
    if text not in ("yes", "no"):
        raise DataError(f"flip is '{text}'", where=where, mend="write yes or no")
    return text == "yes"
