"""`wallaby release`: what it would do, and who is asked; DVC and MLflow have their part in the end-to-end tests."""

from dataclasses import asdict

import pandas as pd
import pytest

from pipeline import bundle
from pipeline.commands.release import release, roll_back
from pipeline.errors import GateError, UsageError
from pipeline.files import digest, write_json, write_table, write_text
from pipeline.library import lineage
from pipeline.serving import champions
from pipeline.workspace import Workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)


def finish_round(workspace: Workspace, number: int, *, verdict: str = "pass") -> bundle.Card:
    """Makes a round's model, a few bytes for a network, its scores and verdict."""
    write_text(f"network {number}", workspace.model / bundle.MODEL)
    card = bundle.Card("tiny", 16, round=number, model_digest=digest(workspace.model / bundle.MODEL))
    write_text("cat\ndog\n", workspace.model / bundle.CLASSES)
    write_json(asdict(card), workspace.model / bundle.CARD)
    write_table(lineage.empty(), workspace.model / bundle.LINEAGE)
    write_table(pd.DataFrame({"model": [card.model_digest]}), workspace.scores)
    write_json({"verdict": verdict, "reason": "so it is", "model": card.model_digest}, workspace.verdict)
    return card


def test_a_dry_run_of_a_release_says_who_releases_what_and_changes_nothing(workspace):
    card = finish_round(workspace, 3)
    answer = release(workspace, by="Ada", dry_run=True)
    assert answer.text == f"would make the model of round 3 ({card.model_digest[:12]}) the champion: released"
    assert (answer.data["by"], answer.data["verdict"]) == ("Ada", "pass")
    assert not workspace.released.exists()


def test_a_model_that_failed_needs_a_reason(workspace):
    finish_round(workspace, 3, verdict="fail")
    with pytest.raises(GateError, match="the gate says fail"):
        release(workspace, by="Ada", dry_run=True)
    assert release(workspace, by="Ada", force="we need it tonight", dry_run=True).data["action"] == champions.FORCED


def test_a_roll_back_names_the_former_champion(workspace):
    for number in (1, 2):
        finish_round(workspace, number)
        change = champions.candidate(
            workspace.model, workspace.evaluation, workspace.gate, by="Ada", at=f"2026-03-0{number}"
        )
        champions.keep(workspace.released, workspace.champions, following=change.card.model_digest)
        champions.install(change, workspace.model, workspace.evaluation, workspace.released)
    answer = roll_back(workspace, why="it knew the wombats", by="Ada", dry_run=True)
    assert answer.text.startswith("would make the model of round 1 ")
    assert answer.data["reason"] == "it knew the wombats"
    with pytest.raises(UsageError, match="no former champion is called '7'"):
        roll_back(workspace, to="7", by="Ada", dry_run=True)
