"""Turning the wheel: what may become a base."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline import bundle, rounds
from pipeline.errors import DataError, Exit, LeakageError
from pipeline.evaluation import audit
from pipeline.files import read_table, write_csv, write_table, write_text
from pipeline.library import board, history
from tests.networks import save_bundle

DVC_YAML = """stages:
  curate: {cmd: 'true', outs: [curated]}
  split: {cmd: 'true', outs: [splits]}
  train: {cmd: 'true', outs: [model]}
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def promote(folder: Path) -> bool:
    tables = {name: folder / name for name in ("curated", "splits", "evaluation")}
    return rounds.promote(folder / "model", folder / "base", **tables)


def finish_round(folder: Path, **card) -> bundle.Card:
    """A round's model and data sets."""
    made = save_bundle(folder / "model", **card)
    write_table(audit.nothing(), folder / "evaluation" / audit.FILE)
    images = pd.DataFrame(
        {"image": ["library/a.jpg"], "sha256": "a", "label": "lion", "subclass": "", "origin": "real"}
    )
    write_table(images.assign(set="train"), folder / "splits/splits.parquet")
    write_table(images.iloc[:0].assign(reason=""), folder / "splits/left_out.parquet")
    write_table(images.iloc[:0].assign(reason=""), folder / "curated/excluded.parquet")
    write_csv(board.count(images.assign(group="a"), min_images=3), folder / "curated/board.csv")
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_throw_away_model_is_never_a_base(workspace):
    save_bundle(workspace / "model", throwaway=True)
    with pytest.raises(LeakageError) as refused:
        promote(workspace)
    assert refused.value.code == Exit.LEAKAGE
    assert not (workspace / "base").exists()


def test_a_model_is_promoted_once_and_only_as_the_round_made_it(workspace):
    """With a DVC repository as it is: what the lock file says was made, and what lies there."""
    card = finish_round(workspace, round=3)
    save_bundle(workspace / "base", seed=5, round=2)
    write_text(DVC_YAML, workspace / "dvc.yaml")
    for arguments in (["init", "--no-scm", "-q"], ["commit", "-f", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=workspace, check=True, capture_output=True)
    assert promote(workspace)
    assert bundle.check(workspace / "base") == card
    assert names(workspace / "base") == sorted([*bundle.FILES, history.IMAGES, history.BOARDS, audit.FILE])
    assert read_table(workspace / "base" / history.IMAGES)["set"].tolist() == ["train"]
    assert read_table(workspace / "base" / history.BOARDS)[["round", "label", "groups"]].to_numpy().tolist() == [
        [3, "lion", 1]
    ]
    assert not promote(workspace)

    save_bundle(workspace / "model", seed=9)
    with pytest.raises(DataError, match="not what the last round made"):
        promote(workspace)
    assert bundle.check(workspace / "base") == card


def test_an_incomplete_model_is_not_promoted(workspace):
    save_bundle(workspace / "model")
    (workspace / "model" / bundle.LINEAGE).unlink()
    with pytest.raises(DataError, match=r"lineage\.parquet missing"):
        promote(workspace)
