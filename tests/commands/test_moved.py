"""`wallaby moved`, in a workspace of its own, whose images are small texts."""

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline import sections
from pipeline.commands import moved as command
from pipeline.commands.moved import Relocation
from pipeline.errors import DataError, UsageError
from pipeline.files import write_csv, write_table, write_text
from pipeline.library import benchmarks, index, labels, quarantine, roots
from pipeline.review import applying, decisions, moving
from pipeline.review.decisions import UNDO
from pipeline.workspace import Workspace

PARAMS = (
    "roots:\n  library: {library: library, archive: archive}  # labelled\n  pool: {pool: pool}\n"
    "  benchmark: {benchmark: benchmark}\n"
)
BY = {"by": "Ada", "at": "2026-06-01T00:00:00"}
IMAGES = {
    "library": ["cow/1.jpg", "cow/2.jpg", "dog/1.jpg"],
    "benchmark": ["cow/1.jpg", "cow/2.jpg"],
    "pool": ["x/1.jpg", "x/2.jpg"],
}


def content(image: str) -> str:
    return hashlib.sha256(image.encode()).hexdigest()


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """Labelled images, some of the pool with decisions and in quarantine, and a benchmark set, all indexed."""
    monkeypatch.setattr(command, "now", lambda: BY["at"])
    workspace = Workspace(tmp_path)
    write_text(PARAMS, workspace.params_file)
    names = [f"{root}/{name}" for root, below in IMAGES.items() for name in below]
    for name in names:
        write_text(name, tmp_path / name)
    rows = pd.DataFrame({"image": names, "sha256": [content(name) for name in names], "failure": ""})
    for name in index.TABLES:
        write_table(rows if name == "library.parquet" else rows.head(0), workspace.index / name)
    table = pd.DataFrame({"image": names[:3], "label": ["cow", "cow", "dog"], "sha256": [*rows["sha256"][:2], ""]})
    labels.write(labels.check(table, list(IMAGES), ""), workspace.labels)
    field = pd.DataFrame({"image": names[3:5], "label": "cow", "site": ["b", "a"]})
    write_csv(field, workspace.benchmarks / "field.csv")
    away = pd.DataFrame({"image": names[5:6], "sha256": rows["sha256"][5:6]}).reindex(columns=quarantine.COLUMNS)
    write_csv(away, workspace.quarantine)
    decide(workspace)
    return workspace


def decide(workspace: Workspace) -> None:
    """Two decisions in a table of earlier years, without ids; one is taken back in another table."""
    plain = {"decision": "label", "label": "cow", "by": "Ada", "at": "2026-01-01"}
    rows = [plain | {"image": name, "sha256": content(name)} for name in ("library/cow/1.jpg", "library/cow/2.jpg")]
    write_csv(pd.DataFrame(rows).reindex(columns=decisions.COLUMNS[:10], fill_value=""), workspace.reviews / "old.csv")
    log = decisions.read_log(workspace.reviews, list(IMAGES))
    first = log.iloc[0]
    undo = {"image": first["image"], "sha256": first["sha256"], "decision": UNDO, "undoes": first["id"], **BY}
    decisions.append(undo, workspace.reviews, "page", list(IMAGES))
    kept = pd.DataFrame({"decision": log["id"], "image": log["image"], "label": "calf", "status": "ok"})
    write_csv(kept.reindex(columns=applying.REPLACED_COLUMNS, fill_value=""), workspace.replaced)


def moved(workspace: Workspace, old: str, new: str, **more) -> Relocation:
    return command.moved(workspace, old, new, by=BY["by"], **more).data


def rows(workspace: Workspace, plan: Relocation) -> dict[str, int]:
    return {str(Path(file).relative_to(workspace.root)): number for file, number in plan.rows.items()}


def state(workspace: Workspace) -> dict[str, str]:
    files = [workspace.params_file, *workspace.root.joinpath("data").rglob("*.csv")]
    return {str(file): file.read_text() for file in files if file.exists()}


def images(path: Path) -> list[str]:
    return labels.read_csv(path, ["image"])["image"].tolist()


def in_force(workspace: Workspace) -> pd.DataFrame:
    return decisions.in_force(decisions.read_log(workspace.reviews, workspace.root_names))


def test_the_rows_of_every_table_follow_a_renamed_folder(workspace):
    before = in_force(workspace)
    (workspace.root / "library/cow").rename(workspace.root / "library/cows")
    plan = moved(workspace, "library/cow", "library/cows")
    assert rows(workspace, plan) == {
        "data/reviews/old.csv": 2, "data/reviews/page.csv": 1, "data/replaced.csv": 2, "data/labels.csv": 2,
    }  # fmt: skip
    assert (plan.left, plan.unverified) == ({}, 0)
    assert images(workspace.labels) == ["library/cows/1.jpg", "library/cows/2.jpg", "library/dog/1.jpg"]
    after = in_force(workspace)
    assert after["image"].tolist() == ["library/cows/2.jpg"]
    assert after["id"].tolist() == before["id"].tolist()
    assert images(workspace.replaced) == ["library/cows/1.jpg", "library/cows/2.jpg"]


def test_what_will_move_is_shown_before_anything_is_written(workspace):
    (workspace.root / "library/cow").rename(workspace.root / "library/cows")
    before, shown = state(workspace), []
    plan = moved(workspace, "library/cow", "library/cows", dry_run=True)
    assert plan.examples[0] == ("library/cow/1.jpg", "library/cows/1.jpg")
    assert state(workspace) == before
    moved(workspace, "library/cow", "library/cows", show=lambda plan: shown.append(state(workspace) == before))
    assert shown == [True]
    assert state(workspace) != before


def test_benchmark_and_quarantine_follow_too(workspace):
    (workspace.root / "benchmark/cow").rename(workspace.root / "benchmark/cattle")
    (workspace.root / "pool/x").rename(workspace.root / "pool/y")
    assert rows(workspace, moved(workspace, "benchmark/cow", "benchmark/cattle")) == {"data/benchmarks/field.csv": 2}
    text = (workspace.benchmarks / "field.csv").read_text()
    assert text == "image,label,site\nbenchmark/cattle/1.jpg,cow,b\nbenchmark/cattle/2.jpg,cow,a\n"
    assert rows(workspace, moved(workspace, "pool/x", "pool/y")) == {"data/quarantine.csv": 1}
    assert images(workspace.quarantine) == ["pool/y/1.jpg"]
    benchmarks.read_all(workspace.benchmarks, list(IMAGES))


@pytest.mark.parametrize(("old", "new"), [("library", "archive"), ("library/cow", "archive/cow")])
def test_stopped_after_any_file_it_goes_on_and_ends_as_if_nothing_had_happened(workspace, old, new, tmp_path):
    shutil.move(workspace.root / old, workspace.root / new)
    fresh = tmp_path.with_name(f"{tmp_path.name}-fresh")
    shutil.copytree(tmp_path, fresh)
    number = len(moved(workspace, old, new).steps)
    assert number >= 4
    undisturbed = state(workspace)
    for stop in range(number):
        shutil.rmtree(workspace.root / "data")
        shutil.copytree(fresh / "data", workspace.root / "data")

        def stopped(plan: Relocation, after: int = stop) -> None:
            for step in plan.steps[:after]:
                step()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            moved(workspace, old, new, show=stopped)
        moved(workspace, old, new)
        assert state(workspace) == undisturbed
        assert moved(workspace, old, new).rows == {}
        assert state(workspace) == undisturbed


def test_rows_whose_images_are_still_there_stay_and_are_named(workspace):
    (workspace.root / "library/cows").mkdir()
    (workspace.root / "library/cow/1.jpg").rename(workspace.root / "library/cows/1.jpg")
    shutil.copy(workspace.root / "library/cow/2.jpg", workspace.root / "library/cows/2.jpg")
    plan = moved(workspace, "library/cow", "library/cows")
    assert plan.left == {"library/cow/2.jpg": moving.STAYS}
    assert images(workspace.labels) == ["library/cow/2.jpg", "library/cows/1.jpg", "library/dog/1.jpg"]


def test_if_no_row_fits_nothing_is_written_and_the_reason_is_one(workspace):
    before = state(workspace)
    with pytest.raises(DataError, match=r"none of 2 images below 'library/cow' can move, first library/cow/1.jpg: its"):
        moved(workspace, "library/cow", "archive")
    with pytest.raises(DataError, match="no row names an image below 'library/cwo'") as refused:
        moved(workspace, "library/cwo", "archive")
    assert "did you mean 'library/cow'?" in refused.value.mend
    with pytest.raises(UsageError, match="'library2' is no root, no place in one, and no folder"):
        moved(workspace, "library/cow", "library2")
    with pytest.raises(UsageError, match="outside its root"):
        moved(workspace, "library/cow", "library/../pool")
    assert state(workspace) == before


def test_a_whole_root_that_lies_elsewhere_gets_its_folder_in_the_params_and_no_table_changes(workspace):
    before = {name: text for name, text in state(workspace).items() if name != str(workspace.params_file)}
    shutil.move(workspace.root / "library", workspace.root / "disk")
    plan = moved(workspace, "library", str(workspace.root / "disk"))
    assert plan.left == {}
    assert workspace.folders["library"] == workspace.root / "disk"
    assert workspace.folders["archive"] == workspace.root / "archive"
    assert "# labelled" in workspace.params_file.read_text()
    assert {name: text for name, text in state(workspace).items() if name != str(workspace.params_file)} == before
    again = moved(workspace, "library", str(workspace.root / "disk"))
    assert (again.rows, again.before) == ({}, 3)
    (workspace.root / "disk").rename(workspace.root / "back")
    moved(workspace, "library", str(workspace.root / "back"))
    assert "library: back," in workspace.params_file.read_text()


def test_a_folder_that_does_not_have_the_roots_images_is_refused(workspace):
    write_text("another", workspace.root / "disk/cow/1.jpg")
    before = state(workspace)
    with pytest.raises(DataError, match="none of the 3 known images of root 'library' lies there"):
        moved(workspace, "library", str(workspace.root / "disk"))
    assert state(workspace) == before


def test_a_folder_that_lies_in_no_root_becomes_one(workspace):
    shutil.move(workspace.root / "library/cow", workspace.root / "disk")
    plan = moved(workspace, "library/cow", str(workspace.root / "disk"))
    assert plan.new == "disk"
    assert workspace.params(sections.Roots).library["disk"] == workspace.root / "disk"
    assert images(workspace.labels) == ["disk/1.jpg", "disk/2.jpg", "library/dog/1.jpg"]


def test_a_folder_above_it_may_become_the_root(workspace):
    (workspace.root / "disk").mkdir()
    shutil.move(workspace.root / "library/cow", workspace.root / "disk/cow")
    place = str(workspace.root / "disk/cow")
    with pytest.raises(UsageError, match="no new root above"):
        moved(workspace, "library/cow", place, new_root=workspace.root / "pool")
    assert moved(workspace, "library/cow", place, new_root=workspace.root / "disk").new == "disk/cow"
    assert images(workspace.labels) == ["disk/cow/1.jpg", "disk/cow/2.jpg", "library/dog/1.jpg"]


def test_places_may_be_named_as_they_are_on_disk(workspace):
    (workspace.root / "library/cow").rename(workspace.root / "library/cows")
    plan = moved(workspace, str(workspace.root / "library/cow"), str(workspace.root / "library/cows"))
    assert rows(workspace, plan)["data/labels.csv"] == 2


def test_rows_of_a_root_that_the_params_no_longer_name_can_be_moved(workspace):
    (workspace.root / "library").rename(workspace.root / "elsewhere")
    workspace.params_file.write_text(PARAMS.replace("library: library", "home: elsewhere"))
    moved(workspace, "library", "home")
    assert images(workspace.labels) == ["home/cow/1.jpg", "home/cow/2.jpg", "home/dog/1.jpg"]


def test_a_root_whose_last_images_were_moved_is_meant_to_be_empty(workspace):
    shutil.move(workspace.root / "library", workspace.root / "archive")
    moved(workspace, "library", "archive")
    (row,) = roots.read(workspace.root_losses).to_dict("records")
    assert (row["name"], row["images"], row["left"], row["by"]) == ("library", "3", "0", "Ada")


def test_a_decision_that_is_taken_while_its_table_is_moved_is_kept(workspace):
    (workspace.root / "library/cow").rename(workspace.root / "library/cows")
    later = {"image": "pool/x/2.jpg", "decision": "bad", "by": "Ben", "at": "2026-02-02"}
    moved(
        workspace,
        "library/cow",
        "library/cows",
        show=lambda plan: decisions.append(later, workspace.reviews, "page", list(IMAGES)),
    )
    assert images(workspace.reviews / "page.csv") == ["library/cows/1.jpg", "pool/x/2.jpg"]
