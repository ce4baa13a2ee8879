"""The Ray engine: what `prediction.predict` does, done by the workers of a cluster through Ray Data.

The rows that are to be predicted wait in Ray's object store, which spills to disk what does not fit; a worker takes a
piece of them, reads its pictures, and the predictions come back to the one who asked. Index and store stay where they
are. What a node had in work when it died is done again by another one.
"""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import pipeline
from pipeline.errors import ResumableError, UsageError, WallabyError
from pipeline.inference import local, prediction, remote, store
from pipeline.inference.local import Pieces, Told
from pipeline.inference.prediction import Seconds
from pipeline.inference.runtimes import Runtime

SECTION = "configs/params.yaml, section identify"
PIECES = 16  # of the work, at least, for each worker: so they end together, and a node that dies has little in work
IN_FLIGHT = 2  # pieces at a worker: one in work, the next one fetched
STORE_BYTES = 256 * 2**20  # of a local cluster's object store, beside the bundles
ANSWER = 10.0  # seconds that a cluster has to answer
CODE = str(Path(pipeline.__file__).parent)
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns that it leaves CUDA_VISIBLE_DEVICES alone
}

Build = Callable[[], Runtime]


@dataclass(frozen=True)
class Workers:
    """How many, and the CPUs that each of them reserves."""

    number: int
    cpus: int


def plan(nodes: list[float], *, workers: int, cpus: int) -> Workers:
    """How the work is shared out on nodes with that many CPUs, one CPU of all staying free.

    Args:
      workers: how many; 0 for as many as there is room for.
      cpus: of each; 0 for all but one of the smallest node.

    Raises:
      UsageError: if no CPU would stay free: Ray could then run nothing beside the workers, and would wait forever.
    """
    total = sum(nodes)
    cpus = cpus or max(1, int(min(nodes)) - 1)
    most = min(sum(int(node // cpus) for node in nodes), int((total - 1) // cpus))
    there = f"{total:g} CPUs on {len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}"
    if most < 1:
        raise UsageError(
            f"no room for a worker with {cpus} of {there}: Ray needs one CPU free, or it hangs",
            where=f"{SECTION}, ray_cpus",
            mend="use `engine: local`" if total < 2 else "lower ray_cpus",
        )
    if workers > most:
        raise UsageError(
            f"no room for {workers} workers with {cpus} of {there} each: Ray needs one CPU free, or it hangs",
            where=f"{SECTION}, ray_workers",
            mend=f"at most {most}, or 0",
        )
    return Workers(workers or most, cpus)


@contextmanager
def connected(address: str, sent: list[Path]) -> Iterator[list[float]]:
    """Joins the cluster at `address`, or starts one on this machine for as long as the block lasts.

    The nodes of another cluster get this program's code from here; what it imports must be installed there.

    Args:
      address: HOST:PORT, auto, or empty.
      sent: folders that will be sent to the workers.

    Yields:
      The CPUs of each node.

    Raises:
      UsageError: if Ray is not installed, or no cluster answers.
    """
    ray = _import_ray()
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        if address:
            _refuse_no_answer(address)
            options: dict[str, Any] = {"address": address, "runtime_env": {"py_modules": [CODE]}}
        else:
            size = sum(file.stat().st_size for bundle in sent for file in _files(bundle))
            options = {"include_dashboard": False, "object_store_memory": STORE_BYTES + 2 * size, "_temp_dir": folder}
            options["runtime_env"] = {"env_vars": {"TMPDIR": folder}}  # what a killed worker leaves goes with the rest
        try:
            with _no_stderr():  # where Ray's core says that it has been told to be quiet
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
            yield [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
        except ConnectionError as error:
            raise _no_cluster(address, str(error)) from error
        finally:
            ray.shutdown()


def identify(
    pieces: Pieces,
    total: int,
    *,
    address: str,
    workers: int,
    cpus: int,
    out: store.Store,
    shard_rows: int,
    sent: dict[str, Path],
    folders: dict[str, Path],
    urls: dict[str, str],
    **options: Any,
) -> Told:
    """Identifies on a cluster, which is joined once there is something to do, see `local.collect` and `connected`.

    Args:
      workers, cpus: see `plan`.
      options: and the others, as `predict` takes them.
    """
    remote.from_roots(folders, urls)  # refuses here what no worker could open
    with ExitStack() as stack:

        @cache
        def joined() -> Workers:
            nodes = stack.enter_context(connected(address, list(sent.values())))
            return plan(nodes, workers=workers, cpus=cpus)

        def found(tables: Iterable[pd.DataFrame], _: Seconds) -> Iterator[pd.DataFrame]:
            rest = filter(len, tables)
            for first in rest:
                where = {"sent": sent, "folders": folders, "urls": urls}
                yield from predict(
                    chain([first], rest), total, workers=joined(), most_rows=shard_rows, **where, **options
                )

        return local.collect(pieces, total, predict=found, out=out, shard_rows=shard_rows)


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
    """Yields the predictions of all rows of `tables`, a piece at a time, in any order; within `connected`.

    Args:
      tables: columns as `prediction.predict` takes them.
      total: rows in all tables, roughly: pieces are cut by it.
      workers: see `plan`.
      sent: folders whose files each worker gets, by their names in the folder that it takes for its workspace.
      build: called there, for a runtime.
      folders, urls: as `remote.from_roots` takes them; folders must be there on every node.
      batch_size, top_k, embeddings: as `prediction.predict` takes them.
      most_rows: of a piece.

    Raises:
      WallabyError: what a worker raised.
      ResumableError: if the workers cannot go on for another reason.
    """
    ray = _import_ray()
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
        os.environ["DVC_ROOT"] = self._workspace.name
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


def _import_ray() -> Any:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError:
        raise UsageError(
            "the engine 'ray' needs Ray, which is not installed",
            where=f"{SECTION}, engine",
            mend="pip install -c constraints.txt -e '.[distributed]', or use `engine: local`",
        ) from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.raise_original_map_exception = True  # a worker's own error, which says how to mend it
    return ray


def _refuse_no_answer(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=ANSWER).close()
        except OSError as error:
            raise _no_cluster(address, error.strerror or str(error)) from None


def _no_cluster(address: str, reason: str) -> UsageError:
    return UsageError(
        f"no Ray cluster answers: {reason.partition(chr(10))[0]}",
        where=f"{SECTION}, ray_address: {address}",
        mend="start it with `ray start`, or leave the address empty",
    )


@contextmanager
def _no_stderr() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _said(error: Exception) -> WallabyError:
    """What a worker has said, or that it could say nothing."""
    cause = getattr(error, "cause", None)  # beside it, Ray's error is of its class, too, and says where it was raised
    if isinstance(cause, WallabyError):
        return cause
    reason = str(error).strip().rpartition("\n")[2]
    return ResumableError(f"the workers cannot go on: {reason}", mend="run it again: what was finished is kept")
