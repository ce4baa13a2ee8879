"""Pictures behind a URL: what is missing is a failure of its own, what cannot be reached stops the run."""

import fsspec
import pytest

from pipeline.errors import ResumableError, UsageError
from pipeline.inference import remote
from pipeline.library.failures import PictureError

URLS = {"pool": "memory://bucket/pool"}


@pytest.fixture(autouse=True)
def storage(monkeypatch):
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/pool/a/1.jpg", b"one")
    yield memory
    memory.rm("/bucket", recursive=True)


@pytest.fixture
def load(tmp_path):
    (tmp_path / "2.jpg").write_bytes(b"two")
    return remote.from_roots({"pool": tmp_path / "elsewhere", "library": tmp_path}, URLS)


def test_a_picture_is_read_from_the_url_of_its_root_and_else_from_its_folder(load):
    assert load("pool/a/1.jpg") == b"one"
    assert load("library/2.jpg") == b"two"


def test_a_file_url_reads_the_same_bytes_as_the_folder(tmp_path):
    (tmp_path / "ä b#1%.jpg").write_bytes(b"odd name")
    load = remote.from_roots({"pool": tmp_path}, {"pool": f"file://{tmp_path}/"})
    assert load("pool/ä b#1%.jpg") == b"odd name"


def test_a_picture_that_is_not_there_is_missing(load):
    load("pool/a/1.jpg")
    for _ in range(2 * remote.FIRST):
        with pytest.raises(PictureError, match="missing"):
            load("pool/a/2.jpg")


def test_a_root_without_any_of_the_first_pictures_is_a_wrong_address(tmp_path):
    load = remote.from_roots({"pool": tmp_path}, {"pool": "memory://bucket/pol"})
    for _ in range(remote.FIRST - 1):
        with pytest.raises(PictureError):
            load("pool/a/1.jpg")
    with pytest.raises(ResumableError, match="none of the first 100 pictures of root 'pool'"):
        load("pool/a/1.jpg")


@pytest.mark.parametrize("faults", [1, remote.ATTEMPTS - 1, remote.ATTEMPTS])
def test_a_storage_that_is_away_for_a_moment_is_asked_again_and_then_stops_the_run(load, storage, monkeypatch, faults):
    left = [faults]
    real = type(storage).cat_file

    def cat_file(self, path, **options):
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionResetError("slow down")
        return real(self, path, **options)

    monkeypatch.setattr(type(storage), "cat_file", cat_file)
    if faults < remote.ATTEMPTS:
        assert load("pool/a/1.jpg") == b"one"
    else:
        with pytest.raises(ResumableError, match="root 'pool' cannot be read: slow down"):
            load("pool/a/1.jpg")


def test_an_unknown_root_and_an_unknown_storage_are_refused(tmp_path):
    with pytest.raises(UsageError, match="unknown root 'pol'"):
        remote.from_roots({"pool": tmp_path}, {"pol": "memory://x"})
    with pytest.raises(UsageError, match="root 'pool' cannot be opened"):
        remote.from_roots({"pool": tmp_path}, {"pool": "s4://bucket"})
