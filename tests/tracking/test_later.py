"""Entries that wait for a store: in order, with their files, each until it is done."""

import pytest

from pipeline.tracking.later import Later


def test_entries_are_worked_off_in_order_with_their_files(tmp_path):
    later, file, folder = Later(tmp_path / "later"), tmp_path / "a.txt", tmp_path / "pictures"
    file.write_text("one")
    folder.mkdir()
    (folder / "b.txt").write_text("two")
    later.keep("first", {"run_id": "r"}, [file, folder])
    later.keep("second", {})
    file.unlink()
    calls = []

    def call(name, arguments, files):
        calls.append((name, arguments, [path.name for path in files]))

    assert len(later) == 2
    assert later.work_off(call) == 2
    assert calls == [("first", {"run_id": "r"}, ["a.txt", "pictures"]), ("second", {}, [])]
    assert len(later) == 0


def test_an_entry_that_fails_stays_and_so_do_those_that_follow(tmp_path):
    later = Later(tmp_path / "later")
    for name in ("first", "second", "third"):
        later.keep(name, {})

    def call(name, arguments, files):
        if name == "second":
            raise OSError("still down")

    with pytest.raises(OSError, match="still down"):
        later.work_off(call)
    assert len(later) == 2
    later.keep("fourth", {})
    names = []
    later.work_off(lambda name, *_: names.append(name))
    assert names == ["second", "third", "fourth"]


def test_who_keeps_nothing_makes_no_folder(tmp_path):
    assert Later(tmp_path / "later").work_off(print) == 0
    assert list(tmp_path.iterdir()) == []
