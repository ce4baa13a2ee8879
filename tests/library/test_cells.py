"""Content hashes, times and class names, in every table that people edit."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.library import benchmarks, cells, classes, labels, quarantine, roots
from tests.library.builders import sha

ROOTS = ["library", "pool"]
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SPOILT = "1.23E+63"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-01",
        "2026-03-01T12:00",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00:00.123+00:00",
        "2026-03-01T12:00:00.123456Z",
        "2026-12-01T11:59:59+00:00",
        "2026-12-01T20:00:00+14:00",
        "2024-02-29",
    ],
)
def test_a_time_is_a_day_or_a_moment_at_most_a_day_ahead_of_the_clock(text):
    assert cells.time_fault(text, NOW) is None


@pytest.mark.parametrize(
    "text", ["9999-11-30T12:00:00", "2026-12-02", "2026-12-01T12:00:01", "9999-12-31T23:59:59-14:00"]
)
def test_a_time_in_the_future_is_refused(text):
    fault = cells.time_fault(text, NOW)
    assert fault is not None
    assert fault[0] == f"the time {text} is in the future"


@pytest.mark.parametrize(
    "text",
    ["2026-11-30Tx", "2026-11-30T", "2026-02-30", "2026-13-01", "2026-03-01 12:00", "01.03.2026", "46082", "2026-W10-1",
     "20260301", "0000-01-01", "2026-03-01T25:00", "2026-03-01T12:00:00+99:00", "٢٠٢٦-03-01", "2026-03-01\n"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text):
    fault = cells.time_fault(text, NOW)
    assert fault is not None
    assert fault[0].endswith("is not a time")


@pytest.mark.parametrize("text", [SPOILT, sha("a")[:63], sha("a") + "0", sha("a").upper(), "changed since", "g" * 64])
def test_a_content_hash_that_a_spreadsheet_changed_is_refused(text):
    fault = cells.content_fault(text)
    assert fault is not None
    assert "not a content hash" in fault[0]
    assert "spreadsheet" in fault[1]


def test_a_content_hash_may_be_unknown():
    assert cells.content_fault("") is None
    assert cells.content_fault(sha("a")) is None


@pytest.mark.parametrize("name", ["bad", "Keep", " YES", "no", "label", "Undo ", "UNKNOWN"])
def test_a_word_of_the_decisions_is_no_class(name):
    assert cells.class_fault(name) is not None


@pytest.mark.parametrize("name", ["badger", "bad-image", "not", "labels", "ok", "", "good"])
def test_other_names_are_classes(name):
    assert cells.class_fault(name) is None


def quarantined(path, row: str):
    path.write_text("image,sha256,score,by,at,model,note\npool/a.jpg," + sha("a") + f",,,,,\n{row}\n")
    return quarantine.read(path)


def benchmark(path, row: str):
    path.write_text(f"image,label,sha256,at\npool/a.jpg,lion,,\n{row}\n")
    return benchmarks.read_all(path.parent, ROOTS)


def label_rows(path, row: str):
    path.write_text(f"image,label,at\nlibrary/a.jpg,lion,\n{row}\n")
    return labels.read(path, ROOTS)


def event_rows(path, row: str):
    path.write_text(f"event,class,to,at\nrename,a,b,\n{row}\n")
    return classes.read(path)


def lost(path, row: str):
    path.write_text(f"name,images,left,by,at,note\npool,9,0,ann,2026-03-01,\n{row}\n")
    return roots.read(path)


def label_contents(path, row: str):
    path.write_text(f"image,label,sha256\nlibrary/a.jpg,lion,\n{row}\n")
    return labels.read(path, ROOTS)


READERS = {
    "labels": (label_rows, "library/b.jpg,lion,{at}"),
    "quarantine": (quarantined, "pool/b.jpg," + sha("b") + ",,,{at},,"),
    "benchmark": (benchmark, "pool/b.jpg,lion,,{at}"),
    "lost roots": (lost, "library,9,0,ann,{at},"),
    "class events": (event_rows, "retire,c,,{at}"),
}


@pytest.mark.parametrize("at", ["9999-11-30T12:00:00", "2026-11-30Tx"])
@pytest.mark.parametrize("kind", READERS)
def test_a_time_that_is_none_is_refused_in_every_table_with_its_row(tmp_path, kind, at):
    read, row = READERS[kind]
    read(tmp_path / "table.csv", row.format(at="2026-03-01"))
    with pytest.raises(DataError) as refused:
        read(tmp_path / "table.csv", row.format(at=at))
    assert at in refused.value.what
    assert refused.value.where == f"{tmp_path}/table.csv, row 3"


@pytest.mark.parametrize(
    ("read", "row"),
    [
        (quarantined, "pool/b.jpg,{},,,,,"),
        (benchmark, "pool/b.jpg,lion,{},"),
        (label_contents, "library/b.jpg,lion,{}"),
    ],
)
def test_a_content_hash_that_is_none_is_refused_with_its_row(tmp_path, read, row):
    read(tmp_path / "table.csv", row.format(sha("b")))
    with pytest.raises(DataError) as refused:
        read(tmp_path / "table.csv", row.format(SPOILT))
    assert "'1.23E+63' is not a content hash" in refused.value.what
    assert refused.value.where == f"{tmp_path}/table.csv, row 3"


def test_the_clock_of_this_machine_decides_what_the_future_is(tmp_path):
    later = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    label_rows(tmp_path / "table.csv", f"library/b.jpg,lion,{datetime.now(UTC).isoformat()}")
    with pytest.raises(DataError, match="in the future"):
        label_rows(tmp_path / "table.csv", f"library/b.jpg,lion,{later}")


def test_only_new_rows_are_refused_for_a_class_that_is_a_word(tmp_path):
    stored = label_rows(tmp_path / "table.csv", "library/b.jpg,bad,")
    assert stored["label"].tolist() == ["lion", "bad"]
    with pytest.raises(DataError, match="'bad' is a word of the reviews, never a class"):
        labels.check(stored, ROOTS, "the import")
    labels.check(pd.DataFrame({"image": ["library/c.jpg"], "label": ["keep"], "status": ["unknown"]}), ROOTS, "it")


def test_the_name_that_is_proposed_for_such_a_class_is_free():
    assert cells.other_name("bad") == "bad-image"
    assert cells.other_name("Bad", {"bad-IMAGE", "bad-image-2"}) == "Bad-image-3"
