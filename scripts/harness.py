"""What the benches share: arguments, scratch folders, costs of commands and functions, servers, rows, photographs."""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}  # this checkout's package
PROGRAM = "from pipeline.cli import main; main()"
Size = tuple[int, int]  # width and height
T = TypeVar("T")

# Linux counts the memory of the process that starts a command as the command's, so a small process starts it.
WATCH = """
import json, os, subprocess, sys, time
os.environ["STARTED"] = str(time.time())
start = time.perf_counter()
_, status, usage = os.wait4(subprocess.Popen(sys.argv[1:]).pid, 0)
cost = time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
print(json.dumps([os.waitstatus_to_exitcode(status), *cost]), file=sys.stderr)
"""


def parser(doc: str | None, **optional: Any) -> argparse.ArgumentParser:
    """A parser that shows a module's docstring as it is; `optional` are positional arguments and their defaults."""
    arguments = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in optional.items():
        arguments.add_argument(name, nargs="?", type=type(default), default=default, help=f"default {default}")
    return arguments


@contextmanager
def scratch(keep: Path | None = None) -> Iterator[Path]:
    """The absolute path of a folder that is removed afterwards, or of `keep`, which stays."""
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
    else:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            yield Path(folder)


def seconds(run: Callable[[], object]) -> float:
    """Wall seconds of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Cost:
    """Wall seconds, seconds of the processor, MiB at the peak, and what the command wrote to stdout."""

    seconds: float
    cpu: float
    peak: float
    output: str = ""


def measured(command: list[str], cwd: Path | None = None, *, codes: tuple[int, ...] = (0,), **environment: str) -> Cost:
    """What a command takes; raises SystemExit if it does not end with one of `codes`."""
    watch, variables = [sys.executable, "-S", "-c", WATCH, *command], os.environ | ENVIRONMENT | environment
    result = subprocess.run(watch, cwd=cwd, env=variables, capture_output=True, text=True, check=True)
    *errors, last = result.stderr.splitlines()
    code, wall, cpu, most = json.loads(last)
    if code not in codes:
        raise SystemExit(f"{' '.join(command)[:200]} ended with {code}\n" + "\n".join(errors)[-2000:])
    return Cost(wall, cpu, most, result.stdout)


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """What a function at the top level of a module returns, called in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def peak() -> float:
    """The most MiB that this process has held, without those of the process that started it (see WATCH)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


class Server:
    """`wallaby review` or `wallaby serve`, by this program even if the workspace has a copy of it (-P)."""

    def __init__(self, workspace: Path, *command: str, program: str = PROGRAM, **options: Any):
        words = [sys.executable, "-P", "-c", program, *command, "--json", "--port", "0"]
        self.process = subprocess.Popen(words, cwd=workspace, stdout=subprocess.PIPE, text=True, **options)
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())["address"].rstrip("/")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.kill()


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def heads() -> None:
    print(f"{'':<44}{'ours':>9}{'limit':>7}{'':>9}   {'rival':<38}{'':>9}{'ratio':>7}", flush=True)


def row(what: str, ours: float, rival: str, theirs: float, *, limit: float = 0.0, ratio: float = 0.0) -> None:
    """Prints a figure and that of a rival; `limit` is the goal, 0 for none; `ratio` is computed unless it is given."""
    goal = f"{limit:>7g}{verdict(ours <= limit):>9}" if limit else f"{'':>16}"
    ratio = ratio or ours / max(theirs, 1e-9)
    print(f"{what:<44}{ours:>9.3g}{goal}   {rival:<38}{theirs:>9.3g}{ratio:>7.2f}", flush=True)


def photograph(
    seed: int, size: Size, format: str = "JPEG", *, patches: Size = (40, 30), grain: float = 0.0, **options: Any
) -> bytes:
    """A made-up image file: smooth `patches` (across, down) with noise of standard deviation `grain` (0 to 255)."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (*patches[::-1], 3), np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.int16)
    pixels = np.clip(smooth + random.normal(0, grain, (size[1], size[0], 1)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()
