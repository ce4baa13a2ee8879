#!/usr/bin/env python
"""Requests a second of `wallaby serve` beside two rivals with the same model, at 1, 8 and 64 clients, on loopback.

    scripts/bench_serving.py BUNDLE [SECONDS] [RUNTIME]

Each client sends a JPEG of 640 x 480 pixels, waits for the answer, and sends the next, for SECONDS (4) a level; all
programs run one after the other on this machine, which also makes the requests. The rivals are `mlflow models serve`
(the picture in base64, as its JSON needs it) and a plain FastAPI service, both with Keras' `model.predict` for each
request and the project's reading of a picture. RUNTIME (openvino) runs our network. Goals: at least three times either
rival at 8 clients with the log on, and at most 5 % for the log, which is told by a server of ours that records nothing,
asked in turns with the one that does.

    scripts/bench_serving.py --soak SECONDS BUNDLE [RUNTIME]

asks at 80 % of the capacity for so long (600), and tells the server's memory over time and whether each answer was
recorded exactly once.
"""

import asyncio
import base64
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
import yaml
from harness import verdict

from pipeline.inference.runtimes import kinds

CLIENTS = (1, 8, 64)
GOAL_CLIENTS, GOAL, GOAL_LOG = 8, 3.0, 0.05
SHARE, SLICES, FLAT = 0.8, 10, 0.02  # of the soak: share of the capacity, measures of the memory, growth that is none
TURNS = 12  # with the log and without, in turns, the first one last in the next: what else the machine does hits both
SIZE, PATCHES = (640, 480), (32, 24)
START = 120.0  # seconds a server may take
PLAIN, MLFLOW, SILENT, OURS = "FastAPI + model.predict", "mlflow models serve", "wallaby serve, no log", "wallaby serve"


@dataclass(frozen=True)
class Measured:
    """Requests a second, and milliseconds that half and 99 of 100 take at most."""

    rate: float
    p50: float
    p99: float
    answered: int


def main(bundle: Path, seconds: float, runtime: str) -> None:
    data = harness.photograph(0, SIZE, patches=PATCHES, quality=85)
    rates: dict[str, dict[int, Measured]] = {}
    with harness.scratch() as folder:
        for name, command, request in (
            (PLAIN, [__file__, "--plain", str(bundle)], post("/predict", data, "image/jpeg")),
            (MLFLOW, for_mlflow(bundle, folder), post("/invocations", as_json(data), "application/json")),
        ):
            with serving(command, folder) as port:
                rates[name] = {number: load(port, request, number, seconds) for number in CLIENTS}
                show(name, rates[name])
        request = post("/predict", data, "image/jpeg")
        spaces = [workspace(bundle, folder / name, runtime) for name in ("silent", "ours")]
        with (
            serving([__file__, "--silent"], spaces[0]) as silent,
            serving(["-c", harness.PROGRAM, "serve"], spaces[1]) as ours,
        ):
            rates[OURS] = {number: load(ours, request, number, seconds) for number in CLIENTS}
            show(f"{OURS}, {runtime}", rates[OURS])
            ratios = []
            for turn in range(TURNS):
                order = (silent, ours) if turn % 2 else (ours, silent)
                by_port = {port: load(port, request, GOAL_CLIENTS, seconds / 2).rate for port in order}
                ratios.append(1 - by_port[ours] / by_port[silent])
        recorded = count(spaces[1])
    for rival in (PLAIN, MLFLOW):
        ratio = rates[OURS][GOAL_CLIENTS].rate / rates[rival][GOAL_CLIENTS].rate
        print(f"{verdict(ratio >= GOAL)}  {ratio:.1f} times {rival} at {GOAL_CLIENTS} clients (goal {GOAL:g})")
    cost = statistics.median(ratios)
    mean, error = statistics.mean(ratios), statistics.stdev(ratios) / TURNS**0.5
    print(f"{verdict(cost <= GOAL_LOG)}  the log costs {cost:.1%} of the requests a second (goal 5 %), the middle of")
    print(f"         {TURNS} turns; their mean {mean:.1%}, its standard error {error:.1%}")
    print(f"{recorded} transactions in the log")


def soak(bundle: Path, seconds: float, runtime: str) -> None:
    request = post("/predict", harness.photograph(0, SIZE, patches=PATCHES, quality=85), "image/jpeg")
    with harness.scratch() as folder:
        space = workspace(bundle, folder / "ours", runtime)
        with serving(["-c", harness.PROGRAM, "serve"], space) as port:
            capacity = load(port, request, GOAL_CLIENTS, 10)
            before, sizes = count(space, settled=True), [memory(port)]
            answered = 0
            for _ in range(SLICES):
                found = load(port, request, GOAL_CLIENTS, seconds / SLICES, rate=SHARE * capacity.rate)
                answered += found.answered
                sizes.append(memory(port))
            recorded = count(space, settled=True) - before
    print(f"{runtime}: capacity {capacity.rate:.0f} a second; {seconds:.0f} s at {SHARE:.0%}, p99 {found.p99:.1f} ms")
    print(f"memory, MB: {', '.join(f'{size / 1e6:.0f}' for size in sizes)}")
    growth = sizes[-1] / sizes[len(sizes) // 2] - 1
    print(f"{verdict(growth < FLAT)}  memory grows by {growth:.1%} over the second half (flat: below {FLAT:.0%})")
    print(f"{verdict(recorded == answered)}  {answered} answers, {recorded} records")


def memory(port: int) -> int:
    """Bytes that the process listening there holds."""
    import psutil

    [process] = [
        c.pid for c in psutil.net_connections("tcp") if c.laddr.port == port and c.status == "LISTEN" and c.pid
    ]
    return psutil.Process(process).memory_info().rss


def show(name: str, levels: dict[int, Measured]) -> None:
    for number, found in levels.items():
        told = f"{found.rate:8.1f} a second   p50 {found.p50:7.1f} ms   p99 {found.p99:7.1f} ms"
        print(f"{name:<28}{number:>4} clients {told}", flush=True)


def as_json(data: bytes) -> bytes:
    return json.dumps(
        {"dataframe_split": {"columns": ["picture"], "data": [[base64.b64encode(data).decode()]]}}
    ).encode()


def post(path: str, body: bytes, kind: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def load(port: int, request: bytes, clients: int, seconds: float, rate: float = 0.0) -> Measured:
    """What so many clients get, after a fifth of the time that does not count. Args:
    rate: requests a second of all clients together, at most; 0: as many as are answered.
    """
    return asyncio.run(_load(port, request, clients, seconds, rate))


async def _load(port: int, request: bytes, clients: int, seconds: float, rate: float) -> Measured:
    begin = time.perf_counter() + seconds / 5
    end = begin + seconds
    took: list[float] = []
    answered = 0

    async def client() -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due = time.perf_counter()
        while (started := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
            answered += 1
            if (now := time.perf_counter()) >= begin:
                took.append(now - started)
            if rate:
                due += clients / rate
                await asyncio.sleep(due - now)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return Measured(len(took) / (time.perf_counter() - begin), float(p50), float(p99), answered)


@contextmanager
def serving(command: list[str], folder: Path) -> Iterator[int]:
    """Starts a Python program with `--port`, gives the port once it answers, and ends it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *command, "--port", str(port)],
        cwd=folder,
        env=os.environ | harness.ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + START
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{' '.join(command)} has not started") from None
                time.sleep(0.1)
        time.sleep(1)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def workspace(bundle: Path, folder: Path, runtime: str) -> Path:
    """Where the bundle is released, and params name the runtime."""
    params = yaml.safe_load((harness.ROOT / "configs/params.yaml").read_text())
    params["serve"]["runtime"] = runtime
    (folder / "configs").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "configs/params.yaml").write_text(yaml.safe_dump(params))
    (folder / "data/released").symlink_to(bundle.absolute())
    (folder / "data/classes.csv").write_text("event,class,to,min_images,flip,by,at,note\n")
    return folder


def count(folder: Path, *, settled: bool = False) -> int:
    """Transactions in the log; if `settled`, once no more arrive."""
    import sqlite3

    if settled:
        time.sleep(2)

    with sqlite3.connect(folder / "data/serving/transactions.sqlite") as connection:
        return connection.execute("select count(*) from transactions where status = 200").fetchone()[0]


def for_mlflow(bundle: Path, folder: Path) -> list[str]:
    """Saves the model as MLflow serves it, and says what serves it."""
    from mlflow import pyfunc

    class Named(pyfunc.PythonModel):  # type: ignore[name-defined]  # MLflow defines it lazily
        def load_context(self, context) -> None:
            from pipeline.bundle import Stored

            self.stored = Stored(Path(context.artifacts["bundle"]))
            warm(self.stored)

        def predict(self, context, model_input, params=None):  # of no type: MLflow would make a schema of it
            sent = [base64.b64decode(text) for text in model_input["picture"]]
            return plain(self.stored, sent)

    saved = folder / "mlflow"
    # Told and not found out: MLflow would load the model to see which packages it needs.
    pyfunc.save_model(saved, python_model=Named(), artifacts={"bundle": str(bundle)}, pip_requirements=["keras"])
    return ["-m", "mlflow", "models", "serve", "-m", str(saved), "--env-manager", "local", "--host", "127.0.0.1"]


def warm(stored: Any) -> None:
    stored.model.predict(np.zeros((1, stored.card.image_size, stored.card.image_size, 3), np.float32), verbose=0)


def plain(stored: Any, sent: list[bytes]) -> list[dict[str, Any]]:
    """What an ordinary service does with pictures."""
    from pipeline.library import pictures

    pixels = np.stack([pictures.to_pixels(data, stored.card.image_size) for data in sent]).astype(np.float32)
    probs = stored.model.predict(pixels, verbose=0)
    best = probs.argmax(axis=1)
    return [{"label": stored.classes[k], "score": float(row[k])} for k, row in zip(best, probs, strict=True)]


def serve_plain(bundle: Path, port: int) -> None:
    """The plain rival: FastAPI calls an ordinary function in a thread."""
    import uvicorn
    from fastapi import Body, FastAPI

    from pipeline.bundle import Stored

    stored, app = Stored(bundle), FastAPI()
    warm(stored)

    @app.post("/predict")
    def predict(data: bytes = Body(media_type="image/jpeg")) -> list[dict[str, Any]]:
        return plain(stored, [data])

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def serve_silent(port: int) -> None:
    """Our service without its log."""
    from pipeline.commands import serve
    from pipeline.serving.store.log import Log
    from pipeline.workspace import Workspace

    Log.record = lambda self, *said: None  # type: ignore[method-assign]
    serve.serve(Workspace.find(), host="127.0.0.1", port=port, say=lambda address: None)


DEFAULT = "keras" if kinds.missing("openvino") else "openvino"

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--plain", bundle, "--port", port]:
            serve_plain(Path(bundle), int(port))
        case ["--silent", "--port", port]:
            serve_silent(int(port))
        case ["--soak", seconds, bundle, *more]:
            soak(Path(bundle).absolute(), float(seconds), more[0] if more else DEFAULT)
        case [bundle, *more] if not bundle.startswith("-"):
            main(Path(bundle).absolute(), float(more[0]) if more else 4.0, more[1] if more[1:] else DEFAULT)
        case _:
            print(__doc__)
