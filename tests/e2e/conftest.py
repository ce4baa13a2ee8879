"""Workspaces as a user has them: a fresh copy of the project under git, its commands run as programs."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent.parent
SOURCES = [
    "pipeline",
    "configs",
    "scripts",
    "dvc.yaml",
    "pyproject.toml",
    "constraints.txt",
    ".gitignore",
    ".dvcignore",
]


@dataclass
class Workspace:
    path: Path

    def run(self, *command: str, code: int | None = 0, **environment: str) -> subprocess.CompletedProcess:
        """Runs a command in the workspace; its exit code must be `code`, if one is given."""
        result = subprocess.run(
            command, cwd=self.path, env=self.environment() | environment, capture_output=True, text=True, check=False
        )
        if code is not None:
            assert result.returncode == code, (
                f"{command} ended with {result.returncode}\n{result.stdout}\n{result.stderr}"
            )
        assert "Traceback" not in result.stderr, result.stderr
        return result

    def stage(self, name: str, *, code: int | None = 0) -> subprocess.CompletedProcess:
        """Runs a stage by its command in dvc.yaml, without DVC."""
        return self.run(*self.stage_command(name), code=code)

    def stage_command(self, name: str) -> list[str]:
        import yaml

        return yaml.safe_load((self.path / "dvc.yaml").read_text())["stages"][name]["cmd"].split()

    def environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
        return inherited | {"PATH": f"{self.path / '.venv' / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(self.path)}

    def json(self, path: str):
        return json.loads((self.path / path).read_text())

    def table(self, path: str) -> pd.DataFrame:
        return pd.read_parquet(self.path / path) if path.endswith(".parquet") else pd.read_csv(self.path / path)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.path / path).read_text()
        assert old in text
        (self.path / path).write_text(text.replace(old, new))


def fresh(path: Path) -> Workspace:
    path.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, path / name)
    (path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", path / ".dvc" / "config")
    shutil.copy(ROOT / ".dvc" / ".gitignore", path / ".dvc" / ".gitignore")
    (path / "data").mkdir()
    (path / "data" / "labels.csv").write_text("image,label,subclass,origin,group,status,by,at,model,note,sha256\n")
    (path / "data" / "quarantine.csv").write_text("image,sha256,score,by,at,model,note\n")
    (path / "data" / "roots.csv").write_text("name,images,left,by,at,note\n")
    (path / "data" / "classes.csv").write_text("event,class,to,min_images,flip,by,at,note\n")
    shutil.copy(ROOT / "data" / ".gitignore", path / "data" / ".gitignore")
    for folder in ("benchmarks", "reviews"):
        (path / "data" / folder).mkdir()
        (path / "data" / folder / "README.md").write_text("\n")
    workspace = Workspace(path)
    (path / ".venv").symlink_to(sys.prefix)  # the environment this test runs in
    pins = (path / "pyproject.toml").read_bytes() + (path / "constraints.txt").read_bytes()
    Path(sys.prefix, f".wallaby-{hashlib.sha256(pins).hexdigest()[:16]}").touch()
    for command in (
        ["init", "--quiet"],
        ["config", "user.email", "test@example.org"],
        ["config", "user.name", "Test"],
        ["add", "-A"],
        ["commit", "--quiet", "-m", "A fresh clone"],
    ):
        workspace.run("git", *command)
    return workspace


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Workspace:
    """A workspace with one quick round on a small demo, made once for all processes: two epochs of a tiny network."""
    folder = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    path = folder / "finished"
    with FileLock(folder / "finished.lock"):
        if not path.exists():
            play_quickly(tmp_path_factory.mktemp("quick") / "clone").path.rename(path)
    return Workspace(path)


def play_quickly(path: Path) -> Workspace:
    """One round that tells nothing of images, in a minute."""
    workspace = fresh(path)
    for old, new in (
        (" max_epochs: 60", " max_epochs: 2"),
        ("continued_max_epochs: 20", "continued_max_epochs: 2"),
        ("shard_rows: 2048", "shard_rows: 64"),
        ("model: efficientnet_lite0", "model: none"),
    ):
        workspace.replace("configs/params.yaml", old, new)
    workspace.replace("configs/models/squeezenet.yaml", "image_size: 224", "image_size: 32")
    workspace.run("wallaby", "demo", "--size", "0.15")
    workspace.run("wallaby", "init-base", "--model", "squeezenet")
    workspace.run("dvc", "repro", "--quiet")
    return workspace


def copy(workspace: Workspace, path: Path) -> Workspace:
    shutil.copytree(workspace.path, path, symlinks=True)
    return Workspace(path)


@pytest.fixture
def workspace(finished, tmp_path) -> Workspace:
    """A copy of that workspace, to be spoilt."""
    return copy(finished, tmp_path / "clone")
