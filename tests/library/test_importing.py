import os
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline.errors import DataError
from pipeline.library import importing, labels
from pipeline.library.importing import LeftOut


@pytest.fixture
def photos(tmp_path):
    """Touches files below `photos` and returns that folder."""

    def touch(*names: str) -> Path:
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "photos"

    return touch


def cells(rows: pd.DataFrame, *columns: str) -> list[list[str]]:
    return rows[list(columns)].to_numpy().tolist()


def test_folders_become_classes_and_sub_classes(photos):
    folder = photos("lion/a.jpg", "lion/cub/night/b.PNG", "Red Panda [A. fulgens]/copy of (1).jpeg", "ñandú/ö, x.webp")
    rows = importing.from_folders(folder, "library/new", origin="staged", left_out=LeftOut())
    assert sorted(cells(rows, "image", "label", "subclass")) == [
        ["library/new/Red Panda [A. fulgens]/copy of (1).jpeg", "Red Panda [A. fulgens]", ""],
        ["library/new/lion/a.jpg", "lion", ""],
        ["library/new/lion/cub/night/b.PNG", "lion", "cub/night"],
        ["library/new/ñandú/ö, x.webp", "ñandú", ""],
    ]
    assert set(rows["origin"]) == {"staged"}
    assert len(labels.check(rows, ["library"], folder)) == 4


@pytest.mark.parametrize("name", ["unknown", "Unknown"])
def test_a_folder_called_unknown_is_no_class(photos, name):
    folder = photos(f"{name}/a.jpg", "lion/b.jpg")
    rows = importing.from_folders(folder, "library", origin="real", left_out=LeftOut())
    assert sorted(cells(rows, "label", "status")) == [["", "unknown"], ["lion", "ok"]]
    labels.check(rows, ["library"], "")


def test_what_is_left_out_is_counted_by_reason_and_hidden_and_system_files_are_passed_over(photos):
    folder = photos("lion/a.jpg", "lion/notes.txt", "lion/.b.jpg", ".trash/c.jpg", "loose.jpg", "lion/@eaDir/a.jpg")
    photos(
        "lion/Thumbs.db", "lion/bell\x07.jpg", "lion/._a.jpg", "__MACOSX/lion/a.jpg", os.fsdecode(b"lion/caf\xe9.png")
    )
    left_out = LeftOut()
    assert len(importing.from_folders(folder, "library", origin="real", left_out=left_out)) == 1
    assert left_out.sentences() == [
        "2 files are left out (a name that is not Unicode, or has a control character), first lion/bell\\x07.jpg",
        "1 file is left out (in no class folder), first loose.jpg",
        "1 file is left out (no image by name or content), first lion/notes.txt",
    ]
    assert importing.count_images(folder, LeftOut()) == 2


def test_an_image_is_known_by_its_content_whatever_its_name_and_through_linked_folders(photos, tmp_path):
    elsewhere = tmp_path / "disk" / "tapir"
    elsewhere.mkdir(parents=True)
    for name in ("without ending", "e.jpg?w=640", "f.jpg_large", "c.ppm"):
        Image.new("RGB", (8, 8)).save(elsewhere / name, "PPM" if name.endswith("ppm") else "JPEG")
    folder = photos("lion/a.jpg")
    (folder / "tapir").symlink_to(elsewhere)
    rows = importing.from_folders(folder, "library", origin="real", left_out=LeftOut())
    assert rows["label"].value_counts().to_dict() == {"tapir": 4, "lion": 1}


def test_a_folder_without_classes_is_refused(photos):
    with pytest.raises(DataError, match="no class folder with a picture"):
        importing.from_folders(photos("loose.jpg", "lion/notes.txt"), "library", origin="real", left_out=LeftOut())


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        importing.from_folders(tmp_path / "x", "library", origin="real", left_out=LeftOut())
    with pytest.raises(DataError, match="does not exist"):
        importing.count_images(tmp_path / "x", LeftOut())


def test_a_row_from_a_folder_is_known_by_its_file(photos):
    rows = importing.from_folders(
        photos("Lion/a.jpg", "lion/b.jpg", "lion/c.jpg"), "library", origin="real", left_out=LeftOut()
    )
    with pytest.raises(DataError) as refused:
        labels.check(rows, ["library"], "photos")
    assert refused.value.where == "photos, file Lion/a.jpg"


def test_a_folder_below_a_root_is_called_by_it(photos, tmp_path):
    folder = photos("lion/a.jpg")
    roots = {"library": folder, "pool": tmp_path / "nowhere"}
    assert importing.name_root(folder, roots, "library") == ("library", False)
    assert importing.name_root(folder / "lion", roots, "pool") == ("library/lion", False)
    (tmp_path / "link").symlink_to(folder)
    assert importing.name_root(tmp_path / "link" / "lion", roots, "pool") == ("library/lion", False)


def test_a_root_whose_folder_does_not_exist_is_free(photos, tmp_path):
    roots = {"library": tmp_path / "nowhere"}
    assert importing.name_root(photos("a.jpg"), roots, "library") == ("library", True)
    assert importing.name_root(photos("a.jpg"), {}, "library") == ("library", True)


def test_another_folder_becomes_a_root_called_like_it(photos, tmp_path):
    for name in ("lib", "my cards", "photos"):
        (tmp_path / name).mkdir(exist_ok=True)
    roots = {"library": tmp_path / "lib"}
    assert importing.name_root(tmp_path / "my cards", roots, "library") == ("my-cards", True)
    roots |= {"my-cards": tmp_path / "lib", "my-cards-2": tmp_path / "lib"}
    assert importing.name_root(tmp_path / "my cards", roots, "library") == ("my-cards-3", True)


def test_a_folder_around_a_known_root_is_refused(photos):
    folder = photos("library/lion/a.jpg")
    with pytest.raises(DataError, match="'library' lies in this folder"):
        importing.name_root(folder, {"library": folder / "library"}, "library")


def test_folders_whose_names_begin_alike_are_two_roots(tmp_path):
    for name in ("pool", "pool2"):
        (tmp_path / name).mkdir()
    assert importing.name_root(tmp_path / "pool2", {"pool": tmp_path / "pool"}, "pool") == ("pool2", True)
