"""`wallaby promote`: what may become a base, and what the base takes along."""

import subprocess
import sys

import pandas as pd
import pytest

from pipeline import bundle
from pipeline.commands.promote import promote
from pipeline.errors import DataError, Exit, LeakageError
from pipeline.evaluation import audit, round_record
from pipeline.files import read_table, write_csv, write_table, write_text
from pipeline.library import board, history
from pipeline.workspace import Workspace
from tests.evaluation.made_up_records import record
from tests.networks import save_bundle

DVC_YAML = """stages:
  curate: {cmd: 'true', outs: [data/curated]}
  split: {cmd: 'true', outs: [data/splits]}
  train: {cmd: 'true', outs: [data/model]}
"""


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)


def finish_round(workspace: Workspace, **card) -> bundle.Card:
    """Makes a round's model and data sets."""
    made = save_bundle(workspace.model, **card)
    write_table(audit.nothing(), workspace.evaluation / audit.FILE)
    images = pd.DataFrame(
        {"image": ["library/a.jpg"], "sha256": "a", "label": "lion", "subclass": "", "origin": "real"}
    )
    write_table(images.assign(set="train"), workspace.splits_table)
    write_table(images.iloc[:0].assign(reason=""), workspace.left_out)
    write_table(images.iloc[:0].assign(reason=""), workspace.excluded)
    write_csv(board.count(images.assign(group="a"), min_images=3), workspace.board)
    return made


def test_a_throw_away_model_is_never_a_base(workspace):
    save_bundle(workspace.model, throwaway=True)
    with pytest.raises(LeakageError) as refused:
        promote(workspace)
    assert refused.value.code == Exit.LEAKAGE
    assert not workspace.base.exists()


def test_a_model_is_promoted_once_and_only_as_the_round_made_it(workspace, capsys):
    """With a DVC repository as it is: what the lock file says was made, and what lies there."""
    card = finish_round(workspace, round=3)
    before = save_bundle(workspace.base, seed=5, round=2)
    write_text(DVC_YAML, workspace.pipeline_file)
    for arguments in (["init", "--no-scm", "-q"], ["commit", "-f", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=workspace.root, check=True, capture_output=True)
    write_text(round_record.to_text(record(3)), workspace.round)
    assert promote(workspace, dry_run=True).text == "would make the model of round 3 the base"
    assert bundle.check(workspace.base) == before
    assert not workspace.rounds.exists()
    assert promote(workspace).data == {"round": 3, "promoted": True}
    assert f"warning: the base of round 2 ({before.model_digest[:12]}) will be lost" in capsys.readouterr().err
    assert workspace.base.with_name("base.dvc").exists()
    assert [path.name for path in workspace.rounds.iterdir()] == [record(3).name]
    assert bundle.check(workspace.base) == card
    names = sorted(path.name for path in workspace.base.iterdir())
    assert names == sorted([*bundle.FILES, history.IMAGES, history.BOARDS, audit.FILE])
    assert read_table(workspace.base / history.IMAGES)["set"].tolist() == ["train"]
    assert read_table(workspace.base / history.BOARDS)[["round", "label", "groups"]].to_numpy().tolist() == [
        [3, "lion", 1]
    ]
    assert promote(workspace).data == {"round": 3, "promoted": False}
    assert not capsys.readouterr().err

    save_bundle(workspace.model, seed=9)
    with pytest.raises(DataError, match="not what the last round made"):
        promote(workspace)
    assert bundle.check(workspace.base) == card


def test_an_incomplete_model_is_not_promoted(workspace):
    save_bundle(workspace.model)
    (workspace.model / bundle.LINEAGE).unlink()
    with pytest.raises(DataError, match=r"lineage\.parquet missing"):
        promote(workspace)
