"""Records as the runs that are tabulated, runs of an older store as records, and two rounds by their records alone."""

import pandas as pd
import pytest

from pipeline.evaluation import recorded_runs, round_record, runs
from pipeline.evaluation.round_record import Gate
from tests.evaluation.made_up_records import digest, record

OLD = {
    "run_id": "ab" * 16,
    "start_time": pd.Timestamp("2025-11-02 10:00", tz="UTC"),
    "tags.round": "4",
    "tags.throwaway": "false",
    "tags.model_digest": digest(4),
    "tags.base_digest": digest(3),
    "tags.version.benchmark/field": "v1",
    "tags.champion": "no",
    "tags.released": "2025-11-03T00:00:00+00:00",
    "tags.released_by": "Ada",
    "tags.gate": None,
    "params.classes": "2",
    "params.images_train": "300",
    "params.lineage_train": "900",
    "params.zoom": "0.2",
    "params.flip": "True",
    "params.data_digest": "d" * 64,
    "metrics.training/seconds": 90.0,
    "metrics.training/epochs": 9.0,
    "metrics.benchmark/field/top1": 0.5,
    "metrics.benchmark/field/n": 40.0,
    "metrics.loss": 0.3,
    "metrics.test/top1": float("nan"),
}
PER_CLASS = pd.DataFrame({"set": "test", "label": ["dog", "cat"], "n": [10, 10], "recall": [0.5, 1.0]})


def test_records_are_tabulated_as_runs_are():
    made = [record(2, right=90, releases=[{"at": "2026-03-09T00:00:00+00:00"}]), record(1)]
    table = runs.table(recorded_runs.as_runs(made))
    assert table["round"].tolist() == ["1", "2"]
    second = table.iloc[1]
    assert (second["parent"], second["new images"], second["started"]) == ("1", 100, "2026-03-02")
    assert (second["epochs"], second["plateau"], second["minutes"], second["test"]) == (9, 7, 90.0, 0.9)
    assert (second["gate"], second["champion"], table["champion"].iloc[0]) == ("pass", "yes", "")
    assert not table["throw-away"].any()
    sets = runs.sets(recorded_runs.as_runs(made), confidence=0.95)
    assert sets[sets["set"] == "test"]["top1"].tolist() == [0.7, 0.9]


def test_a_round_whose_model_has_no_run_goes_by_its_digest():
    table = runs.table(recorded_runs.as_runs([record(1, run_id="", started="")]))
    assert table["run"].tolist() == [digest(1)[:8]]
    assert pd.isna(table["started"].iloc[0])
    assert recorded_runs.as_runs([]).empty


def old(**changes):
    return recorded_runs.of_run(
        OLD | changes, per_class=PER_CLASS, bands=None, curve={"epoch": [1, 2]}, gate=Gate(verdict="pass")
    )


def test_a_run_of_an_older_program_becomes_a_record_with_what_git_knows():
    made = old()
    assert (made.round, made.model_digest, made.parent_digest) == (4, digest(4), digest(3))
    assert made.measured == {"benchmark:field": {"top1": 0.5, "n": 40}}
    assert made.headline["benchmark_field_accuracy"] == 0.5
    assert made.versions == {"benchmark:field": "v1"}
    assert made.recipe == {"zoom": 0.2, "flip": True}
    assert made.training == {"epochs": 9, "seconds": 90.0}
    assert (made.gate.verdict, made.releases[0].by) == ("pass", "Ada")
    assert made.classes == ["cat", "dog"]
    assert old(**{"tags.gate": "fail"}).gate.verdict == "fail"


@pytest.mark.parametrize(
    "changes",
    [
        {"tags.throwaway": "true"},
        {"tags.model_digest": None},
        {"tags.round": None},
        {"metrics.benchmark/field/top1": None, "metrics.benchmark/field/n": None},
    ],
)
def test_a_throw_away_and_a_training_that_was_never_evaluated_get_no_record(changes):
    assert old(**changes) is None


def test_a_record_of_an_old_run_is_tabulated_as_the_run_was():
    row = pd.DataFrame([OLD])
    before, after = runs.table(row), runs.table(recorded_runs.as_runs([old()]))
    shared = ["round", "started", "run", "model", "classes", "train", "images", "epochs", "minutes", "benchmark/field"]
    pd.testing.assert_frame_equal(before[shared], after[shared], check_dtype=False)


def test_two_rounds_are_compared_by_their_records_where_no_scores_are_left():
    then, now = record(1, right=70), record(2, right=90)
    found = recorded_runs.compared(then, now, confidence=0.95)
    [row] = found["sets"]
    assert row["difference"] == pytest.approx(0.2)
    assert row["same images"]
    assert row["before"]["low"] < 0.7 < row["before"]["high"]
    assert found["classes"] == [
        {"label": "cat", "n": 100, "before": 0.7, "after": 0.9, "difference": pytest.approx(0.2)}
    ]
    assert (found["entered"], found["left"]) == ([], [])


def test_the_settings_that_two_rounds_differ_in_are_named():
    then, now = record(1), record(2, recipe={"head": "grow", "learning_rate": 0.001, "max_epochs": 20, "zoom": 0.2})
    assert recorded_runs.changed_settings(then, now) == [
        {"setting": "gpus", "before": "[]", "after": ""},
        {"setting": "head", "before": "reset", "after": "grow"},
    ]


def test_a_set_is_called_in_mlflow_as_before():
    assert recorded_runs.metric_name("benchmark:hö (2025+)") == "benchmark/hö _2025__"
    assert recorded_runs.set_name("benchmark/field") == "benchmark:field"
    assert recorded_runs.set_name("test") == "test"
    assert round_record.in_order([]) == []
