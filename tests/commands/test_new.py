"""`wallaby new` makes a repository of rounds, and `wallaby upgrade` finds nothing to do in it."""

import subprocess
from pathlib import Path

import pytest

from pipeline import config, sections
from pipeline.commands import new, upgrade
from pipeline.errors import UsageError
from pipeline.library import labels
from pipeline.repository import template
from pipeline.workspace import Workspace


def tracked(folder: Path) -> set[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=folder, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def test_a_new_repository_has_all_its_files_under_git_and_dvc(tmp_path):
    answer = new.new(tmp_path / "zoo", dry_run=False)
    assert {str(name) for name in template.files()} <= tracked(tmp_path / "zoo")
    assert ".dvc/config" in tracked(tmp_path / "zoo")
    assert f"cd {tmp_path / 'zoo'}" in answer.text
    workspace = Workspace(tmp_path / "zoo")
    assert labels.read(workspace.labels, workspace.root_names).empty
    assert workspace.params(sections.Curate).min_images == 40
    assert (tmp_path / "zoo/scripts/round").stat().st_mode & 0o111


def test_a_dry_run_writes_nothing(tmp_path):
    answer = new.new(tmp_path / "zoo", dry_run=True)
    assert not (tmp_path / "zoo").exists()
    assert "configs/params.yaml" in answer.data["files"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="the folder holds something"):
        new.new(tmp_path, dry_run=False)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_an_empty_folder_inside_another_repository_is_a_part_of_it(tmp_path):
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "zoo").mkdir()
    new.new(tmp_path / "zoo", dry_run=False)
    assert not (tmp_path / "zoo/.git").exists()
    assert "zoo/dvc.yaml" in tracked(tmp_path)


def test_a_new_repository_is_up_to_date(tmp_path):
    new.new(tmp_path / "zoo", dry_run=False)
    answer = upgrade.upgrade(Workspace(tmp_path / "zoo"), dry_run=True)
    assert answer.text == "the repository is up to date with the program"


def test_an_older_repository_gets_what_it_lacks_and_keeps_what_is_the_user_s(tmp_path):
    new.new(tmp_path / "zoo", dry_run=False)
    workspace = Workspace(tmp_path / "zoo")
    text = workspace.params_file.read_text()
    old = text.replace("min_images: 40", "min_images: 12", 1)
    old = "".join(line for line in old.splitlines(keepends=True) if not line.startswith("  max_missing:"))
    workspace.params_file.write_text(old)
    (workspace.root / "data/roots.csv").unlink()
    (workspace.root / "configs/models/mine.yaml").write_text("architecture: squeezenet\nimage_size: 32\n")
    (workspace.root / ".gitignore").write_text("/my-notes/\n")
    before = {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}
    planned = upgrade.upgrade(workspace, dry_run=True)
    assert {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()} == before
    assert planned.data["added"] == ["index.max_missing"]
    upgrade.upgrade(workspace, dry_run=False)
    assert config.load(sections.Curate, workspace.params_file).min_images == 12
    assert workspace.params_file.read_text() == text.replace("min_images: 40", "min_images: 12", 1)
    assert (workspace.root / "data/roots.csv").read_text() == "name,images,left,by,at,note\n"
    assert "mine" in workspace.presets()
    assert (workspace.root / ".gitignore").read_text().startswith("/my-notes/\n")
    assert upgrade.upgrade(workspace, dry_run=True).data["files"] == []
