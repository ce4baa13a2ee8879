from pathlib import Path

import pandas as pd
import pytest
from builders import label_table
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.library import labels

ROOTS = ["library", "pool"]


@pytest.fixture
def table(tmp_path):
    """Writes a label table, as text or bytes, and returns its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "labels.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def refusal(path: Path, row: int | None) -> str:
    with pytest.raises(DataError) as refused:
        labels.read(path, ROOTS)
    where = f"   in: {path}, row {row}" if row else f"   in: {path}"
    assert where in str(refused.value).splitlines()
    assert len(str(refused.value).splitlines()) <= 3
    return str(refused.value)


GOOD = "image,label\nlibrary/a.jpg,lion\n"


@pytest.mark.parametrize(
    ("content", "row", "said"),
    [
        ("image,class\nlibrary/a.jpg,lion\n", None, "column 'label' is missing"),
        ("image;label\nlibrary/a.jpg;lion\n", None, "it has image;label"),
        (GOOD + "library/b.jpg,tapir\nlibrary/a.jpg,lion\n", 4, "listed twice: library/a.jpg"),
        ("image,label,status\nlibrary/a.jpg,lion,unknwon\n", 2, "did you mean 'unknown'?"),
        ("image,label,origin\nlibrary/a.jpg,lion,real\nlibrary/b.jpg,lion,stagd\n", 3, "did you mean 'staged'?"),
        ("image,label\nlibary/a.jpg,lion\n", 2, "did you mean 'library'?"),
        ("image,label\na.jpg,lion\n", 2, "unknown root 'a.jpg'"),
        ("image,label\nlibrary\\a.jpg,lion\n", 2, "did you mean 'library'?"),
        (GOOD + "library/../secret.jpg,lion\n", 3, "a path outside its root: library/../secret.jpg"),
        (GOOD + "library/x/..,lion\n", 3, "a path outside its root"),
        (GOOD + "library//a.jpg,lion\n", 3, "a path outside its root"),
        (GOOD + "library/./a.jpg,lion\n", 3, "a path outside its root"),
        (GOOD + "library/,lion\n", 3, "a path outside its root"),
        (GOOD + "library,lion\n", 3, "a path outside its root"),
        (GOOD + ",lion\n", 3, "a row without an image"),
        (GOOD + ",lion\n,tapir\n", 3, "a row without an image (and 1 more)"),
        (GOOD + "library/b.jpg,\n", 3, "status ok has no label: library/b.jpg"),
        (GOOD + "library/b.jpg\n", 3, "status ok has no label: library/b.jpg"),
        (GOOD + "library/b.jpg,unknown\n", 3, "'unknown' is never a class"),
        (GOOD + "library/b.jpg, Unknown \n", 3, "'unknown' is never a class"),
        (GOOD + 'library/b.jpg,"li\non"\n', 3, "a line break"),
        (GOOD + '"library/b\n.jpg",lion\n', 3, "a line break"),
        ("image,label\nlibrary/a.jpg,lion,surplus\n", 2, "more cells"),
        (GOOD + "library/b.jpg,lion,surplus\n", None, "Expected 2 fields in line 3, saw 3"),
        (GOOD + '"library/b.jpg,lion\n', None, "not a table"),
        ("image,label,orgin\nlibrary/a.jpg,lion,staged\n", None, "did you mean 'origin'?"),
        ("image,label,label\nlibrary/a.jpg,lion,tapir\n", None, "unknown column 'label.1'"),
        ("", None, "the table is empty"),
        ("image,label\nlibrary/a.jpg,löwe\n".encode("latin-1"), None, "not UTF-8"),
        (GOOD.encode("utf-16"), None, "not UTF-8"),
    ],
)
def test_a_fault_is_named_with_file_and_row(table, content, row, said):
    assert said in refusal(table(content), row)


def test_blank_lines_do_not_change_the_rows_a_message_names(table):
    assert "libary" in refusal(table("image,label\n\nlibrary/a.jpg,lion\n,\nlibary/b.jpg,lion\n"), 5)


def test_blank_lines_are_no_rows(table):
    assert len(labels.read(table(GOOD + "\n,\n\n"), ROOTS)) == 1


def test_a_missing_table_says_how_to_bring_it_back(tmp_path):
    assert "git checkout" in refusal(tmp_path / "labels.csv", None)


def test_a_table_of_names_alone_has_no_rows(table):
    empty = labels.read(table("image,label\n"), ROOTS)
    assert empty.empty
    assert list(empty) == labels.COLUMNS


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfimage,label\nlibrary/a.jpg,lion\n",
        b"image,label\r\nlibrary/a.jpg,lion\r\n",
        b"image,label\rlibrary/a.jpg,lion\r",
        b'"image","label"\n"library/a.jpg","lion"\n',
        b"image, label\nlibrary/a.jpg, lion \n",
        b"label,image\nlion,library/a.jpg",
    ],
    ids=["byte order mark", "CRLF", "CR", "quotes", "spaces", "other order"],
)
def test_a_table_is_read_however_an_editor_saved_it(table, content):
    row = labels.read(table(content), ROOTS).iloc[0]
    assert row[["image", "label", "origin", "status", "group"]].tolist() == ["library/a.jpg", "lion", "real", "ok", ""]


def test_names_may_hold_any_letters_commas_and_quotes(table):
    read = labels.read(table('image,label\n"library/Ñandú, ""two"" (1)[x]..y.jpg",großer Ameisenbär\n'), ROOTS)
    assert read.loc[0, "image"] == 'library/Ñandú, "two" (1)[x]..y.jpg'
    assert read.loc[0, "label"] == "großer Ameisenbär"


@pytest.mark.parametrize("word", ["NA", "None", "nan", "null", "007", "1e3", "True"])
def test_a_class_may_be_called_what_a_program_could_mistake(table, word):
    assert labels.read(table(f"image,label\nlibrary/a.jpg,{word}\n"), ROOTS).loc[0, "label"] == word


def test_an_image_nobody_can_name_needs_no_label(table):
    read = labels.read(table("image,label,status\nlibrary/a.jpg,,unknown\nlibrary/b.jpg,unknown,bad\n"), ROOTS)
    assert read["status"].tolist() == ["unknown", "bad"]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NAME = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="/\\."), min_size=1, max_size=6)


@given(st.dictionaries(NAME, st.tuples(TEXT, TEXT, st.sampled_from(labels.ORIGINS)), max_size=6))
@settings(deadline=None, max_examples=30)
def test_what_is_written_is_read_again_and_written_to_the_same_bytes(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    rows = [
        {"image": f"pool/{name}.jpg", "label": "lion", "subclass": sub, "note": note, "origin": origin}
        for name, (sub, note, origin) in cells.items()
    ]
    table = label_table(*rows)
    labels.write(table, path)
    first = path.read_bytes()
    again = labels.read(path, ROOTS)
    pd.testing.assert_frame_equal(again, table)
    labels.write(again, path)
    assert path.read_bytes() == first


def test_rows_are_written_sorted_by_image(tmp_path):
    table = label_table(*({"image": f"library/{n}.jpg", "label": "lion"} for n in "cab"))
    labels.write(table.iloc[[2, 0, 1]], tmp_path / "labels.csv")
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines[0] == ",".join(labels.COLUMNS)
    assert [line[:11] for line in lines[1:]] == ["library/a.j", "library/b.j", "library/c.j"]


def some(**labelled: str) -> pd.DataFrame:
    return label_table(*({"image": f"library/{name}", "label": label} for name, label in labelled.items()))


def test_a_merge_adds_what_is_new_and_names_what_differs():
    merged = labels.merge(some(a="lion", b="tapir"), some(b="puma", a="lion", c="tapir"))
    assert (merged.added, merged.known, merged.differing) == (1, 2, ["library/b"])
    assert merged.table["label"].tolist() == ["lion", "tapir", "tapir"]


NAMES = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["lion", "tapir"]))


@given(NAMES, NAMES)
@settings(deadline=None, max_examples=20)
def test_a_merge_never_loses_or_changes_a_row(old, incoming):
    table = some(**old)
    merged = labels.merge(table, some(**incoming))
    kept = merged.table[merged.table["image"].isin(table["image"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, table)
    assert len(merged.table) == len(old) + merged.added == len(old.keys() | incoming.keys())
    assert merged.added + merged.known == len(incoming)
    assert merged.table["image"].is_monotonic_increasing


def test_an_image_lies_where_its_root_lies():
    folders = {"library": Path("/mnt/library")}
    assert labels.locate("library/lion/a b.jpg", folders) == Path("/mnt/library/lion/a b.jpg")
