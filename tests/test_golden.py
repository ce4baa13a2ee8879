"""Each stage writes what it wrote when its version was recorded: the guard of the words "same behaviour"."""

import json

import pytest

from pipeline import behaviour
from tests import golden


@pytest.mark.parametrize("stage", golden.STAGES)
def test_a_stage_writes_from_made_up_inputs_what_was_recorded(stage):
    before, version = golden.recorded()[stage], behaviour.versions(golden.ROOT)[stage]
    assert before["version"] == version, f"`python -m tests.golden {stage}` records what version {version} writes"
    differing = golden.differing(stage, golden.results(stage), before["results"])
    assert not differing, f"{stage} writes something else: repair it, or `scripts/behaviour raise {stage}`"


@pytest.mark.parametrize(
    ("stage", "today", "differs"),
    [
        ("train", [5.0002, 0.1], False),
        ("train", [5.01, 0.1], True),
        ("evaluate", [5.0, 0.1005], False),
        ("evaluate", [5.0, 0.102], True),
        ("evaluate", [5.0], True),
        ("curate", [5.0, 0.1000001], True),
    ],
)
def test_figures_may_differ_between_machines_and_no_further(stage, today, differs):
    assert bool(golden.differing(stage, {"figures": today}, {"figures": [5.0, 0.1]})) == differs


def test_a_table_is_known_by_its_names_its_order_and_its_values():
    import pandas as pd

    table = pd.DataFrame({"image": ["a", "b"], "score": [0.5, 0.25], "top": [["x"], ["y"]]})
    other = [
        table.iloc[::-1],
        table.rename(columns={"top": "best"}),
        table[["score", "image", "top"]],
        table.assign(score=[0.5, 0.2501]),
        table.assign(top=[["x"], ["z"]]),
    ]
    assert golden.of_table(table) == golden.of_table(table.astype({"image": "object"}).copy())
    assert len({golden.of_table(each) for each in [table, *other]}) == 6


def test_other_results_are_recorded_only_after_the_version_was_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "FILE", tmp_path / "golden.json")
    version = behaviour.versions(golden.ROOT)["split"]
    for number, (written, code) in enumerate([("before", 0), ("before", 0), ("after", 3)]):
        monkeypatch.setitem(golden.STAGES, "split", lambda written=written: {"table": written})
        assert golden.record(["split"]) == code, number
    monkeypatch.setattr(behaviour, "versions", lambda folder: {"split": version + 1})
    assert golden.record(["split"]) == 0
    assert json.loads(golden.FILE.read_text()) == {"split": {"version": version + 1, "results": {"table": "after"}}}
