"""A record that no store could take holds up none, is kept with its reason, and can be read back."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from pipeline.commands import serve
from pipeline.serving.health import Health
from pipeline.serving.store import log as logs
from pipeline.serving.store import opening, records, spool
from pipeline.serving.store.log import Log
from pipeline.serving.store.spool import Record, Spool
from pipeline.workspace import Workspace
from tests.serving.made_up_records import requests, soon, stored, transaction

SOON = 20.0
ROOT = Path(__file__).parents[2]


def line(request_id: str, **values: object) -> str:
    return json.dumps(["transactions", transaction(request_id, **values).row])


def without(name: str) -> str:
    row = transaction("bad").row
    del row[name]
    return json.dumps(["transactions", row])


BAD = {
    "an unknown table": json.dumps(["nowhere", {"request_id": "bad"}]),
    "an unknown column": line("bad", colour="red"),
    "a number of its own": line("bad", id=1),
    "no request_id": without("request_id"),
    "no time": without("at"),
    "nothing for a request_id": line("bad", client=None),
    "more than 64 bits": line("bad", bytes=2**63),
    "more than 32 bits": line("bad", position=2**31),
    "5,000 digits": '["transactions",{"bytes":' + "9" * 5000 + "}]",
    "no number": line("bad", score=float("nan")),
    "text for a number": line("bad", score="high"),
    "an object for text": line("bad", label={"a": 1}),
    "100,000 brackets": "[" * 100_000,
    "100,000 closed brackets": "[" * 100_000 + "]" * 100_000,
    "900 lists in each other": '["transactions",{"top_labels":' + "[" * 900 + "]" * 900 + "}]",
    "a lone surrogate": line("bad", user="\ud800"),
    "a lone surrogate in a list": line("bad", top_labels=["\udfff"]),
    "no JSON": "what is this",
    "another list": '["transactions"]',
    "an object": '{"transactions": {}}',
    "nothing": "",
    "bytes that are no text": "\udcff\udcfe",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.fixture
def sqlite(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/transactions.sqlite"


def left_by_a_killed_process(folder: Path, *lines: str) -> None:
    data = "".join(f"{text}\n" for text in lines).encode(errors="surrogateescape")
    (folder / "000000000001.jsonl").write_bytes(data)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_set_aside_and_all_others_are_stored(url, folder, kind):
    left_by_a_killed_process(folder, line("before"), BAD[kind], line("after"))
    health = Health()
    log = Log(url, folder, health=health)
    log.record(transaction("later"))
    assert log.wait_until_stored(SOON)
    assert requests(url) == ["before", "after", "later"]
    assert health.problems == ["1 record is set aside: `wallaby serve --replay` tries again"]
    log.close()
    [one] = spool.refused(folder)
    assert one.reason
    if not one.record.table:
        assert one.record.row["line"] == BAD[kind] + "\n"
    assert [path.name for path in folder.glob("*.jsonl")] == [spool.REFUSED]


def test_every_record_of_ours_fits_every_store():
    assert records.fault(transaction()) == ""
    assert records.fault(transaction(threshold=None)) == ""
    judged = {"request_id": "a", "position": 0, "at": 1, "by": "ann", "verdict": "wrong", "source": "feedback"}
    assert records.fault(Record("evaluations", judged)) == ""
    assert records.fault(Record("evaluations", judged | {"probability": 1, "note": "größer"})) == ""


def test_while_the_store_is_down_a_bad_line_is_not_set_aside_again_and_again(sqlite, folder, monkeypatch):
    monkeypatch.setattr(logs, "LAST_TRY", 0.05)
    monkeypatch.setattr(logs, "FIRST_TRY", 0.05)
    opening.open_store(sqlite).dispose()
    other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("begin exclusive")
    left_by_a_killed_process(folder, BAD["no JSON"], line("a"))
    log = Log(sqlite, folder, patience=0.01)
    assert not log.wait_until_stored(1.0)
    assert not (folder / spool.REFUSED).exists()
    other.execute("rollback")
    assert log.wait_until_stored(SOON)
    log.close()
    assert len((folder / spool.REFUSED).read_text().splitlines()) == 1


def test_what_was_set_aside_wrongly_is_replayed_once_and_the_rest_stays(sqlite, folder):
    good = [transaction(f"r{number}") for number in range(30)]
    lines = [json.dumps([one.table, one.row, "database disk image is malformed"]) for one in good]
    bad = json.dumps(["nowhere", {"x": 1}, "no table"])
    (folder / spool.REFUSED).write_text("\n".join([*lines, bad, *lines]) + "\n")
    health = Health()
    log = Log(sqlite, folder, health=health)
    number, stay = log.replay()
    assert (number, [one.record.table for one in stay]) == (30, ["nowhere"])
    assert log.wait_until_stored(SOON)
    assert log.replay()[0] == 0
    log.close()
    assert sorted(requests(sqlite)) == sorted(one.row["request_id"] for one in good)
    assert [one.record.table for one in spool.refused(folder)] == ["nowhere"]


def test_a_line_that_a_person_has_corrected_is_replayed_and_health_forgets_it(sqlite, folder):
    left_by_a_killed_process(folder, line("a", bytes=2**70), line("b")[:-10])
    health = Health()
    log = Log(sqlite, folder, health=health)
    assert log.wait_until_stored(SOON)
    assert health.problems == ["2 records are set aside: `wallaby serve --replay` tries again"]
    file = folder / spool.REFUSED
    file.write_text(file.read_text().replace(str(2**70), "70"))
    assert log.replay()[0] == 1
    assert log.wait_until_stored(SOON)
    file.unlink()
    log._mover.wake()
    assert soon(lambda: not health.problems)
    log.close()
    assert [(row["request_id"], row["bytes"]) for row in stored(sqlite)] == [("a", 70)]


def test_records_with_fewer_columns_take_none_from_those_beside_them(sqlite, folder):
    fewer = transaction("old").row
    del fewer["error"], fewer["path"]
    left_by_a_killed_process(folder, json.dumps(["transactions", fewer]), line("new", error="cut", path="a/b.png"))
    Log(sqlite, folder).close(SOON)
    assert [(row["request_id"], row["error"], row["path"]) for row in stored(sqlite)] == [
        ("old", "", ""), ("new", "cut", "a/b.png"),
    ]  # fmt: skip


def test_a_value_that_only_this_database_refuses_is_set_aside_beside_others(url, folder):
    if url.startswith("sqlite"):
        pytest.skip("SQLite takes every text")
    log = Log(url, folder)
    log.record(transaction("a"), transaction("bad", error="cut \x00 short"), transaction("b"))
    log.close(SOON)
    assert requests(url) == ["a", "b"]
    assert [one.record.row["request_id"] for one in spool.refused(folder)] == ["bad"]


def test_a_spool_that_is_deleted_while_it_is_used_loses_nothing(folder):
    own = Spool(folder)
    own.append([transaction("a")])
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    own.append([transaction("b")])
    [segment] = folder.glob("0*.jsonl")
    size = segment.stat().st_size
    segment.unlink()
    assert own.bytes_waiting() == size
    piece = next(own.pieces(10))
    assert [record.row["request_id"] for record in piece.records] == ["a", "b"]
    own.done(piece)
    assert own.bytes_waiting() == 0
    own.close()


def test_nothing_counts_as_stored_because_its_segment_was_deleted(sqlite, folder, monkeypatch):
    monkeypatch.setattr(logs, "PAUSE", 3600.0)
    log = Log(sqlite, folder)
    for number in range(20):
        log.record(transaction(f"r{number:02d}"))
        for segment in folder.glob("0*.jsonl"):
            segment.unlink(missing_ok=True)
        assert log.wait_until_stored(SOON)
        assert requests(sqlite) == [f"r{earlier:02d}" for earlier in range(number + 1)]
    log.close()


def test_a_segment_that_cannot_be_read_holds_up_no_other_and_is_named(sqlite, folder):
    (folder / "000000000001.jsonl").mkdir()
    health = Health()
    log = Log(sqlite, folder, health=health)
    log.record(transaction("a"))
    assert not log.wait_until_stored(0.5)
    assert (requests(sqlite), health.problems) == (["a"], [logs.NOT_MOVED])
    (folder / "000000000001.jsonl").rmdir()
    log._mover.wake()
    assert soon(lambda: not health.problems)
    log.close()


def test_where_no_further_segment_can_be_begun_the_present_one_goes_on(folder, monkeypatch):
    own = Spool(folder)
    monkeypatch.setattr(spool, "ROLL", 100)
    own.append([transaction("a")])
    with monkeypatch.context() as patched:
        patched.setattr(Path, "touch", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        own.append([transaction("b")])
    own.append([transaction("c")])
    pieces = [piece for piece in own.pieces(10) if not own.done(piece)]
    assert [record.row["request_id"] for piece in pieces for record in piece.records] == ["a", "b", "c"]
    own.close()
    assert list(folder.glob("0*")) == []


def test_a_store_that_is_down_for_long_does_not_use_up_the_files_that_may_be_open(folder, monkeypatch):
    monkeypatch.setattr(spool, "ROLL", 700)
    own = Spool(folder)
    for number in range(1000):
        own.append([transaction(f"r{number}")])
    assert len(os.listdir("/proc/self/fd")) < 500
    assert sum(len(piece.records) for piece in own.pieces(100) if not own.done(piece)) == 1000
    own.close()


def test_the_command_lists_and_replays_what_is_set_aside(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    workspace.params_file.parent.mkdir()
    workspace.params_file.write_text((ROOT / "configs/params.yaml").read_text())
    folder = tmp_path / "data/serving/spool"
    folder.mkdir(parents=True)
    good = json.dumps(["transactions", transaction("a").row, "file is not a database"])
    (folder / spool.REFUSED).write_text(good + "\n" + json.dumps(["nowhere", {"x": 1}, "no table"]) + "\n")
    store = f"sqlite:///{tmp_path}/data/serving/transactions.sqlite"

    answer = serve.replay(workspace, dry_run=True)
    assert (answer.code, [one["reason"] for one in answer.data["aside"]]) == (0, ["file is not a database", "no table"])
    assert "no table: " in answer.text
    answer = serve.replay(workspace)
    [one] = answer.data["aside"]
    assert (answer.code, answer.data) == (6, {"replayed": 1, "stored": True, "aside": [one]})
    assert requests(store) == ["a"]
    (folder / spool.REFUSED).unlink()
    answer = serve.replay(workspace)
    assert (answer.code, answer.data) == (0, {"replayed": 0, "stored": True, "aside": []})
    (tmp_path / "data/serving/transactions.sqlite").write_bytes(b"garbage" * 1000)
    (folder / spool.REFUSED).write_text(good + "\n")
    monkeypatch.setattr(serve, "REPLAY", 0.5)
    answer = serve.replay(workspace)
    assert (answer.code, answer.data["replayed"], answer.data["stored"]) == (75, 1, False)
    assert spool.refused(folder) == []
    [waiting] = [path.read_text() for path in folder.glob("0*.jsonl")]
    assert json.loads(waiting)[1]["request_id"] == "a"
