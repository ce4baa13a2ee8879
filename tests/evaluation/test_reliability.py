import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation import reliability


def suggested(of: int, right: float, score: float) -> tuple[np.ndarray, np.ndarray]:
    return np.full(of, score), np.arange(of) < right * of


NOTHING = reliability.fit(np.empty(0), np.empty(0))


def test_without_evidence_scores_are_believed_as_they_are():
    assert np.allclose(NOTHING.mean, [1, 0], atol=1e-4)


def test_scores_that_promised_too_much_are_believed_less():
    held = reliability.fit(*suggested(400, 0.5, 0.9))
    assert reliability.likely(held, np.array([0.9]))[0] < 0.6 < reliability.likely(NOTHING, np.array([0.9]))[0]


def test_more_evidence_leaves_less_open():
    few, many = (reliability.fit(*suggested(of, 0.8, 0.8)) for of in (5, 500))
    assert np.trace(many.covariance) < np.trace(few.covariance)


def test_what_is_expected_lies_in_its_interval_and_enough_surely_suffices():
    held = reliability.fit(*suggested(400, 0.9, 0.9))
    told = reliability.expect(held, np.full(60, 0.9), short_by=5, confidence=0.95)
    assert told.low < told.expected < told.high <= 60
    assert told.chance > 0.98
    assert reliability.expect(held, np.full(4, 0.9), short_by=5, confidence=0.95).chance == 0


def test_no_candidates_bring_nothing():
    told = reliability.expect(NOTHING, np.empty(0), short_by=1, confidence=0.95)
    assert (told.expected, told.low, told.high, told.chance) == (0, 0, 0, 0)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=20), st.lists(st.booleans(), min_size=20, max_size=20))
def test_any_scores_are_likely_between_never_and_always(scores, right):
    held = reliability.fit(np.array(scores), np.array(right[: len(scores)]))
    assert (
        (reliability.likely(held, np.array([0, 0.5, 1])) >= 0) & (reliability.likely(held, np.array([0, 0.5, 1])) <= 1)
    ).all()


def test_suggestions_are_measured_on_images_that_nothing_was_learnt_from():
    scores = pd.DataFrame(
        {
            "set": ["train", "val", "benchmark:field", "open:unknown", "open:below-cutoff"],
            "label": ["cat", "cat", "dog", "", "emu"],
            "top_labels": [["cat", "dog"]] * 5,
            "top_scores": [[0.8, 0.2]] * 5,
        }
    )
    found = reliability.suggestions(scores, least=0.1)
    assert found["right"].tolist() == [True, False, False, True, False, False]
    assert reliability.suggestions(scores, least=0.5)["right"].tolist() == [True, False, False]
    assert reliability.suggestions(scores, places=1)["right"].tolist() == [True, False, False]
    assert np.array_equal(
        reliability.held(scores, places=1).mean, reliability.fit([0.8] * 3, [True, False, False], ["cat"] * 3).mean
    )


def in_clusters(number: int, *, size: int, right: int, set_: str = "test") -> pd.DataFrame:
    """Scores of clusters of images of one class, which the model sees at 60 %, in so many of them rightly."""
    rows = [
        {"set": set_, "label": "emu", "cluster": f"c{cluster}", "top_labels": [name, "owl", "rat"]}
        for cluster in range(number)
        for name in [("emu" if cluster < right else "cat")] * size
    ]
    return pd.DataFrame(rows).assign(top_scores=[[0.6, 0.3, 0.1]] * len(rows))


def test_the_scores_of_bursts_are_held_against_bursts_of_the_sets_that_were_not_learnt():
    held = reliability.held_of_bursts(in_clusters(200, size=4, right=190), classes=4)
    assert reliability.likely(held, np.array([0.6]), ["emu"])[0] > 0.85
    learnt = reliability.held_of_bursts(in_clusters(200, size=4, right=190, set_="train"), classes=4)
    assert np.allclose(learnt.mean, NOTHING.mean)


def test_images_that_are_alone_say_nothing_of_bursts():
    held = reliability.held_of_bursts(in_clusters(200, size=1, right=190), classes=4)
    assert np.allclose(held.mean, NOTHING.mean)


def test_scores_of_earlier_models_know_of_no_bursts():
    rows = in_clusters(50, size=3, right=40).drop(columns="cluster")
    assert np.allclose(reliability.held_of_bursts(rows, classes=4).mean, NOTHING.mean)


def test_a_group_is_brought_with_all_others_of_its_burst():
    score, alone = np.array([0.8]), reliability.expect(NOTHING, np.full(9, 0.8), short_by=9, confidence=0.95)
    whole = reliability.expect(NOTHING, score, short_by=9, confidence=0.95, brings=np.array([9]))
    assert whole.expected == alone.expected
    assert (whole.low, whole.high) == (0, 9)
    assert whole.chance > alone.chance


def test_a_class_whose_scores_were_measured_is_believed_as_it_was():
    score = np.full(400, 0.8)
    label = np.repeat(["cat", "dog"], 200)
    right = np.arange(400) % 200 < np.where(label == "cat", 190, 60)
    held = reliability.fit(score, right, label)
    cat, dog, emu = (reliability.likely(held, np.array([0.8]), [name])[0] for name in ("cat", "dog", "emu"))
    assert cat > 0.9
    assert dog < 0.4
    assert dog < emu < cat


def test_a_reviewer_who_errs_finds_fewer_of_many_right_suggestions():
    held = reliability.fit(*suggested(400, 0.99, 0.99))
    sure, erring = (
        reliability.expect(held, np.full(200, 0.99), short_by=1, confidence=0.95, reviewer_error=of)
        for of in ((0, 0), (10, 100))
    )
    assert erring.expected < sure.expected
