"""Whatever becomes of the store's file while it is served, what was recorded waits on disk and reaches the next one."""

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.errors import ResumableError
from pipeline.serving.health import Health
from pipeline.serving.store import log as logs
from pipeline.serving.store import opening, records
from pipeline.serving.store.log import DAMAGED, Log
from pipeline.serving.store.opening import DamagedError
from tests.serving.made_up_records import requests, soon, transaction

SOON = 20.0
MANY = 5000  # transactions: more than the write-ahead log holds, so that most are in the file itself


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "transactions.sqlite"


@pytest.fixture
def url(file) -> str:
    return f"sqlite:///{file}"


@pytest.fixture
def spool(tmp_path) -> Path:
    return tmp_path / "spool"


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(logs, "LAST_TRY", 0.2)


def fill(url: str) -> None:
    engine = opening.open_store(url)
    for first in range(0, MANY, 500):
        with engine.begin() as connection:
            records.add(connection, [transaction(f"old{number}") for number in range(first, first + 500)])
    engine.dispose()


def overwrite(file: Path) -> None:
    """In place, as a program that has the wrong path does."""
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.write(os.urandom(size))


def move_away(file: Path) -> None:
    for path in file.parent.glob(f"{file.name}*"):
        path.rename(path.with_name(f"damaged-{path.name}"))


def aside(spool: Path) -> bool:
    return (spool / "refused.jsonl").exists()


def test_over_garbage_records_wait_and_the_store_that_takes_its_place_gets_them_once(file, url, spool):
    fill(url)
    health = Health()
    log = Log(url, spool, patience=0.2, health=health)
    log.record(transaction("before"))
    assert log.wait_until_stored(SOON)
    overwrite(file)
    for number in range(50):
        log.record(transaction(f"r{number:02d}"))
    assert not log.wait_until_stored(1.0)
    assert (health.problems, aside(spool)) == ([DAMAGED], False)
    move_away(file)
    for number in range(50, 60):
        log.record(transaction(f"r{number:02d}"))
    log._mover.wake()
    assert log.wait_until_stored(SOON)
    assert health.problems == []
    log.close()
    assert requests(url) == ["before", *(f"r{number:02d}" for number in range(60))]


def test_a_service_that_is_started_on_garbage_keeps_what_is_recorded_and_what_was_left(file, url, spool):
    fill(url)
    log = Log(url, spool, patience=0.2)
    assert log.wait_until_stored(SOON)
    overwrite(file)
    log.record(transaction("a"))
    log.close(0.5)
    health = Health()
    log = Log(url, spool, patience=0.2, health=health)
    log.record(transaction("b"))
    assert not log.wait_until_stored(1.0)
    assert (health.problems, aside(spool)) == ([DAMAGED], False)
    log.close(0.1)
    move_away(file)
    Log(url, spool).close(SOON)
    assert requests(url) == ["a", "b"]


def test_a_backup_that_is_put_in_the_damaged_file_s_place_gets_what_waits(file, url, spool, tmp_path):
    fill(url)
    shutil.copy(file, tmp_path / "backup")
    log = Log(url, spool, patience=0.2)
    assert log.wait_until_stored(SOON)
    overwrite(file)
    log.record(transaction("a"))
    assert not log.wait_until_stored(1.0)
    move_away(file)
    shutil.copy(tmp_path / "backup", file)
    log._mover.wake()
    assert log.wait_until_stored(SOON)
    log.close()
    assert len(requests(url)) == MANY + 1
    assert requests(url)[-1] == "a"


@pytest.mark.parametrize("how", ["deleted", "emptied", "renamed", "folder"])
def test_a_store_that_is_taken_away_while_it_is_open_swallows_no_record(tmp_path, how):
    file, spool = tmp_path / "store/transactions.sqlite", tmp_path / "spool"
    url = f"sqlite:///{file}"
    log = Log(url, spool, patience=0.2)
    log.record(transaction("a"))
    assert log.wait_until_stored(SOON)
    match how:
        case "deleted":
            file.unlink()
        case "emptied":
            file.write_bytes(b"")
        case "renamed":
            move_away(file)
        case "folder":
            shutil.rmtree(file.parent)
    log.record(transaction("b"))
    log._mover.wake()
    assert log.wait_until_stored(SOON) or log.wait_until_stored(SOON)
    log.close()
    assert requests(url) == ["a", "b"]


def test_where_the_disk_is_full_too_garbage_takes_no_record(file, url, spool, monkeypatch):
    fill(url)
    health = Health()
    log = Log(url, spool, patience=0.2, health=health)
    assert log.wait_until_stored(SOON)
    overwrite(file)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(ResumableError):
            log.record(transaction("a"))
    assert logs.NOTHING in health.problems
    log.close(0.1)


def test_a_checkpoint_is_no_damage(file, url):
    engine = opening.open_store(url)
    stop, looks = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            looks.append(opening.identity(file))

    watcher = threading.Thread(target=look)
    watcher.start()
    for first in range(0, 6000, 100):
        with engine.begin() as connection:
            records.add(connection, [transaction(f"r{number}") for number in range(first, first + 100)])
    stop.set()
    watcher.join()
    assert len(set(looks)) == 1
    opening.refuse_damaged(engine)


def test_to_look_at_a_store_lets_go_of_none_of_its_locks(file, url):
    opening.open_store(url).dispose()
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("begin immediate")
    opening.identity(file)
    import subprocess
    import sys

    other = f"import sqlite3; sqlite3.connect({str(file)!r}, timeout=0.1).execute('begin immediate')"
    refused = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
    assert "locked" in refused.stderr
    writer.close()


def test_damage_that_the_first_page_does_not_show_is_found_when_the_store_is_opened(file, url, spool):
    fill(url)
    with file.open("r+b") as opened:
        opened.seek(100 * 4096)
        opened.write(os.urandom(200 * 4096))
    opening.identity(file)
    with pytest.raises(DamagedError):
        opening.refuse_damaged(opening.connect(url))
    health = Health()
    log = Log(url, spool, health=health)
    assert soon(lambda: health.problems == [DAMAGED])
    log.close(0.1)


def test_tables_of_a_later_version_are_waited_for_and_named(url, spool):
    engine = opening.open_store(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    health = Health()
    log = Log(url, spool, patience=0.2, health=health)
    log.record(transaction("a"))
    assert not log.wait_until_stored(1.0)
    [problem] = health.problems
    assert "later version" in problem
    with engine.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '0001'")
    log._mover.wake()
    assert log.wait_until_stored(SOON)
    log.close()
    assert requests(url) == ["a"]


@pytest.mark.parametrize(
    ("change", "back"),
    [
        ("alter table transactions rename to gone", "alter table gone rename to transactions"),
        (
            "create trigger refuse before insert on transactions begin select raise(abort, 'no'); end",
            "drop trigger refuse",
        ),
    ],
)
def test_a_store_that_refuses_all_is_at_fault_itself_and_no_record_is_set_aside(url, spool, change, back):
    engine = opening.open_store(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(change)
    health = Health()
    log = Log(url, spool, patience=0.2, health=health)
    log.record(transaction("a"), transaction("b"))
    assert not log.wait_until_stored(1.0)
    assert health.problems
    assert not aside(spool)
    with engine.begin() as connection:
        connection.execute(sa.text(back))
    log._mover.wake()
    assert log.wait_until_stored(SOON)
    log.close()
    assert requests(url) == ["a", "b"]
