import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation import calibration


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("planted", [0.5, 1.0, 2.5])
def test_a_planted_temperature_is_found(planted):
    random = np.random.default_rng(0)
    logits = random.normal(size=(6000, 5)) * 2
    targets = np.array([random.choice(5, p=row) for row in softmax(logits)])
    assert calibration.fit_temperature(softmax(logits * planted), targets) == pytest.approx(planted, rel=0.06)


def test_without_any_image_nothing_is_changed():
    assert calibration.fit_temperature(np.empty((0, 3)), np.empty(0, int)) == 1.0


def test_a_network_that_is_always_sure_and_often_wrong_becomes_humble():
    probs = np.eye(2)[[0] * 10]
    temperature = calibration.fit_temperature(probs, np.array([0] * 6 + [1] * 4))
    assert temperature > 2
    assert calibration.scale(probs, temperature)[0, 0] < 0.9


def test_a_network_that_is_always_right_keeps_a_finite_temperature():
    assert 0 < calibration.fit_temperature(np.eye(3), np.arange(3)) < np.inf


def test_temperature_one_changes_nothing():
    probs = softmax(np.random.default_rng(0).normal(size=(20, 4)))
    np.testing.assert_allclose(calibration.scale(probs, 1.0), probs, rtol=1e-6)


ROW = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda row: sum(row) > 0.01)


@given(st.lists(ROW, min_size=1, max_size=5), st.floats(*calibration.BOUNDS))
@settings(deadline=None, max_examples=200)
def test_scaling_keeps_the_order_and_the_sum(rows, temperature):
    probs = np.array(rows)
    probs /= probs.sum(axis=1, keepdims=True)
    scaled = calibration.scale(probs, temperature)
    np.testing.assert_allclose(scaled.sum(axis=1), 1, rtol=1e-9)
    order = np.argsort(probs, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(scaled, order, axis=1), axis=1) >= 0).all()


def test_a_higher_temperature_brings_the_scores_together():
    highest = [calibration.scale(np.array([[0.7, 0.2, 0.1]]), t).max() for t in (0.5, 1, 2, 20)]
    assert highest == sorted(highest, reverse=True)


def diagram(scores: list[float], right: list[bool]) -> pd.DataFrame:
    return calibration.reliability(pd.Series(scores), pd.Series(right), confidence=0.95)


def test_a_score_on_the_edge_of_two_bins_belongs_to_the_lower_one():
    found = diagram([1 / 15, 1.0, 0.0], [True, True, False])
    assert found["n"].tolist() == [2, 1]
    assert found["high"].tolist() == pytest.approx([1 / 15, 1.0])


def test_the_expected_error_can_be_counted_by_hand():
    found = diagram([0.9, 0.9, 0.9, 0.9, 0.3], [True, True, False, True, True])
    assert found["accuracy"].tolist() == pytest.approx([1.0, 0.75])
    assert calibration.expected_error(found) == pytest.approx((4 * 0.15 + 1 * 0.7) / 5)


def test_every_image_stands_in_one_bin():
    scores = np.random.default_rng(0).random(1000)
    assert diagram(list(scores), list(scores > 0.5))["n"].sum() == 1000


def test_honest_scores_have_hardly_an_error_and_their_bins_hold_the_diagonal():
    random = np.random.default_rng(0)
    scores = random.random(40_000)
    found = diagram(list(scores), list(random.random(40_000) < scores))
    assert calibration.expected_error(found) < 0.012
    inside = found["mean_score"].between(found["accuracy_low"], found["accuracy_high"])
    assert inside.mean() > 0.7


def test_no_image_has_no_error():
    assert np.isnan(calibration.expected_error(diagram([], [])))
