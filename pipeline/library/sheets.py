"""Tables that people open in a spreadsheet: no cell is executed there, and each row has a link to its image."""

from pathlib import Path

import pandas as pd

from pipeline.library import labels

QUOTE = "'"
EXECUTED = r"[=+\-@\t\r\n]"  # a cell that begins so is a formula to some spreadsheet, or is torn into one


def inert(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a quote before each text that a spreadsheet would execute; `as_meant` takes it away again."""
    return _changed(table, rf"^(?={QUOTE}*{EXECUTED})", QUOTE)


def as_meant(table: pd.DataFrame) -> pd.DataFrame:
    """The table that `inert` was given."""
    return _changed(table, rf"^{QUOTE}(?={QUOTE}*{EXECUTED})", "")


def executed(table: pd.DataFrame) -> int:
    """How many cells a spreadsheet would execute."""
    texts = table.select_dtypes(include=["object", "str"])
    return int(sum(texts[name].astype(str).str.match(EXECUTED).sum() for name in texts))


def links(images: pd.Series, folders: dict[str, Path]) -> pd.Series:
    """The address of each image's file on this machine; "" where there is no image."""
    return images.map(lambda image: labels.locate(image, folders).absolute().as_uri() if image else "")


def _changed(table: pd.DataFrame, pattern: str, text: str) -> pd.DataFrame:
    changed = table.copy()
    for name in table.select_dtypes(include=["object", "str"]):
        is_text = table[name].map(lambda value: isinstance(value, str)).astype(bool)
        changed.loc[is_text, name] = table.loc[is_text, name].str.replace(pattern, text, regex=True)
    return changed
