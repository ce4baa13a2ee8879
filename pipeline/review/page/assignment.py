"""Who sees which card next, and what a decision on it means for the images behind it."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.review.decisions import BAD, CONFLICT_RECIPE, KEEP, LABEL, UNKNOWN
from pipeline.review.page.decision_log import DecisionLog, Stroke
from pipeline.review.page.files import Files
from pipeline.review.page.queues import Filter, Queue

HELD = 600.0  # seconds that a card which somebody has in hand is kept from others
BLOCK = 1 << 12  # cards looked through at once
AGAIN_AFTER = 20  # strokes between a decision and its second, blind reading
ANSWERS = (LABEL, UNKNOWN, BAD, KEEP)
Holder = tuple[str, str]  # a reviewer, and the tab of the browser: two tabs of one person show different cards


class StaleError(DataError):
    """The page shows a queue that a new round has replaced."""


class TakenError(DataError):
    """Somebody else has decided the card meanwhile; `said` is their row."""

    def __init__(self, said: dict[str, str]):
        what = said["label"] or said["decision"]
        super().__init__(f"{said['by']} has decided this one meanwhile: {what}", where=said["image"])
        self.said = said


class ChangedError(DataError):
    """The card shows another content than its file has now."""


@dataclass(frozen=True)
class Decided:
    """What became of answers.

    Attributes:
      stroke: what was written.
      late: images left out, because somebody else has decided them meanwhile.
      changed: images left out, because their file was replaced since the queue was made.
    """

    stroke: Stroke
    late: list[str]
    changed: list[str]


@dataclass(frozen=True)
class Answer:
    """What a person says of a card.

    Attributes:
      row: the card's first row.
      decision: label, unknown, bad or keep.
      label: the class; only with `label`.
      rows: those of the card's rows that are meant, if not all.
      subclass: what it is more closely; only with `label`.
    """

    row: int
    decision: str
    label: str = ""
    rows: tuple[int, ...] = ()
    subclass: str = ""


class Assignment:
    """One queue, the people who work on it, and how far they are.

    Args:
      files: what the images' files hold now.
      blind_share: of the cards that a reviewer has decided, how many are shown again, blind.
    """

    def __init__(
        self,
        queue: Queue,
        decision_log: DecisionLog,
        files: Files,
        *,
        blind_share: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.queue, self._decision_log, self._files = queue, decision_log, files
        self._blind_share, self._clock = blind_share, clock
        self._held: dict[int, tuple[Holder, float]] = {}
        self._read_again: dict[int, tuple[Holder, float]] = {}
        self._row_of: dict[str, int] = {}  # of what was decided: to look through millions of names takes too long
        self._lock = threading.RLock()
        self.refresh()

    def refresh(self) -> None:
        """Takes over what the decision log knows."""
        with self._lock:
            decided = np.zeros(len(self.queue), bool)
            images, contents = self.queue.column("image"), self.queue.column("sha256")
            found = self._decision_log.decided()
            rows = self.queue.find(pa.array([image for image, _ in found], images.type))
            pairs = zip(images.take(rows).to_pylist(), contents.take(rows).to_pylist(), strict=True)
            rows = rows[np.fromiter((pair in found for pair in pairs), bool, len(rows))]
            decided[rows] = True
            self._decided = decided
            # what is taken back in this moment is not among them, and its row is asked for next
            self._row_of.update(zip(images.filter(pa.array(decided)).to_pylist(), rows.tolist(), strict=True))
            left = np.bincount(self.queue.leader[~decided], minlength=len(self.queue)) if len(self.queue) else decided
            self._done: np.ndarray = left == 0  # of the first row of each card

    def left(self, filter: Filter = Filter()) -> int:  # noqa: B008
        return int(np.count_nonzero(self.queue.passing(filter) & ~self._done))

    def deal(
        self,
        by: str,
        filter: Filter,
        number: int,
        *,
        have: Sequence[int] = (),
        skip: Sequence[int] = (),
        tab: str = "",
    ) -> list[int]:
        """The next cards for a tab of a reviewer, which it holds for a while.

        What the tab held before and has no more is free again. Where nothing else is left, the cards that another tab
        of the same reviewer has in reserve are dealt; it learns by `lost` that they are gone.

        Args:
          have: cards that the tab has in hand already, the one that is shown first.
          skip: cards put aside.
          tab: of the browser.
        """
        now, mine = self._clock(), (by, tab)
        with self._lock:
            for row in [row for row, (holder, _) in self._held.items() if holder == mine and row not in have]:
                del self._held[row]
            view = self.queue.view(filter)
            elsewhere = {row: held for row, held in self._held.items() if held[0] != mine and now - held[1] < HELD}
            out = {*elsewhere, *have, *skip}
            found: list[int] = []
            for start in range(0, len(view), BLOCK):
                some = view[start : start + BLOCK]
                found += [row for row in some[~self._done[some]].tolist() if row not in out]
                if len(found) >= number:
                    break
            found = found[:number]
            if not found and not have:
                found = self._in_reserve(by, elsewhere, skip, self.queue.passing(filter))[:number]
            for row in [row for row in have if row not in elsewhere] + found:
                self._held.pop(row, None)  # so that the first of a hand is the one that is shown
                self._held[row] = (mine, now)
            return found

    def lost(self, by: str, tab: str, have: Sequence[int]) -> list[int]:
        """Those of the cards in hand, but for the one that is shown, that another tab has by now."""
        with self._lock:
            return [row for row in have[1:] if row in self._held and self._held[row][0] != (by, tab)]

    def release(self, by: str, tab: str) -> None:
        """A tab was closed: what it held is free."""
        with self._lock:
            for hand in (self._held, self._read_again):
                for row in [row for row, (holder, _) in hand.items() if holder == (by, tab)]:
                    del hand[row]

    def _in_reserve(
        self, by: str, elsewhere: dict[int, tuple[Holder, float]], skip: Sequence[int], passing: np.ndarray
    ) -> list[int]:
        """Cards that other tabs of the reviewer hold and do not show, the last first."""
        hands: dict[Holder, list[int]] = {}
        for row, (holder, _) in elsewhere.items():
            if holder[0] == by:
                hands.setdefault(holder, []).append(row)
        rest = [row for hand in hands.values() for row in hand[1:]]
        return [row for row in reversed(rest) if not self._done[row] and passing[row] and row not in skip]

    def again(self, by: str, *, last: bool = False, tab: str = "") -> int | None:
        """A card that the reviewer has decided some time ago and shall read again, blind; None if none is due.

        Args:
          last: nothing else is left, so that none has to wait.
          tab: of the browser; another one of the same reviewer does not get the card meanwhile.
        """
        if self.queue.name == CONFLICT_RECIPE or not self._blind_share:
            return None
        strokes = self._decision_log.strokes[by]
        for stroke in strokes if last else strokes[: -AGAIN_AFTER or None]:
            image = stroke.rows[0]["image"]
            chosen = not stroke.blind and stroke.recipe == self.queue.name and self._chosen(by, image)
            if not chosen or image not in self._row_of:
                continue
            leader = int(self.queue.leader[self._row_of[image]])  # of a burst, which may have been left out
            said = self._decision_log.of(self.queue.rows([leader])[0])
            if by in said.holds and by not in said.blind and self._takes(leader, (by, tab)):
                return leader
        return None

    def _takes(self, row: int, holder: Holder) -> bool:
        """Whether the tab may show a card again; it is its own then for a while."""
        now = self._clock()
        with self._lock:
            other, since = self._read_again.get(row, (holder, now))
            if other[0] == holder[0] and other != holder and now - since < HELD:
                return False
            self._read_again[row] = (holder, now)
            return True

    def decide(
        self, by: str, version: str, answers: list[Answer], *, seconds: float, blind: bool = False, bulk: bool = False
    ) -> Decided:
        """Writes what a reviewer says of some cards, in one stroke.

        Args:
          bulk: cards that others have decided meanwhile, and those whose files were replaced, are left out, and not an
            error.

        Raises:
          StaleError: if the queue is another one by now.
          TakenError: if somebody else has decided the card.
          ChangedError: if the file was replaced since the queue was made.
          DataError: for several answers for one image, and as `DecisionLog.record`.
          ResumableError: as `DecisionLog.record`.
        """
        if version != self.queue.version:
            raise StaleError("a new round has replaced this queue", where=self.queue.name, mend="reload the page")
        meant = [(answer, row) for answer in answers for row in self._meant(answer, blind)]
        answered: set[str] = set()
        for _, row in meant:
            if row["image"] in answered:
                what = "an image has several answers at once"
                raise DataError(what, where=row["image"], mend="send one answer for each")
            answered.add(row["image"])
        changed = self._changed([row for _, row in meant])
        if changed and not bulk:
            what = "the file was replaced since the queue was made: the decision would be about what you do not see"
            raise ChangedError(what, where=changed[0], mend="run `dvc repro`: the next queue shows it as it is")
        meant = [(answer, row) for answer, row in meant if row["image"] not in set(changed)]
        with self._lock:
            rows, numbers, late = [], [], []
            for answer, row in meant:
                others = [said for who, said in self._decision_log.of(row).holds.items() if who != by]
                if others and not blind:
                    if not bulk:
                        raise TakenError(others[0])
                    late.append(row["image"])
                else:
                    rows.append(self._row(row, answer))
                    numbers.append(row["row"])
            if not rows:
                return Decided(Stroke(by, "", self.queue.name, blind, ()), late, changed)
            stroke = self._decision_log.record(by, self.queue.name, rows, seconds=seconds, blind=blind)
            self._row_of.update(zip((row["image"] for row in rows), numbers, strict=True))
            self._mark(numbers)
            return Decided(stroke, late, changed)

    def take_back(self, by: str, version: str, numbers: list[int]) -> Stroke | None:
        """Takes back what a reviewer decided of some rows; None if that is nothing.

        Raises:
          StaleError: if the queue is another one by now.
          DataError: if there is no such row.
        """
        if version != self.queue.version:
            raise StaleError("a new round has replaced this queue", where=self.queue.name, mend="reload the page")
        if not all(0 <= number < len(self.queue) for number in numbers):
            raise DataError("no such row", where=self.queue.name)
        with self._lock:
            rows = self.queue.rows(numbers)
            stroke = self._decision_log.take_back(by, [(row["image"], row["sha256"]) for row in rows])
            self._mark(numbers)
            return stroke

    def last(self, by: str) -> int | None:
        """The card of a reviewer's last stroke; None if it was of another queue, or of many cards."""
        stroke = self._decision_log.last(by)
        if stroke is None or stroke.recipe != self.queue.name:
            return None
        rows = [self._row_of[row["image"]] for row in stroke.rows if row["image"] in self._row_of]
        cards = {int(self.queue.leader[row]) for row in rows}
        return cards.pop() if len(cards) == 1 else None

    def taken_back(self, stroke: Stroke) -> list[int]:
        """Opens the cards of a stroke again; returns them."""
        with self._lock:
            return self._mark([self._row_of[row["image"]] for row in stroke.rows if row["image"] in self._row_of])

    def _mark(self, numbers: list[int]) -> list[int]:
        """Takes over what holds of these rows by now; returns their cards."""
        cards = np.unique(self.queue.leader[numbers]).tolist() if numbers else []
        for row in self.queue.rows(numbers):
            self._decided[row["row"]] = bool(self._decision_log.of(row).holds)
        for card in cards:
            self._done[card] = bool(self._decided[self.queue.members(card)].all())
            self._held.pop(card, None)
        return cards

    def _changed(self, rows: list[dict[str, Any]]) -> list[str]:
        """The images of these rows whose file has another content; one that is gone may have been moved."""
        contents = self._files.contents([row["image"] for row in rows])
        return [row["image"] for row in rows if contents.get(row["image"], row["sha256"]) != row["sha256"]]

    def _meant(self, answer: Answer, blind: bool) -> list[dict[str, Any]]:
        if not 0 <= answer.row < len(self.queue) or answer.decision not in ANSWERS:
            raise DataError("no such card, or no such answer", where=f"{self.queue.name}, row {answer.row}")
        members = self.queue.members(int(self.queue.leader[answer.row]))
        meant = [row for row in members if row in answer.rows] if answer.rows else members
        return self.queue.rows(meant[:1] if blind else meant)

    def _row(self, row: dict[str, Any], answer: Answer) -> dict[str, str]:
        label, subclass = (answer.label, answer.subclass) if answer.decision == LABEL else ("", "")
        told = {"image": row["image"], "sha256": row["sha256"], "suggested": row["label"] or ""}
        return told | {"decision": answer.decision, "label": label, "subclass": subclass, "undoes": ""}

    def _chosen(self, by: str, image: str) -> bool:
        """Whether the image is one of the share; by its name, so that nobody can tell before."""
        digest = hashlib.sha256(f"{by}\n{image}".encode()).digest()
        return int.from_bytes(digest[:4], "big") < self._blind_share * 2**32
