"""What `wallaby import` writes, in a workspace of its own."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from pipeline import config, paths, sections
from pipeline.errors import DataError, UsageError
from pipeline.files import write_text
from pipeline.library import labels, sources

PARAMS = "roots:\n  library: {library: library}  # labelled\n  pool: {pool: pool}\n"


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """A repository with one labelled image, and a user's pictures and files beside it."""
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_text(PARAMS, config.PARAMS)
    write_text("image,label\nlibrary/a.jpg,cat\n", paths.LABELS)
    for name in ("library/a.jpg", "mine/lion/1.jpg", "mine/lion/2.jpg", "mine/Cat/3.jpg"):
        write_text("", tmp_path / name if name.startswith("mine") else Path(name))
    return tmp_path


def bring(source: Path, kind: str = "library", **options) -> dict:
    plain = {"benchmark": "field", "root": "", "folder": None, "origin": "real", "replace": False, "dry_run": False}
    return sources.import_pictures(kind, source, **plain | options)


def labelled() -> dict[str, str]:
    table = labels.read(paths.LABELS, list(config.load(sections.Roots).folders))
    return dict(zip(table["image"], table["label"], strict=True))


def export(folder: Path, **labels: str) -> Path:
    """A Label Studio export in which two people chose a class each, if two are named."""
    tasks = [
        {
            "id": number,
            "data": {"image": f"/data/local-files/?d={file.replace('_', '/')}.jpg"},
            "annotations": [
                {"result": [{"from_name": "choice", "type": "choices", "value": {"choices": [label]}}]}
                for label in chosen.split()
            ],
        }
        for number, (file, chosen) in enumerate(labels.items())
    ]
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_imported_label_names_the_content_that_it_was_given_to(workspace):
    (workspace / "mine/lion/1.jpg").write_bytes(b"one")
    (workspace / "mine/Cat").rename(workspace / "mine/cat")
    bring(workspace / "mine")
    table = labels.read(paths.LABELS, list(config.load(sections.Roots).folders)).set_index("image")
    assert table.loc["mine/lion/1.jpg", "sha256"] == hashlib.sha256(b"one").hexdigest()
    assert (table.drop("library/a.jpg")["sha256"].str.len() == 64).all()


def test_an_export_adds_what_people_agree_on(workspace):
    source = export(workspace / "mine", lion_1="puma", lion_2="puma tiger", Cat_3="")
    before = everything(workspace)
    dry = bring(source, dry_run=True)
    assert everything(workspace) == before
    assert bring(source) == dry
    assert (dry["added"], dry["known"], dry["differing"], dry["unlabelled"]) == (1, 0, [], 1)
    assert dry["conflicts"] == ["mine/lion/2.jpg"]
    assert labelled() == {"library/a.jpg": "cat", "mine/lion/1.jpg": "puma"}
    assert config.load(sections.Roots).folders["mine"] == workspace / "mine"
    assert "# labelled" in config.PARAMS.read_text()
    assert bring(source) | {"conflicts": []} == dry | {"added": 0, "known": 1, "conflicts": []}


def test_another_label_of_a_known_image_is_named_and_not_taken(workspace):
    bring(export(workspace / "mine", lion_1="puma"))
    assert bring(export(workspace / "mine", lion_1="tiger"))["differing"] == ["mine/lion/1.jpg"]
    assert labelled()["mine/lion/1.jpg"] == "puma"


def test_an_export_that_lies_elsewhere_says_its_folder(workspace):
    (workspace / "downloads").mkdir()
    source = export(workspace / "downloads", lion_1="puma")
    with pytest.raises(DataError, match="none of its 1 pictures is there"):
        bring(source)
    assert bring(source, folder=workspace / "mine")["added"] == 1
    with pytest.raises(DataError, match="the folder does not exist"):
        bring(source, folder=workspace / "nowhere")


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_a_class_that_differs_from_a_known_one_by_case_only_is_refused_before_anything_is_written(workspace, kind):
    source, at = workspace / "mine", "file Cat/3.jpg"
    if kind == "table":
        source, at = workspace / "mine" / "table.csv", "row 3"
        source.write_text("filepath,label\nlion/1.jpg,lion\nCat/3.jpg, Cat\n")
    before = everything(workspace)
    with pytest.raises(DataError, match="'Cat' and 'cat' differ by case only") as refused:
        bring(source)
    assert refused.value.where == f"{source}, {at}"
    assert everything(workspace) == before


def test_a_table_makes_a_benchmark_set(workspace):
    table = workspace / "mine" / "labels.csv"
    table.write_text("filepath,ground_truth.label\nlion/2.jpg, n\u0303andu \nlion/1.jpg,Unknown\nCat/3.jpg,\n")
    result = bring(table, "benchmark")
    assert (result["added"], result["unlabelled"]) == (2, 1)
    written = (paths.BENCHMARKS / "field.csv").read_text(encoding="utf-8")
    content = hashlib.sha256(b"").hexdigest()
    assert written == (
        f"image,label,sha256\nbenchmark/lion/1.jpg,,{content}\nbenchmark/lion/2.jpg,\u00f1andu,{content}\n"
    )
    with pytest.raises(UsageError, match="frozen"):
        bring(table, "benchmark")


def test_a_pool_is_a_folder(workspace):
    assert bring(workspace / "mine", "pool")["added"] == 3
    with pytest.raises(UsageError, match="a pool is a folder"):
        bring(export(workspace / "mine", lion_1="puma"), "pool")


def test_a_table_that_cannot_be_read_leaves_everything_as_it_was(workspace):
    (workspace / "mine" / "table.csv").write_text('filepath,label\nlion/1.jpg,lion\nlion/2.jpg,"lion\n')
    before = everything(workspace)
    with pytest.raises(DataError, match="a quote is never closed"):
        bring(workspace / "mine" / "table.csv")
    assert everything(workspace) == before


def known_contents(workspace: Path) -> None:
    """The user's lions are labelled, with their contents."""
    for number in (1, 2):
        write_text(f"lion {number}", workspace / f"mine/lion/{number}.jpg")
    write_text("cat", workspace / "mine/Cat/3.jpg")
    bring(workspace / "mine", root="mine")


def test_images_that_were_moved_are_not_imported_a_second_time(workspace):
    paths.LABELS.write_text("image,label\n")
    known_contents(workspace)
    (workspace / "mine").rename(workspace / "moved")
    before = everything(workspace)
    with pytest.raises(
        DataError, match="3 of these images are labelled already, under names whose files are gone"
    ) as no:
        bring(workspace / "moved")
    assert f"`wallaby moved mine {workspace / 'moved'}`" in no.value.mend
    assert everything(workspace) == before
    (workspace / "moved/lion").rename(workspace / "moved/big cats")
    with pytest.raises(DataError) as no:
        bring(workspace / "moved")
    root = workspace / "moved"
    assert f"`wallaby moved mine/lion '{root / 'big cats'}' --root {root}`" in no.value.mend


def test_only_the_folder_that_moved_is_named(workspace):
    paths.LABELS.write_text("image,label\n")
    known_contents(workspace)
    (workspace / "new").mkdir()
    (workspace / "mine/lion").rename(workspace / "new/lion")
    with pytest.raises(DataError, match="2 of these images are labelled already") as no:
        bring(workspace / "new")
    assert f"`wallaby moved mine/lion {workspace / 'new/lion'} --root {workspace / 'new'}`" in no.value.mend


def test_a_root_that_is_not_mounted_keeps_its_place(workspace):
    Path("library").rename("not mounted")
    (workspace / "mine/Cat").rename(workspace / "mine/cat")
    assert bring(workspace / "mine")["root"] == "mine"
    assert config.load(sections.Roots).library["library"] == Path("library")


def test_a_root_that_lies_elsewhere_now_keeps_its_name(workspace):
    Path("library").rename(workspace / "elsewhere")
    (workspace / "elsewhere/cat").mkdir()
    write_text("another", workspace / "elsewhere/cat/b.jpg")
    assert bring(workspace / "elsewhere")["root"] == "library"
    assert labelled() == {"library/a.jpg": "cat", "library/cat/b.jpg": "cat"}


def test_copies_of_labelled_images_are_imported_and_counted(workspace):
    paths.LABELS.write_text("image,label\n")
    known_contents(workspace)
    shutil.copytree(workspace / "mine", workspace / "copies")
    (workspace / "copies/lion/4.jpg").write_text("lion 4")
    result = bring(workspace / "copies")
    assert (result["added"], result["again"]) == (4, 3)


def test_known_images_whose_file_was_replaced_are_named_and_nothing_of_them_is_changed(workspace):
    (workspace / "mine/Cat").rename(workspace / "mine/cat")
    assert bring(workspace / "mine")["replaced"] == []
    before = paths.LABELS.read_bytes()
    (workspace / "mine/lion/1.jpg").write_bytes(b"another picture")
    again = bring(workspace / "mine")
    assert (again["added"], again["known"], again["replaced"]) == (0, 3, ["mine/lion/1.jpg"])
    assert paths.LABELS.read_bytes() == before
