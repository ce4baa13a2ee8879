import subprocess
import sys

import pytest

from pipeline.errors import ResumableError
from pipeline.serving.reports import log
from pipeline.serving.reports.periods import DAY
from pipeline.serving.store.opening import open_store
from scripts.promises import served_week


def test_every_transaction_is_read_once_whatever_the_chunks(url, monkeypatch):
    monkeypatch.setattr(log, "CHUNK", 70)
    engine = open_store(url)
    rows = served_week.make(pictures=400).transactions
    served_week.write(engine, rows, "transactions")
    read = log.Log(engine).transactions()
    assert read["at"].tolist() == rows["at"].tolist()
    assert read["client"].astype(str).tolist() == rows["client"].tolist()
    assert read["shown"].tolist() == rows["shown"].astype(bool).tolist()
    day = log.Log(engine, since=served_week.MONDAY + DAY, until=served_week.MONDAY + 2 * DAY).transactions()
    assert len(day) == ((rows["at"] - served_week.MONDAY) // DAY == 1).sum()
    engine.dispose()


def test_a_time_without_transactions_gives_an_empty_table_of_the_same_columns(url):
    engine = open_store(url)
    served_week.write(engine, served_week.make(pictures=50).transactions, "transactions")
    some, none = log.Log(engine).transactions(), log.Log(engine, until=0).transactions()
    assert none.empty
    assert none.drop(columns=["client", "version", "label"]).dtypes.to_dict().items() <= some.dtypes.to_dict().items()
    engine.dispose()


def test_a_store_of_an_odd_name_is_read_while_another_process_writes(tmp_path):
    path = tmp_path / "a #1 at 100%.sqlite"
    engine = open_store(f"sqlite:///{path}")
    served_week.write(engine, served_week.make(pictures=50).transactions[:20], "transactions")
    code = "import sqlite3, sys; store = sqlite3.connect(sys.argv[1]); store.execute('delete from transactions')"
    writer = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print('begun', flush=True); input()", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout.readline() == b"begun\n"
    assert len(log.Log(engine).transactions()) == 20
    writer.communicate(b"\n")
    engine.dispose()


def test_a_spoilt_store_is_told_in_a_sentence(tmp_path):
    path = tmp_path / "transactions.sqlite"
    engine = open_store(f"sqlite:///{path}")
    served_week.write(engine, served_week.make(pictures=2000).transactions, "transactions")
    engine.dispose()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    with pytest.raises(ResumableError, match="malformed"):
        log.Log(engine).transactions()
