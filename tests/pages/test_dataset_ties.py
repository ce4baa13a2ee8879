import numpy as np
import pandas as pd

from pipeline.evaluation.near_misses import Kind
from pipeline.pages import dataset_ties

COLUMNS = ["image", "label", "set", "burst", "group", "evidence", "together"]


def images(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)


def burst(name: str, number: int, *, label: str = "gnu", evidence: str = "names in sequence") -> list[tuple]:
    return [(f"library/{name}_{place:02d}.jpg", label, "train", name, "", evidence, "") for place in range(number)]


def links(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=dataset_ties.LINK_COLUMNS).astype({"similarity": float, "chance": float})


def test_the_largest_bursts_come_first_and_show_images_from_end_to_end():
    groups = dataset_ties.bursts(images(*burst("a", 2), *burst("b", 30)), links(), limit=10)
    assert [group["images"] for group in groups] == [30, 2]
    shown = [image for image, _, _ in groups[0]["shown"]]
    assert (shown[0], shown[-1], len(shown)) == ("library/b_00.jpg", "library/b_29.jpg", 8)
    assert groups[0]["more"] == 22
    assert groups[0]["says"] == "names in sequence"


def test_a_burst_of_two_classes_needs_a_look_and_comes_first():
    rows = images(*burst("a", 9), *burst("b", 2), *burst("b2", 1, label="emu"))
    rows["burst"] = rows["burst"].replace("b2", "b")
    first, second = dataset_ties.bursts(rows, links(), limit=10)
    assert (first["mixed"], second["mixed"]) == (True, False)
    assert "2 classes: emu, gnu" in first["says"]


def test_a_burst_with_a_weak_tie_is_named_as_one_of_very_different_contents():
    tie = ("library/a_00.jpg", "library/a_01.jpg", "names in sequence", 0.61, 0.4)
    strong = ("library/a_01.jpg", "library/a_02.jpg", "names in sequence", 0.95, 0.001)
    (group,) = dataset_ties.bursts(images(*burst("a", 3)), links(tie, strong), limit=10)
    assert group["mixed"]
    assert "0.61 alike, as 40% of independent pairs are: very different" in group["says"]


def test_bursts_that_need_a_look_leave_room_for_the_largest():
    mixed = [row for name in "abcd" for row in [*burst(name, 2), (f"x/{name}", "emu", "val", name, "", "time", "")]]
    groups = dataset_ties.bursts(images(*mixed, *burst("large", 20)), links(), limit=4)
    assert [group["mixed"] for group in groups] == [True, True, False, True]


def test_images_that_people_keep_together_are_said_to_be():
    rows = images(*burst("a", 2, evidence="")).assign(together="site 4")
    (group,) = dataset_ties.bursts(rows, links(), limit=10)
    assert (group["kind"], group["says"]) == ("kept together", "people keep them together")


def test_a_neighbourhood_is_said_to_hold_several_events():
    rows = images(*burst("a", 6, evidence="close neighbours"))
    (group,) = dataset_ties.bursts(rows, links(), limit=10)
    assert group["kind"] == "neighbourhood"
    assert group["says"].startswith("close neighbours, of several events")


def test_near_duplicates_that_are_kept_have_a_list_of_their_own():
    rows = images(*burst("a", 3, evidence="")).assign(group="a")
    assert dataset_ties.bursts(rows, links(), limit=10) == []
    (group,) = dataset_ties.near_duplicates(rows, limit=10)
    assert (group["kind"], group["images"]) == ("near-duplicates", 3)


def test_images_that_are_alone_or_in_no_set_are_in_no_group():
    rows = images(*burst("a", 1), *burst("b", 2)).assign(group="one")
    rows.loc[1:, "set"] = ""
    assert dataset_ties.bursts(rows, links(), limit=10) == []
    assert dataset_ties.near_duplicates(rows, limit=10) == []


def test_groups_that_the_second_look_divided_say_how_many_contents_they_have():
    (group,) = dataset_ties.divided([{"images": 12, "contents": 10, "shown": ["a", "b"]}])
    assert (group["images"], group["more"], group["mixed"]) == (12, 8, False)
    assert "10 different contents" in group["says"]


def test_a_burst_has_one_nearest_pair_and_test_comes_before_benchmarks():
    nearest = pd.DataFrame(
        [
            ("benchmark:field", "f", "gnu", "t0", "gnu", 0.99, "", "c0"),
            ("test", "a_1", "gnu", "t1", "gnu", 0.95, "", "c1"),
            ("test", "a_2", "gnu", "t2", "gnu", 0.94, "", "c1"),
            ("test", "b_1", "gnu", "t1", "emu", 0.93, "", "c2"),
            ("test", "c_1", "gnu", "t3", "emu", 0.92, "", "c3"),
        ],
        columns=[*dataset_ties.PAIR_COLUMNS, "cluster"],
    )
    assert list(dataset_ties.pairs(nearest)["image"]) == ["a_1", "c_1", "f"]


def test_each_set_says_what_is_torn_and_what_lies_just_beyond():
    counts = {"images": 8, "torn": 2, "tied": {"names in sequence": 2}, "beyond": dict.fromkeys(Kind, 1)}
    split = {
        "sets": {"test": 10, "train": 90},
        "independent": {"test": 4, "train": 80},
        "leakage": {"mates": {"test": counts}, "nearest": {"test": {"median": 0.8}}},
    }
    (row,) = dataset_ties.near_sets(split)
    assert (row["set"], row["n"], row["independent"], row["torn"], row["compared"]) == ("test", 10, 4, 2, 8)
    assert (row["tied"], row["median"], list(row["beyond"])) == (["2 names in sequence"], 0.8, [*Kind])


def test_without_features_there_is_no_row():
    assert dataset_ties.near_sets({"leakage": {"nearest": {}, "alarms": []}}) == []


def test_a_set_that_is_wholly_torn_has_no_median():
    counts = {"images": 0, "torn": 3, "tied": {}, "beyond": dict.fromkeys(Kind, 0)}
    split = {"sets": {"test": 3}, "independent": {"test": 3}, "leakage": {"mates": {"test": counts}, "nearest": {}}}
    assert np.isnan(dataset_ties.near_sets(split)[0]["median"])
