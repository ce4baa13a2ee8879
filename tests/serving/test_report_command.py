"""`wallaby report` and `wallaby audit` as a user calls them."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from pipeline.cli import main
from pipeline.serving.reports.periods import DAY
from pipeline.serving.store.opening import open_store
from pipeline.tracking import SERVING, Tracking
from scripts import served_week

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path, monkeypatch) -> str:
    """A workspace without a round, whose service has answered for a week; nobody has judged anything."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/data/serving/transactions.sqlite"
    engine = open_store(url)
    served_week.write(engine, served_week.make(pictures=300).transactions, "transactions")
    engine.dispose()
    return url


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_a_report_before_the_first_audit_says_that_accuracy_is_not_known(store, tmp_path, capsys):
    assert run("report", "--out", "report.html") == 0
    assert "nobody has judged a random sample" in capsys.readouterr().out
    assert "nobody has judged a random sample yet" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("command", [["report"], ["audit"], ["audit", "--draw", "5"], ["audit", "--sheet", "a.csv"]])
def test_where_nothing_was_served_the_commands_say_so_and_make_no_store(tmp_path, monkeypatch, capsys, command):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    assert run(*command) == 3
    assert "nothing has been served yet" in capsys.readouterr().err
    assert not (tmp_path / "data/serving").exists()


def test_the_same_tables_come_as_csv_and_json(store, tmp_path, capsys):
    assert run("report", "--json", "--csv", "tables") == 0
    told = json.loads(capsys.readouterr().out)
    assert pd.read_csv(tmp_path / "tables/use.csv")["pictures"].sum() == sum(
        row["pictures"] for row in told["tables"]["use"]
    )
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == set(told["tables"])


def test_mlflow_has_a_run_with_the_figures_curves_and_files_of_a_report(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    url = f"sqlite:///{tmp_path}/week.sqlite"
    engine, week = open_store(url), served_week.make(pictures=2000)
    served_week.fill(engine, week, audited=60)
    engine.dispose()
    assert run("report", "--mlflow", "--store", url, "--csv", "tables") == 0
    client = MlflowClient(Tracking(tmp_path).uri)
    [logged] = client.search_runs([client.get_experiment_by_name(SERVING).experiment_id])
    assert (logged.info.run_name, logged.info.status) == ("2026-03-02 to 2026-03-08", "FINISHED")
    assert logged.data.tags["versions"] == "round-1, round-2"
    figures = logged.data.metrics
    assert figures["serving/pictures"] == len(week.transactions)
    assert figures["serving/right low"] < figures["serving/right"] < figures["serving/right high"]
    days = client.get_metric_history(logged.info.run_id, "serving/pictures over time")
    assert sum(day.value for day in days) == len(week.transactions)
    assert [day.timestamp for day in days] == [(served_week.MONDAY + day * DAY) // 1000 for day in range(7)]
    names = {Path(file.path).name for file in client.list_artifacts(logged.info.run_id)}
    assert names >= {"report.html", "accuracy_by_version.csv", "drift.csv"}


def test_mlflow_is_told_of_a_service_that_nobody_has_judged(store, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert run("report", "--mlflow") == 0
    client = MlflowClient(Tracking(tmp_path).uri)
    [logged] = client.search_runs([client.get_experiment_by_name(SERVING).experiment_id])
    assert {"serving/pictures", "serving/p99_ms", "serving/pictures over time"} <= set(logged.data.metrics)
    assert not any("right" in name for name in logged.data.metrics)


def test_a_part_of_the_time_can_be_asked_for(store, capsys):
    assert run("report", "--json", "--since", "2026-03-03", "--until", "2026-03-04") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["since"].startswith("2026-03-03")
    assert told["until"].startswith("2026-03-03")
    assert told["unit"] == "hour"


def test_a_time_without_transactions_is_named(store, capsys):
    assert run("report", "--since", "2031-01-01") == 3
    assert "no transaction in that time" in capsys.readouterr().err


def test_what_is_no_date_is_refused(store, capsys):
    assert run("report", "--since", "yesterday") == 2
    assert "'yesterday' is no date" in capsys.readouterr().err


def test_a_table_that_judges_an_image_2000_times_is_refused_with_the_second_row(store, tmp_path, capsys):
    assert run("audit", "--draw", "5") == 0
    assert run("audit", "--sheet", "audit.csv") == 0
    table = pd.read_csv(tmp_path / "audit.csv", dtype=str, keep_default_na=False).assign(verdict="right")
    pd.concat([table.head(1)] * 2000).to_csv(tmp_path / "audit.csv", index=False)
    assert run("audit", "--take", "audit.csv", "--by", "ada") == 3
    told = capsys.readouterr().err
    assert "2000 verdicts on one image" in told
    assert "audit.csv, row 3" in told
    table.head(1).assign(position="9" * 5000).to_csv(tmp_path / "audit.csv", index=False)
    assert run("audit", "--take", "audit.csv", "--by", "ada") == 3
    assert run("audit", "--json") == 0
    assert json.loads(capsys.readouterr().out)["waiting"] == len(table)


def test_an_audit_is_drawn_filled_in_a_table_and_reported(store, tmp_path, capsys):
    assert run("audit", "--draw", "40") == 0
    assert run("audit", "--sheet", "audit.csv") == 0
    table = pd.read_csv(tmp_path / "audit.csv", dtype=str, keep_default_na=False)
    write = table.assign(verdict="right")
    write.to_csv(tmp_path / "audit.csv", index=False)
    assert run("audit", "--take", "audit.csv", "--by", "ada") == 0
    capsys.readouterr()
    assert run("report", "--json") == 0
    accuracy = json.loads(capsys.readouterr().out)["tables"]["accuracy"][0]
    assert (accuracy["n"], accuracy["share"], accuracy["low"] < 0.95) == (len(table), 1.0, True)


def test_one_answer_can_be_judged_by_name_and_is_no_part_of_the_audit(store, tmp_path, capsys):
    request = served_week.make(pictures=300).transactions.query("status == 200")["request_id"].iloc[0]
    assert run("audit", "--verdict", request, "right", "--by", "ada") == 0
    assert run("audit", "--verdict", "nobody:0", "right", "--by", "ada") == 3
    capsys.readouterr()
    assert run("report", "--json") == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [row["source"] for row in tables["verdicts"]] == ["chosen"]
    assert tables["accuracy"] == []


def test_where_nothing_can_be_drawn_it_says_why(store, capsys):
    run("audit", "--draw", "40")
    capsys.readouterr()
    assert run("audit", "--draw", "40") == 0
    assert "nothing new" in capsys.readouterr().out
