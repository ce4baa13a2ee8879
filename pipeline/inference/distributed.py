"""The Ray engine: what `prediction.predict` does, done by the workers of a cluster through Ray Data.

The rows that are to be predicted wait in Ray's object store, which spills to disk what does not fit; a worker takes a
piece of them, reads its pictures, and the predictions come back to the one who asked. Index and store stay where they
are. What a node had in work when it died is done again by another one.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.errors import ResumableError, WallabyError
from pipeline.inference import cluster, local, prediction, remote, store
from pipeline.inference.cluster import Workers
from pipeline.inference.local import Pieces, Told
from pipeline.inference.prediction import Seconds
from pipeline.inference.runtimes import Runtime

PIECES = 16  # of the work, at least, for each worker: so they end together, and a node that dies has little in work
IN_FLIGHT = 2  # pieces at a worker: one in work, the next one fetched

Build = Callable[[], Runtime]


def identify(
    pieces: Pieces,
    total: int,
    *,
    address: str,
    workers: int,
    cpus: int,
    out: store.Store,
    title: str = "identify",
    shard_rows: int,
    sent: dict[str, Path],
    folders: dict[str, Path],
    urls: dict[str, str],
    **options: Any,
) -> Told:
    """Identifies on a cluster, which is joined once there is something to do; see `local.collect`.

    Args:
      workers, cpus: see `cluster.plan`.
      options: and the others, as `predict` takes them.
    """
    remote.from_roots(folders, urls)  # refuses here what no worker could open
    with ExitStack() as stack:

        @cache
        def joined() -> Workers:
            nodes = stack.enter_context(cluster.connected(address, to_send=_size(sent)))
            return cluster.plan(nodes, workers=workers, cpus=cpus)

        def found(tables: Iterable[pd.DataFrame], _: Seconds) -> Iterator[pd.DataFrame]:
            rest = filter(len, tables)
            for first in rest:
                yield from predict(
                    chain([first], rest),
                    total,
                    workers=joined(),
                    most_rows=shard_rows,
                    sent=sent,
                    folders=folders,
                    urls=urls,
                    **options,
                )

        return local.collect(pieces, total, predict=found, out=out, shard_rows=shard_rows, title=title)


def predict(
    tables: Iterable[pd.DataFrame],
    total: int,
    *,
    workers: Workers,
    sent: dict[str, Path],
    build: Build,
    folders: dict[str, Path],
    urls: dict[str, str],
    batch_size: int,
    top_k: int,
    embeddings: bool,
    most_rows: int,
) -> Iterator[pd.DataFrame]:
    """Yields the predictions of all rows of `tables`, a piece at a time, in any order; within `cluster.connected`.

    Args:
      tables: columns as `prediction.predict` takes them.
      total: rows in all tables, roughly: pieces are cut by it.
      workers: see `cluster.plan`.
      sent: folders whose files each worker gets, by their names in the folder that it takes for its workspace.
      build: called there, for a runtime.
      folders, urls: as `remote.from_roots` takes them; folders must be there on every node.
      batch_size, top_k, embeddings: as `prediction.predict` takes them.
      most_rows: of a piece.

    Raises:
      WallabyError: what a worker raised.
      ResumableError: if the workers cannot go on for another reason.
    """
    ray = cluster.import_ray()
    rows = int(np.clip(total // (PIECES * workers.number), batch_size, most_rows))
    pieces = [ray.put(pa.Table.from_pandas(piece, preserve_index=False)) for piece in cut(tables, rows)]
    if not pieces:
        return
    arguments = {
        "sent": {name: ray.put(_pack(folder)) for name, folder in sent.items()},
        "build": build,
        "folders": folders,
        "urls": urls,
        "options": {"batch_size": batch_size, "top_k": top_k, "embeddings": embeddings},
    }
    pool = ray.data.ActorPoolStrategy(size=min(workers.number, len(pieces)), max_tasks_in_flight_per_actor=IN_FLIGHT)
    data = ray.data.from_arrow_refs(pieces).map_batches(
        _Worker,
        fn_constructor_kwargs=arguments,
        compute=pool,
        num_cpus=workers.cpus,
        batch_size=None,
        batch_format="pyarrow",
    )
    try:
        for found in data.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield found.to_pandas(types_mapper=_lists_stay)
    except Exception as error:  # each layer of Ray raises kinds of its own
        raise _said(error) from error


class _Worker:
    """Lives on a node: holds a runtime, reads pictures and predicts."""

    def __init__(
        self, sent: dict[str, Any], build: Build, folders: dict[str, Path], urls: dict[str, str], options: dict
    ):
        self._sent, self._build, self._folders, self._urls, self._options = sent, build, folders, urls, options

    def __call__(self, rows: pa.Table) -> pa.Table:
        runtime, load = self._ready
        found = prediction.predict(rows.to_pandas(), runtime, load=load, **self._options)
        return pa.Table.from_pandas(found, preserve_index=False).replace_schema_metadata()  # pandas cannot read it back

    @cached_property
    def _ready(self) -> tuple[Runtime, prediction.Load]:
        """Not made when the worker starts: Ray would start it again and again, whatever the error."""
        import ray

        self._workspace = tempfile.TemporaryDirectory(prefix="worker-")  # for as long as the worker lives
        for name, files in self._sent.items():
            _unpack(ray.get(files), Path(self._workspace.name) / name)
        os.chdir(self._workspace.name)
        return self._build(), remote.from_roots(self._folders, self._urls)


def cut(tables: Iterable[pd.DataFrame], rows: int) -> Iterator[pd.DataFrame]:
    """All rows, in tables of `rows`; the last one may be smaller."""
    waiting = pd.DataFrame()
    for table in tables:
        waiting = pd.concat([waiting, table], ignore_index=True)
        whole = len(waiting) - len(waiting) % rows
        for start in range(0, whole, rows):
            yield waiting[start : start + rows]
        waiting = waiting[whole:]
    if len(waiting):
        yield waiting


def _lists_stay(kind: pa.DataType) -> pd.ArrowDtype | None:
    return pd.ArrowDtype(kind) if pa.types.is_list(kind) else None


def _size(sent: dict[str, Path]) -> int:
    return sum(file.stat().st_size for folder in sent.values() for file in _files(folder))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _pack(folder: Path) -> dict[str, np.ndarray]:
    """The files of a folder; as arrays, all workers of a node share them."""
    return {str(path.relative_to(folder)): np.fromfile(path, np.uint8) for path in _files(folder)}


def _unpack(files: dict[str, np.ndarray], folder: Path) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data.tofile(path)


def _said(error: Exception) -> WallabyError:
    """What a worker has said, or that it could say nothing."""
    cause = getattr(error, "cause", None)  # beside it, Ray's error is of its class, too, and says where it was raised
    if isinstance(cause, WallabyError):
        return cause
    reason = str(error).strip().rpartition("\n")[2]
    return ResumableError(f"the workers cannot go on: {reason}", mend="run it again: what was finished is kept")
