"""The service apart from HTTP: pictures in, answers out, each recorded before anybody hears of it."""

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ResumableError
from pipeline.library import pictures
from pipeline.library.failures import EXCESS, PictureError
from pipeline.library.labels import UNKNOWN
from pipeline.serving.batching import Asked, Batcher
from pipeline.serving.health import Health
from pipeline.serving.image_archive import Keeper
from pipeline.serving.metrics import Metrics
from pipeline.serving.releases import Releases
from pipeline.serving.served import Said, Served
from pipeline.serving.store.log import Log
from pipeline.serving.store.spool import Record
from pipeline.serving.verdicts import FEEDBACK

OK, NO_PICTURE, TOO_LARGE, BUSY = 200, 422, 413, 503
PATIENCE = 1.0  # seconds that feedback waits for the record of what it is about
UNANSWERED = {
    "label": "", "score": 0.0, "threshold": None, "shown": False, "top_labels": [], "top_scores": [], "brightness": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Asker:
    """Who asks: a client, by its key, and the user that it names."""

    client: str
    user: str = ""


class Service:
    """Identifies the images of clients, and records every answer and what clients say of it.

    Args:
      health: the problems of the parts, which share it.
      max_megapixels: a larger image is refused.
      max_waiting: images that may be under way; when there are more, requests are refused.
      answer_seconds: in which an image must be answered, from when it has come; else it is refused.
      now: microseconds since 1970.
    """

    def __init__(
        self,
        releases: Releases,
        log: Log,
        keeper: Keeper,
        metrics: Metrics,
        *,
        health: Health,
        max_megapixels: float,
        max_waiting: int,
        answer_seconds: float,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ):
        self.releases, self.log, self.metrics, self.health = releases, log, metrics, health
        self._keeper, self._max_megapixels, self._now = keeper, max_megapixels, now
        self._max_waiting, self._under_way = max_waiting, 0
        self._answer_seconds = answer_seconds
        self._readers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="reader")
        self._batcher = Batcher(
            lambda: releases.served,
            self._finish,
            shadow=lambda: releases.candidate,
            finish_shadow=self._finish_shadow,
            health=health,
        )
        metrics.watch("pictures_under_way", "Pictures that are not answered yet", lambda: self._under_way)
        metrics.watch("spool_bytes", "Records that the store does not have yet", log.bytes_waiting)
        metrics.watch("store_down", "1 while the store cannot be used", lambda: bool(log.trouble))
        metrics.watch("problems", "What /health names", lambda: len(health.problems))
        metrics.watch("shadow_passed_over", "Pictures that the candidate has missed", lambda: self._batcher.passed_over)

    async def identify(self, asker: Asker, sent: list[bytes]) -> dict[str, Any]:
        """Identifies the pictures of a request.

        Returns:
          `request_id`, `latency_ms` and, for each of `pictures`, its answer or `error`, and its `status` of HTTP.

        Raises:
          ResumableError: if what was said could not be recorded.
        """
        started, request_id = time.perf_counter(), uuid.uuid4().hex
        work = [self._one(asker, request_id, place, data, started) for place, data in enumerate(sent)]
        answers = await asyncio.gather(*work)
        took = round(1000 * (time.perf_counter() - started), 3)
        return {"request_id": request_id, "latency_ms": took, "pictures": answers}

    async def judge(
        self, asker: Asker, *, request_id: str, position: int, verdict: str, label: str, note: str
    ) -> bool | None:
        """Records what a client says of an answer; returns False if there is none such of this client, None if the
        store cannot tell at the moment (it is recorded all the same).

        Raises:
          ResumableError: if it could not be recorded.
        """
        known: bool | None
        try:
            asked = await asyncio.to_thread(self.log.client_of, request_id, position, patience=PATIENCE)
            known = asked == asker.client
        except ResumableError:
            known = None
        if known is False:
            return False
        by = f"{asker.client}/{asker.user}" if asker.user else asker.client
        row = {
            "request_id": request_id, "position": position, "at": self._now(), "by": by, "verdict": verdict,
            "label": label, "source": FEEDBACK, "probability": None, "note": note,
        }  # fmt: skip
        await asyncio.to_thread(self.log.record, Record("evaluations", row))
        self.metrics.feedback.labels(verdict).inc()
        return known

    def close(self) -> None:
        """Answers what waits, and has it recorded."""
        self.releases.close()
        self._batcher.close()
        self._readers.shutdown(cancel_futures=True)  # only what nobody waits for is left
        self.log.close()

    async def _one(self, asker: Asker, request_id: str, position: int, data: bytes, since: float) -> dict[str, Any]:
        served = self.releases.served
        row = {
            "request_id": request_id, "position": position, "at": self._now(), "client": asker.client,
            "user": asker.user, "sha256": "", "bytes": len(data), "width": 0, "height": 0, "model": served.model,
            "version": served.version, "runtime": served.runtime, "latency_ms": 0.0, "status": OK, "error": "",
            "path": "", **UNANSWERED,
        }  # fmt: skip
        if self._under_way >= self._max_waiting:
            return await asyncio.to_thread(self._refuse, row, BUSY, "too many pictures wait; ask again later", since)
        work: Future[Any] = self._readers.submit(self._read, data, row, served.image_size, since)
        self._under_way += 1
        try:
            async with asyncio.timeout(self._answer_seconds):
                asked = await asyncio.wrap_future(work)
                work = asked.answer
                self._batcher.submit(asked)
                return await asyncio.wrap_future(work)
        except PictureError as reason:
            status = TOO_LARGE if reason.kind in EXCESS else NO_PICTURE
            return await asyncio.to_thread(self._refuse, row, status, str(reason), since)
        except MemoryError:
            return await asyncio.to_thread(self._refuse, row, TOO_LARGE, "too large for this machine's memory", since)
        except TimeoutError:  # what reads it may still do so: it has the row, and this is another one
            late = f"not answered within {self._answer_seconds:g} seconds; ask again later"
            return await asyncio.to_thread(self._refuse, dict(row), BUSY, late, since)
        finally:
            self._leave_after(work, asyncio.get_running_loop())

    def _leave_after(self, work: "Future[Any]", loop: asyncio.AbstractEventLoop) -> None:
        """Gives the place of an image away once nothing works on it: its client may have gone before."""

        def leave() -> None:
            self._under_way -= 1

        def left(_: object) -> None:
            with suppress(RuntimeError):  # the service has ended
                loop.call_soon_threadsafe(leave)

        if work.done():
            leave()
        else:
            work.add_done_callback(left)

    def _read(self, data: bytes, row: dict[str, Any], image_size: int, since: float) -> Asked:
        row["sha256"] = hashlib.sha256(data).hexdigest()
        row["width"], row["height"] = pictures.dimensions(data, max_megapixels=self._max_megapixels)
        pixels = pictures.to_pixels(data, image_size)
        row["brightness"] = round(float(pixels.mean()) / 255, 4)
        row["path"] = self._keeper.keep(data, row["sha256"])
        return Asked(data, pixels, row, since)

    def _refuse(self, row: dict[str, Any], status: int, reason: str, since: float) -> dict[str, Any]:
        row |= {"status": status, "error": reason, "latency_ms": _since(since)}
        self.log.record(Record("transactions", row))
        self.metrics.answered.labels(status, "no").inc()
        return {"position": row["position"], "status": status, "error": reason, "sha256": row["sha256"]}

    def _finish(self, batch: list[Asked], said: list[Said], model: Served) -> None:
        for asked, answer in zip(batch, said, strict=True):
            own = {"model": model.model, "version": model.version, "runtime": model.runtime}
            asked.row |= own | vars(answer) | {"latency_ms": _since(asked.since)}
        self.log.record(*(Record("transactions", asked.row) for asked in batch))
        self.metrics.batch.observe(len(batch))
        for asked, answer in zip(batch, said, strict=True):
            self.metrics.answered.labels(OK, "yes" if answer.shown else "no").inc()
            self.metrics.seconds.observe(asked.row["latency_ms"] / 1000)
            asked.answer.set_result(_told(asked.row))

    def _finish_shadow(self, batch: list[Asked], said: list[Said], model: Served) -> None:
        own = {"model": model.model, "version": model.version, "at": self._now()}
        records = []
        for asked, answer in zip(batch, said, strict=True):
            values = {name: value for name, value in vars(answer).items() if name != "threshold"}
            place = {"request_id": asked.row["request_id"], "position": asked.row["position"]}
            records.append(Record("shadows", place | own | values | {"latency_ms": _since(asked.since)}))
        self.log.record(*records)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """What a client hears of its picture."""
    same = (
        "position",
        "status",
        "sha256",
        "width",
        "height",
        "model",
        "version",
        "label",
        "score",
        "threshold",
        "shown",
    )
    top = [{"label": label, "score": score} for label, score in zip(row["top_labels"], row["top_scores"], strict=True)]
    answer = row["label"] if row["shown"] else UNKNOWN
    return {name: row[name] for name in same} | {"answer": answer, "top": top, "latency_ms": row["latency_ms"]}


def _since(started: float) -> float:
    return round(1000 * (time.perf_counter() - started), 3)
