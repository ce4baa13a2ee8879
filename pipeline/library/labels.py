"""The label table: what people know of each image. Only people and the commands they call write it."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from pipeline.errors import DataError, closest
from pipeline.files import write_csv
from pipeline.library import cells
from pipeline.library.cells import BAD, UNKNOWN
from pipeline.library.tables import read_csv, tidy, where

COLUMNS = ["image", "label", "subclass", "origin", "group", "status", "by", "at", "model", "note", "sha256"]
REQUIRED = ["image", "label"]
ORIGINS = ["real", "staged", "synthetic"]
STATUSES = ["ok", UNKNOWN, BAD]
CONTROL = "[\x00-\x1f\x85\u2028\u2029]"  # the characters themselves: pyarrow's expressions know no \\u
BROKEN = re.compile(CONTROL)
OUTSIDE = re.compile(r"/\.{0,2}(?:/|$)")
PLAIN = f"(?:/[^./{CONTROL[1:-1]}][^/{CONTROL[1:-1]}]*)+"  # a path below a root that has surely no fault


@dataclass(frozen=True)
class Merged:
    """The label table after a merge, and what the merge did, in numbers of images."""

    table: pd.DataFrame
    added: int
    known: int
    differing: list[str]


def read(path: Path, root_names: list[str]) -> pd.DataFrame:
    """Reads and checks the label table; every column is text, an empty cell is "".

    A class that is called like a word of a decision is read: class events may give it another name
    (`classes.Classes.refuse_words`).

    Raises:
      DataError: with file and row, if a column is missing or unknown, an image is listed twice, a value is not known,
        a path leaves its root, a time is none or in the future, or class names differ by case only.
    """
    table = read_csv(path, REQUIRED)
    for column in table.columns:
        if column not in COLUMNS:  # a slip ("orgin") would be taken for its default, and lost at the next write
            raise DataError(f"unknown column '{column}'", where=path, mend=closest(column, COLUMNS))
    return _check(table.reindex(columns=COLUMNS, fill_value=""), root_names, path)


def check(table: pd.DataFrame, root_names: list[str], source: object) -> pd.DataFrame:
    """Returns a table of new rows with all columns, in order, tidy but for the image names, sorted by image.

    Raises:
      DataError: as `read`, and for a class that is called like a word of a decision.
    """
    table = table.reindex(columns=COLUMNS, fill_value="").fillna("").astype("str")
    for column in COLUMNS[1:]:
        table[column] = tidy(table[column])
    cells.refuse_words(table[~table["status"].isin([UNKNOWN, BAD])], source)
    return _check(table, root_names, source)


def _check(table: pd.DataFrame, root_names: list[str], source: object) -> pd.DataFrame:
    for column, default in {"origin": "real", "status": "ok"}.items():
        table[column] = table[column].replace("", default)
    check_images(table["image"], root_names, source)
    cells.check(table, source)
    for column, known in {"origin": ORIGINS, "status": STATUSES}.items():
        wrong = ~table[column].isin(known)
        if wrong.any():
            value = table.loc[wrong, column].iloc[0]
            _refuse(wrong, table, source, f"unknown {column} '{value}'", closest(value, known))
    ok = table["status"] == "ok"
    unnamed = ok & (table["label"] == "")
    _refuse(unnamed, table, source, "an image with status ok has no label", "give one, or status unknown")
    check_labels(table.loc[ok, ["image", "label"]], source)
    return table.sort_values("image", ignore_index=True)


def check_labels(table: pd.DataFrame, source: object) -> None:
    """Checks the column `label`.

    Raises:
      DataError: with file and row, for the class "unknown", a line break in a name (`classes.txt` has one a line), or
        names that differ by case only.
    """
    never = table["label"].str.lower() == UNKNOWN
    _refuse(never, table, source, "'unknown' is never a class", "give such images the status unknown, or no label")
    broken = [name for name in table["label"].unique() if re.search(CONTROL, name)]
    what = "a line break or control character in a label"
    _refuse(table["label"].isin(broken), table, source, what, "write the label in one line")
    check_spelling(table, source)


def check_spelling(table: pd.DataFrame, source: object, *, known: pd.Series | None = None) -> None:
    """Refuses class names that differ by case only: nearly always a slip, and one folder to many file systems.

    Args:
      known: labels whose spelling is the right one; without them, the more frequent one is.

    Raises:
      DataError: with file and row.
    """
    spelling: dict[str, str] = {}
    for labels in [table["label"]] if known is None else [known, table["label"]]:
        counts = labels.value_counts().sort_index().sort_values(ascending=False, kind="stable")
        for name in counts.index:
            spelling.setdefault(name.casefold(), name)
    for name in table["label"].unique():
        right = spelling[name.casefold()]
        if name != right:
            what = f"the classes '{name}' and '{right}' differ by case only"
            _refuse(table["label"] == name, table, source, what, f"write '{right}', or give it another name")


def check_images(images: pd.Series, root_names: list[str], source: object) -> None:
    """Checks names `ROOT/path`.

    Raises:
      DataError: with file and row, for an empty name or one listed twice, an unknown root, or a path that leaves its
        root.
    """
    plain = images.str.fullmatch(f"(?:{'|'.join(map(re.escape, root_names))}){PLAIN}")
    odd = images[~plain]  # nearly always none: half a million names are looked at as one
    faults = [image_fault(image, root_names) for image in odd]
    for what, mend in filter(None, faults):
        wrong = odd.index[[fault is not None and fault[0] == what for fault in faults]]
        _refuse(images.index.to_series().isin(wrong), images.to_frame("image"), source, what, mend)
    if not images.is_unique:
        image = images[images.duplicated()].iloc[0]
        rows = where(source, images.index, *images.index[images == image][:2])
        raise DataError(f"an image is listed twice: {image}", where=rows, mend="keep one of the rows")


def image_fault(image: str, root_names: list[str]) -> tuple[str, str] | None:
    """What is wrong with a name `ROOT/path`, and how to mend it; None if nothing is."""
    if not image:
        return "a row without an image", "name the image, or remove the row"
    if BROKEN.search(image):
        return "a line break or control character in a name", "rename the file"
    root, below, _ = image.partition("/")
    if root not in root_names:
        return f"unknown root '{root}'", f"{closest(root, root_names)} (roots in configs/params.yaml)"
    if not below or OUTSIDE.search(image):
        return "a path outside its root", "write ROOT/path, without '.' and '..'"
    return None


def merge(table: pd.DataFrame, incoming: pd.DataFrame) -> Merged:
    """Adds the rows of images that `table` does not have; never changes or drops a row of it."""
    known = incoming["image"].isin(table["image"])
    both = incoming[known].merge(table, on="image", suffixes=("", "_old"))
    differs = both["label"] != both["label_old"]
    merged = pd.concat([table, incoming[~known]], ignore_index=True).sort_values("image", ignore_index=True)
    return Merged(merged[COLUMNS], int((~known).sum()), int(known.sum()), both.loc[differs, "image"].tolist())


def with_contents(table: pd.DataFrame, indexed: pd.DataFrame) -> pd.DataFrame:
    """Fills the empty cells of `sha256` with the content that each image has in the index.

    A row that names its content keeps it, whatever the file holds today.

    Args:
      indexed: columns `image` and `sha256`.
    """
    nameless = table["sha256"] == ""
    if not nameless.any():
        return table
    contents = indexed.drop_duplicates("image").set_index("image")["sha256"].astype("str")
    known = pd.Series(contents.reindex(table.loc[nameless, "image"]).fillna("").to_numpy(), index=table.index[nameless])
    return table.assign(sha256=table["sha256"].mask(nameless, known))


def write(table: pd.DataFrame, path: Path) -> None:
    write_csv(table[COLUMNS].sort_values("image"), path)


def root_of(images: pd.Series) -> pd.Series:
    """The root's name of each image ROOT/path."""
    return images.str.replace(r"(?s)/.*", "", regex=True)


def locate(image: str, folders: dict[str, Path]) -> Path:
    """The file of the image called ROOT/path."""
    root, _, path = image.partition("/")
    return folders[root] / PurePosixPath(path)


def is_file(image: str, folders: dict[str, Path]) -> bool:
    """Whether the image called ROOT/path has a file; one of an unknown root has none."""
    return image.partition("/")[0] in folders and locate(image, folders).is_file()


def _refuse(wrong: pd.Series, table: pd.DataFrame, source: object, what: str, mend: str) -> None:
    rows = table.index[wrong]
    if not len(rows):
        return
    first = rows[0]
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    image = table.loc[first, "image"]
    named = f": {image}" if image else ""
    raise DataError(f"{what}{named}{more}", where=where(source, table.index, first), mend=mend)
