"""`wallaby serve`: puts the service together from the workspace and runs it; its keys, and what it has recorded."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from fastapi import FastAPI

from pipeline import bundle, sections
from pipeline.commands import Answer
from pipeline.errors import Exit, UsageError
from pipeline.files import read_table
from pipeline.inference import trials
from pipeline.library import classes, labels, lineage
from pipeline.sections import Serve
from pipeline.serving import app, image_archive, keys, served, server
from pipeline.serving.apart import Apart
from pipeline.serving.choosing import Chooser
from pipeline.serving.health import Health, Worker
from pipeline.serving.image_archive import Keeper
from pipeline.serving.metrics import Metrics
from pipeline.serving.releases import Releases
from pipeline.serving.served import Served
from pipeline.serving.service import Service
from pipeline.serving.store import opening, records, spool
from pipeline.serving.store.log import Log
from pipeline.serving.store.spool import Record
from pipeline.web import loopback
from pipeline.web.connections import Limits
from pipeline.workspace import Workspace

PORT = 8800
REPLAY = 60.0  # seconds that the store has to take what is replayed
NOT_DELETED = "what is older than serve.keep_days is not deleted"
SHOWN = 500  # characters of a record that was set aside


def serve(workspace: Workspace, *, host: str, port: int | None, say: Callable[[str], None]) -> Answer:
    """Serves the champion until the user stops it.

    Args:
      host, port: where; without a port, `PORT`.
      say: is called with the address, once requests are answered.

    Raises:
      UsageError: if the server cannot be bound there, or would be open to the network without keys.
      DataError: if there is no champion.
    """
    params = workspace.params(Serve)
    if host not in loopback.NAMES and not keys.read(params.keys):
        raise UsageError(
            f"whoever reaches {host} could use the service: there is no key yet",
            where=params.keys,
            mend="`wallaby serve --key NAME` makes one for a client",
        )
    listening = server.bind(host, PORT if port is None else port)
    with service(workspace) as running:
        application = application_of(running, params)
        limits = Limits(connections=params.max_connections, body_seconds=params.body_seconds)
        address = loopback.url(host, listening.getsockname()[1])
        server.run(application, listening, limits, say=lambda: say(address))
    return Answer(None)


def application_of(running: Service, params: Serve) -> FastAPI:
    """The addresses of a service; where there are keys, they are asked for."""
    required = keys.Keys(params.keys) if keys.read(params.keys) else None
    return app.create(running, required, **params.bounds())


@contextmanager
def service(workspace: Workspace) -> Iterator[Service]:
    """The service of a workspace; in the end, what waits is answered and recorded."""
    params, identify = workspace.params(Serve), workspace.params(sections.Identify)
    metrics, health = Metrics(), Health()
    opening.connect(params.store).dispose()  # a wrong address is told now; a store that is down is waited for
    log = Log(params.store, params.spool, health=health)
    apart = Apart()
    choose = Chooser(
        runtime=params.runtime,
        limits=trials.Limits(**identify.limits()),
        batch_size=params.batch_size,
        bulk_batch_size=identify.batch_size,
        splits=workspace.splits_table,
        pool=workspace.pool_table,
        folders=workspace.folders,
        cache=workspace.cache("runtimes"),
        apart=apart,
    )

    def load(folder: Path) -> Served:
        return served.load(folder, choose=choose, events=classes.read(workspace.classes), top_k=params.top_k)

    def record(model: Served) -> None:
        log.record(Record("releases", model.release(at=time.time_ns() // 1000)))
        metrics.serves(model.model, model.version, model.runtime)

    shadow = Path(params.shadow) if params.shadow else None
    releases = Releases(workspace.released, shadow, load, record, health=health)
    keeper = Keeper(params.pictures, share=params.pictures_share, known=_not_kept(workspace, params), health=health)
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

    def prune() -> float:
        labelled = partial(_labelled_among, workspace, params.pictures)
        return server.prune(log, keeper, keep_days=params.keep_days, spared=labelled)

    pruner = Worker("pruning", prune, problem=NOT_DELETED, health=health)
    if params.keep_days:
        pruner.start()
    try:
        yield running
    finally:
        apart.stop()
        pruner.stop()
        running.close()


def add_key(workspace: Workspace, client: str, *, per_minute: float | None = None) -> Answer:
    """Makes a key for a new client, which is shown once.

    Args:
      per_minute: images; by default serve.per_minute.

    Raises:
      UsageError: if the client has a key already, or its name can name none.
    """
    params = workspace.params(Serve)
    key = keys.add(params.keys, client, per_minute=params.per_minute if per_minute is None else per_minute)
    text = f"{key}\nthis is shown once: only its hash is kept, in {params.keys}"
    return Answer({"client": client, "key": key}, text)


def revoke_key(workspace: Workspace, client: str) -> Answer:
    """Takes a client's key back.

    Raises:
      UsageError: if there is no such key.
    """
    keys.revoke(workspace.params(Serve).keys, client)
    return Answer({"revoked": client}, f"the key of {client} is refused from now on")


def forget(workspace: Workspace, client: str) -> Answer:
    """Deletes all that was recorded of a client, and its images.

    Returns:
      How many `transactions` and `pictures` went, and how many of these were `labelled`.

    Raises:
      ResumableError: if the store cannot be used.
    """
    params = workspace.params(Serve)
    Log(params.store, params.spool).close()  # what a process that was killed has left
    engine = opening.open_store(params.store)
    with engine.begin() as connection:
        deleted = records.forget(connection, client)
    keeper = Keeper(params.pictures, share=1.0, known=image_archive.known([], [], distance=0))
    labelled = len(set(deleted.paths) & _labelled_among(workspace, params.pictures))
    images = keeper.remove(deleted.paths, spared=set())
    text = f"{deleted.transactions} transactions and {images} pictures deleted"
    if labelled:
        text += f"; {labelled} pictures were labelled: take their rows out of data/labels.csv"
    return Answer({"transactions": deleted.transactions, "pictures": images, "labelled": labelled}, text)


def replay(workspace: Workspace, *, dry_run: bool = False) -> Answer:
    """Brings the records that are set aside to the store, and what a process that was killed has left.

    Args:
      dry_run: only list what is set aside.

    Returns:
      How many were `replayed`, whether the store has `stored` them by now, and which stay `aside`, each with its
      `table`, `reason` and `record`. The code is 75 if the store could not take all, and 6 if some stay aside.
    """
    params = workspace.params(Serve)
    if dry_run:
        aside = _set_aside(params.spool)
        return Answer({"aside": aside}, "\n".join([f"{len(aside)} records are set aside", *_lines(aside)]))
    log = Log(params.store, params.spool)
    number, _ = log.replay()
    stored = log.wait_until_stored(REPLAY)
    log.close()
    aside = _set_aside(params.spool)
    place = "in the store" if stored else "waiting on disk: the store cannot be used, or has much to take"
    text = f"{number} records replayed, {place}; {len(aside)} stay aside"
    code = Exit.RESUMABLE if not stored else Exit.SOME_FAILED if aside else Exit.DONE
    return Answer({"replayed": number, "stored": stored, "aside": aside}, "\n".join([text, *_lines(aside)]), code)


def _set_aside(spool_folder: Path) -> list[dict[str, Any]]:
    """The records that no store could take: `table`, `reason` and `record`, which is the line if it is no record."""
    return [
        {"table": one.record.table, "reason": one.reason, "record": one.record.row}
        for one in spool.refused(spool_folder)
    ]


def _lines(aside: list[dict[str, Any]]) -> list[str]:
    return [
        f"  {one['reason']}: {json.dumps(one['record'])[:SHOWN]}" + (f" (for {one['table']})" if one["table"] else "")
        for one in aside
    ]


def _not_kept(workspace: Workspace, params: Serve) -> image_archive.Known:
    """The images that are not kept: those of the library and the pool, and what the champion has seen."""
    if not params.pictures_share:
        return image_archive.known([], [], distance=0)
    seen = [lineage.read(workspace.released / bundle.LINEAGE)]
    if workspace.splits_table.exists():
        seen.append(read_table(workspace.splits_table, ["sha256", "phash", "set"]))
    index = [workspace.library_table, workspace.pool_table]
    return image_archive.known(index, seen, distance=workspace.near_duplicate_distance)


def _labelled_among(workspace: Workspace, pictures: Path) -> set[str]:
    """Paths, in the folder of kept images, of those that people have labelled since."""
    folders, there = workspace.folders, workspace.labels.exists()
    roots = [name for name, folder in folders.items() if folder.resolve() == pictures.resolve()]
    images = labels.read(workspace.labels, list(folders))["image"] if there else pd.Series(dtype=str)
    return {image.partition("/")[2] for image in images if image.partition("/")[0] in roots}
