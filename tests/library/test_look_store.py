"""The file of looks."""

import numpy as np
import pandas as pd

from pipeline.library import look_store
from pipeline.library.looks import SIDE
from tests.library.builders import sha


def look(number: int) -> bytes:
    return np.full(SIDE * SIDE, number, np.uint8).tobytes()


def update(path, wanted: list[int], spooled: list[int] = (), images: list[int] = (), version: str = "1") -> list[str]:
    """Updates the file; returns the images that were read."""
    read = []

    def of(image: str) -> tuple[str, bytes]:
        read.append(image)
        return (sha(image), look(int(image))) if int(image) in images else ("", b"")

    contents = pd.Series([str(number) for number in wanted], [sha(str(number)) for number in wanted], dtype="str")
    with look_store.spool(lambda images: images != "pool") as spool:
        for number in spooled:
            names = pd.Series([str(number), "pool"])
            spool.add(names, names.map(sha), pd.Series([look(number), look(0)]))
        look_store.update(path, contents, spool, of, version=version)
    return sorted(read)


def stored(path) -> dict[int, int]:
    names = {sha(str(number)): number for number in range(100)}
    contents = look_store.contents(path).to_pylist()
    assert contents == sorted(contents)
    known, looks = look_store.Stored(path).of(contents)
    assert known.all()
    return {names[content]: int(look[0, 0]) for content, look in zip(contents, looks, strict=True)}


def test_the_file_holds_the_looks_of_the_wanted_contents(tmp_path):
    path = tmp_path / "looks.parquet"
    assert update(path, [1, 2, 3], spooled=[1, 2, 3, 4]) == []
    assert stored(path) == {1: 1, 2: 2, 3: 3}
    assert update(path, [2, 3, 5], spooled=[5]) == []
    assert stored(path) == {2: 2, 3: 3, 5: 5}


def test_what_was_not_scanned_is_read_from_its_image(tmp_path):
    path = tmp_path / "looks.parquet"
    update(path, [1], spooled=[1])
    assert update(path, [1, 2, 3], images=[2]) == ["2", "3"]
    assert stored(path) == {1: 1, 2: 2}


def test_looks_of_another_version_are_made_again(tmp_path):
    path = tmp_path / "looks.parquet"
    update(path, [1], spooled=[1])
    assert update(path, [1], images=[1], version="2") == ["1"]


def test_equal_looks_give_equal_bytes_whatever_came_first(tmp_path):
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    update(one, list(range(40)), spooled=list(range(40)))
    update(other, list(range(20)), spooled=list(range(20)))
    update(other, list(range(40)), spooled=list(range(39, 19, -1)))
    assert one.read_bytes() == other.read_bytes()


def test_contents_without_a_look_are_unknown(tmp_path):
    path = tmp_path / "looks.parquet"
    known, looks = look_store.Stored(path).of([sha("1")])
    assert not known.any()
    assert looks.shape == (1, SIDE, SIDE)
    update(path, [1], spooled=[1])
    known, looks = look_store.Stored(path).of([sha("2"), sha("1")])
    assert known.tolist() == [False, True]
    assert (looks[1] == 1).all()
    assert look_store.Stored(path).of([])[1].shape == (0, SIDE, SIDE)


def test_a_look_that_the_file_lacks_is_read_from_its_image_once_and_only_if_it_is_asked_for(tmp_path):
    path, read = tmp_path / "looks.parquet", []
    update(path, [1], spooled=[1])

    def of(image: str) -> tuple[str, bytes]:
        read.append(image)
        return (sha(image), look(int(image))) if image != "3" else (sha("replaced"), look(3))

    images = pd.Series([str(number) for number in (1, 2, 3, 4)], [sha(str(number)) for number in (1, 2, 3, 4)])
    looks = look_store.Completed(look_store.Stored(path), images, of)
    for _ in range(2):
        known, found = looks.of([sha("2"), sha("1"), sha("3"), sha("5")])
        assert known.tolist() == [True, True, False, False]
        assert found[:2, 0, 0].tolist() == [2, 1]
    assert sorted(read) == ["2", "3"]
