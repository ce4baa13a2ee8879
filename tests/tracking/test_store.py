"""MLflow, in a store of its own: one run a round."""

import json
import platform
import subprocess
import time
from datetime import UTC, datetime
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.errors import UsageError
from pipeline.evaluation import runs
from pipeline.files import write_json
from pipeline.tracking import ABLATIONS, CHAMPION, EXPERIMENT, REGISTERED, THROWAWAYS, Tracking, views
from pipeline.tracking.writer import PROCESS, Writer

CURVES = pd.DataFrame({"epoch": [1, 2, 3], "loss": [1.5, 1.0, 0.5], "val_loss": [2.0, 1.0, 1.5]})
TAGS = {"round": "1", "base_run_id": "", "throwaway": "false"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("repository")


@pytest.fixture(scope="module")
def tracking(store):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return Tracking(store)


@pytest.fixture(scope="module")
def client(tracking) -> MlflowClient:
    return MlflowClient(tracking.uri)


def start(tracking: Tracking, name: str = "round-1", **more) -> str:
    return tracking.start(name, params={"classes": 3, "images_train": 40}, tags=TAGS, **more)


def test_one_run_holds_the_whole_round(tracking, client, store, tmp_path):
    run_id = start(tracking, recipe={"zoom": 0.2}, note="**Since round-0**")
    tracking.log_training(run_id, CURVES, {"best_epoch": 2}, step=1)
    (tmp_path / "report.html").write_text("report")
    tracking.log_evaluation(
        run_id,
        "round-1",
        {"benchmark_field_accuracy": 0.5},
        [tmp_path / "report.html"],
        step=1,
        tags={"model_digest": "abcdef0123456789"},
    )

    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"round-1 {datetime.now(UTC):%Y-%m-%d} abcdef01"
    assert run.data.params == {"classes": "3", "images_train": "40"}
    assert run.data.tags["round"] == "1"
    assert len(run.data.tags["git_commit"]) >= 4
    assert run.data.tags["mlflow.note.content"].startswith("**Since round-0**\n\n| accuracy")
    assert (run.data.metrics["benchmark_field_accuracy"], run.data.metrics["train_loss"]) == (0.5, 0.5)
    points = client.get_metric_history(run_id, "val_loss")
    assert [(point.step, point.value) for point in points] == [(1, 2.0), (2, 1.0), (3, 1.5)]
    assert sorted(file.path for file in client.list_artifacts(run_id)) == ["recipe.json", "report.html"]
    assert list(tracking.runs()["run_id"]) == [run_id]
    assert sorted(path.name for path in store.iterdir()) == ["mlflow.db", "mlruns"]


def test_an_interrupted_training_finds_its_run_again(tracking):
    run_id = start(tracking)
    assert start(tracking, run_id=run_id) == run_id


@pytest.mark.parametrize("lost", ["", "0123456789abcdef0123456789abcdef"])
def test_a_run_that_the_store_does_not_have_is_made_anew(tracking, lost):
    assert start(tracking, run_id=lost) not in ("", lost)


def test_a_run_that_was_deleted_is_made_anew(tracking, client, tmp_path):
    deleted = start(tracking)
    client.delete_run(deleted)
    assert start(tracking, run_id=deleted) != deleted
    before = len(tracking.runs())
    tracking.log_evaluation(deleted, "round-1", {"test/top1": 0.5}, [])
    assert len(tracking.runs()) == before  # it goes where the training went


def test_a_benchmark_may_be_called_as_no_metric_may(tracking, client):
    run_id = start(tracking)
    tracking.log_evaluation(run_id, "round-1", {"benchmark/hö (2025+)/top1": 0.5}, [])
    assert 0.5 in client.get_run(run_id).data.metrics.values()


def test_more_epochs_than_one_call_may_hold_are_logged(tracking, client):
    run_id = start(tracking)
    epochs = np.arange(1, 1202)
    tracking.log_training(run_id, pd.DataFrame({"epoch": epochs, "loss": epochs / 2}), {})
    assert client.get_run(run_id).data.metrics["train_loss"] == 600.5


def test_a_store_whose_address_is_given_is_used(monkeypatch, tmp_path):
    address = f"sqlite:///{tmp_path / 'other.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert Tracking(tmp_path).uri == address


def test_the_next_repository_of_the_same_process_has_a_store_of_its_own(tracking, tmp_path):
    start(tracking)
    assert len(tracking.runs())
    assert Tracking(tmp_path).uri == f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_who_only_reads_makes_no_store(tmp_path):
    empty, lost = Tracking(tmp_path), "0123456789abcdef0123456789abcdef"
    assert empty.runs().empty
    assert empty.table(lost, "bands.parquet") is None
    assert not empty.tag(lost, {"gate": "pass"})
    assert list(tmp_path.iterdir()) == []


def test_versions_stand_side_by_side_also_where_a_run_has_no_round(tracking):
    """A run that `evaluate` had to make knows neither its round nor its classes."""
    run_id = start(tracking, "round-2")
    tracking.log_evaluation(run_id, "round-2", {"benchmark/field/top1": 0.75, "val/top1": 1.0}, [])
    tracking.log_evaluation("", "round-3", {"benchmark/field/top1": 0.5}, [])
    table = runs.table(tracking.runs())
    assert table["benchmark/field"].tolist()[-2:] == [0.75, 0.5]
    assert "val" not in table
    assert table["round"].tolist()[-2] == "1"
    nameless = tracking.runs().filter(regex="^(run_id|start_time|metrics.*)$")
    assert len(runs.table(nameless)) == len(nameless)


def champions(tracking: Tracking, client: MlflowClient) -> dict[str, str]:
    """The digest of each version that has the alias, and of each run that is tagged so."""
    version = client.get_model_version_by_alias(REGISTERED, CHAMPION)
    runs = tracking.runs()
    tagged = runs.loc[runs["tags.champion"] == "yes", "tags.model_digest"]
    return {"alias": version.tags["model_digest"], "runs": ", ".join(tagged)}


def test_one_model_at_a_time_is_the_champion_and_none_is_registered_twice(tracking, client):
    tags = {digest: {"model_digest": digest, "released_for": "it passed"} for digest in ("a" * 64, "b" * 64)}
    runs = {digest: start(tracking) for digest in tags}
    first, second = tags
    assert tracking.set_champion(runs[first], "round-1", tags[first]) == "1"
    assert tracking.set_champion(runs[second], "round-2", tags[second]) == "2"
    assert champions(tracking, client) == {"alias": second, "runs": second}
    assert tracking.set_champion(runs[first], "round-1", tags[first]) == "1"  # rolled back
    assert champions(tracking, client) == {"alias": first, "runs": first}


def test_a_champion_whose_run_the_store_does_not_have_is_registered_all_the_same(tracking, client):
    digest = "c" * 64
    tracking.set_champion("0123456789abcdef0123456789abcdef", "round-7", {"model_digest": digest})
    assert champions(tracking, client) == {"alias": digest, "runs": digest}


def test_a_table_that_was_logged_is_read_again_and_one_that_was_deleted_is_none(tracking, store):
    run_id = start(tracking)
    table = pd.DataFrame({"band": [0.5], "n": [3]})
    tracking.log_evaluation(run_id, "", {}, [], tables={"bands": table}, tags={"version.hö": "a"})
    pd.testing.assert_frame_equal(tracking.table(run_id, "bands.parquet"), table)
    assert tracking.table(run_id, "scores.parquet") is None
    assert tracking.table("0123456789abcdef0123456789abcdef", "bands.parquet") is None
    [file] = store.rglob("bands.parquet")
    file.unlink()
    assert tracking.table(run_id, "bands.parquet") is None


def test_a_run_that_is_not_there_takes_no_tags(tracking):
    assert not tracking.tag("", {"gate": "pass"})
    assert tracking.tag(start(tracking), {"gate": "pass"})


def test_an_accuracy_is_a_curve_over_the_rounds_in_the_run_of_the_last(tracking, client):
    base = ""
    for number, accuracy in ((1, 0.5), (2, 0.75), (3, 0.7)):
        run_id = tracking.start(f"round-{number}", params={}, tags=TAGS | {"base_run_id": base})
        tracking.log_evaluation(run_id, f"round-{number}-abc", {"benchmark_field_accuracy": accuracy}, [], step=number)
        base = run_id
    history = client.get_metric_history(base, "benchmark_field_accuracy")
    assert sorted((point.step, point.value) for point in history) == [(1, 0.5), (2, 0.75), (3, 0.7)]
    run = client.get_run(base)
    assert run.data.metrics["benchmark_field_accuracy"] == 0.7
    assert "| benchmark_field_accuracy | 0 | 75.0% | 70.0% | -5.0% |" in run.data.tags["mlflow.note.content"]


def test_a_set_that_is_measured_again_shows_its_last_accuracy(tracking, client):
    run_id = start(tracking)
    for accuracy in (0.9, 0.4):
        tracking.log_evaluation(run_id, "round-1-abc", {"test_accuracy": accuracy}, [], step=1)
        time.sleep(0.002)
    assert client.get_run(run_id).data.metrics["test_accuracy"] == 0.4


def test_throw_aways_and_ablations_lie_apart_and_are_listed_all_the_same(tracking, client):
    apart = {
        THROWAWAYS: start(tracking, "throwaway-min-3", experiment="throwaway-min-3"),
        ABLATIONS: start(tracking, "ablate-flip=false-0", experiment="ablate-flip=false-0"),
    }
    for name, run_id in apart.items():
        assert client.get_experiment(client.get_run(run_id).info.experiment_id).name == name
        assert run_id in set(tracking.runs()["run_id"])
    start(tracking)
    tracking.save_view()
    for name in (EXPERIMENT, *apart):
        tags = client.get_experiment(tracking.experiments()[name]).tags
        assert "params.`round`" in views.state_of(tags["mlflow.sharedViewState.rounds"])["selectedColumns"]


def test_experiments_are_of_model_training_and_the_rounds_have_a_view(tracking, client):
    run_id = start(tracking)
    tracking.log_evaluation(run_id, "", {"benchmark_field_accuracy": 0.5}, [])
    tracking.save_view()
    tags = client.get_experiment_by_name(EXPERIMENT).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    state = views.state_of(tags["mlflow.sharedViewState.rounds"])
    assert "metrics.`benchmark_field_accuracy`" in state["selectedColumns"]


def test_sets_are_logged_with_digest_and_counts(tracking, client):
    described = {"name": "train", "digest": "abc", "images": 40, "classes": 3, "source": "s", "context": "training"}
    run_id = start(tracking, datasets=[described])
    [found] = client.get_run(run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("train", "abc")
    assert json.loads(found.dataset.profile) == {"num_rows": 40, "classes": 3}


def status(client: MlflowClient, run_id: str) -> str:
    return client.get_run(run_id).info.status


@pytest.mark.parametrize(("error", "marked"), [(KeyboardInterrupt, "KILLED"), (ZeroDivisionError, "FAILED")])
def test_a_training_that_ends_early_is_marked_so_and_continued_as_the_same_run(tracking, client, error, marked):
    run_id = start(tracking)
    assert status(client, run_id) == "RUNNING"
    with pytest.raises(error), tracking.running(run_id):
        raise error
    assert status(client, run_id) == marked
    assert start(tracking, run_id=run_id) == run_id
    assert status(client, run_id) == "RUNNING"


def test_the_next_command_marks_a_run_whose_process_was_killed(tracking, client, store):
    killed, running = start(tracking), start(tracking)
    gone = subprocess.Popen(["true"])
    gone.wait()
    client.set_tag(killed, PROCESS, f"{platform.node()} {gone.pid}")
    Tracking(store).runs()
    assert (status(client, killed), status(client, running)) == ("KILLED", "RUNNING")


def test_a_process_of_another_machine_is_not_judged(tracking, client, store):
    run_id = start(tracking)
    client.set_tag(run_id, PROCESS, "another-machine 1")
    Tracking(store).runs()
    assert status(client, run_id) == "RUNNING"


def test_what_a_store_does_not_take_now_it_gets_from_the_next_command(store, client, monkeypatch, capsys):
    tracking = Tracking(store)
    with monkeypatch.context() as patch:
        for name in ("start", "curves"):
            patch.setattr(Writer, name, mock.Mock(side_effect=MlflowException("Connection refused")))
        run_id = start(tracking, recipe={"zoom": 0.2})
        tracking.log_training(run_id, CURVES, {})
        tracking.end(run_id)
        assert "does not answer: Connection refused" in capsys.readouterr().err
    found = Tracking(store).runs().query("`tags.run_key` == @run_id")
    assert found["status"].tolist() == ["FINISHED"]
    assert found["metrics.train_loss"].tolist() == [0.5]
    assert Tracking(store).json(run_id, "recipe.json") == {"zoom": 0.2}
    assert Tracking(store).tag(run_id, {"gate": "pass"})
    assert "entries that waited are logged" in capsys.readouterr().err


def test_an_address_that_mlflow_does_not_know_is_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "htp://mlflow.example.org")
    with pytest.raises(UsageError, match="MLflow refuses") as refused:
        start(Tracking(tmp_path))
    assert "MLFLOW_TRACKING_URI" in refused.value.where


def test_a_server_that_is_down_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = Tracking(tmp_path)
    run_id = start(tracking)
    tracking.log_training(run_id, CURVES, {})
    assert tracking.runs().empty
    assert tracking.made_of(run_id) == ({}, {})
    assert len(list((tmp_path / ".wallaby").rglob("entry.json"))) == 2


def test_figures_that_lie_in_a_file_of_the_run_are_columns_too(tracking, tmp_path):
    run_id = start(tracking)
    write_json({"benchmark:field": {"top1": 0.5, "n": 40}}, tmp_path / "metrics.json")
    tracking.log_training(run_id, CURVES.assign(minutes=[0.5, 1.0, 1.5]), {"epochs": 3}, step=1)
    tracking.log_evaluation(run_id, "", {}, [tmp_path / "metrics.json"])
    row = tracking.runs().set_index("run_id").loc[run_id]
    assert row["metrics.benchmark/field/n"] == 40
    assert (row["metrics.training/epochs"], row["metrics.training/seconds"]) == (3, 90)


def test_what_a_parent_was_made_of_is_known_to_its_child(tracking):
    run_id = start(tracking, recipe={"zoom": 0.2})
    assert tracking.made_of(run_id) == ({"classes": "3", "images_train": "40"}, {"zoom": 0.2})
    assert tracking.made_of("e" * 32) == ({}, {})
