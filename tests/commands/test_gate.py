"""`wallaby gate`: the verdict and its code, and the champion scored again by today's names."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from pipeline import bundle
from pipeline.commands import gate
from pipeline.errors import DataError, Exit
from pipeline.files import write_json, write_text
from pipeline.library import classes
from pipeline.tracking import Tracking
from pipeline.workspace import Workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Workspace(tmp_path)


@pytest.mark.parametrize(
    ("verdict", "code"), [("pass", Exit.DONE), ("fail", Exit.GATE_FAILED), ("investigate", Exit.INVESTIGATE)]
)
def test_the_verdict_is_the_exit_code(workspace, verdict, code):
    write_json({"verdict": verdict, "reason": "so it is"}, workspace.verdict)
    answer = gate.gate(workspace)
    assert (answer.code, answer.text) == (code, f"{verdict}: so it is")
    assert not (workspace.root / "mlflow.db").exists()


def test_the_page_is_named_when_it_is_asked_for_and_there(workspace):
    write_json({"verdict": "pass", "reason": "so it is"}, workspace.verdict)
    with pytest.raises(DataError, match="the round has not come this far yet"):
        gate.gate(workspace, html=True)
    write_text("<!doctype html>", workspace.gate / "index.html")
    assert gate.gate(workspace, html=True).data["page"].startswith("file:///")


def test_a_gates_verdict_is_told_to_mlflow_once_it_is_looked_at(workspace):
    tracking = Tracking(workspace.home)
    run_id = tracking.start("round-2", params={}, tags={})
    for name in bundle.FILES:
        write_text("x", workspace.model / name)
    card = bundle.Card("tiny", 16, round=2, model_digest="2f" * 32, run_id=run_id)
    write_json(asdict(card), workspace.model / bundle.CARD)
    write_json({"verdict": "fail", "reason": "worse", "model": "another"}, workspace.verdict)
    assert gate.gate(workspace).code == Exit.GATE_FAILED
    assert "tags.gate" not in tracking.runs()
    write_json({"verdict": "investigate", "reason": "so", "model": card.model_digest}, workspace.verdict)
    assert gate.gate(workspace).code == Exit.INVESTIGATE
    assert tracking.runs()["tags.gate"].tolist() == ["investigate"]


def test_a_champion_is_scored_again_by_todays_names():
    rows = pd.DataFrame({"image": ["a", "b"], "set": ["benchmark:field", "test"], "label": ["cat", "yak"]})
    events = classes.check(pd.DataFrame([{"event": "merge", "class": "kitten", "to": "cat"}]), "classes.csv")
    probs = np.array([[0.3, 0.4, 0.3], [0.1, 0.8, 0.1]])
    scored = gate.by_todays_names(rows, probs, ["cat", "dog", "kitten"], events, top_k=5)
    assert scored["predicted"].tolist() == ["cat", "dog"]
    assert scored["score"].tolist() == pytest.approx([0.6, 0.8])
    assert scored["label_rank"].tolist() == [1, -1]
