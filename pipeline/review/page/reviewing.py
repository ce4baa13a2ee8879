"""The workspace as the page sees it: its queues, opened when they are asked for, and anew after each round."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import DataError, WallabyError
from pipeline.files import read_json
from pipeline.library import cells, labels, quarantine
from pipeline.review import decisions, spreadsheets, yields
from pipeline.review.decisions import CHANGED_RECIPE, CONFLICT_RECIPE, PURGE_RECIPE
from pipeline.review.page.assignment import Answer, Assignment, Decided
from pipeline.review.page.decision_log import DecisionLog
from pipeline.review.page.files import Files
from pipeline.review.page.image_context import ImageContext
from pipeline.review.page.queues import ORDERS, UNLABELLED, Filter, Queue
from pipeline.review.page.thumbnails import Thumbnails
from pipeline.review.recipes import RECIPES

AUDIT_RECIPE = "suspect-label"
NO_SUGGESTION = (
    CHANGED_RECIPE,
    CONFLICT_RECIPE,
    AUDIT_RECIPE,
    PURGE_RECIPE,
)  # whose scores are no probability of a suggestion
KINDS = {CONFLICT_RECIPE: "pair", AUDIT_RECIPE: "audit"}  # how a queue is shown, if not like the others
FINDS = {recipe.name: recipe.finds for recipe in RECIPES}


class Reviewing:
    """All that the review page shows and takes: queues, thumbnails and decisions.

    Args:
      queue: the folder of the recipes' tables.
      predictions: the folder whose summary names the model that the queues come from.
      reviews: where decisions go.
      quarantined: the table of what was put away.
      folders: every root's folder, by name.
      cache: for what can be made again.
      blind_share: as `Assignment` takes it.
      confidence: of intervals and bounds.
      now: the time, in the form that decisions record.
    """

    def __init__(
        self,
        *,
        queue: Path,
        predictions: Path,
        reviews: Path,
        quarantined: Path,
        context: ImageContext,
        folders: dict[str, Path],
        cache: Path,
        blind_share: float,
        confidence: float,
        now: Callable[[], str],
    ):
        self.thumbnails = Thumbnails(folders, cache / "thumbnails")
        self.context = context
        self._queue, self._summary, self._reviews = queue, predictions / "summary.json", reviews
        self._folders, self._cache, self._blind_share, self._now = folders, cache, blind_share, now
        self._quarantined, self._confidence = quarantined, confidence
        self._files = Files(folders)
        self._assignments: dict[str, tuple[tuple[int, int], Assignment]] = {}
        self._decision_log: tuple[str, DecisionLog] | None = None
        self._lock = threading.RLock()

    def names(self) -> list[str]:
        """The queues there are (`spreadsheets.names`)."""
        return spreadsheets.names(self._queue)

    def assignment(self, name: str) -> Assignment:
        """The queue of this name as it is now.

        Raises:
          DataError: if there is none, or it cannot be read.
        """
        if name not in self.names():
            raise DataError(f"there is no queue '{name}'", where=self._queue, mend="run `dvc repro`")
        path = self._queue / f"{name}.parquet"
        with self._lock:
            decision_log = self.decision_log()
            status = path.stat()
            stamp = (status.st_size, status.st_mtime_ns)
            if name not in self._assignments or self._assignments[name][0] != stamp:
                queue = Queue(name, path, self._cache / "queues", self.context)
                self._assignments[name] = (
                    stamp,
                    Assignment(queue, decision_log, self._files, blind_share=self._blind_share),
                )
            return self._assignments[name][1]

    def prepare(self, name: str) -> None:
        """Does what would keep the first who opens this queue waiting.

        Raises:
          DataError: as `assignment`.
        """
        assignment = self.assignment(name)
        self.about(name)
        self.context.classes()
        self.cards(assignment, assignment.queue.view(Filter())[:1].tolist())

    def decision_log(self) -> DecisionLog:
        """The decisions on what today's model suggests, with what other programs have written since."""
        with self._lock:
            model = str(read_json(self._summary)["model"]) if self._summary.exists() else ""
            if self._decision_log is None or self._decision_log[0] != model:
                self._decision_log = (model, DecisionLog(self._reviews, list(self._folders), model, self._now))
                self._assignments.clear()
            elif self._decision_log[1].changed():
                self._decision_log[1].read()
                for _, assignment in self._assignments.values():
                    assignment.refresh()
            return self._decision_log[1]

    def overview(self) -> dict[str, Any]:
        """What there is to do, and what has been done."""
        return {
            "queues": [self._told(name) for name in self.names()],
            "problem": "" if self.names() else "There is no queue yet: run `dvc repro`, and come back.",
        }

    def reviewers(self) -> list[dict[str, Any]]:
        """Each reviewer's pace and own error (`reviewers.measure`)."""
        log = decisions.read_log(self._reviews, list(self._folders))
        if log.empty:
            return []
        from pipeline.review import reviewers  # here: it brings scipy along, and the queues need not wait for it

        rows = reviewers.measure(log, confidence=self._confidence).to_dict("records")
        return [{str(k): _number(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]

    def yields(self) -> list[dict[str, Any]]:
        """What each class that is short of images may gain from the pool (`yields.COLUMNS`)."""
        rows = yields.read(self._queue).to_dict("records")
        return [{str(k): _number(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]

    def about(self, name: str) -> dict[str, Any]:
        """What the page of one queue needs before its first card."""
        assignment = self.assignment(name)
        queue = assignment.queue
        told = {
            "name": name,
            "kind": KINDS.get(name, "plain"),
            "finds": FINDS.get(name, ""),
            "version": queue.version,
            "images": len(queue),
            "cards": len(queue.view(Filter())),
            "left": assignment.left(),
            "labels": queue.counts("label"),
            "clusters": queue.counts("cluster") if "cluster" in queue.columns else [],
            "orders": ORDERS,
            "origins": [*labels.ORIGINS, UNLABELLED],
            "words": sorted(cells.WORDS),
        }
        return told | ({"purge": self._promise()} if name == PURGE_RECIPE else {})

    def deal(
        self,
        name: str,
        by: str,
        filter: Filter,
        number: int,
        have: list[int],
        skip: list[int],
        *,
        again: bool,
        tab: str = "",
    ) -> dict[str, Any]:
        """The next cards of a queue for a reviewer, with all that is shown of them.

        Args:
          again: whether one that is read a second time may be among them.
          tab: of the browser (`Assignment.deal`).
        """
        assignment = self.assignment(name)
        rows = assignment.deal(by, filter, number, have=have, skip=skip, tab=tab)
        cards = self.cards(assignment, rows)
        due = assignment.again(by, last=not rows and not have, tab=tab) if again else None
        if due is not None:
            cards[:0] = [card | {"blind": True} for card in self.cards(assignment, [due])]
        return {
            "version": assignment.queue.version,
            "cards": cards,
            "lost": assignment.lost(by, tab, have),
            "left": assignment.left(filter),
            "total": len(assignment.queue.view(filter)),
            "named": sorted(self.decision_log().named - self.context.names()),
        }

    def release(self, name: str, by: str, tab: str) -> None:
        """A tab was closed: its cards are for others."""
        self.assignment(name).release(by, tab)

    def cards(self, assignment: Assignment, leaders: list[int]) -> list[dict[str, Any]]:
        """What the page shows of cards: the first picture, its burst, and what the model and people say of it."""
        members = {leader: assignment.queue.members(leader) for leader in leaders}
        rows = {row["row"]: row for row in assignment.queue.rows([row for own in members.values() for row in own])}
        lacking = [row["image"] for row in rows.values() if row.get("top_labels") is None and row["label"]]
        stored = self.context.top(lacking) if lacking else {}
        known, said = self.context.labels(), self.decision_log()
        return [self._card([rows[row] for row in own], stored, known, said) for own in members.values()]

    def decide(
        self, name: str, by: str, version: str, answers: list[Answer], *, seconds: float, blind: bool, bulk: bool
    ) -> Decided:
        """As `Assignment.decide`; a class is spelt as it is known.

        Raises:
          DataError: also for a class that differs from a known one by case only, or that can be none.
        """
        known = self.names_in_use()
        new = sorted({answer.label for answer in answers} - known - {""})
        if new:
            named = pd.DataFrame({"image": "", "label": new}, dtype="str")
            cells.refuse_words(named, "the class")
            labels.check_labels(named, "the class")
            labels.check_spelling(named, "the class", known=pd.Series(sorted(known), dtype="str"))
        return self.assignment(name).decide(by, version, answers, seconds=seconds, blind=blind, bulk=bulk)

    def names_in_use(self) -> set[str]:
        """The classes that labels or decisions name, those of other reviewers' last minute among them."""
        return self.context.names() | self.decision_log().named

    def last(self, name: str, by: str) -> dict[str, Any]:
        """The card that the reviewer decided last in this queue, with what holds of each of its images."""
        assignment = self.assignment(name)
        card = assignment.last(by)
        return {"version": assignment.queue.version, "cards": [] if card is None else self.cards(assignment, [card])}

    def take_back(self, name: str, by: str, version: str, rows: list[int]) -> dict[str, Any]:
        """Takes back what the reviewer decided of some rows of one card; the card as it is now.

        Raises:
          StaleError, DataError: as `Assignment.take_back`.
        """
        assignment = self.assignment(name)
        stroke = assignment.take_back(by, version, rows)
        opened = sorted({int(assignment.queue.leader[row]) for row in rows})
        undone = 0 if stroke is None else len(stroke.rows)
        return {"undone": undone, "recipe": name, "cards": self.cards(assignment, opened)}

    def undo(self, name: str, by: str) -> dict[str, Any]:
        """Takes back the reviewer's last stroke, in whichever queue; its cards, as they were."""
        self.assignment(name)
        stroke = self.decision_log().undo(by)
        if stroke is None:
            return {"undone": 0, "recipe": "", "cards": []}
        if stroke.recipe not in self.names():
            return {"undone": len(stroke.rows), "recipe": stroke.recipe, "cards": []}
        assignment = self.assignment(stroke.recipe)
        opened = assignment.taken_back(stroke)
        cards = self.cards(assignment, opened) if len(opened) == 1 else []
        shown = [card | {"blind": stroke.blind} for card in cards]
        return {"undone": len(stroke.rows), "recipe": stroke.recipe, "cards": shown}

    def _card(
        self,
        rows: list[dict[str, Any]],
        stored: dict[str, list[tuple[str, float]]],
        known: pd.DataFrame,
        log: DecisionLog,
    ) -> dict[str, Any]:
        first = rows[0]
        top = stored.get(first["image"]) or list(
            zip(first.get("top_labels") or [], first.get("top_scores") or [], strict=False)
        )
        if not any(label == first["label"] for label, _ in top) and first["label"]:
            top = [(first["label"], first["score"]), *top]
        top.sort(key=lambda pair: pair[0] != first["label"])  # what the recipe suggests comes first
        before, after = self.context.beside(first["image"])
        return {
            "row": first["row"],
            "label": first["label"] or "",
            "score": _number(first["score"]),
            "reason": first["reason"] or "",
            "cluster": str(first.get("cluster") or ""),
            "sha256": first["sha256"],
            "top": [self.candidate(label) | {"score": _number(score)} for label, score in top[:6]],
            "members": [self._member(row, known, log) for row in rows],
            "before": [self._pictured(image) for image in before],
            "after": [self._pictured(image) for image in after],
            "blind": False,
        }

    def candidate(self, label: str) -> dict[str, Any]:
        """A class: where it stands, and samples of its pictures."""
        samples = self.context.samples().get(label, [])
        standing = self.context.standing().get(label)
        return {"label": label, "standing": standing, "samples": [self._pictured(*sample) for sample in samples]}

    def _member(self, row: dict[str, Any], known: pd.DataFrame, log: DecisionLog) -> dict[str, Any]:
        said = known.loc[row["image"]] if row["image"] in known.index else None
        if said is not None and said["sha256"] not in ("", row["sha256"]):
            said = None  # it is about another content, of which the reason tells
        current = None if said is None else {name: said[name] for name in ("label", "subclass", "status", "by", "at")}
        return {
            "row": row["row"],
            "label": row["label"] or "",
            "current": current,
            "decided": _decided(log, row),
            "alone": {"label": row.get("own_label") or "", "score": _number(row.get("own_score"))},
            **self._pictured(row["image"], row["sha256"]),
        }

    def _pictured(self, image: str, sha256: str = "") -> dict[str, str]:
        return {"image": image, "picture": self.thumbnails.address(image, sha256)}

    def _promise(self) -> dict[str, Any] | None:
        """What the sample judged so far promises of the list that `wallaby quarantine` would take."""
        from pipeline.review import purging  # here: it brings scipy along, and the queues need not wait for it

        try:
            away = quarantine.read(self._quarantined)
            judged = decisions.read_all(self._reviews, list(self._folders))
            return purging.audit(self._queue, away, judged, confidence=self._confidence).as_dict()
        except DataError:  # the queue of an earlier program has a sample alone
            return None

    def _told(self, name: str) -> dict[str, Any]:
        try:
            assignment = self.assignment(name)
        except WallabyError as error:
            return {"name": name, "problem": str(error), "finds": FINDS.get(name, "")}
        cards = len(assignment.queue.view(Filter()))
        return {
            "name": name,
            "finds": FINDS.get(name, ""),
            "images": len(assignment.queue),
            "cards": cards,
            "left": assignment.left(),
            "expected": None if name in NO_SUGGESTION else _number(assignment.queue.expected()),
            "clusters": len(assignment.queue.counts("cluster")) if "cluster" in assignment.queue.columns else 0,
            "problem": "",
        }


def _decided(log: DecisionLog, row: dict[str, Any]) -> dict[str, str] | None:
    """What holds of a row, and by whom; None if nobody has decided it."""
    holds = log.of(row).holds
    return next(({"by": by, "said": one["label"] or one["decision"]} for by, one in holds.items()), None)


def _number(value: float | None) -> float | None:
    """JSON knows no NaN."""
    return None if value is None or math.isnan(value) else round(float(value), 6)
