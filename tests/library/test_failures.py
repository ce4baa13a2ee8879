import pickle

import pandas as pd

from pipeline.library import failures
from pipeline.library.failures import EXCESS, UNSEEN, Failure, PictureError


def test_the_kinds_are_written_in_tables_as_they_were_for_years():
    assert [str(kind) for kind in Failure] == [
        "missing",
        "unreadable",
        "changes while it is read",
        "changed since it was indexed",
        "not a picture by name or content",
        "empty file",
        "not a picture",
        "a kind of image that is not read",
        "a name that is not Unicode, or has a control character",
        "damaged or cut short",
        "too large",
        "too long",
        "too many segments",
        "too many segments of Exif",
        "too many scans",
        "too many chunks",
        "too many blocks before the first frame",
        "too many tags",
        "too many strips or tiles",
        "too large tiles",
        "too long a header",
        "too many comments",
        "too large for this kind of file, which is slow to read",
    ]


def test_an_error_is_its_kind_and_for_people_a_detail():
    assert str(PictureError(Failure.DAMAGED)) == "damaged or cut short"
    error = PictureError(Failure.TOO_LARGE, "9 x 9 pixels", size=(9, 9))
    assert str(error) == "too large: 9 x 9 pixels"
    copy = pickle.loads(pickle.dumps(error))  # as workers hand it over
    assert (copy.kind, copy.size, str(copy)) == (error.kind, error.size, str(error))


def test_the_kind_of_a_cell_is_told_by_its_code_and_not_by_its_words():
    seen = ["", "too large: 9 x 9 pixels", "too large tiles: 9 x 9 pixels", "missing a segment", "of a later version"]
    texts = pd.Series([*seen, "missing", "unreadable: Permission denied"], dtype="str")
    assert failures.are(texts, UNSEEN).tolist() == [*[False] * 5, True, True]
    assert failures.are(texts, {Failure.TOO_LARGE}).tolist() == [False, True, *[False] * 5]
    assert failures.are(texts.astype("category"), EXCESS).tolist() == [False, True, True, *[False] * 4]


def test_no_kind_says_both_that_nothing_was_seen_and_that_it_costs_too_much():
    assert not UNSEEN & EXCESS
    assert Failure.DAMAGED not in UNSEEN | EXCESS
