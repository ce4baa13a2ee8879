"""`data/rounds`: when a round is recorded, what changes a record later, and what an older store and git know of it."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline.commands import records
from pipeline.evaluation import round_record
from pipeline.files import write_csv, write_text
from pipeline.serving import champions
from pipeline.workspace import Workspace
from tests.evaluation.made_up_records import digest, record

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A workspace whose first round is complete."""
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    made = Workspace(tmp_path)
    complete(made, record(1))
    return made


def complete(workspace: Workspace, made: round_record.Record) -> None:
    write_text(round_record.to_text(made), workspace.round)


def kept(workspace: Workspace) -> dict[str, str]:
    return {path.name: path.read_text() for path in workspace.rounds.glob("*")}


def test_a_complete_round_is_recorded_once(workspace, capsys):
    assert records.keep(workspace) == [workspace.rounds / record(1).name]
    assert "commit it with the round" in capsys.readouterr().err
    assert kept(workspace) == {record(1).name: workspace.round.read_text()}
    assert records.keep(workspace) == []
    assert not capsys.readouterr().err


def test_each_round_has_a_file_of_its_own_and_so_has_another_model_of_the_same_round(workspace):
    """So that histories that were made apart merge without a conflict."""
    records.keep(workspace)
    complete(workspace, record(2))
    records.keep(workspace)
    complete(workspace, record(2, model_digest="7" * 64, run_id="7" * 32))
    records.keep(workspace)
    assert sorted(kept(workspace)) == [f"1-{digest(1)[:12]}.json", f"2-{digest(2)[:12]}.json", "2-777777777777.json"]


def test_before_the_first_complete_round_there_is_nothing_to_record(tmp_path):
    assert records.keep(Workspace(tmp_path)) == []
    assert not (tmp_path / "data").exists()


def test_a_throw_away_run_is_never_recorded(workspace):
    assert records.keep(Workspace(workspace.root, experiment="trial")) == []
    assert not workspace.rounds.exists()


def test_a_new_evaluation_of_the_same_model_renews_its_record(workspace):
    records.keep(workspace)
    complete(workspace, record(1, right=80))
    assert len(records.keep(workspace)) == 1
    assert records.read(workspace)[0].measured["test"]["top1"] == 0.8


def test_a_release_is_noted_in_the_record_of_its_model_and_a_former_one_stays(workspace):
    records.keep(workspace)
    row = {"at": "2026-03-09T10:00:00+00:00", "by": "Ada", "action": "released", "round": "1", "model": digest(1)}
    history = pd.DataFrame([row | {"verdict": "pass", "reason": "it passed"}])
    write_csv(history, workspace.released / champions.HISTORY)
    assert len(records.keep(workspace)) == 1
    assert records.keep(workspace) == []
    [found] = records.read(workspace)
    assert [event.by for event in found.releases] == ["Ada"]
    (workspace.released / champions.HISTORY).unlink()  # in a clone that has not pulled
    assert records.keep(workspace) == []
    assert records.read(workspace) == [found]


def test_a_record_that_was_cut_short_is_named_and_left_out_and_one_of_the_last_round_is_made_again(workspace, capsys):
    write_text(round_record.to_text(record(2))[:99], workspace.rounds / record(2).name)
    write_text("{", workspace.rounds / record(1).name)
    records.keep(workspace)
    [warning] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert record(2).name in warning
    assert "is left out: not readable as JSON" in warning
    assert "git checkout" in warning
    assert records.read(workspace) == [record(1)]


def test_a_round_whose_product_is_damaged_stops_no_command(workspace, capsys):
    workspace.round.write_text("{")
    assert records.keep(workspace) == []
    assert "the last round is not recorded" in capsys.readouterr().err


def test_a_round_that_nobody_timed_begins_when_its_run_did(workspace):
    untimed = record(1, started="")
    write_text(round_record.to_text(untimed), workspace.rounds / untimed.name)
    began = pd.Timestamp("2025-01-02 03:04", tz="UTC")
    runs = pd.DataFrame({"run_id": [untimed.run_id], "start_time": [began]})
    [found] = records.with_starts(workspace, [untimed], runs)
    assert found.started == began.isoformat()
    assert records.read(workspace) == [found]
