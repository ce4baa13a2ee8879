"""What a cell of the tables that people edit may hold: a content hash, a time, the name of a class.

The words of a decision are here, too: none of them can name a class, for nobody could tell the two apart.
"""

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import pandas as pd

from pipeline.errors import DataError
from pipeline.library.tables import where

LABEL, UNKNOWN, BAD, KEEP, UNDO = "label", "unknown", "bad", "keep", "undo"
DECISIONS = [LABEL, UNKNOWN, BAD, KEEP, UNDO]
YES, NO = "yes", "no"
WORDS = frozenset({*DECISIONS, YES, NO})  # of the decision vocabulary, in lower case

CONTENT = re.compile("[0-9a-f]{64}")
HOUR, SIXTY = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
DAY, CLOCK = "[0-9]{4}-[0-9]{2}-[0-9]{2}", f"{HOUR}:{SIXTY}(?::{SIXTY}(?:[.][0-9]{{1,6}})?)?"
TIME = re.compile(f"{DAY}(?:T{CLOCK}(?:Z|[+-]{HOUR}:{SIXTY})?)?")
DAY_DIGITS = 10
SKEW = timedelta(days=1)  # that a clock may be fast, or a place be ahead of UTC
SHOWN = 80  # characters of a cell in a message
Fault = tuple[str, str] | None  # what is wrong, and how to fix it


def content_fault(text: str) -> Fault:
    """What is wrong with a content hash: it is empty, or has 64 digits."""
    if not text or CONTENT.fullmatch(text):
        return None
    advice = "a spreadsheet or editor has changed it: bring the table back, and open that column as text"
    return f"'{text[:SHOWN]}' is not a content hash (64 digits of 0-9 and a-f)", advice


def time_fault(text: str, now: datetime | None = None) -> Fault:
    """What is wrong with a time: it is empty, a day, or a moment in ISO 8601, UTC if it names no zone.

    Args:
      now: with a zone; a time that is more than `SKEW` later is refused. By default the clock's.
    """
    if not text:
        return None
    advice = "write it such as 2026-03-01T12:00:00+00:00, or the day alone, 2026-03-01"
    try:
        moment = datetime.fromisoformat(text) if TIME.fullmatch(text) else None
    except ValueError:  # a 30th of February, say
        moment = None
    if moment is None:
        return f"'{text[:SHOWN]}' is not a time", advice
    if (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) > (now or datetime.now(UTC)) + SKEW:
        return f"the time {text} is in the future", advice
    return None


def class_fault(name: str) -> Fault:
    """What is wrong with the name of a new class: it is a word of the decision vocabulary, in whatever case."""
    word = name.strip().lower()
    if word not in WORDS:
        return None
    if word == UNKNOWN:
        return "'unknown' is never a class", "give such images the status unknown, or no label"
    status = "; images not worth keeping have the status bad" if word == BAD else ""
    return f"'{name.strip()}' is a word of the reviews, never a class", f"name it '{other_name(name)}', say{status}"


def other_name(name: str, taken: Collection[str] = ()) -> str:
    """A name for a class that is called like a word, which is not among those `taken`."""
    folded = {known.casefold() for known in taken}
    other, number = f"{name.strip()}-image", 2
    while other.casefold() in folded:
        other, number = f"{name.strip()}-image-{number}", number + 1
    return other


def check(table: pd.DataFrame, source: object) -> None:
    """Checks the columns `sha256` and `at`, those of them that the table has; its index says the row.

    Raises:
      DataError: with file and row, for the first cell that is no content hash, or no time.
    """
    if "sha256" in table:
        texts = table["sha256"]
        odd = texts[~texts.str.fullmatch(CONTENT.pattern)]
        _refuse(table, odd, content_fault, source)
    if "at" in table:
        texts, now = table["at"], datetime.now(UTC)
        days = texts.str[:DAY_DIGITS]
        past = {day for day in days.unique() if day < str(now.date()) and not time_fault(day, now)}
        odd = texts[~(days.isin(past) & texts.str.fullmatch(TIME.pattern))]  # today's, and what is none: few
        _refuse(table, odd, lambda text: time_fault(text, now), source)


def refuse_words(table: pd.DataFrame, source: object) -> None:
    """Checks the column `label` of classes that come in.

    Raises:
      DataError: with file and row, for the first class that is called like a word of the decision vocabulary.
    """
    _refuse(table, table["label"], class_fault, source)


def _refuse(table: pd.DataFrame, texts: pd.Series, rule: Callable[[str], Fault], source: object) -> None:
    """Refuses the first of some cells that breaks a rule; their index is that of their rows in `table`."""
    faults = {text: fault for text in texts.unique() if (fault := rule(text))}
    if not faults:
        return
    wrong = texts.index[texts.isin(faults)]
    what, advice = faults[texts.loc[wrong[0]]]
    image = f": {table.loc[wrong[0], 'image']}" if "image" in table else ""
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    raise DataError(f"{what}{image}{more}", where=where(source, table.index, wrong[0]), mend=advice)
