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
    assert told.chance > 0.99
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
        reliability.held(scores, places=1).mean, reliability.fit([0.8] * 3, [True, False, False]).mean
    )
