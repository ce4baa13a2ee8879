"""What the commits of a repository say of rounds that were made before records were."""

import json
import subprocess
from pathlib import Path

from pipeline.repository import old_rounds

LOCK = """stages:
  evaluate:
    outs:
    - path: data/evaluation/scores.parquet
      hash: md5
      md5: {md5}
      size: 1
"""


def in_git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def commit(root: Path, verdict: object, md5: str = "") -> None:
    (root / "data/gate").mkdir(parents=True, exist_ok=True)
    (root / old_rounds.VERDICT).write_text(verdict if isinstance(verdict, str) else json.dumps(verdict))
    (root / old_rounds.LOCK).write_text(LOCK.format(md5=md5) if md5 else "stages: {}\n")
    in_git(root, "add", "-A")
    in_git(root, "commit", "--quiet", "-m", "A round")


def test_each_model_has_its_last_verdict_and_the_scores_of_that_commit(tmp_path):
    in_git(tmp_path, "init", "--quiet")
    commit(tmp_path, {"model": "a", "verdict": "investigate", "reason": "few images", "champion": ""}, "1" * 32)
    commit(tmp_path, {"model": "a", "verdict": "pass", "reason": "more images", "champion": ""}, "2" * 32)
    commit(tmp_path, {"model": "a", "verdict": "pass", "reason": "it is the champion", "champion": "a"}, "3" * 32)
    commit(tmp_path, {"model": "b", "verdict": "fail", "reason": "worse", "champion": "a"})
    commit(tmp_path, "<<<<<<< HEAD")
    assert old_rounds.judged(tmp_path) == {
        "a": old_rounds.Judged("pass", "more images", "", "2" * 32),
        "b": old_rounds.Judged("fail", "worse", "a", ""),
    }


def test_a_folder_below_the_top_of_the_repository_and_one_without_git_are_no_trouble(tmp_path):
    assert old_rounds.judged(tmp_path) == {}
    in_git(tmp_path, "init", "--quiet")
    (tmp_path / "zoo").mkdir()
    commit(tmp_path / "zoo", {"model": "a", "verdict": "pass", "reason": "", "champion": ""})
    assert old_rounds.judged(tmp_path / "zoo")["a"].verdict == "pass"
