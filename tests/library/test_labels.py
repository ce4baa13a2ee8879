from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.library import cells, labels
from tests.library.builders import label_table, library_table, sha

ROOTS = ["library", "pool"]


@pytest.fixture
def table(tmp_path):
    """Writes a label table, as text or bytes, and returns its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "labels.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def refusal(path: Path, row: int | str | None) -> str:
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
        (GOOD + "library/b.jpg,tapir\nlibrary/a.jpg,lion\n", "2 and row 4", "listed twice: library/a.jpg"),
        (GOOD + "library/a.jpg,lion\n" * 3, "2 and row 3", "listed twice: library/a.jpg"),
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
        (GOOD + "library/b.jpg\n", 3, "a row has 1 of 2 cells"),
        (GOOD + "library/b.jpg,unknown\n", 3, "'unknown' is never a class"),
        (GOOD + "library/b.jpg, Unknown \n", 3, "'unknown' is never a class"),
        (GOOD + 'library/b.jpg,"li\non"\n', 3, "a line break"),
        (GOOD + '"library/b\n.jpg",lion\n', 3, "a line break"),
        (GOOD + "library/b\u2028.jpg,lion\n", 3, "a line break"),
        ("image,label,orgin\nlibrary/a.jpg,lion,staged\n", None, "did you mean 'origin'?"),
        ("image,label,\nlibrary/a.jpg,lion,staged\n", None, "unknown column 'unnamed column 3'"),
        (GOOD + "library/b.jpg,lion\nlibrary/c.jpg,Lion\n", 4, "write 'lion', or give it another name"),
        (GOOD + "library/b.jpg,LION\nlibrary/c.jpg,LION\n", 2, "'lion' and 'LION' differ by case only: library/a.jpg"),
    ],
)
def test_a_fault_is_named_with_file_and_row(table, content, row, said):
    assert said in refusal(table(content), row)


def test_a_missing_table_says_how_to_bring_it_back(tmp_path):
    assert "git checkout" in refusal(tmp_path / "labels.csv", None)


def test_a_table_of_names_alone_has_no_rows(table):
    empty = labels.read(table("image,label\n"), ROOTS)
    assert empty.empty
    assert list(empty) == labels.COLUMNS


def test_names_may_hold_any_letters_commas_and_quotes(table):
    read = labels.read(table('image,label\n"library/Ñandú, ""two"" (1)[x]..y.jpg",großer Ameisenbär\n'), ROOTS)
    assert read.loc[0, "image"] == 'library/Ñandú, "two" (1)[x]..y.jpg'
    assert read.loc[0, "label"] == "großer Ameisenbär"


def test_two_spellings_of_a_letter_are_one_class_and_two_files(table):
    composed, parted = "\u00f1andu", "n\u0303andu"
    rows = f"library/{composed}.jpg,{composed}\nlibrary/{parted}.jpg,{parted}\n"
    read = labels.read(table(f"image,label\n{rows}"), ROOTS)
    assert set(read["label"]) == {composed}
    assert set(read["image"]) == {f"library/{composed}.jpg", f"library/{parted}.jpg"}


def test_spaces_around_a_class_name_are_no_part_of_it(table):
    read = labels.read(table(GOOD + "library/b.jpg, lion\u00a0 \n"), ROOTS)
    assert set(read["label"]) == {"lion"}


def test_classes_that_differ_by_case_are_told_apart_where_one_is_not_in_use(table):
    assert len(labels.read(table("image,label,status\nlibrary/a.jpg,lion,\nlibrary/b.jpg,LION,bad\n"), ROOTS)) == 2


def test_the_spelling_in_use_is_the_right_one_however_rare():
    new = pd.DataFrame({"image": ["pool/a", "pool/b"], "label": "Lion"})
    with pytest.raises(DataError, match="'Lion' and 'lion' differ by case only: pool/a") as refused:
        labels.check_spelling(new, "new.csv", known=pd.Series(["lion"]))
    assert "write 'lion'" in refused.value.mend


def test_names_and_notes_may_be_very_long(tmp_path):
    note = 'so, a "note" ' * 300
    written = label_table({"image": f"library/{'n' * 300}.jpg", "label": "ñ" * 300, "note": note})
    labels.write(written, tmp_path / "labels.csv")
    pd.testing.assert_frame_equal(labels.read(tmp_path / "labels.csv", ROOTS), written)


@pytest.mark.parametrize("word", ["NA", "None", "nan", "null", "007", "1e3", "True"])
def test_a_class_may_be_called_what_a_program_could_mistake(table, word):
    assert labels.read(table(f"image,label\nlibrary/a.jpg,{word}\n"), ROOTS).loc[0, "label"] == word


def test_an_image_nobody_can_name_needs_no_label(table):
    read = labels.read(table("image,label,status\nlibrary/a.jpg,,unknown\nlibrary/b.jpg,unknown,bad\n"), ROOTS)
    assert read["status"].tolist() == ["unknown", "bad"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAME = st.text(st.characters(categories=["L", "M", "N", "P", "Zs"], exclude_characters="/\\."), min_size=1, max_size=6)
ENDINGS = st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1, max_size=3)


@st.composite
def tables(draw):
    """Label tables that hold any text; one class, as any two could differ by case only."""
    free = st.fixed_dictionaries(dict.fromkeys(("subclass", "group", "by", "model", "note"), TEXT))
    known = st.fixed_dictionaries(
        {"origin": st.sampled_from(labels.ORIGINS), "status": st.sampled_from(labels.STATUSES)}
    )
    rows = draw(st.dictionaries(NAME, st.tuples(free, known), max_size=6))
    label = draw(NAME.filter(lambda name: name.strip() and not cells.class_fault(name)))
    at = draw(st.sampled_from(["", "2026-03-01", "2026-03-01T12:00:00.123+00:00"]))
    return label_table(*({"image": f"pool/{n}.jpg", "label": label, "at": at} | a | b for n, (a, b) in rows.items()))


@given(tables(), ENDINGS, st.booleans())
@settings(deadline=None, max_examples=30)
def test_what_is_written_is_read_again_whatever_line_endings_an_editor_makes_of_it(
    tmp_path_factory, table, endings, has_mark
):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    labels.write(table, path)
    written = path.read_bytes()
    pd.testing.assert_frame_equal(labels.read(path, ROOTS), table)
    lines = written.decode().split("\n")
    mixed = "".join(line + endings[number % len(endings)] for number, line in enumerate(lines[:-1]))
    path.write_bytes(mixed.encode("utf-8-sig" if has_mark else "utf-8"))
    again = labels.read(path, ROOTS)
    pd.testing.assert_frame_equal(again, table)
    labels.write(again, path)
    assert path.read_bytes() == written


def test_rows_are_written_sorted_by_image(tmp_path):
    table = label_table(*({"image": f"library/{n}.jpg", "label": "lion"} for n in "cab"))
    labels.write(table.iloc[[2, 0, 1]], tmp_path / "labels.csv")
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines[0] == ",".join(labels.COLUMNS)
    assert [line[:11] for line in lines[1:]] == ["library/a.j", "library/b.j", "library/c.j"]


def test_a_label_without_a_content_is_given_that_of_the_index_and_one_with_a_content_keeps_it():
    table = label_table(
        {"image": "library/a.jpg", "label": "lion"},
        {"image": "library/b.jpg", "label": "lion", "sha256": sha("then")},
        {"image": "library/gone.jpg", "label": "lion"},
    )
    indexed = library_table({"image": "library/a.jpg"}, {"image": "library/b.jpg"})
    filled = labels.with_contents(table, indexed)
    assert filled["sha256"].tolist() == [sha("library/a.jpg"), sha("then"), ""]
    assert labels.with_contents(filled, indexed.assign(sha256=sha("now"))).loc[0, "sha256"] == sha("library/a.jpg")


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
