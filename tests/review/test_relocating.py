"""`wallaby moved`, in a workspace of its own, whose images are small texts."""

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline import config, paths, sections
from pipeline.errors import DataError, UsageError
from pipeline.files import write_csv, write_table, write_text
from pipeline.library import benchmarks, index, labels, quarantine, roots
from pipeline.review import applying, decisions, moving, relocating
from pipeline.review.decisions import UNDO

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


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch) -> Path:
    """Labelled images, some of the pool with decisions and in quarantine, and a benchmark set, all indexed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_text(PARAMS, config.PARAMS)
    names = [f"{root}/{name}" for root, below in IMAGES.items() for name in below]
    for name in names:
        write_text(name, Path(name))
    rows = pd.DataFrame({"image": names, "sha256": [content(name) for name in names], "failure": ""})
    for name in index.TABLES:
        write_table(rows if name == "library.parquet" else rows.head(0), paths.INDEX / name)
    table = pd.DataFrame({"image": names[:3], "label": ["cow", "cow", "dog"], "sha256": [*rows["sha256"][:2], ""]})
    labels.write(labels.check(table, list(IMAGES), ""), paths.LABELS)
    write_csv(pd.DataFrame({"image": names[3:5], "label": "cow", "site": ["b", "a"]}), paths.BENCHMARKS / "field.csv")
    away = pd.DataFrame({"image": names[5:6], "sha256": rows["sha256"][5:6]}).reindex(columns=quarantine.COLUMNS)
    write_csv(away, paths.QUARANTINE)
    decide()
    return tmp_path


def decide() -> None:
    """Two decisions in a table of earlier years, without ids; one is taken back in another table."""
    plain = {"decision": "label", "label": "cow", "by": "Ada", "at": "2026-01-01"}
    rows = [plain | {"image": name, "sha256": content(name)} for name in ("library/cow/1.jpg", "library/cow/2.jpg")]
    write_csv(pd.DataFrame(rows).reindex(columns=decisions.COLUMNS[:10], fill_value=""), paths.REVIEWS / "old.csv")
    log = decisions.read_log(paths.REVIEWS, list(IMAGES))
    first = log.iloc[0]
    undo = {"image": first["image"], "sha256": first["sha256"], "decision": UNDO, "undoes": first["id"], **BY}
    decisions.append(undo, paths.REVIEWS, "page", list(IMAGES))
    kept = pd.DataFrame({"decision": log["id"], "image": log["image"], "label": "calf", "status": "ok"})
    write_csv(kept.reindex(columns=applying.REPLACED_COLUMNS, fill_value=""), paths.REPLACED)


def moved(old: str, new: str, **more) -> relocating.Relocation:
    return relocating.relocate(old, new, **BY, **{"dry_run": False} | more)


def state(folder: Path = Path()) -> dict[str, str]:
    files = [config.PARAMS, *Path("data").rglob("*.csv")]
    return {str(file): file.read_text() for file in files if file.exists()}


def images(path: Path) -> list[str]:
    return labels.read_csv(path, ["image"])["image"].tolist()


def held() -> pd.DataFrame:
    log = decisions.read_log(paths.REVIEWS, list(config.load(sections.Roots).folders))
    return decisions.in_force(log)


def test_the_rows_of_every_table_follow_a_renamed_folder():
    before = held()
    Path("library/cow").rename("library/cows")
    plan = moved("library/cow", "library/cows")
    assert plan.rows == {
        "data/reviews/old.csv": 2, "data/reviews/page.csv": 1, "data/replaced.csv": 2, "data/labels.csv": 2,
    }  # fmt: skip
    assert (plan.left, plan.unverified) == ({}, 0)
    assert images(paths.LABELS) == ["library/cows/1.jpg", "library/cows/2.jpg", "library/dog/1.jpg"]
    after = held()
    assert after["image"].tolist() == ["library/cows/2.jpg"]
    assert after["id"].tolist() == before["id"].tolist()
    assert images(paths.REPLACED) == ["library/cows/1.jpg", "library/cows/2.jpg"]


def test_what_will_move_is_shown_before_anything_is_written():
    Path("library/cow").rename("library/cows")
    before, shown = state(), []
    plan = moved("library/cow", "library/cows", dry_run=True)
    assert plan.examples[0] == ("library/cow/1.jpg", "library/cows/1.jpg")
    assert state() == before
    moved("library/cow", "library/cows", show=lambda plan: shown.append(state() == before))
    assert shown == [True]
    assert state() != before


def test_benchmark_and_quarantine_follow_too():
    Path("benchmark/cow").rename("benchmark/cattle")
    Path("pool/x").rename("pool/y")
    assert moved("benchmark/cow", "benchmark/cattle").rows == {"data/benchmarks/field.csv": 2}
    text = (paths.BENCHMARKS / "field.csv").read_text()
    assert text == "image,label,site\nbenchmark/cattle/1.jpg,cow,b\nbenchmark/cattle/2.jpg,cow,a\n"
    assert moved("pool/x", "pool/y").rows == {"data/quarantine.csv": 1}
    assert images(paths.QUARANTINE) == ["pool/y/1.jpg"]
    benchmarks.read_all(paths.BENCHMARKS, list(IMAGES))


@pytest.mark.parametrize(("old", "new"), [("library", "archive"), ("library/cow", "archive/cow")])
def test_stopped_after_any_file_it_goes_on_and_ends_as_if_nothing_had_happened(workspace, old, new, tmp_path):
    shutil.move(old, new)
    fresh = tmp_path.with_name(f"{tmp_path.name}-fresh")
    shutil.copytree(tmp_path, fresh)
    number = len(moved(old, new).steps)
    assert number >= 4
    undisturbed = state()
    for stop in range(number):
        shutil.rmtree("data")
        shutil.copytree(fresh / "data", "data")

        def stopped(plan: relocating.Relocation, after: int = stop) -> None:
            for step in plan.steps[:after]:
                step()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            moved(old, new, show=stopped)
        moved(old, new)
        assert state() == undisturbed
        assert moved(old, new).rows == {}
        assert state() == undisturbed


def test_rows_whose_images_are_still_there_stay_and_are_named():
    Path("library/cows").mkdir()
    Path("library/cow/1.jpg").rename("library/cows/1.jpg")
    shutil.copy("library/cow/2.jpg", "library/cows/2.jpg")
    plan = moved("library/cow", "library/cows")
    assert plan.left == {"library/cow/2.jpg": moving.STAYS}
    assert images(paths.LABELS) == ["library/cow/2.jpg", "library/cows/1.jpg", "library/dog/1.jpg"]


def test_if_no_row_fits_nothing_is_written_and_the_reason_is_one():
    before = state()
    with pytest.raises(DataError, match=r"none of 2 images below 'library/cow' can move, first library/cow/1.jpg: its"):
        moved("library/cow", "archive")
    with pytest.raises(DataError, match="no row names an image below 'library/cwo'") as refused:
        moved("library/cwo", "archive")
    assert "did you mean 'library/cow'?" in refused.value.mend
    with pytest.raises(UsageError, match="'library2' is no root, no place in one, and no folder"):
        moved("library/cow", "library2")
    with pytest.raises(UsageError, match="outside its root"):
        moved("library/cow", "library/../pool")
    assert state() == before


def test_a_whole_root_that_lies_elsewhere_gets_its_folder_in_the_params_and_no_table_changes(workspace):
    before = {name: text for name, text in state().items() if name != str(config.PARAMS)}
    shutil.move("library", workspace / "disk")
    plan = moved("library", str(workspace / "disk"))
    assert plan.left == {}
    assert config.load(sections.Roots).folders["library"] == workspace / "disk"
    assert config.load(sections.Roots).folders["archive"] == Path("archive").absolute()
    assert "# labelled" in config.PARAMS.read_text()
    assert {name: text for name, text in state().items() if name != str(config.PARAMS)} == before
    again = moved("library", str(workspace / "disk"))
    assert (again.rows, again.before) == ({}, 3)
    (workspace / "disk").rename(workspace / "back")
    moved("library", str(workspace / "back"))
    assert "library: back," in config.PARAMS.read_text()


def test_a_folder_that_does_not_have_the_roots_images_is_refused(workspace):
    write_text("another", workspace / "disk/cow/1.jpg")
    before = state()
    with pytest.raises(DataError, match="none of the 3 known images of root 'library' lies there"):
        moved("library", str(workspace / "disk"))
    assert state() == before


def test_a_folder_that_lies_in_no_root_becomes_one(workspace):
    shutil.move("library/cow", workspace / "disk")
    plan = moved("library/cow", str(workspace / "disk"))
    assert plan.new == "disk"
    assert config.load(sections.Roots).library["disk"] == workspace / "disk"
    assert images(paths.LABELS) == ["disk/1.jpg", "disk/2.jpg", "library/dog/1.jpg"]


def test_a_folder_above_it_may_become_the_root(workspace):
    (workspace / "disk").mkdir()
    shutil.move("library/cow", workspace / "disk/cow")
    with pytest.raises(UsageError, match="no new root above"):
        moved("library/cow", str(workspace / "disk/cow"), new_root=workspace / "pool")
    assert moved("library/cow", str(workspace / "disk/cow"), new_root=workspace / "disk").new == "disk/cow"
    assert images(paths.LABELS) == ["disk/cow/1.jpg", "disk/cow/2.jpg", "library/dog/1.jpg"]


def test_places_may_be_named_as_they_are_on_disk(workspace):
    Path("library/cow").rename("library/cows")
    assert moved(str(workspace / "library/cow"), str(workspace / "library/cows")).rows["data/labels.csv"] == 2


def test_rows_of_a_root_that_the_params_no_longer_name_can_be_moved():
    Path("library").rename("elsewhere")
    config.PARAMS.write_text(PARAMS.replace("library: library", "home: elsewhere"))
    moved("library", "home")
    assert images(paths.LABELS) == ["home/cow/1.jpg", "home/cow/2.jpg", "home/dog/1.jpg"]


def test_a_root_whose_last_images_were_moved_is_meant_to_be_empty():
    shutil.move("library", "archive")
    moved("library", "archive")
    (row,) = roots.read(paths.ROOTS).to_dict("records")
    assert (row["name"], row["images"], row["left"], row["by"]) == ("library", "3", "0", "Ada")


def test_a_decision_that_is_taken_while_its_table_is_moved_is_kept():
    Path("library/cow").rename("library/cows")
    later = {"image": "pool/x/2.jpg", "decision": "bad", "by": "Ben", "at": "2026-02-02"}
    moved(
        "library/cow",
        "library/cows",
        show=lambda plan: decisions.append(later, paths.REVIEWS, "page", list(IMAGES)),
    )
    assert images(paths.REVIEWS / "page.csv") == ["library/cows/1.jpg", "pool/x/2.jpg"]
