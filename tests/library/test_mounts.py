import pandas as pd
import pytest

from pipeline.errors import DataError, ResumableError
from pipeline.files import write_text
from pipeline.library import mounts


@pytest.mark.parametrize("left", [None, "lost+found/x", ".trash/x"])
def test_reading_that_fails_because_a_root_is_gone_can_be_resumed(tmp_path, left):
    write_text("", tmp_path / "library/a.jpg")
    if left:
        write_text("", tmp_path / "pool" / left)
    folders = {name: tmp_path / name for name in ("library", "pool")}
    images = pd.Series(["library/a.jpg", "pool/b.jpg"])
    with pytest.raises(ResumableError, match="root 'pool' is gone or empty"), mounts.watched(images, folders):
        raise DataError("an image cannot be read")
    with pytest.raises(ResumableError, match="root 'pool' is gone or empty"):
        mounts.refuse_empty(images, folders)
    with pytest.raises(ResumableError):
        mounts.refuse_gone("pool/b.jpg", folders)


def test_reading_that_fails_for_one_image_is_its_own_fault(tmp_path):
    write_text("", tmp_path / "library/a.jpg")
    folders, images = {"library": tmp_path / "library"}, pd.Series(["library/b.jpg"])
    with pytest.raises(DataError, match="an image cannot be read"), mounts.watched(images, folders):
        raise DataError("an image cannot be read")
    mounts.refuse_empty(images, folders)
    mounts.refuse_gone("library/b.jpg", folders)


def test_an_empty_folder_in_a_root_is_a_place_where_nothing_is_mounted(tmp_path):
    write_text("", tmp_path / "library/a.jpg")
    (tmp_path / "library/camera").mkdir()
    with pytest.raises(ResumableError) as stopped:
        mounts.refuse_gone("library/camera/b.jpg", {"library": tmp_path / "library"})
    assert stopped.value.where == str(tmp_path / "library/camera")
