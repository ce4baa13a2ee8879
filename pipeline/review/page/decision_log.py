"""What people have said of the images that the queues show, in memory and, before anything else, on disk."""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.review import decisions
from pipeline.review.decisions import LABEL, NO, UNDO, YES

TOOL = "page"
MOST_NAME = 150  # bytes of a person's name in the name of a file
UNNAMED = re.compile(r"[^\w .@+-]+")
Shown = tuple[str, str]  # an image, and the content that a person saw


@dataclass(frozen=True)
class Stroke:
    """What was decided at once: the rows of a burst, or of many pictures; it is taken back at once."""

    by: str
    at: str
    recipe: str
    blind: bool
    rows: tuple[dict[str, str], ...]


@dataclass
class Said:
    """Of one image with one content, by reviewer: the decision that holds, and what was said of it blind."""

    holds: dict[str, dict[str, str]] = field(default_factory=dict)
    blind: dict[str, dict[str, str]] = field(default_factory=dict)


class DecisionLog:
    """The decisions on what one model suggests, of every reviewer and every earlier session.

    Attributes:
      strokes: of each reviewer, those that hold, the oldest first.
      named: the classes that anybody has ever named.
    """

    def __init__(self, folder: Path, root_names: list[str], model: str, now: Callable[[], str]):
        """Reads all review tables.

        Raises:
          DataError: if a review table cannot be read.
        """
        self._folder, self._roots, self._model, self._now = folder, root_names, model, now
        self._started = re.sub(r"\D", "", now())[:14]
        self._lock = threading.Lock()
        self.read()

    def read(self) -> None:
        """Reads all tables anew: other programs, and other servers, may have written since."""
        with self._lock:
            stamps = self._stamps()  # first: what is written while the tables are read is looked for again
            log = decisions.read_log(self._folder, self._roots)
            named = set(log.loc[log["decision"] == LABEL, "label"])
            log = log[(log["model"] == self._model) & (log["decision"] != UNDO) & ~log["id"].isin(log["undoes"])]
            said: dict[Shown, Said] = defaultdict(Said)
            strokes: dict[str, list[Stroke]] = defaultdict(list)
            for (at, _, by), rows in log.groupby(["at", "session", "by"], sort=True):
                whole = tuple({str(name): text for name, text in row.items()} for row in rows.to_dict("records"))
                _take(Stroke(str(by), str(at), whole[0]["recipe"], whole[0]["blind"] == YES, whole), said, strokes)
            self._said, self.strokes, self.named, self._stamp = said, strokes, named, stamps

    def changed(self) -> bool:
        """Whether another program has written a review table; what is being written here is waited for."""
        with self._lock:
            return self._stamps() != self._stamp

    def decided(self) -> set[Shown]:
        """What somebody has decided."""
        with self._lock:
            return {shown for shown, said in self._said.items() if said.holds}

    def of(self, row: dict[str, Any]) -> Said:
        """What was said up to now of an image with the content of `row` (`image`, `sha256`)."""
        with self._lock:
            said = self._said.get(_shown(row), Said())
            return Said(dict(said.holds), dict(said.blind))

    def record(self, by: str, recipe: str, rows: list[dict[str, str]], *, seconds: float, blind: bool) -> Stroke:
        """Writes a stroke: all of its rows are on disk when this returns, or none is.

        Args:
          rows: `image`, `sha256`, `decision`, `label`, `subclass`, `suggested` of each.
          seconds: that the person took; the first row tells them.

        Raises:
          DataError: for what is no decision, naming it.
          ResumableError: if it cannot be written.
        """
        with self._lock:
            whole = self._whole(by, recipe, rows, seconds, blind)
            self._write(by, whole)
            stroke = Stroke(by, whole[0]["at"], recipe, blind, tuple(whole))
            _take(stroke, self._said, self.strokes)
            return stroke

    def undo(self, by: str) -> Stroke | None:
        """Takes back a reviewer's last stroke that holds; None if there is none."""
        with self._lock:
            if not self.strokes[by]:
                return None
            stroke = self.strokes[by][-1]
            self._write(by, self._whole(by, stroke.recipe, _undoing(stroke.rows), 0.0, stroke.blind))
            self.strokes[by].pop()
            for row in stroke.rows:
                said = self._said[_shown(row)]
                (said.blind if stroke.blind else said.holds).pop(by, None)
            return stroke

    def take_back(self, by: str, shown: list[Shown]) -> Stroke | None:
        """Takes back what holds of a reviewer's decisions on some images; None if there is none."""
        with self._lock:
            rows = tuple(
                self._said[one].holds[by] for one in shown if one in self._said and by in self._said[one].holds
            )
            if not rows:
                return None
            self._write(by, self._whole(by, rows[0]["recipe"], _undoing(rows), 0.0, blind=False))
            gone = {row["id"] for row in rows}
            left = [
                replace(one, rows=tuple(row for row in one.rows if row["id"] not in gone)) for one in self.strokes[by]
            ]
            self.strokes[by] = [one for one in left if one.rows]
            for row in rows:
                self._said[_shown(row)].holds.pop(by)
            return Stroke(by, rows[0]["at"], rows[0]["recipe"], blind=False, rows=rows)

    def last(self, by: str) -> Stroke | None:
        """A reviewer's last stroke that holds; None if there is none."""
        with self._lock:
            return self.strokes[by][-1] if self.strokes[by] else None

    def _whole(
        self, by: str, recipe: str, rows: list[dict[str, str]], seconds: float, blind: bool
    ) -> list[dict[str, str]]:
        own = {
            "by": by, "at": self._now(), "model": self._model, "recipe": recipe, "tool": TOOL, "id": "",
            "blind": YES if blind else NO,
        }  # fmt: skip
        return [row | own | {"seconds": f"{0.0 if number else seconds:.1f}"} for number, row in enumerate(rows)]

    def _write(self, by: str, rows: list[dict[str, str]]) -> None:
        session = f"page {self._started} {_file_name(by)}".strip()
        ids = decisions.append_all(rows, self._folder, session, self._roots)
        for row, id_ in zip(rows, ids, strict=True):
            row["id"] = id_
        self.named |= {row["label"] for row in rows if row["decision"] == LABEL}
        own = self._folder / f"{session}.csv"
        self._stamp[own.name] = _stamp(own)  # of the other tables, nothing has been read

    def _stamps(self) -> dict[str, tuple[int, int]]:
        return {path.name: _stamp(path) for path in self._folder.glob("*.csv")}


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _shown(row: dict[str, Any]) -> Shown:
    return row["image"], row["sha256"]


def _undoing(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [row | {"decision": UNDO, "label": "", "subclass": "", "undoes": row["id"]} for row in rows]


def _take(stroke: Stroke, said: dict[Shown, Said], strokes: dict[str, list[Stroke]]) -> None:
    """Adds a stroke to what is known of the images and of its reviewer."""
    if all(row["tool"] == TOOL for row in stroke.rows):  # a filled sheet is not taken back by a key
        strokes[stroke.by].append(stroke)
    for row in stroke.rows:
        one = said[_shown(row)]
        (one.blind if stroke.blind else one.holds)[stroke.by] = row


def _file_name(by: str) -> str:
    """A person's name as part of a file's, of which a file system takes 255 bytes in all."""
    return UNNAMED.sub("", by).encode()[:MOST_NAME].decode(errors="ignore").strip()
