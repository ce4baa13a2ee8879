"""Dynamic batching: pictures of concurrent requests go through the network together.

A thread takes whatever waits, at most a batch, as soon as the network is free; nobody waits for a batch to fill up.
Alone, a request is answered at once; under load, batches grow by themselves.
"""

import queue
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.errors import WallabyError
from pipeline.library import pictures
from pipeline.serving.health import Health, Worker
from pipeline.serving.served import Said, Served

MODEL, SCORING = "model", "scoring of the candidate"  # the problems' names
MOST_SHADOWS = 512  # pictures that may wait for the candidate; beyond, they are passed over and counted


@dataclass
class Asked:
    """An image to be identified.

    Attributes:
      pixels: as the served model takes them, uint8 (S, S, 3).
      row: what is recorded of it; the answer is added.
      since: when it was asked, on the clock `perf_counter`, in seconds.
    """

    data: bytes
    pixels: np.ndarray
    row: dict[str, Any]
    since: float
    answer: "Future[dict[str, Any]]" = field(default_factory=Future)

    def at(self, size: int) -> np.ndarray:
        """Pixels at a size: that of a model which was released meanwhile, say."""
        return self.pixels if len(self.pixels) == size else pictures.to_pixels(self.data, size)


Finish = Callable[[list[Asked], list[Said], Served], None]


class Batcher:
    """Answers images that are submitted one by one, with a thread that takes them through the network in batches.

    Args:
      served: gives the model that serves at the moment.
      finish: is called with each batch and what the model says of it; it fulfils `answer` of each.
      shadow: gives the candidate, if there is one; it hears what the served model has answered, when nobody waits.
      finish_shadow: is called with what the candidate says.
      health: where a model that fails is reported.
    """

    def __init__(
        self,
        served: Callable[[], Served],
        finish: Finish,
        *,
        shadow: Callable[[], Served | None],
        finish_shadow: Finish,
        health: Health,
    ):
        self._served, self._finish, self._shadow, self._finish_shadow = served, finish, shadow, finish_shadow
        self._waiting: queue.Queue[Asked | None] = queue.Queue()
        self._shadows: queue.Queue[Asked] = queue.Queue(MOST_SHADOWS)
        self.passed_over = 0
        self._health = health
        self._worker = Worker("network", self._work, problem="images wait for the network", health=health)
        self._worker.start()

    def submit(self, asked: Asked) -> None:
        self._waiting.put(asked)

    def close(self) -> None:
        """Answers what waits, then ends."""
        self._waiting.put(None)
        self._worker.join()

    def _work(self) -> float:
        batch: list[Asked] = []
        try:
            if not self._fill(batch, self._served().most):
                self._worker.stop()
            if batch:
                self._run(batch, self._served(), self._finish, MODEL, "the model cannot answer")
                self._to_shadow(batch)
            elif not self._worker.closed:
                self._run_shadow()
        except BaseException as error:
            _fail(batch, error)
            raise
        return 0.0

    def _fill(self, batch: list[Asked], most: int) -> bool:
        """Takes what waits, at most so much; returns whether more will come."""
        while len(batch) < most:
            try:
                asked = self._waiting.get(block=not batch and self._shadows.empty())
            except queue.Empty:
                break
            if asked is None:
                return False
            if asked.answer.set_running_or_notify_cancel():  # else its client has gone
                batch.append(asked)
        return True

    def _run(self, batch: list[Asked], model: Served, finish: Finish, part: str, problem: str) -> None:
        for first in range(0, len(batch), model.most):
            some = batch[first : first + model.most]
            try:
                finish(some, model.say(np.stack([asked.at(model.image_size) for asked in some])), model)
            except WallabyError as error:  # reported where it was raised: nothing can be recorded, say
                _fail(some, error)
            except BaseException as error:  # of whatever kind: each client hears of it
                self._health.report(part, f"{problem}: {type(error).__name__}", details=traceback.format_exc().rstrip())
                _fail(some, error)
            else:
                self._health.withdraw(part)

    def _to_shadow(self, batch: list[Asked]) -> None:
        if self._shadow() is None:
            return
        for asked in batch:
            try:
                self._shadows.put_nowait(asked)
            except queue.Full:
                self.passed_over += 1

    def _run_shadow(self) -> None:
        batch: list[Asked] = []
        candidate = self._shadow()
        while not self._shadows.empty() and (candidate is None or len(batch) < candidate.most):
            batch.append(self._shadows.get())
            batch[-1].since = time.perf_counter()
        if candidate is not None and batch:
            self._run(batch, candidate, self._finish_shadow, SCORING, "the candidate cannot score what is asked")


def _fail(batch: list[Asked], error: BaseException) -> None:
    kind = type(error).__name__
    # What would end the server, or cannot be raised where a client waits for it, goes by another name.
    raised = error if isinstance(error, Exception) and not isinstance(error, StopIteration) else RuntimeError(kind)
    for asked in batch:
        if not asked.answer.done():
            asked.answer.set_exception(raised)
