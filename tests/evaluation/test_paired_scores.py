import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.evaluation import paired_scores
from pipeline.library import classes

MERGED = classes.check(pd.DataFrame([{"event": "merge", "class": "gazelle", "to": "antelope"}]), "classes.csv")
NONE = classes.none()


def scores(*rows: tuple, name: str = "benchmark:field", model: str = "m") -> pd.DataFrame:
    """A row an image: its content, label, the model's classes from the best on, and the label's rank."""
    table = pd.DataFrame(rows, columns=["sha256", "label", "top_labels", "label_rank"])
    return table.assign(
        image="benchmark/" + table["sha256"],
        set=name,
        predicted=[labels[0] for labels in table["top_labels"]],
        top_scores=[[0.6, 0.3, 0.1][: len(labels)] for labels in table["top_labels"]],
        score=0.6,
        label_score=0.6,
        model=model,
    )


def truth(*rows: tuple, name: str = "benchmark:field") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sha256", "label"]).assign(set=name)


def standings(candidate: pd.DataFrame, champion: pd.DataFrame) -> dict[str, str]:
    return paired_scores.align(candidate, champion).set_index("sha256")["standing"].to_dict()


def test_shared_new_and_retired_classes_are_told_apart():
    candidate = scores(
        ("a", "cat", ["cat"], 1), ("b", "emu", ["emu"], 1), ("c", "yak", ["cat"], -1), ("d", "", ["cat"], -1)
    )
    champion = scores(
        ("a", "cat", ["dog"], 2), ("b", "emu", ["cat"], -1), ("c", "yak", ["yak"], 1), ("d", "", ["cat"], -1)
    )
    assert standings(candidate, champion) == {
        "a": paired_scores.SHARED,
        "b": paired_scores.NEW,
        "c": paired_scores.RETIRED,
        "d": paired_scores.OUTSIDE,
    }


def test_an_image_that_one_of_them_was_not_scored_on_is_named():
    both = ("a", "cat", ["cat"], 1)
    assert standings(scores(both, ("b", "cat", ["cat"], 1)), scores(both, ("c", "cat", ["cat"], 1))) == {
        "a": paired_scores.SHARED,
        "b": paired_scores.CANDIDATES,
        "c": paired_scores.CHAMPIONS,
    }


@settings(max_examples=50, deadline=None)
@given(
    *[
        st.lists(
            st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["cat", "dog", ""]), st.sampled_from([-1, 1, 2])),
            max_size=12,
        )
        for _ in range(2)
    ]
)
def test_every_image_of_either_model_stands_in_exactly_one_place(ours, theirs):
    candidate, champion = (
        paired_scores.check(scores(*((key, label, ["cat"], rank) for key, label, rank in rows)), "scores", mend="")
        for rows in (ours, theirs)
    )
    pairs = paired_scores.align(candidate, champion)
    assert len(pairs) == len({row[:2] for row in ours} | {row[:2] for row in theirs})
    assert set(pairs["standing"]) <= set(paired_scores.STANDINGS)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"score": np.nan}, "a score is no probability: 1 images, first benchmark/b"),
        ({"score": 1.5}, "a score is no probability"),
        ({"label_rank": np.nan}, "a rank is missing"),
        ({"label_rank": 0}, "a rank is missing"),
        ({"predicted": None}, "a prediction is missing"),
    ],
)
def test_a_broken_score_is_refused_and_named(fault, message):
    table = scores(("a", "cat", ["cat"], 1), ("b", "cat", ["cat"], 1))
    for column, value in fault.items():
        table[column] = [table[column][0], value]
    with pytest.raises(DataError, match=message) as refused:
        paired_scores.check(table, "scores.parquet", mend="score it again")
    assert refused.value.where == "scores.parquet, benchmark:field"


def test_the_scores_of_two_models_are_refused():
    with pytest.raises(DataError, match="several models"):
        paired_scores.check(
            pd.concat([scores(("a", "cat", ["cat"], 1)), scores(("b", "cat", ["cat"], 1), model="o")]), "", mend=""
        )


def test_only_benchmarks_count_and_a_picture_that_stands_twice_counts_once():
    row = ("a", "cat", ["cat"], 1)
    table = pd.concat([scores(row, row), scores(("b", "cat", ["cat"], 1), name="test")])
    assert list(paired_scores.check(table, "", mend="")["sha256"]) == ["a"]


def test_an_older_model_was_right_within_classes_that_were_merged_since():
    older = scores(("a", "gazelle", ["antelope"], 2), ("b", "gazelle", ["yak"], 3))
    found = paired_scores.by_todays_names(older, MERGED)
    assert list(found["label"]) == ["antelope", "antelope"]
    assert list(found["label_rank"]) == [1, 3]


def relabelled(stored: pd.DataFrame, today: pd.DataFrame, known: set[str], events=NONE) -> dict[str, tuple]:
    found = paired_scores.relabel(stored, today, known, events)
    return {row.sha256: (row.label, row.label_rank, row.label_score) for row in found.itertuples()}


def test_a_label_that_a_person_corrected_takes_its_rank_from_what_is_stored():
    stored = scores(("a", "cat", ["cat", "dog", "emu"], 1), ("b", "cat", ["cat", "dog", "emu"], 1))
    found = relabelled(stored, truth(("a", "dog"), ("b", "cat")), {"cat", "dog", "emu"})
    assert found == {"a": ("dog", 2, 0.3), "b": ("cat", 1, 0.6)}


@pytest.mark.parametrize(("label", "rank"), [("yak", 4), ("gnu", -1), ("", -1)])
def test_a_corrected_label_beyond_the_stored_classes_has_at_best_the_next_rank(label, rank):
    stored = scores(("a", "cat", ["cat", "dog", "emu"], 1))
    found = relabelled(stored, truth(("a", label)), {"cat", "dog", "emu", "yak"})["a"]
    assert found[:2] == (label, rank)
    assert np.isnan(found[2])


def test_the_stored_classes_are_read_by_todays_names():
    stored = scores(("a", "cat", ["cat", "gazelle", "antelope"], 1))
    found = relabelled(stored, truth(("a", "antelope")), {"cat", "antelope"}, MERGED)["a"]
    assert found == ("antelope", 2, pytest.approx(0.4))


def test_a_picture_that_stands_in_a_set_under_two_labels_keeps_both():
    stored = scores(("a", "cat", ["cat", "dog"], 1), ("a", "dog", ["cat", "dog"], 2))
    assert paired_scores.relabel(stored, truth(("a", "cat"), ("a", "dog")), {"cat", "dog"}, NONE) is stored


def test_a_label_of_another_set_or_image_changes_nothing():
    stored = scores(("a", "cat", ["cat"], 1))
    assert relabelled(stored, truth(("a", "dog"), name="benchmark:messy"), {"cat", "dog"})["a"][0] == "cat"
    assert paired_scores.relabel(stored, truth(("b", "dog")), {"cat"}, NONE) is stored


def test_the_shared_images_are_those_of_classes_that_both_models_know_each_once():
    cats = scores(*((key, "cat", ["cat"], 1) for key in "abc"))
    few = scores(("a", "cat", ["cat"], 1), ("b", "cat", ["dog"], 2))
    pairs = paired_scores.shared(paired_scores.align(cats, few, columns=["predicted"]))
    assert pairs[["sha256", "right", "right_before", "predicted", "predicted_before"]].to_numpy().tolist() == [
        ["a", True, True, "cat", "cat"],
        ["b", True, False, "cat", "dog"],
    ]
    assert paired_scores.shared(paired_scores.align(cats, few.assign(label_rank=-1))).empty
    assert len(paired_scores.align(pd.concat([cats, cats]), few)) == 3
