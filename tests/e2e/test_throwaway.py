"""A throw-away run, killed in the middle and continued: its queue is reviewed, and the workspace is as it was."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.e2e.conftest import Workspace
from tests.e2e.test_ablation import everything
from tests.e2e.test_faults import says, wait_for

COMMAND = ["wallaby", "throwaway", "--min-images", "35"]


def told(workspace: Workspace) -> list[str]:
    commands = (["git", "status"], ["git", "stash", "list"], ["dvc", "status", "--json"])
    return [workspace.run(*command).stdout for command in commands]


def continued(workspace: Workspace) -> subprocess.CompletedProcess:
    """Runs the command until the stage that outlived the killed one has ended: it does at its next line."""
    for _ in range(60):
        result = workspace.run(*COMMAND, "--json", code=None)
        if result.returncode != 75:
            assert result.returncode == 0, result.stderr
            return result
        time.sleep(1)
    pytest.fail(result.stderr)


def test_a_killed_throwaway_continues_is_reviewed_and_leaves_no_trace(workspace):
    workspace.replace("configs/params.yaml", "train:\n", "train:  # a person is writing here\n")
    for old, new in (("least_score: 0.1", "least_score: 0.001"), ("top_k: 5", "top_k: 9")):
        workspace.replace("configs/params.yaml", old, new)  # after two epochs, a model knows little of rare classes
    status, before = told(workspace), everything(workspace)

    with (workspace.path.parent / "first.log").open("w") as log:
        first = subprocess.Popen(COMMAND, cwd=workspace.path, env=workspace.environment(), stdout=log, stderr=log)
        try:
            states = ".wallaby/experiments/throwaway-min-35/.wallaby/train/*/state-1.npz"
            wait_for((workspace.path / ".wallaby/experiments/throwaway-min-35").exists, first, seconds=600)
            says(workspace.run(*COMMAND, code=75), "another experiment runs", "wait for it")
            wait_for(lambda: any(workspace.path.glob(states)), first, seconds=600)
        finally:
            first.kill()
            first.wait()
    assert everything(workspace) == before
    assert "not finished" in workspace.run("wallaby", "throwaway", "list").stdout
    says(workspace.run("wallaby", "throwaway", "report", "min-35", code=2), "there is no throw-away")
    says(workspace.run(*COMMAND[:-1], "34", "--name", "min-35", code=2), "a cutoff of 35", "remove min-35")

    second = continued(workspace)
    assert "train: continues after epoch" in second.stderr
    result = json.loads(second.stdout)
    assert [row["label"] for row in sorted(result["classes"], key=lambda row: row["short_by"])] == ["zebra", "bear"]
    assert all(row["if_all"] == row["had"] + row["groups"] for row in result["classes"])
    assert everything(workspace) == before
    assert told(workspace) == status
    assert not list((workspace.path / ".wallaby/experiments").iterdir())
    runs = json.loads(workspace.run("wallaby", "runs", "--json").stdout)
    assert [row["throw-away"] for row in runs] == [False, True]

    kept = ".wallaby/throwaway/min-35"
    queue = workspace.table(f"{kept}/queue/near-cutoff.parquet")
    assert set(queue["label"]) <= {"zebra", "bear"}
    assert not queue.empty
    predictions = (workspace.path / kept / "predictions").glob("part-*.parquet")
    assert set(pd.concat(pd.read_parquet(part) for part in predictions)["image"]) == set(queue["image"])
    assert result["model"] == workspace.json(f"{kept}/predictions/summary.json")["model"]
    assert again_at_once(workspace) == result

    workspace.run("wallaby", "review", "--throwaway", "--sheet", "sheet.csv")
    says(workspace.run("wallaby", "review", "--take", "sheet.csv", "--by", "ann", code=3), "no row has a decision")
    sheet = pd.read_csv(workspace.path / "sheet.csv").assign(decision="yes")
    sheet.to_csv(workspace.path / "sheet.csv", index=False)
    says(workspace.run("wallaby", "review", "--take", "sheet.csv", "--by", "ann", code=2), "not of this queue")
    workspace.run("wallaby", "review", "--throwaway", "min-35", "--take", "sheet.csv", "--by", "ann")
    decided = workspace.table("data/reviews/sheet.csv")
    assert set(decided["model"]) == {result["model"]}
    rows = json.loads(workspace.run("wallaby", "throwaway", "report", "--json").stdout)
    expected = {row["label"]: row for row in result["classes"]}
    for row in rows:
        assert row["decided"] == row["accepted"] == expected[row["label"]]["groups"]
        assert row["clears"] == (row["now"] >= 40)
    forecast = json.loads(workspace.run("wallaby", "preview", "--json").stdout)
    assert set(forecast["enter"]) == {row["label"] for row in rows if row["clears"]}

    says(workspace.run("wallaby", "throwaway", "remove", "min-36", code=2), "min-36", "did you mean 'min-35'?")
    workspace.run("wallaby", "throwaway", "remove", "min-35")
    assert not (workspace.path / kept).exists()
    assert "no throw-aways" in workspace.run("wallaby", "throwaway", "list").stdout


def again_at_once(workspace: Workspace) -> dict:
    result = workspace.run(*COMMAND, "--json")
    assert "train:" not in result.stderr
    return json.loads(result.stdout)


def test_what_cannot_be_run_is_refused_and_leaves_nothing(workspace):
    before = everything(workspace)
    says(workspace.run(*COMMAND[:-1], "40", code=2), "not below the real one, 40")
    says(workspace.run(*COMMAND[:-1], "2", code=2), "min_images")
    says(workspace.run(*COMMAND[:-1], "39", code=2), "no class has 39 to 39 groups", "zebra with 38")
    says(workspace.run(*COMMAND, "--name", "../base", code=2), "cannot name a throw-away")
    says(workspace.run("wallaby", "throwaway", code=2), "at which cutoff?")
    says(workspace.run("wallaby", "throwaway", "lst", code=2), "did you mean 'list'?")
    says(workspace.run("wallaby", "preview", code=3), "nothing was decided since")
    assert everything(workspace) == before
    assert not list(Path(workspace.path, ".wallaby/experiments").iterdir())
    shutil.rmtree(workspace.path / "data/base")
    says(workspace.run(*COMMAND, code=3), "there is no base", "wallaby init-base")
