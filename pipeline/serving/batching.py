"""Dynamic batching: pictures of concurrent requests go through the network together.

A thread takes whatever waits, at most a batch, as soon as the network is free; nobody waits for a batch to fill up.
Alone, a request is answered at once; under load, batches grow by themselves.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.library import pictures
from pipeline.serving.served import Said, Served

MOST_SHADOWS = 512  # pictures that may wait for the candidate; beyond, they are passed over and counted


@dataclass
class Asked:
    """A picture to be identified. Attributes:
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
    """Args:
    served: gives the model that serves at the moment.
    finish: is called with each batch and what the model says of it; it fulfils `answer` of each.
    shadow: gives the candidate, if there is one; it hears what the served model has answered, when nobody waits.
    finish_shadow: is called with what the candidate says.
    """

    def __init__(
        self,
        served: Callable[[], Served],
        finish: Finish,
        *,
        shadow: Callable[[], Served | None],
        finish_shadow: Finish,
    ):
        self._served, self._finish, self._shadow, self._finish_shadow = served, finish, shadow, finish_shadow
        self._waiting: queue.Queue[Asked | None] = queue.Queue()
        self._shadows: queue.Queue[Asked] = queue.Queue(MOST_SHADOWS)
        self.passed_over = 0
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    def submit(self, asked: Asked) -> None:
        self._waiting.put(asked)

    def close(self) -> None:
        """Answers what waits, then ends."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._next_batch(self._served().most)
            if batch:
                self._run(batch, self._served(), self._finish)
                self._to_shadow(batch)
            elif open_:
                self._run_shadow()

    def _next_batch(self, most: int) -> tuple[list[Asked], bool]:
        batch: list[Asked] = []
        while len(batch) < most:
            try:
                asked = self._waiting.get(block=not batch and self._shadows.empty())
            except queue.Empty:
                break
            if asked is None:
                return batch, False
            if asked.answer.set_running_or_notify_cancel():  # else its client has gone
                batch.append(asked)
        return batch, True

    def _run(self, batch: list[Asked], model: Served, finish: Finish) -> None:
        for first in range(0, len(batch), model.most):
            some = batch[first : first + model.most]
            try:
                said = model.say(np.stack([asked.at(model.image_size) for asked in some]))
                finish(some, said, model)
            except Exception as error:  # of whatever kind: the thread must live, and each client hear of it
                for asked in some:
                    if not asked.answer.done():
                        asked.answer.set_exception(error)

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
            self._run(batch, candidate, self._finish_shadow)
