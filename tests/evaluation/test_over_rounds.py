import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import over_rounds


def kept(*rows: tuple) -> pd.DataFrame:
    """Content, set, label, predicted; right is rank 1, another class rank 2, a class that is not known -1."""
    table = pd.DataFrame(rows, columns=["content", "set", "label", "predicted"])
    rank = np.where(table["predicted"] == table["label"], 1, np.where(table["label"] == "yak", -1, 2))
    return table.assign(score=0.9, label_rank=rank)


def differences(before: pd.DataFrame, after: pd.DataFrame) -> over_rounds.Differences:
    return over_rounds.differences(before, after, confidence=0.95, min_images=1)


def test_what_is_kept_of_the_scores_is_small_and_sorted():
    scores = kept(("b" * 64, "test", "cat", "cat"), ("a" * 64, "test", "dog", "cat"))
    scores = scores.rename(columns={"content": "sha256"}).assign(embedding=1.0)
    found = over_rounds.compact(scores)
    assert list(found.columns) == over_rounds.KEPT
    assert list(found["content"]) == ["a" * 16, "b" * 16]
    assert found["score"].dtype == np.float32


def test_the_bands_count_every_image_once():
    scores = kept(*[(str(i), "test", "cat", "cat" if i % 3 else "dog") for i in range(9)])
    scores["score"] = [0.2, 0.5, 0.69, 0.7, 0.9, 0.95, 0.989, 0.99, 1.0]
    found = over_rounds.by_band(scores).set_index("band")
    assert found["n"].to_dict() == {0.0: 1, 0.5: 2, 0.7: 1, 0.9: 1, 0.95: 2, 0.99: 2}
    assert found["right"].sum() == 6


def test_a_set_is_another_version_once_a_label_of_it_changes():
    before = kept(("a", "benchmark:field", "cat", "cat"), ("b", "test", "dog", "cat"), ("c", "train", "dog", "dog"))
    before = before.rename(columns={"content": "sha256"})
    found = over_rounds.set_versions(before)
    assert set(found) == {"benchmark:field", "test"}
    after = over_rounds.set_versions(before.assign(label=["dog", "dog", "cat"]))
    assert after["benchmark:field"] != found["benchmark:field"]
    assert after["test"] == found["test"]


def test_a_difference_names_classes_flips_and_images():
    before = kept(
        ("a", "test", "cat", "cat"), ("b", "test", "cat", "dog"), ("c", "test", "dog", "dog"),
        ("d", "test", "emu", "emu"),
        ("t", "train", "cat", "cat"), ("u", "train", "emu", "emu"), ("v", "train", "emu", "emu"),
    )  # fmt: skip
    after = kept(
        ("a", "test", "cat", "dog"), ("b", "test", "cat", "cat"), ("c", "test", "dog", "cat"),
        ("d", "test", "yak", "cat"),
        ("t", "train", "cat", "cat"), ("u", "train", "gnu", "gnu"), ("w", "train", "cat", "cat"),
    )  # fmt: skip
    found = differences(before, after)
    classes = found.classes.set_index("label")
    assert list(found.classes["label"]) == ["dog", "cat"]
    assert classes[["gained", "lost", "n"]].to_numpy().tolist() == [[0, 1, 1], [1, 1, 2]]
    assert found.flips[["content", "before", "after"]].to_numpy().tolist() == [
        ["a", "cat", "dog"], ["b", "dog", "cat"], ["c", "dog", "cat"],
    ]  # fmt: skip
    sets = found.sets.set_index("set")
    assert sets.loc["test"].to_dict() == {"before": 4, "after": 4, "added": 0, "removed": 0, "relabelled": 1}
    assert sets.loc["train"].to_dict() == {"before": 3, "after": 3, "added": 1, "removed": 1, "relabelled": 1}
    assert (found.entered, found.left) == (["gnu"], ["emu"])


def test_pictures_of_no_known_class_are_no_set_of_a_difference():
    before = kept(("a", "test", "cat", "cat"), ("b", "open:below-cutoff", "yak", "cat"))
    after = kept(("a", "test", "cat", "cat"), ("c", "open:unknown", "yak", "cat"))
    assert list(differences(before, after).sets["set"]) == ["test"]


def test_a_version_held_against_itself_differs_in_nothing():
    table = kept(("a", "test", "cat", "cat"), ("t", "train", "cat", "dog"))
    told = over_rounds.as_records(differences(table, table))
    assert told["flips"] == []
    assert [row["difference"] for row in told["classes"]] == [0]
    assert all(row["added"] == row["removed"] == row["relabelled"] == 0 for row in told["sets"])


def test_the_ledger_divides_what_was_gained_by_what_was_spent():
    rounds = pd.DataFrame({"round": [1, 2, 3], "images": [1000, 1200, 1200]})
    sets = pd.DataFrame(
        {"round": [1, 2, 3], "set": "test", "n": 5000, "top1": [0.8, 0.84, 0.85], "version": ["v", "v", "w"]}
    )
    spent = pd.DataFrame({"round": [1, 2, 3], "minutes": [np.nan, 30.0, 0.2]})
    found = over_rounds.ledger(rounds, sets, spent).set_index("round")
    assert found.loc[2, ["labelled", "gain", "per_100_images", "per_hour"]].tolist() == pytest.approx(
        [200, 0.04, 0.02, 0.08]
    )
    assert found["exact"].tolist() == [False, True, False]
    assert found.loc[1, ["labelled", "gain"]].isna().all()
    assert found.loc[3, ["per_100_images", "per_hour"]].isna().all()  # nothing was labelled, hardly a second spent


def test_the_minutes_of_a_decision_are_the_time_since_the_last_one_but_for_pauses():
    def at(clock: str) -> str:
        return f"2026-03-01T{clock}+00:00"

    decisions = pd.DataFrame(
        {
            "by": ["Ada", "Ada", "Bob", "Ada", "Ada"],
            "at": [at("12:00:00"), at("12:00:30"), at("12:00:40"), at("15:00:00"), at("15:01:00")],
        }
    )
    assert over_rounds.minutes(decisions)["minutes"].sum() == 0.5 + 2.0 + 1.0
    assert len(over_rounds.minutes(decisions)) == 5


def test_decisions_taken_from_a_spreadsheet_at_once_tell_no_time():
    decisions = pd.DataFrame({"by": "Ada", "at": ["2026-03-01T12:00:00+00:00"] * 50})
    assert over_rounds.minutes(decisions)["minutes"].isna().all()


def per_class(**recalls: list[float]) -> pd.DataFrame:
    """Each class's recall in rounds 1, 2, ...: of 100 test images; its training images grow by 20 a round."""
    rows = []
    for label, values in recalls.items():
        for number, recall in enumerate(values, 1):
            rows.append((number, "test", label, 100, recall))
            rows.append((number, "train", label, 100 + 20 * number, 1.0))
    return pd.DataFrame(rows, columns=["round", "set", "label", "n", "recall"])


def hints(table: pd.DataFrame, **more) -> dict[str, str]:
    found = over_rounds.worth_labelling(table, confidence=0.95, **more)
    return dict(zip(found["label"], found["hint"], strict=True))


def test_a_class_that_grew_and_did_not_get_better_is_named():
    table = per_class(gnu=[0.7, 0.6, 0.7], cow=[0.7, 0.8, 0.8], owl=[0.7, 0.7, 0.6])
    table["n"] = table["n"].where(table["set"] == "train", 500)
    assert hints(table) == {"gnu": "no gain", "owl": "no gain"}
    assert hints(table, grown=41) == {}


def test_where_few_images_say_so_it_cannot_be_told_whether_a_class_gained():
    assert hints(per_class(gnu=[0.7, 0.6, 0.69])) == {"gnu": "cannot tell"}


def test_a_round_whose_gain_is_not_shown_has_no_price():
    rounds = pd.DataFrame({"round": [1, 2], "images": [1000, 1200]})
    sets = pd.DataFrame({"round": [1, 2], "set": "test", "n": 300, "top1": [0.8, 0.82], "version": "v"})
    spent = pd.DataFrame({"round": [1, 2], "minutes": [np.nan, 30.0]})
    last = over_rounds.ledger(rounds, sets, spent).set_index("round").loc[2]
    assert last["gain_low"] < 0 < last["gain"] < last["gain_high"]
    assert last[["per_100_images", "per_hour"]].isna().all()


def test_a_class_that_is_nearly_always_found_is_saturated():
    assert hints(per_class(gnu=[0.9, 1.0, 1.0], cow=[0.9, 0.95, 0.96])) == {"gnu": "saturated"}


def test_a_class_that_grew_and_stayed_near_the_top_is_saturated_however_few_images_say_so():
    table = per_class(gnu=[1.0, 0.96, 0.96])
    assert hints(table.assign(n=table["n"].where(table["set"] == "train", 25))) == {"gnu": "saturated"}


def test_a_class_of_few_test_images_gets_no_hint():
    table = per_class(gnu=[0.7, 0.6, 0.7])
    assert hints(table.assign(n=table["n"].where(table["set"] == "train", 19))) == {}


def test_one_round_alone_tells_of_no_growth():
    assert hints(per_class(gnu=[0.5])) == {}
    assert over_rounds.worth_labelling(per_class(), confidence=0.95).empty
