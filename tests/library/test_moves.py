import hashlib

import pandas as pd
import pytest

from pipeline.library import labels, moves


def labelled(*images: str) -> pd.DataFrame:
    rows = pd.DataFrame({"image": images, "label": "cow", "sha256": [content(image) for image in images]}, dtype="str")
    return labels.check(rows, ["library", "archive", "pool"], "")


def content(image: str) -> str:
    return hashlib.sha256(image.rpartition("/")[2].encode()).hexdigest()


def scanned(*images: str) -> pd.DataFrame:
    return pd.DataFrame({"image": images, "sha256": [content(image) for image in images]}, dtype="str")


def suggested(table: pd.DataFrame, now: pd.DataFrame) -> list[tuple[str, str, int]]:
    return [tuple(row) for row in moves.suggested(table, now).itertuples(index=False)]


def test_a_renamed_folder_is_one_move():
    table = labelled("library/cow/a", "library/cow/young/b", "library/dog/c")
    now = scanned("library/cows/a", "library/cows/young/b", "library/dog/c")
    assert suggested(table, now) == [("library/cow", "library/cows", 2)]


def test_a_whole_root_is_one_move():
    table = labelled("library/cow/a", "library/dog/b")
    assert suggested(table, scanned("archive/cow/a", "archive/dog/b")) == [("library", "archive", 2)]


def test_a_folder_in_which_labelled_images_are_left_is_not_named():
    table = labelled("library/cow/a", "library/dog/b")
    assert suggested(table, scanned("archive/cow/a", "library/dog/b")) == [("library/cow", "archive/cow", 1)]
    table = labelled("library/cow/a", "library/cow/b")
    assert suggested(table, scanned("archive/cow/a", "library/cow/b")) == [("library/cow/a", "archive/cow/a", 1)]


def test_a_renamed_file_is_found_by_its_content():
    now = scanned("library/cow/a").assign(image="library/cow/renamed.jpg")
    assert suggested(labelled("library/cow/a"), now) == [("library/cow/a", "library/cow/renamed.jpg", 1)]


def test_of_several_copies_the_one_that_lies_alike_is_named():
    now = scanned("pool/x/a", "pool/cow/a", "pool/y/a")
    assert suggested(labelled("library/cow/a"), now) == [("library", "pool", 1)]


def test_what_is_labelled_under_its_new_name_already_is_a_copy_and_no_move():
    table = labelled("library/cow/a", "library/cows/a")
    assert suggested(table, scanned("library/cows/a")) == []


def test_a_label_without_a_content_and_a_file_that_is_nowhere_suggest_nothing():
    assert suggested(labelled("library/a").assign(sha256=""), scanned("pool/a")) == []
    assert suggested(labelled("library/a"), scanned("pool/b")) == []


def test_the_largest_moves_come_first_and_the_rest_is_counted():
    table = pd.DataFrame({"old": list("abcdefg"), "new": list("hijklmn"), "images": [9, 8, 7, 6, 5, 4, 1]})
    lines = moves.sentences(table)
    assert len(lines) == 6
    assert lines[0] == (
        "9 labelled images are missing, and their contents lie at h (was a): `wallaby moved a h` moves their rows"
    )
    assert lines[-1] == "5 more in 2 other places"


@pytest.mark.parametrize(("place", "expected"), [("library", [True, True, False]), ("library/a", [True, False, False])])
def test_a_place_is_the_image_itself_or_a_folder_above_it(place, expected):
    images = pd.Series(["library/a", "library/ab/c", "library2/a"])
    assert moves.below(images, place).tolist() == expected


def test_a_place_with_a_space_is_quoted():
    assert moves.command("library/big cow", "library/cow") == "wallaby moved 'library/big cow' library/cow"
