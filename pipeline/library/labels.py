"""The label table: what people know of each image. Only people and the commands they call write it."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from pipeline.config import nearest
from pipeline.errors import DataError
from pipeline.files import write_csv

COLUMNS = ["image", "label", "subclass", "origin", "group", "status", "by", "at", "model", "note"]
REQUIRED = ["image", "label"]
ORIGINS = ["real", "staged", "synthetic"]
STATUSES = ["ok", "unknown", "bad"]
UNKNOWN = "unknown"
CONTROL = r"[\x00-\x1f\x85\u2028\u2029]"


@dataclass(frozen=True)
class Merged:
    """The label table after a merge, and what the merge did, in numbers of images."""

    table: pd.DataFrame
    added: int
    known: int
    differing: list[str]


def read(path: Path, root_names: list[str]) -> pd.DataFrame:
    """Reads and checks the label table; every column is text, an empty cell is "".

    Raises:
      DataError: with file and row, if a column is missing or unknown, an image is listed twice, a value is not known,
        or a path leaves its root.
    """
    table = read_csv(path, REQUIRED)
    for column in table.columns:
        if column not in COLUMNS:  # a slip ("orgin") would be taken for its default, and lost at the next write
            raise DataError(f"unknown column '{column}'", where=path, mend=nearest(column, COLUMNS))
    return check(table, root_names, path)


def read_csv(path: Path, required: list[str]) -> pd.DataFrame:
    """Reads a table a person may have edited: any line ending, with or without a byte order mark.

    Raises:
      DataError: if it is missing, not text, not a table, or lacks one of the `required` columns.
    """
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True, skip_blank_lines=False
        )
    except FileNotFoundError:
        advice = "`git checkout` brings back its last version"
        raise DataError("the table is missing", where=path, mend=advice) from None
    except pd.errors.EmptyDataError:
        advice = f"its first line must be: {','.join(required)}"
        raise DataError("the table is empty", where=path, mend=advice) from None
    except UnicodeDecodeError:
        raise DataError("the table is not UTF-8 text", where=path, mend="save it as CSV, UTF-8") from None
    except pd.errors.ParserError as error:
        raise DataError(f"not a table: {str(error).strip().splitlines()[-1]}", where=path) from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus cells for row names
        raise DataError(
            "a row has more cells than the first line names", where=f"{path}, row 2", mend="quote its commas"
        )
    table.columns = [str(column).strip() for column in table.columns]
    for column in required:
        if column not in table:
            advice = f"it has {', '.join(table.columns)}; name one '{column}'"
            raise DataError(f"column '{column}' is missing", where=path, mend=advice)
    table = table.fillna("")
    return table[(table != "").any(axis=1)]  # the index still counts the blank rows, as messages do


def check(table: pd.DataFrame, root_names: list[str], source: object) -> pd.DataFrame:
    """Returns the table with all columns, in order, sorted by image; spaces around values are dropped.

    Raises:
      DataError: as `read`.
    """
    table = table.reindex(columns=COLUMNS, fill_value="").fillna("").astype("str")
    for column in COLUMNS[1:]:
        lines = table[column].str.replace(r"\r\n?", "\n", regex=True)  # a lone \r is written as the end of a row
        table[column] = lines.str.strip()
    for column, default in {"origin": "real", "status": "ok"}.items():
        table[column] = table[column].replace("", default)
    check_images(table["image"], root_names, source)
    for column, known in {"origin": ORIGINS, "status": STATUSES}.items():
        wrong = ~table[column].isin(known)
        if wrong.any():
            value = table.loc[wrong, column].iloc[0]
            _refuse(wrong, table, source, f"unknown {column} '{value}'", nearest(value, known))
    ok = table["status"] == "ok"
    unnamed = ok & (table["label"] == "")
    _refuse(unnamed, table, source, "an image with status ok has no label", "give one, or status unknown")
    check_labels(table[ok], source)
    return table.sort_values("image", ignore_index=True)


def check_labels(table: pd.DataFrame, source: object) -> None:
    """Checks the column `label`.

    Raises:
      DataError: with file and row, for the class "unknown", or a line break in a name (`classes.txt` has one a line).
    """
    never = table["label"].str.lower() == UNKNOWN
    _refuse(never, table, source, "'unknown' is never a class", "give such images the status unknown, or no label")
    broken = table["label"].str.contains(CONTROL)
    _refuse(broken, table, source, "a line break or control character in a label", "write the label in one line")


def check_images(images: pd.Series, root_names: list[str], source: object) -> None:
    """Checks names `ROOT/path`.

    Raises:
      DataError: with file and row, for an empty name or one listed twice, an unknown root, or a path that leaves its
        root.
    """
    table = images.to_frame("image")
    _refuse(images == "", table, source, "a row without an image", "name the image, or remove the row")
    twice = images.duplicated()
    _refuse(twice, table, source, "an image is listed twice", "keep one of the rows")
    _refuse(
        images.str.contains(CONTROL), table, source, "a line break or control character in a name", "rename the file"
    )
    roots = root_of(images)
    for root in roots[~roots.isin(root_names)].head(1):
        advice = f"{nearest(root, root_names)} (roots in configs/params.yaml)"
        _refuse(roots == root, table, source, f"unknown root '{root}'", advice)
    outside = images.str.contains(r"/\.{0,2}(?:/|$)") | (images == roots)
    _refuse(outside, table, source, "a path outside its root", "write ROOT/path, without '.' and '..'")


def merge(table: pd.DataFrame, incoming: pd.DataFrame) -> Merged:
    """Adds the rows of images that `table` does not have; never changes or drops a row of it."""
    known = incoming["image"].isin(table["image"])
    both = incoming[known].merge(table, on="image", suffixes=("", "_old"))
    differs = both["label"] != both["label_old"]
    merged = pd.concat([table, incoming[~known]], ignore_index=True).sort_values("image", ignore_index=True)
    return Merged(merged[COLUMNS], int((~known).sum()), int(known.sum()), both.loc[differs, "image"].tolist())


def write(table: pd.DataFrame, path: Path) -> None:
    write_csv(table[COLUMNS].sort_values("image"), path)


def root_of(images: pd.Series) -> pd.Series:
    """The root's name of each image ROOT/path."""
    return images.str.replace(r"(?s)/.*", "", regex=True)


def locate(image: str, folders: dict[str, Path]) -> Path:
    """The file of the image called ROOT/path."""
    root, _, path = image.partition("/")
    return folders[root] / PurePosixPath(path)


def _refuse(wrong: pd.Series, table: pd.DataFrame, source: object, what: str, mend: str) -> None:
    rows = table.index[wrong]
    if not len(rows):
        return
    first = rows[0]
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    image = table.loc[first, "image"]
    named = f": {image}" if image else ""
    raise DataError(f"{what}{named}{more}", where=f"{source}, row {first + 2}", mend=mend)
