import errno
import hashlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline import files
from pipeline.errors import DataError, ResumableError

FRAME = pd.DataFrame({"image": ["library/é.jpg", "library/b.jpg"], "bytes": [1, 2], "score": [0.5, 0.25]})
FULL = OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_replaced_as_a_whole(tmp_path):
    for text in ("old", "new"):
        files.write_text(text, tmp_path / "deep" / "file.txt")
    assert (tmp_path / "deep" / "file.txt").read_text() == "new"
    assert names(tmp_path / "deep") == ["file.txt"]


def test_the_old_file_stays_when_writing_the_new_one_fails(tmp_path):
    files.write_text("old", tmp_path / "file.txt")
    with pytest.raises(ZeroDivisionError), files.atomic(tmp_path / "file.txt") as temporary:
        temporary.write_text("half of the ne")
        raise ZeroDivisionError
    assert (tmp_path / "file.txt").read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_what_a_killed_process_left_half_written_is_removed_by_the_next_and_a_running_one_keeps_its_own(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from pipeline.files import atomic\n"
        "with atomic(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); (print('written', flush=True), sys.stdin.read())\n"
    )

    def begin(name: str) -> subprocess.Popen:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", program, tmp_path / name], **pipes)
        assert process.stdout.readline() == b"written\n"
        return process

    with begin("killed.txt") as killed:
        killed.kill()
    with begin("running.txt") as running:
        files.write_text("whole", tmp_path / "file.txt")
        assert [name.startswith(".running.txt.") for name in names(tmp_path)] == [True, False]
        running.communicate()
    assert names(tmp_path) == ["file.txt", "running.txt"]


def test_a_full_disk_is_resumable_and_leaves_the_old_file(tmp_path):
    files.write_text("old", tmp_path / "file.txt")
    with pytest.raises(ResumableError, match="the disk is full") as refused, files.atomic(tmp_path / "file.txt") as new:
        new.write_text("half")
        raise FULL
    assert refused.value.where == str(tmp_path / "file.txt")
    assert (tmp_path / "file.txt").read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_disk_that_is_really_full_leaves_the_old_file(tmp_path):
    files.write_text("old", tmp_path / "file.txt")
    with pytest.raises(ResumableError, match="the disk is full"), files.atomic(tmp_path / "file.txt") as new:
        new.symlink_to("/dev/full")
        FRAME.to_csv(new)
    assert (tmp_path / "file.txt").read_text() == "old"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    files.write_text("a file", tmp_path / "data")
    with pytest.raises(ResumableError) as refused:
        files.write_text("x", tmp_path / "data" / "index" / "file.txt")
    assert "permission" not in str(refused.value)
    assert str(tmp_path / "data") in refused.value.where


def test_a_linked_file_is_replaced_and_never_written_into(tmp_path):
    cached = tmp_path / "cache"
    cached.write_text("cached")
    (tmp_path / "soft.txt").symlink_to(cached)
    (tmp_path / "hard.txt").hardlink_to(cached)
    files.write_text("new", tmp_path / "soft.txt")
    files.write_text("new", tmp_path / "hard.txt")
    assert cached.read_text() == "cached"
    assert (tmp_path / "soft.txt").read_text() == (tmp_path / "hard.txt").read_text() == "new"


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for name in ("old", "new"):
        with files.atomic_folder(tmp_path / "model") as folder:
            (folder / name).touch()
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["new"]


@pytest.mark.parametrize(("error", "raised"), [(FULL, ResumableError), (KeyboardInterrupt(), KeyboardInterrupt)])
def test_the_old_folder_stays_when_the_new_one_fails(tmp_path, error, raised):
    with files.atomic_folder(tmp_path / "model") as folder:
        (folder / "old").touch()
    with pytest.raises(raised), files.atomic_folder(tmp_path / "model") as folder:
        (folder / "new").touch()
        raise error
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["old"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    with files.atomic_folder(tmp_path / "model") as folder:
        (folder / "old").touch()
    rename = Path.rename

    def fail_for_the_new(path, target):
        if path.suffix == ".tmp":
            raise FULL
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(ResumableError), files.atomic_folder(tmp_path / "model"):
        pass
    assert names(tmp_path / "model") == ["old"]
    assert names(tmp_path) == ["model"]


def test_a_folder_that_a_killed_process_left_aside_is_not_lost(tmp_path):
    """Killed between the two renames: the old folder lies aside and nothing is in its place."""
    (tmp_path / ".model.old").mkdir()
    (tmp_path / ".model.old" / "old").touch()
    with pytest.raises(ResumableError), files.atomic_folder(tmp_path / "model"):
        raise FULL
    assert names(tmp_path / "model") == ["old"]


def test_a_table_comes_back_as_it_was_written(tmp_path):
    files.write_table(FRAME, tmp_path / "t.parquet", run="1")
    pd.testing.assert_frame_equal(files.read_table(tmp_path / "t.parquet"), FRAME)
    assert list(files.read_table(tmp_path / "t.parquet", columns=["bytes"])) == ["bytes"]


def test_equal_rows_give_equal_bytes_whatever_their_index(tmp_path):
    files.write_table(FRAME, tmp_path / "a.parquet")
    files.write_table(FRAME.set_index(pd.Index([7, 3])), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_an_empty_table_keeps_its_columns(tmp_path):
    files.write_table(FRAME.iloc[:0], tmp_path / "t.parquet")
    assert list(files.read_table(tmp_path / "t.parquet")) == list(FRAME)


def test_a_missing_table_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match="dvc repro") as refused:
        files.read_table(tmp_path / "t.parquet")
    assert refused.value.where == str(tmp_path / "t.parquet")


@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
def test_a_table_that_was_cut_short_is_named(tmp_path, keep):
    path = tmp_path / "t.parquet"
    files.write_table(FRAME, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match="not a readable table"):
        files.read_table(path)


def test_a_table_of_another_schema_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SCHEMA_VERSION", "0")
    files.write_table(FRAME, tmp_path / "t.parquet")
    monkeypatch.undo()
    with pytest.raises(DataError, match="schema version 0, this program reads"):
        files.read_table(tmp_path / "t.parquet")


def test_a_table_of_another_program_is_refused(tmp_path):
    FRAME.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="schema version none"):
        files.read_table(tmp_path / "t.parquet")


def test_a_column_that_is_not_there_is_named(tmp_path):
    files.write_table(FRAME, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="phash"):
        files.read_table(tmp_path / "t.parquet", columns=["phash"])


def test_no_pandas_metadata_is_left_in_a_table(tmp_path):
    files.write_table(FRAME, tmp_path / "t.parquet", model="m")
    assert pq.read_schema(tmp_path / "t.parquet").metadata == {files.VERSION_KEY: b"1", b"model": b"m"}


def test_of_two_processes_one_is_refused_and_the_lock_is_free_afterwards(tmp_path):
    lock = tmp_path / "new" / "identify.lock"
    with (
        files.alone(lock, "identification"),
        pytest.raises(ResumableError, match="another identification runs") as refused,
        files.alone(lock, "identification"),
    ):
        pass
    assert refused.value.where == str(lock)
    with files.alone(lock, "identification"):
        pass


def test_json_is_sorted_and_readable(tmp_path):
    files.write_json({"b": 1, "a": "é"}, tmp_path / "x.json")
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'
    assert files.read_json(tmp_path / "x.json") == {"a": "é", "b": 1}


@pytest.mark.parametrize("data", [b"{", b"", b"\xff\xfe"])
def test_json_that_is_none_is_named(tmp_path, data):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(DataError, match="not readable as JSON") as refused:
        files.read_json(tmp_path / "x.json")
    assert refused.value.where == str(tmp_path / "x.json")


def test_missing_json_is_named(tmp_path):
    with pytest.raises(DataError, match="missing"):
        files.read_json(tmp_path / "x.json")


def test_a_csv_has_the_same_line_endings_everywhere(tmp_path):
    files.write_csv(FRAME[["image", "bytes"]], tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_bytes() == "image,bytes\nlibrary/é.jpg,1\nlibrary/b.jpg,2\n".encode()


def test_a_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"wallaby")
    assert files.digest(tmp_path / "x") == hashlib.sha256(b"wallaby").hexdigest()
