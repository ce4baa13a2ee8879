"""What `wallaby import` writes, in a workspace of its own."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import sections
from pipeline.commands import import_
from pipeline.commands.import_ import Imported
from pipeline.errors import DataError, UsageError
from pipeline.files import write_text
from pipeline.library import labels
from pipeline.workspace import Workspace

PARAMS = "roots:\n  library: {library: library}  # labelled\n  pool: {pool: pool}\n"


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A repository with one labelled image, and a user's pictures and files beside it."""
    workspace = Workspace(tmp_path / "repository")
    write_text(PARAMS, workspace.params_file)
    write_text("image,label\nlibrary/a.jpg,cat\n", workspace.labels)
    for name in ("repository/library/a.jpg", "mine/lion/1.jpg", "mine/lion/2.jpg", "mine/Cat/3.jpg"):
        write_text("", tmp_path / name)
    return workspace


@pytest.fixture
def beside(workspace) -> Path:
    """The folder in which the repository lies, and all else."""
    return workspace.root.parent


def bring(workspace: Workspace, source: Path, **options) -> Imported:
    return import_.library(workspace, source, **options).data


def labelled(workspace: Workspace) -> dict[str, str]:
    table = labels.read(workspace.labels, workspace.root_names)
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


def test_an_imported_label_names_the_content_that_it_was_given_to(workspace, beside):
    (beside / "mine/lion/1.jpg").write_bytes(b"one")
    (beside / "mine/Cat").rename(beside / "mine/cat")
    bring(workspace, beside / "mine")
    table = labels.read(workspace.labels, workspace.root_names).set_index("image")
    assert table.loc["mine/lion/1.jpg", "sha256"] == hashlib.sha256(b"one").hexdigest()
    assert (table.drop("library/a.jpg")["sha256"].str.len() == 64).all()


def test_an_export_adds_what_people_agree_on(workspace, beside):
    source = export(beside / "mine", lion_1="puma", lion_2="puma tiger", Cat_3="")
    before = everything(beside)
    dry = bring(workspace, source, dry_run=True)
    assert everything(beside) == before
    assert bring(workspace, source) == dry
    assert (dry.added, dry.known, dry.differing, dry.unlabelled) == (1, 0, [], 1)
    assert dry.conflicts == ["mine/lion/2.jpg"]
    assert labelled(workspace) == {"library/a.jpg": "cat", "mine/lion/1.jpg": "puma"}
    assert workspace.folders["mine"] == beside / "mine"
    assert "# labelled" in workspace.params_file.read_text()
    assert bring(workspace, source) == replace(dry, added=0, known=1)


def test_another_label_of_a_known_image_is_named_and_not_taken(workspace, beside):
    bring(workspace, export(beside / "mine", lion_1="puma"))
    assert bring(workspace, export(beside / "mine", lion_1="tiger")).differing == ["mine/lion/1.jpg"]
    assert labelled(workspace)["mine/lion/1.jpg"] == "puma"


def test_an_export_that_lies_elsewhere_says_its_folder(workspace, beside):
    (beside / "downloads").mkdir()
    source = export(beside / "downloads", lion_1="puma")
    with pytest.raises(DataError, match="none of its 1 pictures is there"):
        bring(workspace, source)
    assert bring(workspace, source, folder=beside / "mine").added == 1
    with pytest.raises(DataError, match="the folder does not exist"):
        bring(workspace, source, folder=beside / "nowhere")


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_a_class_that_differs_from_a_known_one_by_case_only_is_refused_before_a_write(workspace, beside, kind):
    source, at = beside / "mine", "file Cat/3.jpg"
    if kind == "table":
        source, at = beside / "mine" / "table.csv", "row 3"
        source.write_text("filepath,label\nlion/1.jpg,lion\nCat/3.jpg, Cat\n")
    before = everything(beside)
    with pytest.raises(DataError, match="'Cat' and 'cat' differ by case only") as refused:
        bring(workspace, source)
    assert refused.value.where == f"{source}, {at}"
    assert everything(beside) == before


def test_a_table_makes_a_benchmark_set(workspace, beside):
    table = beside / "mine" / "labels.csv"
    table.write_text("filepath,ground_truth.label\nlion/2.jpg, n\u0303andu \nlion/1.jpg,Unknown\nCat/3.jpg,\n")
    result = import_.benchmark(workspace, "field", table).data
    assert (result.added, result.unlabelled) == (2, 1)
    written = (workspace.benchmarks / "field.csv").read_text(encoding="utf-8")
    content = hashlib.sha256(b"").hexdigest()
    assert written == (
        f"image,label,sha256\nbenchmark/lion/1.jpg,,{content}\nbenchmark/lion/2.jpg,\u00f1andu,{content}\n"
    )
    with pytest.raises(UsageError, match="frozen"):
        import_.benchmark(workspace, "field", table)


def test_a_pool_is_a_folder(workspace, beside):
    assert import_.pool(workspace, beside / "mine").data.added == 3
    with pytest.raises(UsageError, match="a pool is a folder"):
        import_.pool(workspace, export(beside / "mine", lion_1="puma"))


def test_a_table_that_cannot_be_read_leaves_everything_as_it_was(workspace, beside):
    (beside / "mine" / "table.csv").write_text('filepath,label\nlion/1.jpg,lion\nlion/2.jpg,"lion\n')
    before = everything(beside)
    with pytest.raises(DataError, match="a quote is never closed"):
        bring(workspace, beside / "mine" / "table.csv")
    assert everything(beside) == before


def known_contents(workspace: Workspace, beside: Path) -> None:
    """The user's lions are labelled, with their contents."""
    for number in (1, 2):
        write_text(f"lion {number}", beside / f"mine/lion/{number}.jpg")
    write_text("cat", beside / "mine/Cat/3.jpg")
    bring(workspace, beside / "mine", root="mine")


def test_images_that_were_moved_are_not_imported_a_second_time(workspace, beside):
    workspace.labels.write_text("image,label\n")
    known_contents(workspace, beside)
    (beside / "mine").rename(beside / "moved")
    before = everything(beside)
    with pytest.raises(
        DataError, match="3 of these images are labelled already, under names whose files are gone"
    ) as no:
        bring(workspace, beside / "moved")
    assert f"`wallaby moved mine {beside / 'moved'}`" in no.value.mend
    assert everything(beside) == before
    (beside / "moved/lion").rename(beside / "moved/big cats")
    with pytest.raises(DataError) as no:
        bring(workspace, beside / "moved")
    root = beside / "moved"
    assert f"`wallaby moved mine/lion '{root / 'big cats'}' --root {root}`" in no.value.mend


def test_only_the_folder_that_moved_is_named(workspace, beside):
    workspace.labels.write_text("image,label\n")
    known_contents(workspace, beside)
    (beside / "new").mkdir()
    (beside / "mine/lion").rename(beside / "new/lion")
    with pytest.raises(DataError, match="2 of these images are labelled already") as no:
        bring(workspace, beside / "new")
    assert f"`wallaby moved mine/lion {beside / 'new/lion'} --root {beside / 'new'}`" in no.value.mend


def test_a_root_that_is_not_mounted_keeps_its_place(workspace, beside):
    (workspace.root / "library").rename(workspace.root / "not mounted")
    (beside / "mine/Cat").rename(beside / "mine/cat")
    assert bring(workspace, beside / "mine").root == "mine"
    assert workspace.params(sections.Roots).library["library"] == Path("library")


def test_a_root_that_lies_elsewhere_now_keeps_its_name(workspace, beside):
    (workspace.root / "library").rename(beside / "elsewhere")
    (beside / "elsewhere/cat").mkdir()
    write_text("another", beside / "elsewhere/cat/b.jpg")
    assert bring(workspace, beside / "elsewhere").root == "library"
    assert labelled(workspace) == {"library/a.jpg": "cat", "library/cat/b.jpg": "cat"}


def test_copies_of_labelled_images_are_imported_and_counted(workspace, beside):
    workspace.labels.write_text("image,label\n")
    known_contents(workspace, beside)
    shutil.copytree(beside / "mine", beside / "copies")
    (beside / "copies/lion/4.jpg").write_text("lion 4")
    result = bring(workspace, beside / "copies")
    assert (result.added, result.again) == (4, 3)


def test_known_images_whose_file_was_replaced_are_named_and_nothing_of_them_is_changed(workspace, beside):
    (beside / "mine/Cat").rename(beside / "mine/cat")
    assert bring(workspace, beside / "mine").replaced == []
    before = workspace.labels.read_bytes()
    (beside / "mine/lion/1.jpg").write_bytes(b"another picture")
    again = bring(workspace, beside / "mine")
    assert (again.added, again.known, again.replaced) == (0, 3, ["mine/lion/1.jpg"])
    assert workspace.labels.read_bytes() == before
