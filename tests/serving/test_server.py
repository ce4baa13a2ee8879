"""`wallaby serve` as a user starts it, with a model of its own, over the network of this machine."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from pipeline import bundle
from pipeline.bundle import Bundle, Card
from pipeline.evaluation import thresholds
from pipeline.evaluation.thresholds import Thresholds
from pipeline.library import lineage, pictures
from pipeline.serving.store import log, opening, records, schema
from tests import networks
from tests.serving.made_up_records import soon, stored, transaction
from tests.serving.made_up_service import picture

ROOT = Path(__file__).parents[2]
CLASSES = ["emu", "okapi", "zebra"]


def released(folder: Path, *, seed: int) -> Bundle:
    model = networks.tiny(seed=seed)
    made = Bundle(model, CLASSES, Card("tiny", networks.SIDE, round=seed, temperature=1.5), lineage.empty())
    card = bundle.save(made, folder)
    limits = Thresholds(card.model_digest, 1.5, 0.95, ["test"], 100, 0.34, "assured", {"zebra": 0.9}, [])
    thresholds.write(limits, folder / thresholds.FILE)
    return dataclasses.replace(made, card=card)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("models")
    return {str(folder / f"{seed}"): released(folder / f"{seed}", seed=seed) for seed in (1, 2)}


def install(source: str, target: Path) -> None:
    """As `wallaby release`: one folder takes the place of the other."""
    new = target.with_name("new")
    shutil.copytree(source, new)
    if target.exists():
        target.rename(target.with_name(f"old-{time.time_ns()}"))
    new.rename(target)


class Server:
    """`wallaby serve` in a workspace."""

    def __init__(self, folder: Path, *arguments: str):
        program = "from pipeline.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", "--json", "--port", "0", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())["address"]

    def end(self, how: int = signal.SIGKILL) -> int:
        self.process.send_signal(how)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def workspace(tmp_path, models):
    (tmp_path / "configs").mkdir()
    shutil.copy(ROOT / "configs/params.yaml", tmp_path / "configs/params.yaml")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/classes.csv").write_text("event,class,to,min_images,flip,by,at,note\n")
    (tmp_path / "data/labels.csv").write_text("image,label,subclass,origin,group,status,by,at,model,note,sha256\n")
    install(next(iter(models)), tmp_path / "data/released")
    return tmp_path


@pytest.fixture
def start(workspace):
    servers: list[Server] = []

    def begin(*arguments: str) -> Server:
        servers.append(Server(workspace, *arguments))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.poll() is None:
            server.end()


def store(workspace: Path) -> str:
    return f"sqlite:///{workspace}/data/serving/transactions.sqlite"


def test_the_champion_answers_as_it_does_everywhere_and_is_replaced_while_it_serves(workspace, start, models):
    server = start()
    data = picture(90, format_="JPEG", side=40)
    for source, model in models.items():
        if source != next(iter(models)):
            install(source, workspace / "data/released")
            until = time.monotonic() + 30
            while httpx.get(server.address + "version").json()["model"] != model.card.model_digest:
                assert time.monotonic() < until
                time.sleep(0.1)
        [told] = httpx.post(server.address + "predict", content=data).json()["pictures"]
        pixels = pictures.to_pixels(data, networks.SIDE)[None].astype(np.float32)
        probs = np.asarray(model.model.predict_on_batch(pixels))[0] ** (1 / 1.5)
        expected = dict(zip(CLASSES, probs / probs.sum(), strict=True))
        assert {top["label"]: top["score"] for top in told["top"]} == pytest.approx(expected, abs=1e-4)
        assert told["label"] == max(expected, key=lambda name: expected[name])
        assert told["model"] == model.card.model_digest
    assert server.end(signal.SIGTERM) == 0
    assert len(stored(store(workspace))) == 2
    assert [row["classes"] for row in stored(store(workspace), schema.releases)] == [CLASSES, CLASSES]


def test_after_a_kill_under_load_each_answer_has_its_record_once(workspace, start):
    server, answered = start(), []
    stop = threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(timeout=10) as client:
            while not stop.is_set():
                try:
                    answer = client.post(server.address + "predict", content=picture(number))
                except httpx.HTTPError:
                    return
                answered.append(answer.json()["request_id"])

    with ThreadPoolExecutor(8) as threads:
        for number in range(8):
            threads.submit(ask, number)
        time.sleep(1.5)
        server.end(signal.SIGKILL)
        stop.set()
    assert len(answered) > 20
    again = start()
    httpx.get(again.address + "health")
    again.end(signal.SIGINT)
    recorded = [row["request_id"] for row in stored(store(workspace))]
    assert len(recorded) == len(set(recorded))
    assert set(answered) <= set(recorded)
    assert len(set(recorded) - set(answered)) <= 8  # what was under way


def test_under_garbage_and_a_kill_each_answer_has_its_record_once_in_the_store_that_comes_after(workspace, start):
    file = workspace / "data/serving/transactions.sqlite"
    server, answered = start(), []
    engine = opening.open_store(store(workspace))
    with engine.begin() as connection:
        records.add(connection, [transaction(f"old{number}") for number in range(2000)])
    engine.dispose()
    with closing(sqlite3.connect(file)) as connection:  # else SQLite may heal the file from its write-ahead log
        assert connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0
    stop = threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(timeout=10) as client:
            while not stop.is_set():
                try:
                    answer = client.post(server.address + "predict", content=picture(number))
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200
                answered.append(answer.json()["request_id"])

    def trouble() -> list[str]:
        return httpx.get(server.address + "health").json()["trouble"]

    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(ask, number) for number in range(4)]
        time.sleep(1)
        size = file.stat().st_size
        with file.open("r+b") as opened:
            opened.write(os.urandom(size))
        assert soon(trouble)
        assert trouble() == [log.DAMAGED]
        time.sleep(1)
        server.end(signal.SIGKILL)
        stop.set()
        for job in work:
            job.result()
    server = start()
    assert soon(lambda: trouble() == [log.DAMAGED])
    answered.append(httpx.post(server.address + "predict", content=picture(9)).json()["request_id"])
    assert not (workspace / "data/serving/spool/refused.jsonl").exists()
    (workspace / "damaged").mkdir()
    for path in file.parent.glob(f"{file.name}*"):
        path.rename(workspace / "damaged" / path.name)
    assert soon(lambda: not trouble())
    server.end(signal.SIGINT)
    recorded = [row["request_id"] for row in stored(store(workspace))]
    assert len(recorded) == len(set(recorded))
    assert set(answered) <= set(recorded)
    assert len(set(recorded) - set(answered)) <= 4  # what was under way
    assert len(answered) > 20


def test_slow_and_broken_connections_hold_up_nobody(workspace, start):
    params = workspace / "configs/params.yaml"
    params.write_text(params.read_text().replace("body_seconds: 30", "body_seconds: 1"))
    server = start()
    host, port = server.address.removeprefix("http://").rstrip("/").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
    slow = [socket.create_connection((host, int(port)), timeout=10) for _ in range(20)]
    for connection in slow:
        connection.sendall(head + b"x" * 10)
    for connection in [socket.create_connection((host, int(port)), timeout=10) for _ in range(20)]:
        connection.sendall(head + b"x" * 10)
        connection.close()
    assert httpx.post(server.address + "predict", content=picture(90)).status_code == 200
    for connection in slow:
        assert b"408" in connection.recv(1000).split(b"\r\n")[0]
        connection.close()
    assert httpx.get(server.address + "health").json()["status"] == "ok"


def test_beyond_this_machine_nothing_is_served_without_keys(workspace):
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "serve"]
    options = {"cwd": workspace, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    refused = subprocess.run([*command, "--host", "0.0.0.0"], check=False, **options)
    assert (refused.returncode, "there is no key yet" in refused.stderr) == (2, True)
    made = subprocess.run([*command, "--key", "ann"], check=True, **options).stdout.splitlines()[0]
    kept = workspace / "data/serving/keys.json"
    assert made not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    again = subprocess.run([*command, "--key", "ann"], check=False, **options)
    assert (again.returncode, "already" in again.stderr) == (2, True)
    subprocess.run([*command, "--revoke", "ann"], check=True, **options)
    assert json.loads(kept.read_text()) == []


def test_a_server_at_the_loopback_of_ipv6_answers_at_the_address_that_it_says(start):
    server = start("--host", "::1")
    assert server.address.startswith("http://[::1]:")
    assert httpx.get(server.address + "version").status_code == 200


def test_a_client_is_forgotten_with_its_pictures(workspace, start):
    params = workspace / "configs/params.yaml"
    params.write_text(params.read_text().replace("pictures_share: 0 ", "pictures_share: 1 "))
    server = start()
    httpx.post(server.address + "predict", content=picture(90))
    server.end(signal.SIGKILL)
    kept = workspace / "data/serving/pictures"
    assert len(list(kept.rglob("*.png"))) == 1
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "serve", "--json", "--forget", "local"]
    options = {"cwd": workspace, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    told = json.loads(subprocess.run(command, check=True, **options).stdout)
    assert told == {"transactions": 1, "pictures": 1, "labelled": 0}
    assert (list(kept.rglob("*.png")), stored(store(workspace))) == ([], [])


def test_without_a_champion_the_service_says_what_to_do(workspace):
    shutil.rmtree(workspace / "data/released")
    options = {"cwd": workspace, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "serve", "--port", "0"]
    refused = subprocess.run(command, check=False, **options)
    assert (refused.returncode, "wallaby release" in refused.stderr) == (3, True)
