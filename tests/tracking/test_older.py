"""A store of an older version: its runs get today's names, and lose nothing."""

import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from pipeline.evaluation import runs
from pipeline.tracking import EXPERIMENT, Tracking, views

FIGURES = {"test/top1": 0.8, "test/n": 50.0, "test/top5": 1.0, "val/top1": 0.9, "val/n": 40.0}
ON_BENCHMARK = {"benchmark/field/top1": 0.5, "benchmark/field/n": 12.0}


def logged(client: MlflowClient, number: int, *, base: str = "", throwaway: str = "false", **figures: float) -> str:
    """A run as the version before logged it; `figures` come on top of those of the test set."""
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    run_id = client.create_run(experiment, run_name=f"round-{number}", start_time=number).info.run_id
    tags = {"round": str(number), "base_run_id": base, "base_digest": "b" * 64, "throwaway": throwaway}
    metrics = FIGURES | ON_BENCHMARK | figures | {"training/epochs": 9.0, "training/seconds": 90.0}
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, 0, 0) for name, value in metrics.items()],
        params=[Param(f"images_{name}", "10") for name in ("train", "val", "test")],
        tags=[RunTag(name, value) for name, value in (tags | {"model_digest": f"{number}" * 64}).items()],
    )
    client.set_terminated(run_id)
    return run_id


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> tuple[Tracking, MlflowClient, list[str]]:
    """Two rounds, a throw-away and one that was stopped, as the version before logged them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking = Tracking(tmp_path_factory.mktemp("repository"))
    client = MlflowClient(tracking.uri)
    client.create_experiment(EXPERIMENT, tracking.artifacts_uri)
    first = logged(client, 1)
    second = logged(client, 2, base=first, **{"test/top1": 0.9})
    thrown = logged(client, 3, base=second, throwaway="true")
    stopped = client.create_run(client.get_experiment_by_name(EXPERIMENT).experiment_id).info.run_id
    tracking.runs()
    return tracking, client, [first, second, thrown, stopped]


def test_an_older_round_has_headline_figures_over_the_rounds(store):
    _, client, (_, second, *_) = store
    run = client.get_run(second)
    assert run.info.run_name == "round-2 1970-01-01 22222222"
    assert run.data.metrics["test_accuracy"] == 0.9
    assert run.data.tags["benchmark_field_images"] == "12"
    assert (run.data.params["parent"], run.data.params["images"]) == ("round-1-bbbbbbbbbbbb", "30")
    history = client.get_metric_history(second, "test_accuracy")
    assert sorted((point.step, point.value) for point in history) == [(1, 0.8), (2, 0.9)]


def test_an_older_throw_away_is_nested_below_what_it_started_from_and_keeps_its_name(store):
    _, client, (_, second, thrown, _) = store
    run = client.get_run(thrown)
    assert run.data.tags["mlflow.parentRunId"] == second
    assert run.info.run_name == "round-3"


def test_an_older_run_that_was_stopped_is_marked_so(store):
    _, client, (*_, stopped) = store
    assert client.get_run(stopped).info.status == "KILLED"


def test_older_rounds_are_listed_as_before(store):
    tracking, client, _ = store
    table = runs.table(tracking.runs())
    assert table["test"].tolist()[:3] == [0.8, 0.9, 0.8]
    assert table["throw-away"].tolist()[:3] == [False, False, True]
    tags = client.get_experiment_by_name(EXPERIMENT).tags
    assert "metrics.`benchmark_field_accuracy`" in views.state_of(tags[views.TAG])["selectedColumns"]
