"""Why a file cannot be used as an image: the codes of the column `failure`, and the error that carries one."""

from collections.abc import Collection
from enum import StrEnum

import pandas as pd

DETAIL = ": "


class Failure(StrEnum):
    """The kinds of failure. A cell of the column `failure` is a kind, or KIND: DETAIL; "" where nothing failed.

    The values are in the tables of years: one may be added, none is renamed.
    """

    MISSING = "missing"
    UNREADABLE = "unreadable"  # the system refuses to read it, and the detail says why
    CHANGING = "changes while it is read"
    CHANGED = "changed since it was indexed"
    IGNORED = "not a picture by name or content"  # in the cache of the index alone
    EMPTY = "empty file"
    NOT_AN_IMAGE = "not a picture"
    UNSUPPORTED = "a kind of image that is not read"  # the detail names it
    NAME = "a name that is not Unicode, or has a control character"
    DAMAGED = "damaged or cut short"
    TOO_LARGE = "too large"
    TOO_LONG = "too long"
    SEGMENTS = "too many segments"
    EXIF_SEGMENTS = "too many segments of Exif"
    SCANS = "too many scans"
    CHUNKS = "too many chunks"
    BLOCKS = "too many blocks before the first frame"
    TAGS = "too many tags"
    STRIPS = "too many strips or tiles"
    LARGE_TILES = "too large tiles"
    LONG_HEADER = "too long a header"
    COMMENTS = "too many comments"
    SLOW = "too large for this kind of file, which is slow to read"  # the detail says what to do


UNSEEN = frozenset({Failure.MISSING, Failure.UNREADABLE, Failure.CHANGING, Failure.CHANGED, Failure.NAME})
"""What says nothing of the image: it was not there, not readable, or not the indexed one."""

EXCESS = frozenset(Failure) - UNSEEN - {
    Failure.IGNORED, Failure.EMPTY, Failure.NOT_AN_IMAGE, Failure.UNSUPPORTED, Failure.NAME, Failure.DAMAGED
}  # fmt: skip
"""What is not decoded because that would cost more than any photograph does."""


class PictureError(Exception):
    """A file that cannot be used as an image; the text is what tables keep.

    Attributes:
      kind: decides; the detail behind it is for people.
      size: width and height in pixels of what is too large, (0, 0) of all else.
    """

    def __init__(self, kind: Failure, detail: str = "", *, size: tuple[int, int] = (0, 0)):
        super().__init__(kind, detail)
        self.kind, self.size = kind, size

    def __str__(self) -> str:
        return DETAIL.join(filter(None, self.args))


def are(texts: pd.Series, kinds: Collection[Failure]) -> pd.Series:
    """Which cells of a column `failure` (N,) are of one of `kinds`, bool (N,)."""
    return texts.isin([text for text in texts.unique() if text.partition(DETAIL)[0] in kinds])
