"""`wallaby serve`: puts the service together from the workspace, and runs it until the user stops it."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import uvicorn
from fastapi import FastAPI

from pipeline import bundle, config, loopback, paths, sections
from pipeline.errors import UsageError
from pipeline.files import read_table
from pipeline.inference import trials
from pipeline.library import classes, labels
from pipeline.serving import app, keeping, keys, served
from pipeline.serving.choosing import Chooser
from pipeline.serving.health import Health, Worker
from pipeline.serving.keeping import Keeper
from pipeline.serving.metrics import Metrics
from pipeline.serving.releases import Releases
from pipeline.serving.served import Served
from pipeline.serving.service import Service
from pipeline.serving.store import opening, records, spool
from pipeline.serving.store.log import Log
from pipeline.serving.store.spool import Record
from pipeline.web.connections import Limits, Settings

PORT = 8800
DAY = 86_400_000_000  # microseconds
REPLAY = 60.0  # seconds that the store has to take what is replayed
PRUNE_EVERY = 3600.0  # seconds
NOT_DELETED = "what is older than serve.keep_days is not deleted"


def serve(*, host: str, port: int | None, say: Callable[[str], None]) -> None:
    """Serves the champion.

    Args:
      host, port: where; without a port, `PORT`.
      say: is told the address, once requests are answered.

    Raises:
      UsageError: if the server cannot be bound there, or would be open to the network without keys.
      DataError: if there is no champion.
    """
    params = config.load(sections.Serve)
    if host not in loopback.NAMES and not keys.read(params.keys):
        raise UsageError(
            f"whoever reaches {host} could use the service: there is no key yet",
            where=params.keys,
            mend="`wallaby serve --key NAME` makes one for a client",
        )
    listening = _bind(host, PORT if port is None else port)
    with service(params) as running:
        application = application_of(params, running)
        limits = Limits(connections=params.max_connections, body_seconds=params.body_seconds)
        settings = Settings(application, limits, timeout_graceful_shutdown=30)
        signal.signal(signal.SIGTERM, _ended)
        address = loopback.url(host, listening.getsockname()[1])
        _Server(settings, lambda: say(address), application.state.fetcher.close).run(sockets=[listening])


def application_of(params: sections.Serve, running: Service) -> FastAPI:
    """The addresses of a service; where there are keys, they are asked for."""
    own = keys.Keys(params.keys) if keys.read(params.keys) else None
    return app.create(running, own, **params.bounds())


@contextmanager
def service(params: sections.Serve) -> Iterator[Service]:
    """The service of the workspace that the command runs in; in the end, what waits is answered and recorded."""
    identify, folders = config.load(sections.Identify), config.load(sections.Roots).folders
    metrics, health = Metrics(), Health()
    opening.connect(params.store).dispose()  # a wrong address is told now; a store that is down is waited for
    log = Log(params.store, params.spool, health=health)
    choose = Chooser(
        runtime=params.runtime,
        limits=trials.Limits(**identify.limits()),
        batch_size=params.batch_size,
        bulk_batch_size=identify.batch_size,
        splits=paths.SPLITS / "splits.parquet",
        pool=paths.INDEX / "pool.parquet",
        folders=folders,
        cache=config.cache("runtimes"),
    )

    def load(folder: Path) -> Served:
        return served.load(folder, choose=choose, events=classes.read(paths.CLASSES), top_k=params.top_k)

    def tell(model: Served) -> None:
        log.record(Record("releases", release(model)))
        metrics.serves(model.model, model.version, model.runtime)

    releases = Releases(paths.RELEASED, Path(params.shadow) if params.shadow else None, load, tell, health=health)
    keeper = Keeper(params.pictures, share=params.pictures_share, known=known(params), health=health)
    running = Service(
        releases,
        log,
        keeper,
        metrics,
        health=health,
        max_megapixels=params.max_megapixels,
        max_waiting=params.max_waiting,
        answer_seconds=params.answer_seconds,
    )
    releases.watch(params.look_seconds)
    pruner = Worker("pruning", lambda: prune(log, keeper, params), problem=NOT_DELETED, health=health)
    if params.keep_days:
        pruner.start()
    try:
        yield running
    finally:
        pruner.stop()
        running.close()


def release(model: Served) -> dict[str, Any]:
    """A row of the table `releases`."""
    limit = None if model.thresholds is None else app.or_none(model.thresholds.threshold)
    return {
        "model": model.model,
        "version": model.version,
        "at": time.time_ns() // 1000,
        "classes": model.classes,
        "threshold": limit,
        "expected": model.expected,
    }


def known(params: sections.Serve) -> keeping.Known:
    """The pictures that are not kept: those of the library and the pool, and what the champion has seen."""
    if not params.pictures_share:
        return keeping.known([], [], distance=0)
    index = [paths.INDEX / "library.parquet", paths.INDEX / "pool.parquet"]
    seen = [read_table(paths.RELEASED / bundle.LINEAGE)]
    splits = paths.SPLITS / "splits.parquet"
    if splits.exists():
        seen.append(read_table(splits, ["sha256", "phash", "set"]))
    return keeping.known(index, seen, distance=config.load(sections.Curate).near_duplicate_distance)


def prune(log: Log, keeper: Keeper, params: sections.Serve) -> float:
    """Deletes what is older than the days to keep, and returns the seconds until that is to be done again.

    Raises:
      WallabyError: if the store cannot be used, or the labels cannot be read: nothing is deleted then.
    """
    spared = labelled_among(params.pictures)  # before rows go: they alone know which images were kept
    deleted = log.prune(time.time_ns() // 1000 - params.keep_days * DAY)
    keeper.remove(deleted.paths, spared=spared)
    return PRUNE_EVERY


def forget(client: str) -> dict[str, int]:
    """Deletes all that was recorded of a client, and its pictures.

    Returns:
      How many `transactions` and `pictures` went, and how many of these were `labelled`.

    Raises:
      ResumableError: if the store cannot be used.
    """
    params = config.load(sections.Serve)
    Log(params.store, params.spool).close()  # what a process that was killed has left
    engine = opening.open_store(params.store)
    with engine.begin() as connection:
        deleted = records.forget(connection, client)
    keeper = Keeper(params.pictures, share=1.0, known=keeping.known([], [], distance=0))
    labelled = len(set(deleted.paths) & labelled_among(params.pictures))
    gone = keeper.remove(deleted.paths, spared=set())
    return {"transactions": deleted.transactions, "pictures": gone, "labelled": labelled}


def replay() -> dict[str, Any]:
    """Brings the records that are set aside to the store, and what a process that was killed has left.

    Returns:
      How many were `replayed`, whether the store has `stored` them by now, and which stay `aside`, each with its
      `table`, `reason` and `record`.
    """
    params = config.load(sections.Serve)
    log = Log(params.store, params.spool)
    number, _ = log.replay()
    stored = log.wait_until_stored(REPLAY)
    log.close()
    return {"replayed": number, "stored": stored, "aside": set_aside()}


def set_aside() -> list[dict[str, Any]]:
    """The records that no store could take: `table`, `reason` and `record`, which is the line if it is no record."""
    return [
        {"table": one.record.table, "reason": one.reason, "record": one.record.row}
        for one in spool.refused(config.load(sections.Serve).spool)
    ]


def labelled_among(pictures: Path) -> set[str]:
    """Paths, in the folder of kept pictures, of those that people have labelled since."""
    folders = config.load(sections.Roots).folders
    roots = [name for name, folder in folders.items() if folder.resolve() == pictures.resolve()]
    images = labels.read(paths.LABELS, list(folders))["image"] if paths.LABELS.exists() else pd.Series(dtype=str)
    return {image.partition("/")[2] for image in images if image.partition("/")[0] in roots}


class _Server(uvicorn.Server):
    """Says so once it can be asked, and ends what would hold it up."""

    def __init__(self, settings: uvicorn.Config, say: Callable[[], None], end: Callable[[], None]):
        super().__init__(settings)
        self._say, self._end = say, end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._say()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end()
        await super().shutdown(sockets)


def _ended(number: int, frame: FrameType | None) -> None:
    """Uvicorn answers what has come, and raises the signal anew: by default the process would end there and then."""


def _bind(host: str, port: int) -> socket.socket:
    """Takes the address, now, and lets nobody in: whoever connects before a model is loaded would wait for it."""
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        return taken
    except OSError as error:
        taken.close()
        reason = error.strerror or str(error)
    raise UsageError(f"cannot listen at {host}, port {port}: {reason}", mend="name another --port, or --host")
