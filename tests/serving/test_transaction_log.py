"""Nothing that was answered is lost or doubled, whatever happens to the store, the disk or the process."""

import errno
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ResumableError
from pipeline.serving.store import opening, records, schema
from pipeline.serving.store.log import Log
from pipeline.serving.store.spool import Record, Spool
from tests.serving.made_up_records import requests, stored, transaction

SOON = 10.0


@pytest.fixture
def sqlite(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/transactions.sqlite"


@pytest.fixture
def spool(tmp_path) -> Path:
    return tmp_path / "spool"


def left(spool: Path) -> list[Path]:
    return sorted(spool.glob("*.jsonl"))


def test_what_is_recorded_comes_to_the_store_once_and_in_order(url, spool):
    log = Log(url, spool)
    said = [transaction(f"r{number:03d}") for number in range(50)]
    for record in said:
        log.record(record)
    log.close()
    assert requests(url) == [record.row["request_id"] for record in said]
    [first, *_] = stored(url)
    assert {name: first[name] for name in said[0].row} == said[0].row
    assert left(spool) == []


def test_what_a_killed_process_has_recorded_is_replayed_once_by_the_next(sqlite, spool):
    program = (
        "import os, sys; sys.path[:0] = sys.argv[3:]\n"
        "from pathlib import Path; from tests.serving.made_up_records import transaction\n"
        "from pipeline.serving.store.log import Log\n"
        "log = Log(sys.argv[1], Path(sys.argv[2]))\n"
        "for number in range(2000):\n"
        "    log.record(transaction(f'r{number:04d}'))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = str(Path(__file__).parents[2])
    killed = subprocess.run([sys.executable, "-c", program, sqlite, str(spool), root, *sys.path], check=False)
    assert killed.returncode == -9
    assert left(spool)
    Log(sqlite, spool).close(SOON)
    assert requests(sqlite) == [f"r{number:04d}" for number in range(2000)]
    assert left(spool) == []


def test_records_that_were_stored_before_the_process_died_are_not_stored_again(sqlite, spool):
    log = Log(sqlite, spool)
    log.record(transaction("a"), transaction("b"))
    assert log.wait_until_stored(SOON)
    [segment] = left(spool)
    log_of_the_dead = segment.read_bytes()
    log.close()
    segment.write_bytes(log_of_the_dead + json.dumps(["transactions", transaction("c").row]).encode() + b"\n")
    Log(sqlite, spool).close(SOON)
    assert requests(sqlite) == ["a", "b", "c"]


def test_a_record_that_the_end_of_the_process_has_cut_short_was_answered_to_nobody(sqlite, spool):
    spool.mkdir()
    whole = json.dumps(["transactions", transaction("a").row]) + "\n"
    (spool / "000000000001.jsonl").write_text(whole + whole[:60])
    Log(sqlite, spool).close(SOON)
    assert requests(sqlite) == ["a"]


def test_while_the_store_is_locked_records_wait_on_disk(sqlite, spool):
    opening.open_store(sqlite).dispose()
    other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("begin exclusive")
    log = Log(sqlite, spool, patience=0.05)
    log.record(transaction("a"))
    assert not log.wait_until_stored(0.3)
    assert "locked" in log.trouble
    other.execute("rollback")
    other.close()
    assert log.wait_until_stored(SOON)
    log.close()
    assert requests(sqlite) == ["a"]


def test_a_store_that_is_full_takes_the_records_once_there_is_room(sqlite, spool):
    engine = opening.open_store(sqlite)
    log = Log(sqlite, spool)
    log.record(transaction("a"))
    assert log.wait_until_stored(SOON)
    full = log._engine
    import sqlalchemy as sa

    limit = {"pages": 1}
    sa.event.listen(full, "begin", lambda c: c.exec_driver_sql(f"pragma max_page_count={limit['pages']}"))
    for number in range(300):
        log.record(transaction(f"b{number:03d}", error="e" * 500))
    assert not log.wait_until_stored(0.5)
    assert "full" in log.trouble
    limit["pages"] = 1_000_000
    assert log.wait_until_stored(SOON)
    log.close()
    assert requests(sqlite) == ["a", *(f"b{number:03d}" for number in range(300))]
    engine.dispose()


def test_a_server_of_postgresql_that_comes_back_gets_all_that_it_has_missed(postgres_to_stop, spool):
    url, stop, start = postgres_to_stop
    log = Log(url, spool, patience=1)
    log.record(transaction("a"))
    assert log.wait_until_stored(SOON)
    stop()
    for name in ("b", "c", "d"):
        log.record(transaction(name))
    assert not log.wait_until_stored(0.5)
    assert log.trouble
    start()
    assert log.wait_until_stored(2 * SOON)
    log.close()
    assert requests(url) == ["a", "b", "c", "d"]


def test_where_no_disk_can_take_a_record_the_store_does(sqlite, spool, monkeypatch):
    log = Log(sqlite, spool)
    log.record(transaction("a"))
    assert log.wait_until_stored(SOON)
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    log.record(transaction("b"))
    monkeypatch.undo()
    log.close()
    assert requests(sqlite) == ["a", "b"]


def test_a_record_that_nothing_can_take_is_an_error_and_leaves_no_half_of_it(sqlite, spool, monkeypatch):
    opening.open_store(sqlite).dispose()
    log = Log(sqlite, spool, patience=0.05)
    other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("begin exclusive")
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:30]))
    with pytest.raises(ResumableError):
        log.record(transaction("a"))
    monkeypatch.undo()
    other.close()
    log.record(transaction("b"))
    log.close(SOON)
    assert requests(sqlite) == ["b"]


def test_two_servers_on_one_store_and_one_folder_keep_each_other_s_records(url, spool):
    logs = [Log(url, spool), Log(url, spool)]
    for number in range(40):
        logs[number % 2].record(transaction(f"r{number:02d}"))
    for log in logs:
        log.close(SOON)
    assert sorted(requests(url)) == [f"r{number:02d}" for number in range(40)]
    assert left(spool) == []


def test_what_a_killed_server_has_left_is_stored_by_one_that_goes_on(sqlite, spool, monkeypatch):
    monkeypatch.setattr("pipeline.serving.store.spool.TAKE_OVER_EVERY", 0.0)
    log = Log(sqlite, spool)
    log.record(transaction("a"))
    (spool / "000000000009.jsonl").write_text(json.dumps(["transactions", transaction("b").row]) + "\n")
    assert log.wait_until_stored(SOON)
    assert requests(sqlite) == ["a", "b"]
    log.close()


def test_who_waits_for_a_record_does_not_wait_for_the_pause_between_two_moves(sqlite, spool, monkeypatch):
    monkeypatch.setattr("pipeline.serving.store.log.PAUSE", 3600.0)
    log = Log(sqlite, spool)
    for name in ("a", "b"):
        log.record(transaction(name, client="bob"))
        assert log.client_of(name, 0, patience=SOON) == "bob"
    log.record(transaction("c"))
    log.close(SOON)
    assert requests(sqlite) == ["a", "b", "c"]


def test_a_long_spool_goes_on_in_another_segment(sqlite, spool, monkeypatch):
    monkeypatch.setattr("pipeline.serving.store.spool.ROLL", 2000)
    own = Spool(spool)
    for number in range(20):
        own.append([transaction(f"r{number:02d}")])
    assert len(left(spool)) > 2
    names = [record.row["request_id"] for piece in own.pieces(3) if not own.done(piece) for record in piece.records]
    assert names == [f"r{number:02d}" for number in range(20)]
    assert len(left(spool)) == 1
    own.close()


def test_a_record_that_the_store_will_never_take_is_put_aside_and_holds_up_nobody(url, spool):
    log = Log(url, spool)
    log.record(transaction("a"), Record("transactions", {"request_id": "bad"}), transaction("b"))
    log.close(SOON)
    assert requests(url) == ["a", "b"]
    assert "bad" in (spool / "refused.jsonl").read_text()


def test_a_clock_that_is_moved_back_loses_no_record_and_keeps_their_order(sqlite, spool):
    log = Log(sqlite, spool)
    for name, at in (("a", 3_000_000), ("b", 1_000_000), ("c", 2_000_000)):
        log.record(transaction(name, at=at))
    log.close(SOON)
    assert requests(sqlite) == ["a", "b", "c"]


def test_what_a_client_asks_to_forget_goes_from_all_tables_and_does_not_come_back(url, spool):
    log = Log(url, spool)
    mine, others = transaction("mine", path="p1"), transaction("others", client="bob")
    judged = {
        "request_id": "mine", "position": 0, "at": 1, "by": "ann", "verdict": "wrong", "label": "",
        "source": "feedback", "probability": None, "note": "",
    }  # fmt: skip
    log.record(mine, others, Record("evaluations", judged))
    assert log.wait_until_stored(SOON)
    with opening.connect(url).begin() as connection:
        deleted = records.forget(connection, "ann")
    assert deleted == records.Deleted(1, ["p1"])
    log.record(mine, Record("evaluations", judged))  # as a spool that is replayed
    log.close(SOON)
    assert requests(url) == ["others"]
    assert stored(url, schema.evaluations) == []


def test_a_picture_that_another_client_has_sent_too_is_kept(sqlite, spool):
    log = Log(sqlite, spool)
    log.record(transaction("a", path="same"), transaction("b", client="bob", path="same"))
    log.close(SOON)
    with opening.connect(sqlite).begin() as connection:
        assert records.forget(connection, "ann").paths == []
        assert records.forget(connection, "bob").paths == ["same"]


def test_what_is_older_than_the_days_to_keep_goes(sqlite, spool):
    log = Log(sqlite, spool)
    log.record(transaction("old", at=1), transaction("new", at=100))
    assert log.wait_until_stored(SOON)
    assert log.prune(50).transactions == 1
    log.close()
    assert requests(sqlite) == ["new"]


def test_who_asked_is_known_as_soon_as_it_was_answered(sqlite, spool):
    log = Log(sqlite, spool)
    log.record(transaction("a", client="bob"))
    assert log.client_of("a", 0, patience=SOON) == "bob"
    assert log.client_of("a", 1, patience=SOON) is None
    log.close()
