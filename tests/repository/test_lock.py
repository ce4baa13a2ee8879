"""DVC's lock follows a newer pipeline: a stage runs again only where its behaviour, inputs or outputs changed."""

import copy

import pytest

from pipeline import config
from pipeline.repository import lock, template

PIPELINE = {
    "stages": {
        "index": {"cmd": "python -m index", "always_changed": True, "deps": ["data/labels.csv", "data/roots.csv"],
                  "params": [{"params.yaml": ["roots"]}, {lock.BEHAVIOUR: ["index"]}],
                  "outs": [{"data/index": {"persist": True}}]},
        "curate": {"cmd": "python -m curate", "deps": ["data/index"],
                   "params": [{"params.yaml": ["curate", "split.salt"]}, {lock.BEHAVIOUR: ["curate"]}],
                   "outs": ["data/curated"]},
        "train": {"cmd": "python -m train", "deps": ["data/curated/images"], "outs": ["data/model"],
                  "params": [{"params.yaml": ["train"]}, {lock.BEHAVIOUR: ["train"]}]},
    }
}  # fmt: skip
PARAMS = {
    "params.yaml": {"roots": {"a": 1}, "curate": {"min": 40, "new": 7}, "split": {"salt": "s"}, "train": {"rate": 1}},
    lock.BEHAVIOUR: {"index": 1, "curate": 1, "train": 1},
}
OLD = {
    "schema": "2.0",
    "stages": {
        "index": {"cmd": "old index", "deps": [{"path": "data/labels.csv", "md5": "1"}],
                  "params": {"params.yaml": {"roots": {"a": 1}}}, "outs": [{"path": "data/index", "md5": "2"}]},
        "curate": {"cmd": "old curate a b", "deps": [{"path": "data/index", "md5": "2"},
                                                     {"path": "pipeline/curate.py", "md5": "3"}],
                   "params": {"params.yaml": {"curate": {"min": 12, "gone": 1}, "split.salt": "s"}},
                   "outs": [{"path": "data/curated", "md5": "4"}]},
        "train": {"cmd": "old train", "deps": [{"path": "data/curated/images", "md5": "5"}],
                  "params": {"params.yaml": {"train": {"rate": 1}}}, "outs": [{"path": "data/model", "md5": "6"}]},
    },
}  # fmt: skip


@pytest.fixture
def old() -> dict:
    return copy.deepcopy(OLD)


def test_other_spellings_and_modules_make_nothing_run_again(old):
    made = lock.reconcile(old, PIPELINE, PARAMS)
    assert made.reruns == {}
    entry = made.lock["stages"]["curate"]
    assert entry["cmd"] == "python -m curate"
    assert [dep["path"] for dep in entry["deps"]] == ["data/index"]
    assert entry["outs"] == [{"path": "data/curated", "md5": "4"}]


def test_the_params_stay_those_of_the_last_run_with_defaults_for_new_keys(old):
    entry = lock.reconcile(old, PIPELINE, PARAMS).lock["stages"]["curate"]
    assert entry["params"]["params.yaml"] == {"curate": {"min": 12, "new": 7}, "split.salt": "s"}
    assert entry["params"][lock.BEHAVIOUR] == {"curate": 1}


def test_a_behaviour_that_was_raised_runs_its_stage_again_and_is_named(old):
    raised = PARAMS | {lock.BEHAVIOUR: {"index": 1, "curate": 2, "train": 1}}
    made = lock.reconcile(old, PIPELINE, raised)
    assert made.reruns == {"curate": "its behaviour changed (version 1 to 2)"}
    assert made.lock["stages"]["curate"]["params"][lock.BEHAVIOUR] == {"curate": 1}
    again = lock.reconcile(made.lock, PIPELINE, raised)
    assert again == made


def test_a_new_input_or_output_runs_its_stage_again(old):
    changed = copy.deepcopy(PIPELINE)
    changed["stages"]["train"]["deps"].append("data/extra.csv")
    changed["stages"]["curate"]["outs"].append("data/board.csv")
    made = lock.reconcile(old, changed, PARAMS)
    assert made.reruns == {"curate": "it writes data/board.csv now", "train": "it reads data/extra.csv now"}


def test_an_input_that_another_stage_writes_is_taken_from_its_last_run(old):
    changed = copy.deepcopy(PIPELINE)
    changed["stages"]["train"]["deps"].append("data/index")
    made = lock.reconcile(old, changed, PARAMS)
    assert made.reruns == {}
    assert {"path": "data/index", "md5": "2"} in made.lock["stages"]["train"]["deps"]


def test_a_stage_that_has_not_run_is_named_and_one_that_is_gone_is_dropped(old):
    old["stages"]["gone"] = old["stages"].pop("train")
    made = lock.reconcile(old, PIPELINE, PARAMS)
    assert made.reruns == {"train": "it has not run yet"}
    assert list(made.lock["stages"]) == ["index", "curate"]


def test_what_follows_a_stage_is_told_in_the_order_of_the_pipeline():
    assert lock.downstream(PIPELINE, ["index"]) == ["curate", "train"]
    assert lock.downstream(PIPELINE, ["train"]) == []


def test_a_repository_from_before_records_runs_its_queue_again_and_nothing_else():
    pipeline = config.parse(template.read(template.PIPELINE), template.PIPELINE)
    files = {str(name): config.parse(template.read(name), name) for name in (template.PARAMS, template.BEHAVIOUR[0])}
    today = {"stages": {name: entry_of(name, stage, files) for name, stage in pipeline["stages"].items()}}
    assert lock.reconcile(today, pipeline, files).reruns == {}
    queue = today["stages"]["queue"]
    queue["outs"] = [out for out in queue["outs"] if out["path"] != "data/round.json"]
    new = {"data/model", "data/gate/gate.json", "data/evaluation/metrics.json", "data/splits/summary.json"}
    queue["deps"] = [dep for dep in queue["deps"] if dep["path"] not in new]
    del queue["params"][str(template.PARAMS)]["train"]
    assert lock.reconcile(today, pipeline, files).reruns == {"queue": "it writes data/round.json now"}
    assert lock.downstream(pipeline, ["queue"]) == []


def entry_of(name: str, stage: dict, files: dict) -> dict:
    """The lock's entry of a stage that has run."""
    params = {file: {key: lock._value(files[file], key) for key in keys} for file, keys in lock._tracked(stage).items()}
    deps = [{"path": path, "md5": name} for path in sorted(stage["deps"])]
    outs = [{"path": path, "md5": name} for path in lock._out_paths(stage)]
    return {"cmd": stage["cmd"], "deps": deps, "params": params, "outs": outs}
