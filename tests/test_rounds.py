"""Turning the wheel: what may become a base."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline import bundle, rounds
from pipeline.errors import DataError, Exit, LeakageError, UsageError, WallabyError
from pipeline.evaluation import audit
from pipeline.files import read_table, write_csv, write_table, write_text
from pipeline.library import board, history
from tests.networks import save_bundle

TINY = "architecture: inception_v4\nimage_size: 75\noptions: {width: 0.05, blocks: [1, 1, 1]}\n"
DVC_YAML = """stages:
  curate: {cmd: 'true', outs: [curated]}
  split: {cmd: 'true', outs: [splits]}
  train: {cmd: 'true', outs: [model]}
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_text(TINY, tmp_path / "configs/models/tiny.yaml")
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


def test_round_0_has_seen_nothing(workspace):
    card = rounds.init_base("tiny", workspace / "base", seed=1, replace=False)
    assert (card.round, card.image_size, card.parent_digest) == (0, 75, "")
    base = bundle.load(workspace / "base")
    assert (base.classes, len(base.lineage), base.model.output_shape) == ([], 0, (None, 1))


def test_a_base_is_replaced_only_when_asked(workspace):
    before = save_bundle(workspace / "base", round=7)
    with pytest.raises(UsageError, match="there is a base already"):
        rounds.init_base("tiny", workspace / "base", seed=1, replace=False)
    assert bundle.check(workspace / "base") == before
    rounds.init_base("tiny", workspace / "base", seed=1, replace=True)
    assert bundle.check(workspace / "base").round == 0


def test_an_unknown_preset_offers_the_nearest_and_writes_nothing(workspace):
    with pytest.raises(UsageError, match="did you mean 'tiny'"):
        rounds.init_base("tinny", workspace / "base", seed=1, replace=False)
    assert not (workspace / "base").exists()


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


def test_what_dvc_refuses_is_said_in_its_own_words(workspace):
    with pytest.raises(WallabyError, match="dvc status: ERROR: you are not inside of a DVC repository"):
        rounds.dvc("status")


def in_git(*arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def test_a_base_that_no_commit_and_no_remote_has_is_named_before_it_is_replaced(workspace):
    base = Path("base")
    assert rounds.warnings_of_replacing(base) == []
    card = save_bundle(base)
    in_git("init", "--quiet")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    rounds.track_with_dvc(base)
    name = f"the base of round {card.round} ({card.model_digest[:12]})"
    (told,) = rounds.warnings_of_replacing(base)
    assert told.startswith(f"{name} will be lost: git has no commit with its base.dvc")

    in_git("add", "base.dvc")
    in_git("commit", "--quiet", "-m", "The base")
    (told,) = rounds.warnings_of_replacing(base)
    assert told.startswith(f"{name} will be in this machine's DVC cache only, no remote is configured; `git checkout ")
    assert told.endswith("-- base.dvc; dvc checkout base.dvc` brings it back")

    rounds.dvc("remote", "add", "--default", "store", str(workspace / "remote"))
    (told,) = rounds.warnings_of_replacing(base)
    assert f"{name} will be in this machine's DVC cache only, the remote lacks it: `dvc push base.dvc`" in told
    rounds.dvc("push", "--quiet", "base.dvc")
    assert rounds.warnings_of_replacing(base) == []
