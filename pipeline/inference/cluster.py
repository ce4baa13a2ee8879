"""A Ray cluster: how its CPUs are shared out, and how it is joined, or one started on this machine."""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipeline
from pipeline.errors import UsageError

SECTION = "configs/params.yaml, section identify"
STORE_BYTES = 256 * 2**20  # of a local cluster's object store, beside the bundles
ANSWER = 10.0  # seconds that a cluster has to answer
CODE = str(Path(pipeline.__file__).parent)
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns that it leaves CUDA_VISIBLE_DEVICES alone
}


@dataclass(frozen=True)
class Workers:
    """How many, and the CPUs that each of them reserves."""

    number: int
    cpus: int


def plan(nodes: list[float], *, workers: int, cpus: int) -> Workers:
    """How the work is shared out on nodes with that many CPUs, one CPU of all staying free.

    Args:
      workers: how many; 0 for as many as there is room for.
      cpus: of each; 0 for all but one of the smallest node that has any.

    Raises:
      UsageError: if no CPU would stay free: Ray could then run nothing beside the workers, and would wait forever.
    """
    total = sum(nodes)
    cpus = cpus or max(1, int(min(filter(None, nodes), default=1)) - 1)
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
def connected(address: str, *, to_send: int) -> Iterator[list[float]]:
    """Joins the cluster at `address`, or starts one on this machine for as long as the block lasts.

    The nodes of another cluster get this program's code from here; what it imports must be installed there.

    Args:
      address: HOST:PORT, auto, or empty.
      to_send: bytes that will be sent to each worker; a cluster on this machine is made for them.

    Yields:
      The CPUs of each node.

    Raises:
      UsageError: if Ray is not installed, or no cluster answers.
    """
    ray = import_ray()
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        if address:
            _refuse_no_answer(address)
            options: dict[str, Any] = {"address": address, "runtime_env": {"py_modules": [CODE]}}
        else:
            options = {
                "include_dashboard": False,
                "object_store_memory": STORE_BYTES + 2 * to_send,
                "_temp_dir": folder,
            }
            options["runtime_env"] = {"env_vars": {"TMPDIR": folder}}  # what a killed worker leaves goes with the rest
        try:
            with _no_stderr():  # where Ray's core says that it has been told to be quiet
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
            yield [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
        except ConnectionError as error:
            raise _no_cluster(address, str(error)) from error
        finally:
            ray.shutdown()


def import_ray() -> Any:
    """Ray, told to be quiet and to report nothing to its makers.

    Raises:
      UsageError: if it is not installed.
    """
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
