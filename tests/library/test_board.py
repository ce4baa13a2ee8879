import pandas as pd

from pipeline.files import write_csv
from pipeline.library import board


def eligible(origin: str = "real", **classes: int) -> pd.DataFrame:
    rows = [(label, f"{label}{origin}{i}", origin) for label, number in classes.items() for i in range(number)]
    table = pd.DataFrame(rows, columns=["label", "group", "origin"], dtype="str")
    return table.assign(burst=table["group"])


def test_a_class_is_in_near_or_below_and_short_by_what_it_lacks():
    rows = board.count(eligible(lion=40, tapir=39, puma=30, okapi=29), min_images=40).set_index("label")
    assert rows["standing"].to_dict() == {"lion": "in", "tapir": "near", "puma": "near", "okapi": "below"}
    assert rows["short_by"].to_dict() == {"lion": 0, "tapir": 1, "puma": 10, "okapi": 11}
    assert set(rows["cutoff"]) == {40}


def test_those_nearest_below_the_cutoff_stand_first():
    rows = board.count(eligible(lion=90, emu=40, okapi=5, puma=31, tapir=39, boa=5), min_images=40)
    assert rows["label"].tolist() == ["tapir", "puma", "boa", "okapi", "emu", "lion"]


def test_near_duplicates_count_once():
    rows = eligible(lion=3).assign(group=["a", "a", "b"])
    assert board.count(rows, min_images=3).loc[0, ["images", "groups", "short_by"]].tolist() == [3, 2, 1]


def test_a_cutoff_may_count_bursts_and_the_board_shows_both():
    rows = eligible(lion=12).assign(burst=["a"] * 8 + ["b", "c", "d", "e"])
    counted = [board.count(rows, min_images=6, by=by).iloc[0] for by in ("images", "bursts")]
    assert [(row["groups"], row["bursts"], row["short_by"]) for row in counted] == [(12, 5, 0), (12, 5, 1)]


def test_a_class_with_fewer_than_five_bursts_is_marked():
    rows = pd.concat([eligible(lion=40).assign(burst="one"), eligible(emu=5)])
    marked = board.count(rows, min_images=3).set_index("label")["too_few_independent"]
    assert marked.to_dict() == {"lion": True, "emu": False}


def test_the_share_that_is_not_real_is_told():
    rows = pd.concat([eligible(lion=5), eligible("staged", lion=2), eligible("synthetic", lion=1, tapir=3)])
    counted = board.count(rows, min_images=3).set_index("label")
    assert counted.loc["lion", ["real", "staged", "synthetic", "staged_share"]].tolist() == [5, 2, 1, 0.375]
    assert counted.loc["tapir", "staged_share"] == 1


def test_no_images_make_an_empty_board():
    empty = board.count(eligible(), min_images=3)
    assert empty.empty
    assert list(empty) == board.COLUMNS


def test_of_an_empty_label_table_no_class_falls_out():
    labelled = pd.DataFrame({"image": [], "label": []}, dtype="str")
    assert board.fallen(labelled, pd.Series(dtype="str"), board.count(eligible(), min_images=3), cutoffs={}).empty


def test_a_class_called_007_or_na_keeps_its_name(tmp_path):
    write_csv(board.count(eligible(**{"007": 3, "NA": 2}), min_images=40), tmp_path / "board.csv")
    assert list(board.read(tmp_path / "board.csv")["label"]) == ["007", "NA"]


def test_a_class_that_falls_out_because_files_are_missing_is_named():
    labelled = pd.DataFrame(
        {
            "image": [f"{label}{number}" for label in ("cow", "dog", "rare", "well") for number in range(4)],
            "label": [label for label in ("cow", "dog", "rare", "well") for _ in range(4)],
        }
    )
    missing = pd.Series(["cow0", "cow1", "cow2", "cow3", "dog0", "rare0", "well0", "another"])
    left = labelled[~labelled["image"].isin(missing)].assign(origin="real")
    left["group"] = left["burst"] = left["image"]
    standing = board.count(left, min_images=3, cutoffs={"dog": 4, "rare": 9})
    cutoffs = {"cow": 3, "dog": 4, "rare": 9, "well": 3}
    rows = board.fallen(labelled, missing, standing, cutoffs=cutoffs).to_dict("records")
    assert rows == [
        {"label": "cow", "had": 4, "has": 0, "missing": 4},
        {"label": "dog", "had": 4, "has": 3, "missing": 1},
    ]
    assert board.fallen_sentences(rows, limit=1) == [
        "cow had 4 images, has 0: 4 files are missing, and the class falls out",
        "1 more classes fall out for missing files",
    ]
