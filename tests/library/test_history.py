import pandas as pd

from pipeline.library import history
from pipeline.library.exclusion import Reason


def round_of(*rows: tuple[str, ...]) -> pd.DataFrame:
    """A round's images as (image, label, set, reason)."""
    table = pd.DataFrame([row + ("",) * (4 - len(row)) for row in rows], columns=["image", "label", "set", "reason"])
    return table.assign(sha256=table["image"], subclass="", origin="real", burst="", evidence="")[
        history.IMAGE_COLUMNS
    ].astype("str")


def changes(before: pd.DataFrame, now: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    table = history.changes(before, now)
    return {row.image: (row.change, row.was, row.detail) for row in table.itertuples()}


def test_each_image_that_differs_from_the_last_round_says_how():
    before = round_of(
        ("a", "lion", "train"), ("b", "lion", "test"), ("c", "lion", "train"), ("d", "emu", "", "below the cutoff")
    )
    now = round_of(
        ("a", "lion", "train"),
        ("b", "puma", "test"),
        ("c", "lion", "", "blurred"),
        ("d", "emu", "val"),
        ("e", "emu", "train"),
    )
    assert changes(before, now) == {
        "b": ("relabelled", "lion", ""),
        "c": ("excluded", "train", "blurred"),
        "d": ("returned", "", "below the cutoff"),
        "e": ("added", "", ""),
    }


def test_an_image_that_has_left_the_library_is_named_with_its_old_label():
    table = history.changes(round_of(("a", "lion", "train")), round_of(("b", "emu", "val")))
    assert table[["image", "change", "label", "was"]].to_numpy().tolist() == [
        ["b", "added", "emu", ""],
        ["a", "removed", "lion", "train"],
    ]


def test_an_image_that_was_moved_is_neither_added_nor_removed():
    before = round_of(("cow/a", "cow", "train"), ("cow/b", "cow", "val"), ("cow/c", "cow", "test"))
    now = before.assign(image=["cows/a", "cows/b", "cows/c"], reason=["", "blurred", ""])
    now = pd.concat([now, now[:1].assign(image="copy/a")])
    assert changes(before, now) == {"cows/b": ("excluded", "val", "blurred"), "copy/a": ("added", "", "")}


def test_the_first_round_has_nothing_to_compare_with():
    images, boards = history.empty()
    assert history.changes(images, round_of(("a", "lion", "train"))).empty
    assert history.round_after(boards) == 1


def boards(*rows: tuple[int, str, int]) -> pd.DataFrame:
    return pd.DataFrame([(number, label, n, n) for number, label, n in rows], columns=history.BOARD_COLUMNS)


def test_a_class_has_grown_when_it_has_more_groups_than_in_the_round_before():
    earlier = boards((1, "lion", 40), (2, "lion", 45), (3, "lion", 45), (1, "emu", 9), (3, "emu", 8))
    since = history.rounds_since_growth(earlier, pd.Series({"lion": 45, "emu": 9, "new": 3}), round_=4)
    assert since.to_dict() == {"lion": 2, "emu": 0, "new": 0}


def test_classes_that_were_merged_are_counted_together():
    earlier = boards((1, "deer", 10), (1, "deer", 5))
    assert history.rounds_since_growth(earlier, pd.Series({"deer": 15}), round_=2).to_dict() == {"deer": 1}


def test_a_round_that_is_run_again_replaces_its_counts():
    board = pd.DataFrame({"label": ["lion"], "images": [7], "groups": [6]})
    twice = history.extend_boards(history.extend_boards(history.empty()[1], board, 1), board.assign(groups=5), 1)
    assert twice[["round", "label", "groups"]].to_numpy().tolist() == [[1, "lion", 5]]


def test_a_replaced_file_is_excluded_not_relabelled_and_returns_when_its_label_is_confirmed():
    before = round_of(("a", "lion", "train"), ("b", "lion", "", "duplicate"), ("c", "", "", Reason.OTHER_CONTENT))
    now = round_of(("a", "", "", Reason.OTHER_CONTENT), ("b", "", "", Reason.OTHER_CONTENT), ("c", "emu", "val"))
    table = history.changes(before, now).set_index("image")
    assert table[["change", "label", "detail"]].to_numpy().tolist() == [
        ["excluded", "lion", Reason.OTHER_CONTENT], ["excluded", "lion", Reason.OTHER_CONTENT],
        ["returned", "emu", Reason.OTHER_CONTENT],
    ]  # fmt: skip
    assert history.changes(now.head(2), now.head(2)).empty


def test_an_image_kept_out_beside_a_benchmark_brings_its_burst_to_the_next_round():
    known = {"subclass": "", "origin": "real", "evidence": "sequence"}
    rows = [
        ("a", "train", "", "b1"),
        ("b", "benchmark:field", "", "b2"),
        ("c", "", "benchmark", "b2"),
        ("d", "", "blurred", "b3"),
    ]
    table = pd.DataFrame(rows, columns=["image", "set", "reason", "burst"]).assign(label="lion", **known)
    table["sha256"] = table["image"]
    placed, excluded = table[table["set"] != ""], table[table["set"] == ""]
    images = history.snapshot(placed.drop(columns="reason"), excluded.head(0), excluded.drop(columns="set"))
    assert history.bursts_beside_benchmarks(images).to_dict() == {"c": "b2"}
    assert history.bursts_beside_benchmarks(history.empty()[0]).empty
    assert history.bursts_beside_benchmarks(images.drop(columns=["burst", "evidence"])).empty
