"""A repository that was moved or copied: its store's addresses are those of the present place."""

import shutil

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from pipeline.tracking import Tracking
from pipeline.tracking.moved import adopt

TABLE = pd.DataFrame({"band": [0.5]})


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def logged(tracking: Tracking, name: str) -> str:
    run_id = tracking.start(name, params={}, tags={})
    tracking.log_evaluation(run_id, name, {}, [], tables={"bands": TABLE})
    return run_id


def test_a_copy_reads_and_writes_below_itself_and_the_old_place_stays_as_it_is(tmp_path):
    old, new = tmp_path / "old place", tmp_path / "ümzug" / "mlruns" / "new"  # both need quoting in an address
    old.mkdir()
    first = logged(Tracking(old), "round-1")
    shutil.copytree(old, new)
    before = {path: path.stat().st_mtime_ns for path in old.rglob("*")}

    tracking = Tracking(new)
    pd.testing.assert_frame_equal(tracking.table(first, "bands.parquet"), TABLE)
    logged(tracking, "round-2")
    logged(tracking, "round-3")
    assert {path: path.stat().st_mtime_ns for path in old.rglob("*")} == before
    assert len(list((new / "mlruns").rglob("bands.parquet"))) == 3

    shutil.rmtree(old)
    client = MlflowClient(tracking.uri)
    addresses = {client.get_run(run_id).info.artifact_uri for run_id in tracking.runs()["run_id"]}
    assert all(address.startswith((new / "mlruns").as_uri()) for address in addresses)
    assert adopt(new / "mlflow.db", new / "mlruns") == 0


def test_an_address_that_is_elsewhere_stays(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("CREATE TABLE experiments (artifact_location TEXT)")
        addresses = ["s3://bucket/mlruns", "mlflow-artifacts:/1", "/old/mlruns/0", "file:///other/place", None]
        connection.executemany("INSERT INTO experiments VALUES (?)", [(address,) for address in addresses])
    assert adopt(tmp_path / "mlflow.db", tmp_path / "mlruns") == 1
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        found = [row[0] for row in connection.execute("SELECT artifact_location FROM experiments")]
    assert found == [*addresses[:2], str(tmp_path / "mlruns" / "0"), *addresses[3:]]
