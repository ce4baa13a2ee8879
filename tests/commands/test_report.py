"""`wallaby report` and `wallaby audit` on a week of use."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from pipeline.cli.answers import to_json
from pipeline.commands import Answer, audit
from pipeline.commands.report import report
from pipeline.errors import DataError, Exit, UsageError
from pipeline.files import write_text
from pipeline.serving.reports.periods import DAY
from pipeline.serving.store.opening import open_store
from pipeline.tracking import SERVING, Tracking
from pipeline.workspace import Workspace
from scripts.promises import served_week

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Workspace:
    """A workspace without a round, whose service has answered nothing."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return Workspace(tmp_path)


@pytest.fixture
def workspace(empty) -> Workspace:
    """A workspace without a round, whose service has answered for a week; nobody has judged anything."""
    engine = open_store(f"sqlite:///{empty.root}/data/serving/transactions.sqlite")
    served_week.write(engine, served_week.make(pictures=300).transactions, "transactions")
    engine.dispose()
    return empty


def printed(answer: Answer) -> dict[str, Any]:
    """What a machine reads of an answer."""
    return json.loads(to_json(answer.data))


def logged_by(tracking: Tracking) -> Any:
    client = MlflowClient(tracking.uri)
    [run] = client.search_runs([client.get_experiment_by_name(SERVING).experiment_id])
    return client, run


def test_a_report_before_the_first_audit_says_that_accuracy_is_not_known(workspace, tmp_path):
    answer = report(workspace, out=tmp_path / "report.html")
    assert "nobody has judged a random sample" in answer.text
    assert "nobody has judged a random sample yet" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "command",
    [
        report,
        audit.waiting,
        lambda workspace: audit.draw(workspace, 5),
        lambda workspace: audit.write_sheet(workspace, Path("a.csv")),
    ],
)
def test_where_nothing_was_served_the_commands_say_so_and_make_no_store(empty, command):
    with pytest.raises(DataError, match="nothing has been served yet") as refused:
        command(empty)
    assert refused.value.code == Exit.DATA
    assert not (empty.root / "data/serving").exists()


def test_a_report_on_a_repository_without_rounds_makes_no_mlflow_store(workspace):
    write_text("event,class,to,min_images,flip,by,at,note\n", workspace.classes)
    write_text("image,label\n", workspace.labels)
    workspace.reviews.mkdir()
    assert printed(report(workspace))["tables"]["effort"] == []
    assert not (workspace.root / "mlflow.db").exists()


def test_the_same_tables_come_as_csv_and_json(workspace, tmp_path):
    tables = printed(report(workspace, csv=tmp_path / "tables"))["tables"]
    assert pd.read_csv(tmp_path / "tables/use.csv")["pictures"].sum() == sum(row["pictures"] for row in tables["use"])
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == set(tables)


def test_mlflow_has_a_run_with_the_figures_curves_and_files_of_a_report(empty, tmp_path):
    url = f"sqlite:///{tmp_path}/week.sqlite"
    engine, week = open_store(url), served_week.make(pictures=2000)
    served_week.fill(engine, week, audited=60)
    engine.dispose()
    report(empty, mlflow=True, store=url, csv=tmp_path / "tables")
    client, logged = logged_by(Tracking(empty.home))
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


def test_mlflow_has_a_run_of_a_service_that_nobody_has_judged(workspace):
    report(workspace, mlflow=True)
    _, logged = logged_by(Tracking(workspace.home))
    assert {"serving/pictures", "serving/p99_ms", "serving/pictures over time"} <= set(logged.data.metrics)
    assert not any("right" in name for name in logged.data.metrics)


def test_a_part_of_the_time_can_be_asked_for(workspace):
    part = printed(report(workspace, since="2026-03-03", until="2026-03-04"))
    assert part["since"].startswith("2026-03-03")
    assert part["until"].startswith("2026-03-03")
    assert part["unit"] == "hour"


def test_a_time_without_transactions_is_named(workspace):
    with pytest.raises(DataError, match="no transaction in that time"):
        report(workspace, since="2031-01-01")


def test_what_is_no_date_is_refused(workspace):
    with pytest.raises(UsageError, match="'yesterday' is no date"):
        report(workspace, since="yesterday")


def test_a_table_that_judges_an_image_2000_times_is_refused_with_the_second_row(workspace, tmp_path):
    sheet = tmp_path / "audit.csv"
    audit.draw(workspace, 5)
    audit.write_sheet(workspace, sheet)
    table = pd.read_csv(sheet, dtype=str, keep_default_na=False).assign(verdict="right")
    pd.concat([table.head(1)] * 2000).to_csv(sheet, index=False)
    with pytest.raises(DataError, match="2000 verdicts on one image") as refused:
        audit.take_sheet(workspace, sheet, by="ada")
    assert "audit.csv, row 3" in str(refused.value.where)
    table.head(1).assign(position="9" * 5000).to_csv(sheet, index=False)
    with pytest.raises(DataError):
        audit.take_sheet(workspace, sheet, by="ada")
    assert audit.waiting(workspace).data == {"waiting": len(table), "independent": len(table)}


def test_an_audit_is_drawn_filled_in_a_table_and_reported(workspace, tmp_path):
    sheet = tmp_path / "audit.csv"
    assert printed(audit.draw(workspace, 40))["strata"]
    audit.write_sheet(workspace, sheet)
    table = pd.read_csv(sheet, dtype=str, keep_default_na=False)
    table.assign(verdict="right").to_csv(sheet, index=False)
    audit.take_sheet(workspace, sheet, by="ada")
    accuracy = printed(report(workspace))["tables"]["accuracy"][0]
    assert (accuracy["n"], accuracy["share"], accuracy["low"] < 0.95) == (len(table), 1.0, True)


def test_a_table_that_is_not_there_is_no_audit(workspace, tmp_path):
    with pytest.raises(UsageError, match="there is no such table"):
        audit.take_sheet(workspace, tmp_path / "nowhere.csv", by="ada")


def test_one_answer_can_be_judged_by_name_and_is_no_part_of_the_audit(workspace):
    request = served_week.make(pictures=300).transactions.query("status == 200")["request_id"].iloc[0]
    audit.record(workspace, request, "right", by="ada")
    with pytest.raises(DataError):
        audit.record(workspace, "nobody:0", "right", by="ada")
    with pytest.raises(UsageError, match="'first' is no picture's number"):
        audit.record(workspace, f"{request}:first", "right", by="ada")
    tables = printed(report(workspace))["tables"]
    assert [row["source"] for row in tables["verdicts"]] == ["chosen"]
    assert tables["accuracy"] == []


def test_where_nothing_can_be_drawn_it_says_why(workspace):
    audit.draw(workspace, 40)
    assert "nothing new" in audit.draw(workspace, 40).text
