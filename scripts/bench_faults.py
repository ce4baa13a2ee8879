#!/usr/bin/env python
"""What faults cost: records, rows and decisions that are lost or doubled, and how long anybody waits for an answer.

    scripts/bench_faults.py [--times 20] [--uploads 3000]
        [--only uploads hostile clients log contents stages commands pages]

Works on a quick round of a small demo in a temporary folder, with real servers on loopback and real kills:

  uploads   made-up and spoilt uploads, feedback and headers: none may end in a 5xx, or be answered after 5 s
  hostile   images and requests that are made to cost much, while another client asks as usual
  clients   a service that begins with `runtime: auto`, clients that send too much, go, or are too many, and its log
  log       the store overwritten with garbage, made read-only, the server killed, the clock set back
  contents  files moved, replaced and removed between decisions and `wallaby apply`
  stages    kill -9 inside each stage, half of them at a rename of a file, half anywhere
  commands  the same inside apply, promote, release, classes and moved
  pages     pages that are taller than 6,000 pixels as first opened; cells of sheets that a spreadsheet would execute,
            and rows of sheets without an image or a link to it; tabs of one person that show the same card

Prints one row per fault: how many inputs were tried, how many of their records, rows or decisions are lost, doubled or
wrong, and the longest answer. Ends with 1 if anything is lost, doubled or late.
"""

import argparse
import hashlib
import io
import json
import math
import os
import random
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import harness
import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image
from rich.console import Console
from rich.table import Table

STAGES = ["index", "curate", "split", "dataset", "train", "evaluate", "gate", "identify", "queue"]
TALLEST = 6000  # pixels of a page as first opened
LATE = 5.0  # seconds after which an answer is too late
CLIENTS = 8
WAITING = 20  # images that may be under way
SILENT, TRIED = 60.0, 600.0  # seconds until the first answer, and until other runtimes have been tried, at most
MEASURED = {"seconds", "seconds_by_step", "images_per_second", "minutes", "milliseconds", "identified_before", "copied"}
UNCOMPARED = {".html", ".jpg", ".png"}  # pages carry times
NOISE = 1e-3  # between scores of images that were in other batches

AT_A_RENAME = """
import os, pathlib, runpy, sys
left = [int(sys.argv[1])]
for name in ("replace", "rename"):
    def change(path, target, change=getattr(pathlib.Path, name)):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), 9)
        return change(path, target)
    setattr(pathlib.Path, name, change)
sys.argv = sys.argv[2:]
if sys.argv[0] == "wallaby":
    from pipeline.cli import main
    main()
else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""

CLOCK_SET_BACK = """
import pathlib, sys, time
for name, factor in (("time", 1), ("time_ns", 10**9)):
    def now(real=getattr(time, name), factor=factor):
        return real() - (3600 * factor if pathlib.Path("set-back").exists() else 0)
    setattr(time, name, now)
from pipeline.cli import main
main()
"""


@dataclass
class Fault:
    """One row of the table.

    Attributes:
      name: what goes wrong.
      tried: inputs.
      lost, doubled, wrong: of their records, rows or decisions.
      longest: seconds of the longest answer; NaN where nobody asks.
    """

    name: str
    tried: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    longest: float = math.nan
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.wrong) and not self.longest > LATE


class Workspace:
    """A clone of this repository with a round of a small demo."""

    def __init__(self, path: Path):
        self.path = path

    def environment(self) -> dict[str, str]:
        plain = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(self.path)}
        return plain | quiet | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def start(self, *command: str, **options: Any) -> subprocess.Popen:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        return subprocess.Popen(command, cwd=self.path, env=self.environment(), **(quiet | options))

    def run(self, *command: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            command, cwd=self.path, env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode not in codes:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def stage(self, name: str) -> list[str]:
        """Module and arguments of a stage."""
        return yaml.safe_load((self.path / "dvc.yaml").read_text())["stages"][name]["cmd"].split()[2:]

    def copy(self, path: Path) -> "Workspace":
        subprocess.run(["cp", "-a", str(self.path), str(path)], check=True)
        return Workspace(path)

    def with_champion(self, path: Path) -> "Workspace":
        copied = self.copy(path)
        copied.run("wallaby", "release", "--force", "to be asked", "--by", "Ada")
        return copied


def prepare(path: Path) -> Workspace:
    """A finished round, and decisions that wait to be applied."""
    subprocess.run(["git", "clone", "--quiet", str(harness.ROOT), str(path)], check=True)
    workspace = Workspace(path)
    params = path / "configs/params.yaml"
    text = params.read_text()
    for old, new in (
        (" max_epochs: 60", " max_epochs: 2"),
        ("continued_max_epochs: 20", "continued_max_epochs: 2"),
        ("shard_rows: 2048", "shard_rows: 64"),
        ("  runtime: auto", "  runtime: keras"),
        ("look_seconds: 2", "look_seconds: 0.5"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    params.write_text(text)
    for command in (
        "git config user.email bench@example.org",
        "git config user.name Bench",
        "wallaby demo --size 0.15",
        "wallaby init-base --model inception_v4_small",
        "dvc repro --quiet",
        "wallaby demo --review",
        "git add -A",
        "git commit --quiet -m Round",
    ):
        workspace.run(*command.split())
    return workspace


# --- comparing what two runs leave behind ---------------------------------------------------------------------------


def differences(ours: Path, theirs: Path) -> list[str]:
    """The files below `ours` that say something else than those below `theirs`, or are not there."""
    names = {path.relative_to(folder) for folder in (ours, theirs) for path in compared(folder)}
    return sorted(str(name) for name in names if not same(ours / name, theirs / name))


def compared(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in UNCOMPARED and "demo" not in path.relative_to(folder).parts:
            yield path


def same(one: Path, other: Path) -> bool:
    if not one.exists() or not other.exists():
        return False
    if one.suffix in (".parquet", ".csv"):
        read = pd.read_parquet if one.suffix == ".parquet" else pd.read_csv
        return same_tables(*(read(path).drop(columns=MEASURED, errors="ignore") for path in (one, other)))
    if one.suffix == ".json":
        return plain(json.loads(one.read_text())) == plain(json.loads(other.read_text()))
    if one.suffix == ".keras":
        return weights(one) == weights(other)
    if one.suffix == ".dvc" or one.name == "run.json":  # digests of files that carry dates
        return True
    return one.read_bytes() == other.read_bytes()


def same_tables(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    if list(one.columns) != list(other.columns) or len(one) != len(other):
        return False
    for name in one.columns.difference(["at", "run_id", "model", "model_digest"]):
        if pd.api.types.is_float_dtype(one[name]):
            if not np.allclose(one[name], other[name], atol=NOISE, rtol=NOISE, equal_nan=True):
                return False
        elif one[name].map(lambda value: isinstance(value, np.ndarray)).any():
            shapes = [one[name].map(len).tolist(), other[name].map(len).tolist()]
            if shapes[0] != shapes[1]:
                return False
        elif not one[name].equals(other[name]):
            return False
    return True


def plain(value: Any) -> Any:
    """JSON without what was measured, when, or named by a digest of a file that carries a date."""
    if isinstance(value, dict):
        left_out = MEASURED | {"at", "model", "model_digest", "run_id", "parent", "git", "latency", "started"}
        return {key: plain(part) for key, part in value.items() if key not in left_out}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return round(value, 2) if isinstance(value, float) else value


def weights(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:

        def note(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset):
                found[name] = hashlib.sha256(np.asarray(node).tobytes()).hexdigest()

        file.visititems(note)
    return found


# --- kills ----------------------------------------------------------------------------------------------------------


def kill_inside(workspace: Workspace, program: list[str], moment: random.Random, seconds: float, renames: int) -> bool:
    """Runs a program and kills it; returns whether it was still running.

    Args:
      program: `wallaby` or a module, with arguments.
      seconds: what it takes when nobody disturbs it.
      renames: how many files it renames then; every other time it is killed at one of them, if there is one.
    """
    at_a_rename = renames > 0 and moment.random() < 0.5
    number = moment.randrange(renames) if at_a_rename else 10**9
    process = workspace.start(sys.executable, "-c", AT_A_RENAME, str(number), *program)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10 * seconds if at_a_rename else moment.uniform(0.1, 1) * seconds)
    running = process.poll() is None or process.returncode == -signal.SIGKILL
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


COUNT_RENAMES = AT_A_RENAME.replace(
    "os.kill(os.getpid(), 9)", "open('renames', 'a').write('.')"
)  # with 0 left, each rename is counted


def kills(name: str, before: Workspace, program: list[str], times: int, folder: Path) -> Fault:
    """Kills a program `times` times, each in a copy, runs it again, and compares with an undisturbed run."""
    fault, moment = Fault(f"kill -9 inside {name}", times), random.Random(name)
    whole = before.copy(folder / "whole")
    start = time.perf_counter()
    whole.run(sys.executable, "-c", COUNT_RENAMES, "0", *program)
    seconds = time.perf_counter() - start
    counted = whole.path / "renames"
    renames = len(counted.read_text()) if counted.exists() else 0
    counted.unlink(missing_ok=True)
    killed = 0
    for _ in range(times):
        trial = before.copy(folder / "trial")
        killed += kill_inside(trial, program, moment, seconds, renames)
        command = ["wallaby", *program[1:]] if program[0] == "wallaby" else [sys.executable, "-m", *program]
        trial.run(*command, codes=(0, 2, 3, 6))  # who repeats what is finished may be told so
        found = differences(trial.path / "data", whole.path / "data")
        fault.wrong += bool(found)
        fault.notes += found[:3]
        shutil.rmtree(trial.path)
    shutil.rmtree(whole.path)
    fault.notes.append(f"{killed} while it ran, {renames} renames, {seconds:.0f} s undisturbed")
    return fault


def stages(finished: Workspace, folder: Path, args: argparse.Namespace) -> Iterator[Fault]:
    for name in args.stages:
        before = finished.copy(folder / "before")
        if name in ("train", "identify"):  # else there would be nothing left to do
            shutil.rmtree(before.path / {"train": "data/model", "identify": "data/predictions"}[name])
        yield kills(name, before, before.stage(name), args.times, folder)
        shutil.rmtree(before.path)


def commands(finished: Workspace, folder: Path, args: argparse.Namespace) -> Iterator[Fault]:
    moved = finished.copy(folder / "moved")
    (moved.path / "data/demo/library/cow").rename(moved.path / "data/demo/library/cattle")
    for name, before, program in (
        ("apply", finished, ["apply"]),
        ("promote", finished, ["promote"]),
        ("release", finished, ["release", "--force", "a test", "--by", "Ada"]),
        ("classes", finished, ["classes", "rename", "cow", "cattle", "--by", "Ada"]),
        ("moved", moved, ["moved", "library/cow", "library/cattle"]),
    ):
        yield kills(name, before, ["wallaby", *program], args.times, folder)
    shutil.rmtree(moved.path)


# --- contents -------------------------------------------------------------------------------------------------------


def contents(finished: Workspace, folder: Path, args: argparse.Namespace) -> Iterator[Fault]:
    """Between the decisions and apply, a fifth of the decided files is replaced, moved or removed."""
    yield from (changed_files(how, finished, folder) for how in ("replaced", "moved", "removed"))


def changed_files(how: str, finished: Workspace, folder: Path) -> Fault:
    fault, chance = Fault(f"files {how} between decision and apply"), random.Random(how)
    trial = finished.copy(folder / "trial")
    decided = pd.concat(pd.read_csv(file, dtype=str) for file in (trial.path / "data/reviews").glob("*.csv")).fillna("")
    decided = decided.drop_duplicates("image", keep="last")
    decided = decided[decided["decision"].isin(["label", "unknown", "bad"])]
    chosen = decided.sample(frac=1 / 5, random_state=0)  # of more than index.max_missing the index would stop
    for number, image in enumerate(chosen["image"]):
        file = trial.path / "data/demo" / image
        if how == "replaced":
            noise = np.random.default_rng(chance.randrange(2**32)).integers(0, 255, (64, 64, 3), np.uint8)
            Image.fromarray(noise).save(file, "JPEG")
        elif how == "moved":
            target = file.parents[1] / "moved here" / f"{number} {file.name}"
            target.parent.mkdir(exist_ok=True)
            file.rename(target)
        else:
            file.unlink()
    trial.run(sys.executable, "-m", *trial.stage("index"))
    trial.run("wallaby", "apply", codes=(0, 6))
    table = pd.read_csv(trial.path / "data/labels.csv", dtype=str).fillna("")
    truth = decided.set_index("sha256")
    written = table[table["by"].isin(set(decided["by"])) & (table["by"] != "demo")]
    fault.tried = len(chosen)
    for row in written.itertuples():
        file = trial.path / "data/demo" / row.image
        today = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""
        right = today in truth.index and row.label in set(truth.loc[[today], "label"])
        fault.wrong += not right
    landed = Counter(written["sha256"])
    fault.doubled = sum(number > 1 and content not in repeated(decided) for content, number in landed.items())
    expected = decided if how == "moved" else decided[~decided["image"].isin(chosen["image"])]
    fault.lost = len({*expected["sha256"]} - {*table["sha256"]})
    fault.notes.append(f"{len(written)} rows written")
    shutil.rmtree(trial.path)
    return fault


def repeated(decided: pd.DataFrame) -> set[str]:
    return set(decided.loc[decided["sha256"].duplicated(), "sha256"])


# --- the service ----------------------------------------------------------------------------------------------------


class Server(harness.Server):
    """`wallaby serve` in a workspace."""

    def __init__(self, workspace: Workspace, program: str = harness.PROGRAM, *, stderr: Any = subprocess.DEVNULL):
        options = {"env": workspace.environment(), "stderr": stderr, "start_new_session": True}
        super().__init__(workspace.path, "serve", program=program, **options)
        self.client = httpx.Client(base_url=self.address, timeout=60)


def photograph(seed: int = 0, format_: str = "JPEG", side: int = 96, **options: Any) -> bytes:
    return harness.photograph(seed, (side, side), format_, patches=(6, 6), **options)


def spoilt(chance: random.Random) -> bytes:
    """An image file with a fault, or what is none."""
    format_ = chance.choice(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "ICO"])
    data = bytearray(photograph(chance.randrange(50), format_, chance.choice([8, 33, 96])))
    kind = chance.randrange(7)
    if kind == 0:
        del data[chance.randrange(len(data)) :]
    elif kind == 1:
        for _ in range(chance.randrange(1, 30)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif kind == 2:
        at = chance.randrange(len(data))
        data[at:at] = chance.randbytes(chance.randrange(1, 500))
    elif kind == 3:
        at = chance.randrange(len(data))
        data[at : at + 4] = struct.pack(">I", chance.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF]))
    elif kind == 4:
        data = bytearray(chance.randbytes(chance.randrange(2000)))
    elif kind == 5:
        data = data[: len(data) // 2] * chance.randrange(2, 5)
    return bytes(data)


def made_up_request(chance: random.Random) -> dict[str, Any]:
    """Arguments of `httpx.Client.request`."""
    kind = chance.randrange(10)
    if kind < 6:
        files = [("file", (f"{n}.jpg", spoilt(chance), "image/jpeg")) for n in range(chance.randrange(1, 4))]
        return {"method": "POST", "url": "/predict", "files": files}
    if kind == 6:
        return {
            "method": "POST", "url": "/predict", "content": spoilt(chance),
            "headers": {"content-type": chance.choice(["image/jpeg", "multipart/form-data", "text/plain", "image/x"])},
        }  # fmt: skip
    if kind == 7:
        body = chance.choice([b"{", b"[]", b"null", b'{"request_id": 1}', b"[" * 10_000, b'{"a": NaN}', b'"\\ud800"'])
        headers = {"content-type": "application/json"}
        return {"method": "POST", "url": "/feedback", "content": body, "headers": headers}
    if kind == 8:
        word = "".join(chance.choice("abc\u00e4\u20ac/%.;\\ ") for _ in range(chance.randrange(1, 60)))
        return {"method": chance.choice(["GET", "POST", "PUT"]), "url": "/x" + word.replace("\\", "%5c")}
    return {
        "method": "POST", "url": "/predict", "content": spoilt(chance),
        "headers": {"content-type": f"multipart/form-data; boundary={'x' * chance.randrange(100)}"},
    }  # fmt: skip


def uploads(finished: Workspace, folder: Path, args: argparse.Namespace) -> Iterator[Fault]:
    fault = Fault("uploads and requests made up or spoilt", args.uploads)
    trial = finished.with_champion(folder / "trial")
    with Server(trial) as server:
        answers, seconds = Counter[int](), [0.0]

        def ask(number: int) -> list[str]:
            start = time.perf_counter()
            try:
                answer = server.client.request(**made_up_request(random.Random(number)))
            except httpx.HTTPError:  # the server closed the connection
                answers[0] += 1
                return []
            finally:
                seconds.append(time.perf_counter() - start)
            answers[answer.status_code] += 1
            with suppress(ValueError, KeyError, TypeError):
                if answer.status_code == 200:
                    return [answer.json()["request_id"]]
            return []

        with ThreadPoolExecutor(CLIENTS) as threads:
            answered = [name for names in threads.map(ask, range(args.uploads)) for name in names]
        fault.wrong = sum(number for code, number in answers.items() if code >= 500)
        fault.longest = max(seconds)
        fault.notes.append(", ".join(f"{code or 'closed'}: {number}" for code, number in sorted(answers.items())))
        fault.notes.append(f"health: {health(server)['status']}")
    fault.lost, fault.doubled = recorded(trial, answered)
    shutil.rmtree(trial.path)
    yield fault


def recorded(workspace: Workspace, answered: list[str]) -> tuple[int, int]:
    """How many of these requests the store has not, and how many more than once (an image is a row)."""
    with sqlite3.connect(workspace.path / "data/serving/transactions.sqlite") as store:
        rows = Counter(store.execute("select request_id, position from transactions").fetchall())
    there = {name for name, _ in rows}
    return len({*answered} - there), sum(number > 1 for number in rows.values())


def many_scans(scans: int = 1500) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = photograph(1, side=1024, progressive=True, quality=30)
    starts = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    return data[:-2] + data[starts[-1] : -2] * scans + data[-2:]


def endless_png(width: int = 1, height: int = 50_000_000) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(bytes(2 * 1_000_000)) for _ in range(height // 1_000_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def hostile(finished: Workspace, folder: Path, args: argparse.Namespace) -> Iterator[Fault]:
    trial = finished.with_champion(folder / "trial")
    scans, tall, nested = many_scans(), endless_png(), b"[" + b"[]," * 6_000_000 + b"[]]"
    for name, attack in (
        ("two progressive JPEGs of 1,500 scans", lambda server: [post(server, scans) for _ in range(2)]),
        ("a PNG of 1 x 50,000,000 pixels", lambda server: [post(server, tall)]),
        ("18 MB of [[],[],... to /feedback", lambda server: [post(server, nested, "/feedback", "application/json")]),
        ("a header line of 80 MB", lambda server: raw(server, b"GET /health HTTP/1.1\r\nX: " + b"a" * 80_000_000)),
        ("600 half-sent headers", lambda server: held_open(server, 600, b"GET /health HTTP/1.1\r\nHost: a\r\n")),
        (
            "60 bodies of 20 MB that never end",
            lambda server: held_open(
                server, 60,
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
                b"Content-Length: 20000000\r\n\r\n" + bytes(1_000_000),
            ),
        ),
    ):  # fmt: skip
        with Server(trial) as server:
            yield beside(name, server, attack)
    shutil.rmtree(trial.path)


def beside(name: str, server: Server, attack: Callable[[Server], Any]) -> Fault:
    """Asks as usual, once every 0.1 s, while an attack goes on and 3 s longer."""
    fault, data, over = Fault(name), photograph(), threading.Event()
    server.client.post("/predict", files={"file": data})
    peak = [memory(server)]

    def attacked() -> None:
        with suppress(OSError, httpx.HTTPError):
            attack(server)
        time.sleep(3)
        over.set()

    thread = threading.Thread(target=attacked, daemon=True)
    thread.start()
    answers, fault.longest = Counter[int](), 0.0
    with httpx.Client(base_url=server.address, timeout=200) as client:
        while not over.is_set():
            start = time.perf_counter()
            with suppress(httpx.HTTPError):
                answers[client.post("/predict", files={"file": data}).status_code] += 1
            fault.longest = max(fault.longest, time.perf_counter() - start)
            peak.append(memory(server))
            time.sleep(0.1)
    fault.tried = sum(answers.values())
    fault.wrong = sum(number for code, number in answers.items() if code != 200)
    fault.notes.append(f"memory {peak[0]:.0f} MB, at most {max(peak):.0f} MB")
    return fault


def memory(server: Server) -> float:
    import psutil

    return psutil.Process(server.process.pid).memory_info().rss / 1e6


def post(server: Server, data: bytes, url: str = "/predict", kind: str = "image/jpeg") -> int:
    with httpx.Client(base_url=server.address, timeout=200) as client:
        return client.post(url, content=data, headers={"content-type": kind}).status_code


def connect(server: Server) -> socket.socket:
    url = httpx.URL(server.address)
    return socket.create_connection((url.host, url.port or 80), timeout=10)


def raw(server: Server, data: bytes) -> None:
    with connect(server) as line:
        line.sendall(data)


def held_open(server: Server, number: int, data: bytes) -> None:
    lines = []
    for _ in range(number):
        with suppress(OSError):
            lines.append(connect(server))
            lines[-1].sendall(data)
    time.sleep(3)
    for line in lines:
        line.close()


def clients(finished: Workspace, folder: Path, args: argparse.Namespace) -> Iterator[Fault]:
    trial, errors = finished.with_champion(folder / "trial"), folder / "errors.log"
    params = yaml.safe_load((trial.path / "configs/params.yaml").read_text())
    params["serve"] |= {"runtime": "auto", "max_waiting": WAITING, "max_megabytes": 1}
    (trial.path / "configs/params.yaml").write_text(yaml.safe_dump(params))
    shutil.rmtree(trial.path / ".wallaby/runtimes", ignore_errors=True)
    begun = time.perf_counter()
    with errors.open("w") as stderr, Server(trial, stderr=stderr) as server:
        first = Fault(f"the first answer with runtime auto comes after more than {SILENT:g} s", 1)
        status, seconds = post(server, photograph()), time.perf_counter() - begun
        first.wrong = int(status != 200 or seconds > SILENT)
        first.notes.append(f"after {seconds:.0f} s by {server.client.get('/version').json()['runtime']}")
        yield first
        large = Fault("chunked bodies over the limit, sent slowly", 5)
        large.wrong = sum(sent_slowly(server) != 413 for _ in range(large.tried))
        yield large
        many = Fault(f"{WAITING + 20} images at once where {WAITING} may wait", 5 * (WAITING + 20))
        with ThreadPoolExecutor(WAITING + 20) as threads:
            for _ in range(5):
                asked = [threads.submit(post, server, photograph()) for _ in range(WAITING + 20)]
                while not all(one.done() for one in asked):
                    many.wrong = max(many.wrong, under_way(server) - WAITING)
                many.lost += sum(one.result() not in (200, 503) for one in asked)
        yield many
        gone = Fault("clients that go before they are answered, by tracebacks", 400)
        data = photograph()
        asked_for = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
        for number in range(gone.tried):
            raw(server, asked_for * (1 + number % 2))
        time.sleep(2)
        gone.wrong = errors.read_text().count("Traceback")
        yield gone
        until = time.monotonic() + TRIED
        while "were tried" not in errors.read_text() and time.monotonic() < until:
            time.sleep(1)
        tried = Fault("other runtimes are tried meanwhile, by lines of the log that are a bar", 1)
        text = errors.read_text()
        tried.wrong = sum("%" in line and ("|" in line or "━" in line) for line in text.splitlines())
        tried.lost = int("were tried" not in text)
        tried.notes.append(f"{server.client.get('/version').json()['runtime']} answers then")
        yield tried
    shutil.rmtree(trial.path)


def sent_slowly(server: Server) -> int:
    """The status of a body of unknown length that is too large, and takes longer than a client may pause."""
    with connect(server) as line:
        line.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):
            for _ in range(8):
                line.sendall(b"61a80\r\n" + bytes(0x61A80) + b"\r\n")
                time.sleep(0.5)
            line.sendall(b"0\r\n\r\n")
            return int(line.recv(1000).split()[1])
    return 0


def under_way(server: Server) -> int:
    lines = server.client.get("/metrics").text.splitlines()
    return int(float(next(line for line in lines if "pictures_under_way" in line and line[0] != "#").split()[-1]))


def log(finished: Workspace, folder: Path, args: argparse.Namespace) -> Iterator[Fault]:
    yield from (
        disturbed(name, finished, folder, disturb, args)
        for name, disturb in (
            ("the store overwritten with garbage", garbage),
            ("the store made read-only", read_only),
            ("the server killed while it answers", killed),
            ("the clock set back by an hour", set_back),
        )
    )


def disturbed(
    name: str, finished: Workspace, folder: Path, disturb: Callable[..., Server], args: argparse.Namespace
) -> Fault:
    """Asks all the while, disturbs in the middle, mends it, and looks for each answered request in the store."""
    fault, trial = Fault(name), finished.with_champion(folder / "trial")
    server = Server(trial, CLOCK_SET_BACK)
    answered, lock, data = list[str](), threading.Lock(), photograph()
    address, over, longest = [server.address], threading.Event(), [0.0]

    def ask() -> None:
        while not over.is_set():
            start = time.perf_counter()
            try:
                answer = httpx.post(f"{address[0]}/predict", files={"file": data}, timeout=60)
                if answer.status_code == 200:
                    with lock:
                        answered.append(answer.json()["request_id"])
                longest.append(time.perf_counter() - start)
            except httpx.HTTPError:
                time.sleep(0.05)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    server = disturb(trial, server, address, fault)
    time.sleep(3)
    over.set()
    for thread in threads:
        thread.join()
    with server:
        wait_until_stored(server)
    fault.tried, fault.longest = len(answered), max(longest)
    fault.lost, fault.doubled = recorded(trial, answered)
    shutil.rmtree(trial.path)
    return fault


def health(server: Server) -> dict[str, Any]:
    return httpx.get(f"{server.address}/health", timeout=30).json()


def wait_until_stored(server: Server, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and health(server).get("status") != "ok":
        time.sleep(0.2)
    time.sleep(2)


def garbage(trial: Workspace, server: Server, address: list[str], fault: Fault) -> Server:
    store = trial.path / "data/serving/transactions.sqlite"
    whole = trial.path / "whole.sqlite"
    with sqlite3.connect(store) as source, sqlite3.connect(whole) as target:
        source.backup(target)
        source.execute("pragma wal_checkpoint(truncate)")  # SQLite heals a file whose pages are all in its log
    with store.open("r+b") as file:
        file.write(os.urandom(store.stat().st_size))
    time.sleep(4)
    fault.notes.append(f"health: {json.dumps(health(server))[:200]}")
    server.kill()  # the operator brings the backup back, as docs/serving.md says, and starts the service again
    for left in store.parent.glob(f"{store.name}*"):
        left.unlink()
    shutil.copy(whole, store)
    again = Server(trial)
    address[0] = again.address
    return again


def read_only(trial: Workspace, server: Server, address: list[str], fault: Fault) -> Server:
    # Not the -shm: SQLite has it in memory, and the system ends a process that writes to memory of a read-only file.
    files = [trial.path / "data/serving" / name for name in ("transactions.sqlite", "transactions.sqlite-wal")]
    for file in files:
        file.chmod(0o444)
        subprocess.run(["chattr", "+i", str(file)], check=False, stderr=subprocess.DEVNULL)  # root writes all the same
    time.sleep(4)
    fault.notes.append(f"health: {json.dumps(health(server))[:200]}")
    for file in files:
        subprocess.run(["chattr", "-i", str(file)], check=False, stderr=subprocess.DEVNULL)
        file.chmod(0o644)
    return server


def killed(trial: Workspace, server: Server, address: list[str], fault: Fault) -> Server:
    for _ in range(3):
        time.sleep(random.uniform(0.5, 1.5))
        server.kill()
        server = Server(trial)
        address[0] = server.address
    return server


def set_back(trial: Workspace, server: Server, address: list[str], fault: Fault) -> Server:
    (trial.path / "set-back").touch()
    time.sleep(2)
    fault.notes.append(f"health: {json.dumps(health(server))[:200]}")
    return server


def pages(finished: Workspace, folder: Path, args: argparse.Namespace) -> Iterator[Fault]:
    yield tall_pages(finished)
    trial = finished.with_champion(folder / "trial")
    yield from sheets(trial)
    yield shared_cards(trial)
    shutil.rmtree(trial.path)


def tall_pages(finished: Workspace) -> Fault:
    """Each page of the round as first opened, 1280 pixels wide."""
    from playwright.sync_api import sync_playwright

    fault = Fault(f"pages taller than {TALLEST:,} pixels")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for file in sorted((finished.path / "data").glob("*/*.html")):
            page.goto(file.as_uri())
            tall = page.evaluate("document.documentElement.scrollHeight")
            fault.tried, fault.wrong = fault.tried + 1, fault.wrong + (tall > TALLEST)
            fault.notes.append(f"{file.parent.name}: {tall:,}")
        browser.close()
    return fault


def sheets(trial: Workspace) -> Iterator[Fault]:
    """The sheets of the queue, whose classes are called like formulas, and of the audit of images of the pool."""
    for file in (trial.path / "data/queue").glob("*.parquet"):
        table = pq.read_table(file)
        named = pa.array(f"={label}" if label else label for label in table["label"].to_pylist())
        pq.write_table(table.set_column(table.column_names.index("label"), "label", named), file)
    with Server(trial) as server:
        for file in sorted((trial.path / "data/demo/pool").rglob("*.jpg"))[:20]:
            post(server, file.read_bytes())
        wait_until_stored(server)
    trial.run("wallaby", "audit", "--draw", "20")
    trial.run("wallaby", "audit", "--sheet", "audit.csv")
    trial.run("wallaby", "review", "--sheet", "queue.csv")
    executed, empty = Fault("cells that a spreadsheet would execute"), Fault("rows of sheets without image or link")
    for name, image in (("queue.csv", "image"), ("audit.csv", "path")):
        sheet = pd.read_csv(trial.path / name, dtype=str, keep_default_na=False)
        words = sheet.drop(columns="score")
        executed.tried, empty.tried = executed.tried + words.size, empty.tried + len(sheet)
        executed.wrong += int(sum(words[column].str.match(r"[=+\-@\t\r\n]").sum() for column in words))
        empty.wrong += int(((sheet[image] == "") | ~sheet["link"].str.startswith("file://")).sum())
        empty.notes.append(f"{name}: {len(sheet)} rows")
    yield executed
    yield empty


def shared_cards(trial: Workspace, tabs: int = 20) -> Fault:
    """As many tabs of one person as there are, at the longest queue."""
    fault, shown = Fault("tabs of one person that show the same card"), []
    environment = trial.environment()
    with harness.Server(trial.path, "review", "--no-browser", env=environment, stderr=subprocess.DEVNULL) as server:
        queues = httpx.get(f"{server.address}/api/overview", timeout=60).json()["queues"]
        longest = max(queues, key=lambda queue: queue.get("left", 0))
        for number in range(min(tabs, longest["left"])):
            told = httpx.post(
                f"{server.address}/api/queue/{longest['name']}/deal",
                json={"by": "ann", "tab": f"tab-{number}", "number": 6},
                headers={"x-wallaby": "1"},
                timeout=60,
            ).json()
            shown.append(told["cards"][0]["row"] if told["cards"] else None)
    fault.tried, fault.doubled = len(shown), len(shown) - len(set(shown))
    fault.notes.append(f"{longest['left']} cards")
    return fault


GROUPS = {
    "uploads": uploads, "hostile": hostile, "clients": clients, "log": log, "contents": contents, "stages": stages,
    "commands": commands, "pages": pages,
}  # fmt: skip


def main() -> int:
    parser = harness.parser(__doc__)
    parser.add_argument("--times", type=int, default=20, help="kills inside each stage and command")
    parser.add_argument("--uploads", type=int, default=3000)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, metavar="STAGE")
    parser.add_argument("--keep", type=Path, help="a folder for the finished round, used again if it is there")
    args = parser.parse_args()
    faults = []
    with harness.scratch() as parent:
        place = args.keep or parent / "finished"
        finished = Workspace(place) if place.exists() else prepare(place)
        for name in args.only:
            for fault in GROUPS[name](finished, parent, args):
                faults.append(fault)
                print(f"{'holds ' if fault.holds else 'BROKEN'}  {fault}", file=sys.stderr, flush=True)
    show(faults)
    return 0 if all(fault.holds for fault in faults) else 1


def show(found: list[Fault]) -> None:
    table = Table("fault", "tried", "lost", "doubled", "wrong", "longest answer, s", "verdict", "notes")
    for fault in found:
        longest = "" if math.isnan(fault.longest) else f"{fault.longest:.2f}"
        numbers = [f"{number:,}" for number in (fault.tried, fault.lost, fault.doubled, fault.wrong)]
        verdict = "holds" if fault.holds else "broken"
        table.add_row(fault.name, *numbers, longest, verdict, "; ".join(fault.notes))
    Console(width=180).print(table)


if __name__ == "__main__":
    sys.exit(main())
