"""What a model says of an image, counted on the fingers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation import calibration, scores
from tests.evaluation.made_up_models import CLASSES, guesses, images, scored


def test_an_image_of_a_class_the_model_does_not_know_is_counted_apart():
    table = scored(("cat", [0.9, 0.1, 0]), ("emu", [0, 1, 0]), ("", [0, 0, 1]))
    assert table["label_rank"].tolist() == [1, scores.OUT_OF_CLASS, scores.OUT_OF_CLASS]
    assert table["label_score"].isna().tolist() == [False, True, True]
    assert scores.known(table)["label"].tolist() == ["cat"]


@pytest.mark.parametrize(
    ("label", "probs", "rank"),
    [
        ("cat", [0.4, 0.4, 0.2], 1),
        ("dog", [0.4, 0.4, 0.2], 2),
        ("owl", [0.4, 0.4, 0.2], 3),
        ("owl", [1 / 3, 1 / 3, 1 / 3], 3),
        ("dog", [0.2, 0.4, 0.4], 1),
    ],
)
def test_of_equal_probabilities_the_first_class_is_said_and_the_others_rank_after_it(label, probs, rank):
    assert scored((label, probs))["label_rank"].item() == rank


def test_an_image_is_right_exactly_when_its_class_is_the_one_said():
    """A network that says the same of everything must not look perfect."""
    table = scored(*[(label, [1 / 3] * 3) for label in CLASSES])
    assert ((table["label_rank"] == 1) == (table["label"] == table["predicted"])).all()
    assert (table["label_rank"] == 1).sum() == 1


def test_an_image_is_described_by_its_best_classes():
    said = scores.describe(np.array([[0.2, 0.7, 0.1]], np.float32), CLASSES, top_k=2).iloc[0]
    assert (said["label"], list(said["top_labels"])) == ("dog", ["dog", "cat"])
    assert said["score"] == pytest.approx(0.7)
    assert said["margin"] == pytest.approx(0.5)
    assert list(said["top_scores"]) == pytest.approx([0.7, 0.2])
    assert said["entropy"] == pytest.approx(-sum(p * np.log(p) for p in (0.2, 0.7, 0.1)))


def test_certainty_has_no_entropy_and_even_odds_have_the_most():
    entropy = scores.describe(np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]), CLASSES, top_k=1)["entropy"]
    assert entropy.tolist() == pytest.approx([0, np.log(3)])


def test_more_best_classes_than_there_are_give_all():
    assert len(scores.describe(np.eye(3), CLASSES, top_k=9)["top_labels"].iloc[0]) == 3


def test_no_image_gives_an_empty_table():
    assert len(scores.describe(np.empty((0, 3)), CLASSES, top_k=2)) == 0


def test_the_images_keep_their_order_and_their_columns():
    table = pd.DataFrame({"label": ["owl", "cat"], "set": "test", "origin": ["real", "staged"]}, index=[7, 3])
    found = scores.score(table, np.array([[0, 0, 1], [0, 0, 1.0]]), CLASSES, top_k=1)
    assert found[["label", "origin", "predicted", "label_rank"]].to_dict("split")["data"] == [
        ["owl", "real", "owl", 1],
        ["cat", "staged", "owl", 2],
    ]  # of two classes without any probability, cat is the first


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 7))
@settings(deadline=None, max_examples=50)
def test_the_best_classes_are_those_of_a_whole_sort_also_where_scores_are_equal(seed, classes, top_k):
    random = np.random.default_rng(seed)
    probs = random.integers(1, 4, (6, classes)) / 10
    order = np.argsort(-probs, axis=1, kind="stable")
    names = [str(number) for number in range(classes)]
    labels = random.integers(0, classes, 6)
    found = scores.score(images([names[label] for label in labels]), probs, names, top_k=top_k)
    assert [list(best) for best in found["top_labels"]] == [[names[n] for n in row[:top_k]] for row in order]
    assert found["label_rank"].tolist() == [1 + list(row).index(n) for row, n in zip(order, labels, strict=True)]


def test_stored_log_probabilities_say_what_the_model_said():
    probs, targets = guesses(9000, classes=40)
    table = images([str(target) for target in targets])
    names = [str(number) for number in range(40)]
    exact = scores.score(table, probs, names, top_k=5)
    stored = scores.from_log_probs(table, scores.to_log_probs(probs), names, top_k=5)
    np.testing.assert_allclose(stored["score"], exact["score"], rtol=5e-3)
    np.testing.assert_allclose(stored["label_score"], exact["label_score"], rtol=1e-2)
    assert (stored["predicted"] == exact["predicted"]).mean() > 0.999  # all but what is as good as equal
    assert stored["image"].tolist() == table["image"].tolist()


def test_what_float16_would_call_nothing_comes_back_with_another_temperature():
    probs = np.array([[1 - 3e-9, 2e-9, 1e-9]])
    stored = scores.probs_of(scores.to_log_probs(probs))
    assert probs.astype(np.float16)[0, 1] == 0
    np.testing.assert_allclose(calibration.scale(stored, 4.0), calibration.scale(probs, 4.0), rtol=0.02)


def test_images_that_curation_left_out_for_their_class_are_an_open_set():
    excluded = images(["emu", "kiwi", "cat", "dog"]).drop(columns="set")
    reasons = ["below the cutoff", "unknown", "duplicate", "benchmark"]
    found = scores.with_open_sets(images(["cat"], "test"), excluded.assign(reason=reasons, detail=""))
    assert found[["label", "set"]].to_numpy().tolist() == [
        ["cat", "test"],
        ["emu", "open:below-cutoff"],
        ["", "open:unknown"],
    ]
    assert list(found) == list(images(["cat"]))
