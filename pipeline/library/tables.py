"""Tables that people edit: read as text, whichever program saved them; errors name the line that an editor shows."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline.errors import DataError

FILE_NAMES = ["image", "filepath"]  # columns whose text is the file system's
OTHER_FORMATS = {b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text", b"PK\x03\x04": "a workbook"}
SEPARATORS = {";": "semicolons", "\t": "tabs"}
CONFLICT = re.compile(rb"^<{7} ", re.MULTILINE)
LINE_BREAK = "\r\n|\r|\n"
UNNAMED = "unnamed column "


def read_csv(path: Path, required: list[str]) -> pd.DataFrame:
    """Reads a table a person may have edited: any line ending, with or without a byte order mark.

    Every cell is text, whatever it looks like, and tidy, but for `FILE_NAMES`; an empty cell is "". Empty columns
    without a name, as spreadsheets leave them, are dropped, and so are blank rows. A row without all its cells is
    refused: a table that was cut short ends in one.

    Returns:
      A table whose index, plus 2, is the line in which a row begins: blank lines and line breaks in quoted cells count.

    Raises:
      DataError: with file and row, if it is missing, not text, not a table, cut short, or lacks one of the `required`
        columns.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        advice = "`git checkout` brings back its last version"
        raise DataError("the table is missing", where=path, mend=advice) from None
    except IsADirectoryError:
        raise DataError("a folder, not a table", where=path, mend="name a CSV file") from None
    return parse_csv(data, path, required)


def parse_csv(data: bytes, path: Path, required: list[str]) -> pd.DataFrame:
    """The table in `data`, as `read_csv` returns it; `path` is where it came from, for messages."""
    _refuse_conflict(data, path)
    names = _column_names(data, path, required)
    table = _read_plain(data, len(names))
    if table is None:
        table = _read_any(data, len(names), path)
        _refuse_short_rows(data, names, path)
    table = table.set_axis(names, axis=1).set_axis(_lines(table, data) - 2, axis=0).iloc[1:]
    table = table[(table != "").any(axis=1)]
    _refuse_cut_cell(table, data, path)
    empty = [name for name in names if name.startswith(UNNAMED) and (table[name] == "").all()]
    table = table.drop(columns=empty)
    for name in table.columns.difference(FILE_NAMES):
        table[name] = tidy(table[name])
    return table


def tidy(column: pd.Series) -> pd.Series:
    """Text as it is kept: composed (Unicode NFC: what looks alike is alike), `\\n` as line break, no spaces around."""
    if column.str.contains("\r", regex=False).any():  # a lone one would be written as the end of a row
        column = column.str.replace(r"\r\n?", "\n", regex=True)
    if not column.str.isascii().all():
        codes, texts = column.factorize()
        column = pd.Series(texts.str.normalize("NFC").take(codes), index=column.index, name=column.name)
    return column.str.strip()


def is_in(column: pd.Series, values: Iterable[str]) -> pd.Series:
    """Which cells of a column of text (N,) are among some values: `Series.isin`, which makes a Python object of each
    value, and takes a hundred times as long for 500,000."""
    known = pa.array(values if isinstance(values, pd.Series | pd.Index) else list(values), pa.large_string())
    found = pc.is_in(pa.array(column, pa.large_string()), value_set=known)
    return pd.Series(found.to_numpy(zero_copy_only=False), index=column.index)


def where(source: object, index: pd.Index, *rows: Any) -> str:
    """Where these rows of `source` are, for messages: their lines, or what the index is called and says."""
    return f"{source}, " + " and ".join(f"{index.name} {row}" if index.name else f"row {row + 2}" for row in rows)


def _refuse_conflict(data: bytes, path: Path) -> None:
    """Refuses a table that git could not merge."""
    mark = CONFLICT.search(data)
    if mark:
        line = data.count(b"\n", 0, mark.start()) + 1
        advice = "keep one row of each pair, and remove the lines with <<<<<<<, ======= and >>>>>>>"
        raise DataError("a merge conflict is not solved", where=f"{path}, row {line}", mend=advice)


def _column_names(data: bytes, path: Path, required: list[str]) -> list[str]:
    """The first line's cells; a column without a name is called by its number."""
    for start, kind in OTHER_FORMATS.items():
        if data.startswith(start):
            raise DataError(f"the table is {kind}, not UTF-8 text", where=path, mend="save it as CSV, UTF-8")
    head = io.StringIO(data[:100_000].decode("utf-8-sig", "replace"), newline="")
    names = [name.strip() for name in next(csv.reader(head, skipinitialspace=True), [])]
    if any("\0" in name or "\ufffd" in name for name in names):  # UTF-16 without a mark, a picture, ...
        raise _not_text(data, path)
    if not any(names):
        advice = f"its first line must be: {','.join(required)}"
        raise DataError("the first line is empty" if data.strip() else "the table is empty", where=path, mend=advice)
    for separator, word in SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            raise DataError(f"the columns are separated by {word}", where=path, mend="save it as CSV with commas")
    for name in required:
        if name not in names:
            advice = f"it has {', '.join(filter(None, names))[:200]}; name one '{name}'"
            raise DataError(f"column '{name}' is missing", where=path, mend=advice)
    for name in filter(None, names):
        if names.count(name) > 1:
            raise DataError(f"two columns are called '{name}'", where=f"{path}, row 1", mend="keep one of them")
    return [name or f"{UNNAMED}{number}" for number, name in enumerate(names, 1)]


def _read_plain(data: bytes, width: int) -> pd.DataFrame | None:
    """Reads with pyarrow, five times as fast as pandas; None for a table that the two might not read alike."""
    if not data.endswith((b"\n", b"\r")):
        return None
    types = {str(number): pa.large_string() for number in range(width)}
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            pyarrow.csv.ReadOptions(column_names=list(types)),
            pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        ).to_pandas()
    except pa.ArrowInvalid:
        return None
    spaced = any(table[column].str.startswith(" ").any() for column in table)  # pandas skips it, and may find a quote
    unclosed = table.iloc[-1, -1].endswith(("\n", "\r"))  # pyarrow takes the end of the file for a closing quote
    return None if spaced or unclosed else table


def _read_any(data: bytes, width: int, path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(
            io.BytesIO(data),
            header=None,  # else pandas renames columns, and takes surplus cells for row names
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
            skip_blank_lines=False,
        )
    except UnicodeDecodeError:
        raise _not_text(data, path) from None
    except pd.errors.ParserError as error:
        raise _not_a_table(data, path, width, str(error)) from None


def _refuse_short_rows(data: bytes, names: list[str], path: Path) -> None:
    """Refuses a row with fewer cells than there are columns with a name; pandas would fill it up in silence."""
    width = max(number for number, name in enumerate(names, 1) if not name.startswith(UNNAMED))
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), skipinitialspace=True)
    line = 1
    try:
        for cells in rows:
            if len(cells) < width and any(cell.strip() for cell in cells):
                what = f"a row has {len(cells)} of {width} cells"
                advice = "bring its last version back, if it was cut short; else write a comma for each empty cell"
                raise DataError(what, where=f"{path}, row {line}", mend=advice)
            line = rows.line_num + 1
    except csv.Error:  # a cell of more than 128 KB is no sign of a cut
        return


def _refuse_cut_cell(table: pd.DataFrame, data: bytes, path: Path) -> None:
    """Refuses a last line without an end whose last cell is empty, or begins another of its column: it may be cut."""
    if data.endswith((b"\n", b"\r")) or table.empty:
        return
    *others, last = table.iloc[:, -1].str.strip()
    longer = next((other for other in others if other.startswith(last) and other != last), "")
    if last and (not longer or last in others):
        return
    what = f"the last line has no end, and '{last}' may be cut short" + (f" ('{longer}')" if last else "")
    advice = "bring the table's last version back, or end that line"
    raise DataError(what, where=where(path, table.index, table.index[-1]), mend=advice)


def _lines(table: pd.DataFrame, data: bytes) -> np.ndarray:
    """The line of the file, from 1, in which each record begins."""
    lines = np.arange(1, len(table) + 1)
    ends = data.count(b"\n") + (not data.endswith((b"\n", b"\r")))
    if b"\r" in data:
        ends += data.count(b"\r") - data.count(b"\r\n")
    if ends == len(table):  # no quoted cell has a line break
        return lines
    breaks = sum(table[column].str.count(LINE_BREAK).to_numpy() for column in table)
    return lines + np.cumsum(breaks) - breaks


def _not_text(data: bytes, path: Path) -> DataError:
    try:
        data.decode("utf-8")
        line = 1
    except UnicodeDecodeError as error:
        line = len(data[: error.start + 1].splitlines())
    return DataError("the table is not UTF-8 text", where=f"{path}, row {line}", mend="save it as CSV, UTF-8")


def _not_a_table(data: bytes, path: Path, width: int, said: str) -> DataError:
    """What made pandas give up, which counts records, with the line an editor shows."""
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""), skipinitialspace=True)
    line = next_line = 1
    try:
        for cells in rows:
            line, next_line = next_line, rows.line_num + 1
            if len(cells) > width:
                what = f"a row has {len(cells)} cells, the first line names {width} columns"
                return DataError(what, where=f"{path}, row {line}", mend="put cells with commas into quotes")
    except csv.Error:  # a cell of more than 128 KB
        line = next_line
    if "EOF inside string" in said:
        return DataError("a quote is never closed", where=f"{path}, row {line}", mend="close it, or remove it")
    return DataError(f"not a table: {said.strip().splitlines()[-1]}", where=path)
