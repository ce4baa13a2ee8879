"""An ablation, killed in the middle and continued, leaves the workspace as it was."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Workspace
from tests.e2e.test_faults import says, wait_for

COMMAND = ["wallaby", "ablate", "flip=false", "--json"]
ITS_OWN = {".wallaby", "mlruns", "mlflow.db", "mlflow.db-journal", "__pycache__"}  # caches, and the store of all runs


def everything(workspace: Workspace) -> dict[Path, tuple[bytes, int, int]]:
    """Each file's content, time and mode, git's and DVC's own included, but for caches and the store of runs."""
    files = [path for path in workspace.path.rglob("*") if path.is_file()]
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in files
        if not ITS_OWN & set(path.relative_to(workspace.path).parts) and ".venv" not in path.parts
    }


def test_a_killed_ablation_continues_and_the_workspace_is_as_it_was(workspace):
    workspace.replace("configs/params.yaml", "train:\n", "train:  # a person is writing here\n")
    (workspace.path / "not yet added.txt").write_text("a note\n")
    interrupted = workspace.path / ".wallaby/train/0123/state-1.npz"  # of a real training
    interrupted.parent.mkdir(parents=True)
    interrupted.write_bytes(b"two days of work")
    told = [workspace.run(*command).stdout for command in (["git", "status"], ["git", "stash", "list"])]
    status = workspace.run("dvc", "status", "--json").stdout
    before = everything(workspace)

    with (workspace.path.parent / "first.log").open("w") as log:
        first = subprocess.Popen(COMMAND, cwd=workspace.path, env=workspace.environment(), stdout=log, stderr=log)
        states = ".wallaby/experiments/*flip*/.wallaby/train/*/state-1.npz"
        try:
            wait_for(lambda: any(workspace.path.glob(states)), first, seconds=600)
        finally:
            first.kill()
            first.wait()
    assert everything(workspace) == before

    second = again(workspace)
    assert "1 of 2, baseline" not in second.stderr
    assert "2 of 2, flip=false" in second.stderr
    assert "train: continues after epoch" in second.stderr
    rows = json.loads(second.stdout)["rows"]
    assert {(row["setting"], row["set"]) for row in rows} == {
        (setting, name) for setting in ("baseline", "flip=false") for name in ("val", "test", "benchmark:field")
    }

    assert everything(workspace) == before
    assert interrupted.read_bytes() == b"two days of work"
    assert [workspace.run(*command).stdout for command in (["git", "status"], ["git", "stash", "list"])] == told
    assert workspace.run("dvc", "status", "--json").stdout == status
    assert not list((workspace.path / ".wallaby/experiments").iterdir())

    own = workspace.json("data/evaluation/metrics.json")  # of the round, trained with what the baseline has
    baseline = {row["set"]: row for row in rows if row["setting"] == "baseline"}
    assert {name: row["top1"] for name, row in baseline.items()} == {name: own[name]["top1"] for name in baseline}
    assert all(row["difference"] is not None for row in rows if row["setting"] != "baseline")
    runs = json.loads(workspace.run("wallaby", "runs", "--json").stdout)
    assert [row["throw-away"] for row in runs] == [False, True, True]

    third = workspace.run(*COMMAND)
    assert "ablation:" not in third.stderr
    assert json.loads(third.stdout)["rows"] == rows


def again(workspace: Workspace) -> subprocess.CompletedProcess:
    """Runs the command until the stage that outlived the killed one has ended: it does at its next line."""
    for _ in range(60):
        result = workspace.run(*COMMAND, code=None)
        if result.returncode != 75:
            assert result.returncode == 0, result.stderr
            return result
        time.sleep(1)
    pytest.fail(result.stderr)


def test_a_setting_that_is_mistyped_is_refused_before_anything_is_trained(workspace):
    says(workspace.run("wallaby", "ablate", "flipp=false", code=2), "flipp=false", "did you mean 'flip'")
    assert "would train 2 of 2" in workspace.run("wallaby", "ablate", "flip=false", "--dry-run").stdout
    assert not (workspace.path / ".wallaby/experiments").exists()
