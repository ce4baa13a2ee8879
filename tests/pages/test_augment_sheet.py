import numpy as np
import pandas as pd
import pytest

from pipeline.library.failures import Failure, PictureError
from pipeline.pages.augmentation import augment_sheet, most_endangered, saliency_lost

SIDE = 32
SEEN = np.zeros((SIDE, SIDE), bool)
SEEN[4:-4, 4:-4] = True  # augmentation may push four pixels out, on every side


def subject(row: int, column: int) -> np.ndarray:
    """A small light square on dark ground."""
    pixels = np.full((SIDE, SIDE, 3), 40, np.uint8)
    pixels[row - 2 : row + 2, column - 2 : column + 2] = 220
    return pixels


PLACES = {"middle": (16, 16), "edge": (16, 2), "high": (4, 16)}
PICTURES = {f"library/{name}.jpg": subject(*place) for name, place in PLACES.items()}


def read(image: str) -> np.ndarray:
    if image not in PICTURES:
        raise PictureError(Failure.MISSING)
    return PICTURES[image]


def rows(*images: str, **columns: list) -> pd.DataFrame:
    names = [f"library/{name}.jpg" for name in images]
    return pd.DataFrame({"image": names, "set": "train", "label": "lion"} | columns)


def sheet(table: pd.DataFrame, **changed) -> str:
    values = {
        "title": "What training will see",
        "facts": {"zoom": "10 %"},
        "rows": table,
        "read": read,
        "views": lambda pixels, may_flip: {"zoomed out": pixels} | ({"mirrored": pixels[:, ::-1]} if may_flip else {}),
        "always_seen": SEEN,
    }
    return augment_sheet(**(values | changed))


def endangered(table: pd.DataFrame, number: int = 9) -> list[str]:
    found = most_endangered(table, read=read, always_seen=SEEN, number=number, measured=9)
    return found["image"].str.removeprefix("library/").str.removesuffix(".jpg").tolist()


def test_a_subject_at_the_edge_can_leave_the_picture_and_one_in_the_middle_cannot():
    assert saliency_lost(subject(16, 2), SEEN) > 0.5 > 0.1 > saliency_lost(subject(16, 16), SEEN)


def test_nothing_can_be_lost_of_a_picture_without_a_subject_or_where_all_is_always_seen():
    assert saliency_lost(np.full((SIDE, SIDE, 3), 90, np.uint8), SEEN) == pytest.approx(0, abs=0.001)
    assert saliency_lost(subject(16, 2), np.ones((8, 8), bool)) == pytest.approx(0)


def test_the_most_endangered_come_first():
    assert endangered(rows("middle", "edge")) == ["edge", "middle"]
    assert endangered(rows("middle", "edge"), number=1) == ["edge"]


def test_what_the_library_s_screening_flags_comes_before_what_the_sheet_measures():
    flagged = rows("edge", "middle", "high", flag=["", "sideways", "small subject"], score=[np.nan, 0.2, 0.7])
    assert endangered(flagged) == ["high", "middle", "edge"]
    assert endangered(flagged, number=2) == ["high", "middle"]


def test_a_picture_that_cannot_be_read_and_sets_that_are_not_trained_are_left_out():
    assert endangered(rows("gone", "edge")) == ["edge"]
    assert "library/<wbr>middle.jpg" not in sheet(rows("edge", "middle", set=["train", "test"]))


def test_the_original_stands_beside_each_view():
    page = sheet(rows("middle", "edge"))
    assert page.count("<figcaption>original</figcaption>") == page.count("<figcaption>zoomed out</figcaption>") == 2
    assert page.count("data:image/jpeg;base64,") == 2 * 3
    assert page.index("library/<wbr>edge.jpg") < page.index("library/<wbr>middle.jpg")


def test_a_class_not_safe_to_flip_is_not_shown_mirrored_and_says_so():
    page = sheet(rows("middle", "edge", label=["lion", "flounder"]), no_flip={"flounder"})
    assert page.count("<figcaption>mirrored</figcaption>") == 1
    assert page.count("<figcaption>never mirrored</figcaption>") == page.count("Not safe to flip") == 1


def test_names_are_shown_as_text():
    page = sheet(rows("middle", label=["<script>alert(1)</script>"], flag=['"><b>'], score=[1.0]))
    assert "<script>alert" not in page
    assert "<b>" not in page


def test_without_training_pictures_the_sheet_says_so():
    assert "no training picture" in sheet(rows("middle", set=["test"]))
    assert "no training picture" in sheet(rows("gone"))
    assert "no training picture" in sheet(rows())
