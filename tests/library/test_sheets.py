"""Tables that people open in a spreadsheet."""

import pandas as pd
import pytest

from pipeline.files import write_csv
from pipeline.library import sheets
from pipeline.library.tables import read_csv

CELLS = ["=1+1", "+49", "-x", "@cmd", "'=1", "''-2", "'plain", "plain", "a=b", ""]


def test_no_cell_is_executed_and_each_is_read_as_it_was_meant(tmp_path):
    table = pd.DataFrame({"image": CELLS, "score": -0.5, "none": [None] * len(CELLS)})
    assert sheets.executed(table) == 4
    written = sheets.inert(table)
    assert sheets.executed(written) == 0
    write_csv(written, tmp_path / "sheet.csv")
    assert not [line for line in (tmp_path / "sheet.csv").read_text().splitlines() if line.startswith(tuple("=+-@"))]
    read = sheets.as_meant(read_csv(tmp_path / "sheet.csv", ["image"]))
    assert read["image"].tolist() == CELLS
    assert written["score"].eq(-0.5).all()


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1"])
def test_a_cell_that_begins_with_a_break_or_a_tab_is_inert(text):
    table = pd.DataFrame({"label": [text]})
    assert sheets.inert(table)["label"].tolist() == ["'" + text]
    assert sheets.as_meant(sheets.inert(table)).equals(table)


def test_each_image_has_an_address_that_opens_it(tmp_path):
    links = sheets.links(pd.Series(["pool/a b/ü#1.jpg", ""]), {"pool": tmp_path})
    assert links.tolist() == [f"{tmp_path.as_uri()}/a%20b/%C3%BC%231.jpg", ""]
