"""What DVC and git know of a base, asked from any folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import WallabyError
from pipeline.repository import dvc
from tests.networks import save_bundle


def test_what_dvc_refuses_is_said_in_its_own_words(tmp_path):
    with pytest.raises(WallabyError, match="dvc status: ERROR: you are not inside of a DVC repository"):
        dvc.run(tmp_path, "status")


def in_git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def test_a_base_that_no_commit_and_no_remote_has_is_named_before_it_is_replaced(tmp_path):
    base, tracked = tmp_path / "data" / "base", tmp_path / "data" / "base.dvc"
    assert dvc.warnings_of_replacing(tmp_path, base) == []
    card = save_bundle(base)
    in_git(tmp_path, "init", "--quiet")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=tmp_path, check=True)
    dvc.track(tmp_path, base)
    name = f"the base of round {card.round} ({card.model_digest[:12]})"
    (warning,) = dvc.warnings_of_replacing(tmp_path, base)
    assert warning.startswith(f"{name} will be lost: git has no commit with its {tracked}")

    in_git(tmp_path, "add", "data/base.dvc")
    in_git(tmp_path, "commit", "--quiet", "-m", "The base")
    (warning,) = dvc.warnings_of_replacing(tmp_path, base)
    place = "in this machine's DVC cache only"
    assert warning.startswith(f"{name} will be {place}, no remote is configured; `git checkout ")
    assert warning.endswith(f"-- {tracked}; dvc checkout {tracked}` brings it back")

    dvc.run(tmp_path, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    (warning,) = dvc.warnings_of_replacing(tmp_path, base)
    assert f"{name} will be {place}, the remote lacks it: `dvc push {tracked}`" in warning
    dvc.run(tmp_path, "push", "--quiet", "data/base.dvc")
    assert dvc.warnings_of_replacing(tmp_path, base) == []
