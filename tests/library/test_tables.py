from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.library import tables

GOOD = "image,label\na.jpg,lion\n"


@pytest.fixture
def table(tmp_path):
    """Writes a table, as text or bytes, and returns its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(path: Path) -> pd.DataFrame:
    return tables.read_csv(path, ["image", "label"])


def refusal(path: Path, row: int | None) -> str:
    with pytest.raises(DataError) as refused:
        read(path)
    assert refused.value.where == (f"{path}, row {row}" if row else str(path))
    assert len(str(refused.value).splitlines()) <= 3
    assert len(str(refused.value)) < 1000
    return str(refused.value)


@pytest.mark.parametrize(
    ("content", "row", "said"),
    [
        ("", None, "the table is empty"),
        ("\ufeff", None, "image,label"),
        ("\n" + GOOD, None, "the first line is empty"),
        (",,\n" + GOOD, None, "the first line is empty"),
        ("image,class\na.jpg,lion\n", None, "column 'label' is missing"),
        ("image,class\na.jpg,lion\n", None, "it has image, class; name one 'label'"),
        ('"image,label\n' + "a.jpg,lion\n" * 1000, None, "column 'image' is missing"),
        ("image,label,label\na.jpg,lion,tapir\n", 1, "two columns are called 'label'"),
        ("image;label\na.jpg;lion, or tapir\n", None, "separated by semicolons"),
        ('"image";"label"\n"a.jpg";"lion"\n', None, "separated by semicolons"),
        ("image\tlabel\na.jpg\tlion\n", None, "separated by tabs"),
        ("image,label\na.jpg,lion,surplus\n", 2, "a row has 3 cells, the first line names 2 columns"),
        (GOOD + "b.jpg,lion,surplus\n", 3, "a row has 3 cells"),
        (GOOD + '\n"b.jpg","two\n\nlines"\nb.jpg,lion,surplus\n', 7, "a row has 3 cells"),
        (GOOD + '"b.jpg,lion\n', 3, "a quote is never closed"),
        (GOOD + "b.jpg\n", 3, "a row has 1 of 2 cells"),
        (GOOD + "b.jp", 3, "a row has 1 of 2 cells"),
        (GOOD + "b.jpg,", 3, "the last line has no end, and '' may be cut short"),
        (GOOD + "\nb.jpg,li", 4, "the last line has no end, and 'li' may be cut short ('lion')"),
        ("image,label,,\na.jpg,lion\nb.jpg\nc.jpg,lion\n", 3, "a row has 1 of 2 cells"),
        (GOOD + '"of two\nlines",lion\n\n"b.jpg"\n', 6, "a row has 1 of 2 cells"),
        (GOOD.replace("\n", "\r") + '\r"b\n.jpg",lion\r\nc.jpg,"lion\nd.jpg,lion\n', 6, "a quote is never closed"),
        (GOOD + '"b.jpg,lion\n' + GOOD * 20_000, 3, "a quote is never closed"),
        (GOOD.encode() + b"l\xf6we.jpg,lion\n", 3, "not UTF-8 text"),
        (GOOD.encode() + b'"\r\r\n\n",lion\nl\xf6we.jpg,lion\n', 7, "not UTF-8 text"),
        (GOOD.encode("utf-16"), None, "UTF-16"),
        (GOOD.encode("utf-16-be"), 1, "not UTF-8 text"),
        (GOOD.encode("utf-16-le"), 1, "not UTF-8 text"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", 1, "not UTF-8 text"),
        (GOOD.encode() + b"b.jpg,lion,x\n" + b"c.jpg,lion\n" * 50_000 + b"l\xf6we.jpg,lion\n", 3, "a row has 3 cells"),
        (b"PK\x03\x04\x14\0\6\0", None, "a workbook, not UTF-8 text"),
    ],
)
def test_what_is_no_table_is_named_with_its_line(table, content, row, said):
    assert said in refusal(table(content), row)


def test_a_folder_is_no_table(tmp_path):
    assert "a folder, not a table" in refusal(tmp_path, None)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfimage,label\na.jpg,lion\n",
        b"image,label\r\na.jpg,lion\r\n",
        b"image,label\ra.jpg,lion\r",
        b"image,label\ra.jpg,lion\n\r\n",
        b'"image","label"\n"a.jpg","lion"\n',
        b'\xef\xbb\xbf"image","label"\n"a.jpg","lion"\n',
        b"image, label\na.jpg, lion \n",
        b'image, "label"\na.jpg, "lion"\n',
        b"label,image\nlion,a.jpg",
        b"image,label\na.jpg,lion",
        b"image,label,,\na.jpg,lion,,\n,,,\n",
        b",image,label, \n,a.jpg,lion,\n",
        b"image,label\n\na.jpg,lion\n,\n\n",
    ],
)
def test_a_table_is_read_however_a_program_saved_it(table, content):
    rows = read(table(content))
    assert rows[["image", "label"]].to_numpy().tolist() == [["a.jpg", "lion"]]
    assert len(rows.columns) == 2


def test_a_column_without_a_name_is_kept_if_it_says_something(table):
    assert read(table(",image,label\n0,a.jpg,lion\n"))["unnamed column 1"].tolist() == ["0"]


@pytest.mark.parametrize("text", ["=1+1", "-2", "+x", "@a", "007", "1e3", "NA", "", "#1", "a;b", "\0", "<b>", "'"])
def test_a_cell_stays_the_text_it_is(table, text):
    rows = read(table(f'image,label,note\na.jpg,{text},"{text}"\n'))
    assert rows.iloc[0].tolist() == ["a.jpg", text, text]


def test_a_last_line_without_an_end_is_whole_if_its_last_cell_is_known_or_begins_no_other(table):
    assert read(table("image,label\na.jpg,lion\nb.jpg,lioness\nc.jpg,lion"))["label"].iloc[-1] == "lion"
    assert read(table(GOOD + "b.jpg,tiger"))["label"].iloc[-1] == "tiger"


def test_cells_of_columns_without_a_name_may_be_absent(table):
    assert read(table("image,label,,\na.jpg,lion\nb.jpg,\n"))["label"].tolist() == ["lion", ""]


def test_names_of_files_stay_as_they_are(table):
    parted = "n\u0303 .jpg"
    rows = read(table(f"image,filepath,label\n{parted},{parted},{parted} \n"))
    assert rows.iloc[0].tolist() == [parted, parted, "\u00f1 .jpg"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_row_is_known_by_the_line_in_which_it_begins(table, end):
    lines = ["image,label", "a.jpg,lion", "", 'b.jpg,"of', "", 'two"', '"c', '.jpg",x', "d.jpg,lion"]
    rows = read(table(end.join(lines)))
    assert {lines[index + 1][:1] for index in rows.index} == {"a", "b", '"', "d"}
    assert rows["image"].str[-5].tolist()[-1] == "d"
    assert tables.where("t.csv", rows.index, *rows.index[-2:]) == "t.csv, row 7 and row 9"


CELL = st.text(st.sampled_from(['"', ",", "\n", "\r", " ", "a", "é", "\0"]), max_size=3)
QUOTED = CELL.map(lambda text: '"' + text.replace('"', '""') + '"')
LINE = st.tuples(st.lists(CELL | QUOTED, min_size=1, max_size=3), st.sampled_from(["\n", "\r\n", "\r", ""]))


@given(st.lists(LINE, max_size=4))
@settings(deadline=None, max_examples=200)
def test_the_fast_reader_reads_what_the_patient_one_reads_or_leaves_it_alone(lines):
    data = ("x,y\n" + "".join(",".join(cells) + end for cells, end in lines)).encode()
    fast = tables._read_plain(data, 2)
    if fast is not None:
        patient = tables._read_any(data, 2, Path("table.csv"))
        assert fast.to_numpy().tolist() == patient.to_numpy().tolist()


def test_the_fast_reader_reads_plain_tables():
    assert tables._read_plain('\ufeffx,y\r\n"a, ""b""",é\r\n,\r\n'.encode(), 2).to_numpy().tolist() == [
        ["x", "y"],
        ['a, "b"', "é"],
        ["", ""],
    ]
