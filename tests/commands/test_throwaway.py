"""Throw-away runs as they lie in a workspace: listed, found by name and taken away. Running one: e2e/test_throwaway."""

from pathlib import Path

import filelock
import pandas as pd
import pytest

from pipeline import config
from pipeline.commands import throwaway
from pipeline.errors import DataError, ResumableError, UsageError
from pipeline.files import write_csv, write_json, write_text
from pipeline.review import near_cutoff
from pipeline.workspace import Workspace

PARAMS = config.PARAMS


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    write_text((Path(__file__).parents[2] / PARAMS).read_text(), tmp_path / PARAMS)
    return Workspace(tmp_path)


def finished(workspace: Workspace, name: str, min_images: int = 35, *, clears: tuple[str, ...] = ("yes", "no")) -> Path:
    folder = throwaway.folder(workspace, name)
    write_json(
        {"name": name, "min_images": min_images, "base": "b1", "at": "2026-03-01T12:00:00"}, folder / throwaway.RUN
    )
    rows = pd.DataFrame({"label": [f"class {i}" for i in range(len(clears))], "clears": clears})
    write_csv(rows.reindex(columns=near_cutoff.CLASS_COLUMNS), folder / throwaway.CLASSES)
    return folder


def interrupted(workspace: Workspace, name: str, min_images: int) -> Path:
    copy = workspace.root / ".wallaby/experiments" / f"throwaway-{name}"
    text = workspace.params_file.read_text().replace("min_images: 40", f"min_images: {min_images}")
    write_text(text, copy / PARAMS)
    return copy


def test_all_are_listed_the_interrupted_too(workspace):
    finished(workspace, "min-35", clears=("yes", "likely", "perhaps", "no"))
    interrupted(workspace, "low", 20)
    low, done = throwaway.listed(workspace).data
    assert low == {"name": "low", "min_images": 20, "finished": False}
    assert (done["name"], done["finished"], done["classes"], done["clear"]) == ("min-35", True, 4, 2)


def test_the_only_one_needs_no_name(workspace):
    folder = finished(workspace, "min-35")
    assert throwaway.find(workspace, "") == throwaway.find(workspace, "min-35") == folder


def test_of_several_one_must_be_named_and_the_closest_is_offered(workspace):
    finished(workspace, "min-35")
    finished(workspace, "min-30")
    with pytest.raises(UsageError, match="min-30, min-35"):
        throwaway.find(workspace, "")
    with pytest.raises(UsageError, match="no throw-away is called 'mni-35'") as refused:
        throwaway.find(workspace, "mni-35")
    assert "did you mean 'min-35'?" in str(refused.value)


def test_one_that_is_not_finished_has_nothing_to_report(workspace):
    interrupted(workspace, "min-35", 35)
    with pytest.raises(UsageError, match="there is no throw-away"):
        throwaway.find(workspace, "min-35")


def test_what_is_removed_leaves_nothing_of_its_own_and_all_of_others(workspace):
    other = finished(workspace, "min-30")
    gone = [finished(workspace, "min-35"), interrupted(workspace, "min-35", 35)]
    gone.append(workspace.root / ".wallaby/experiments/.throwaway-min-35.99.tmp")  # half copied when it was killed
    gone[-1].mkdir()
    ablation = workspace.root / ".wallaby/experiments/ablate-flip"
    ablation.mkdir()
    assert throwaway.remove(workspace, "min-35").data == {"removed": "min-35"}
    assert not any(path.exists() for path in gone)
    assert other.exists()
    assert ablation.exists()


def test_nothing_is_removed_while_it_runs(workspace):
    folder = finished(workspace, "min-35")
    with filelock.FileLock(workspace.root / ".wallaby/experiments.lock"), pytest.raises(ResumableError):
        throwaway.remove(workspace, "min-35")
    assert folder.exists()


@pytest.mark.parametrize(
    ("name", "min_images", "said"),
    [
        ("", 40, "not below the real one, 40"),
        ("", 50, "not below"),
        ("", 2, "min_images"),
        ("a/b", 35, "cannot name"),
        ("", None, "at which cutoff"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_copied(workspace, name, min_images, said):
    with pytest.raises(UsageError, match=said):
        throwaway.run(workspace, min_images=min_images, name=name)
    assert not (workspace.root / ".wallaby").exists()


def test_without_a_base_nothing_is_begun(workspace):
    with pytest.raises(DataError, match="there is no base"):
        throwaway.run(workspace, min_images=35)
    assert not (workspace.root / ".wallaby").exists()
