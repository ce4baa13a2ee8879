"""The quarantine: pool images that people put away as not worth labelling. A table; no file is moved or deleted.

A picture in quarantine is in no pool: it is neither identified nor offered again, whichever name it has. Taking its
row out of the table brings it back.
"""

from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.files import write_csv
from pipeline.library import cells
from pipeline.library.tables import read_csv, where

COLUMNS = ["image", "sha256", "score", "by", "at", "model", "note"]
REQUIRED = ["image", "sha256"]


def read(path: Path) -> pd.DataFrame:
    """Reads the quarantine; every column is text.

    Raises:
      DataError: with file and row, if a column or a content hash is missing, or a hash or a time is none.
    """
    table = read_csv(path, REQUIRED).reindex(columns=COLUMNS, fill_value="")
    unnamed = table.index[table["sha256"] == ""]
    if len(unnamed):
        what, mend = "a row without a content hash", "remove the row: `wallaby quarantine` writes whole ones"
        raise DataError(what, where=where(path, table.index, unnamed[0]), mend=mend)
    cells.check(table, path)
    return table.reset_index(drop=True)


def write(table: pd.DataFrame, path: Path) -> None:
    write_csv(table[COLUMNS].sort_values(["at", "image"], kind="stable"), path)


def set_apart(pool: pd.DataFrame, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divides the pool into what stays and what is in quarantine, by content."""
    away = pool["sha256"].isin(table["sha256"])
    return pool[~away].reset_index(drop=True), pool[away].reset_index(drop=True)
