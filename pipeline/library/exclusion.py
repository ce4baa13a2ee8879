"""Why an image of the library is in none of the sets."""

from enum import StrEnum


class Reason(StrEnum):
    """The `reason` of an excluded image, as tables and people have it; an image in a set has "" there.

    `curation.curate` says when each applies, and in which order they are tried; the last one is from `splits.assign`.
    """

    BENCHMARK = "benchmark"
    UNREADABLE = "unreadable"
    OTHER_CONTENT = "another content than was labelled"  # its file was replaced since
    UNLABELLED = "unlabelled"
    UNKNOWN = "unknown"
    BAD = "bad"
    RETIRED_CLASS = "retired class"
    TOO_SMALL = "too small"
    NEAR_BLANK = "near-blank"
    TOO_DARK = "too dark"
    BLURRED = "blurred"
    ODD_ASPECT_RATIO = "odd aspect ratio"
    CHAIN = "chain"
    LABEL_CONFLICT = "label conflict"
    DUPLICATE = "duplicate"
    BELOW_CUTOFF = "below the cutoff"
    ABOVE_CUTOFF = "above the cutoff"
    LEFT_OUT = "left out of the sets"
