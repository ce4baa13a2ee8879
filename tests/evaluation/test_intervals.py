"""Intervals, against scipy's on the same numbers, and by how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from pipeline.evaluation import intervals


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_a_share_has_scipy_s_wilson_interval(n, share, confidence):
    successes = round(share * n)
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert intervals.wilson(successes, n, confidence=confidence) == pytest.approx(tuple(expected), abs=1e-9)


def test_of_no_image_no_share_is_known():
    low, high = intervals.wilson([0, 3], [0, 3], confidence=0.95)
    assert np.isnan(low[0])
    assert np.isnan(high[0])
    assert high[1] == 1.0


def held(truth: float, found: list[tuple[float, float]]) -> float:
    return float(np.mean([low <= truth <= high for low, high in found]))


@pytest.mark.parametrize("number", [60, intervals.MANY + 1])
def test_the_interval_of_a_mean_holds_the_truth_as_often_as_it_says(number):
    random = np.random.default_rng(0)
    found = [intervals.mean(random.gamma(2, size=number), confidence=0.9, seed=n) for n in range(150)]
    known = [pair for pair in found if not np.isnan(pair).any()]  # a sample that is too skewed has none
    assert len(known) > 100
    assert held(2.0, known) == pytest.approx(0.9, abs=0.08)


def test_a_mean_that_a_few_values_decide_has_no_interval():
    """Of a hundred images, two have nearly all of the log loss."""
    values = np.append(np.full(98, 0.01), [5.0, 7.0])
    assert np.isnan(intervals.mean(values, confidence=0.95)).all()


def test_a_mean_of_one_value_or_none_has_no_interval():
    assert np.isnan(intervals.mean(np.array([1.0]), confidence=0.95)).all()
    assert np.isnan(intervals.mean(np.empty(0), confidence=0.95)).all()


def test_the_bootstrap_of_f1_is_that_of_drawn_images():
    random = np.random.default_rng(0)
    targets = np.repeat([0, 1, 4], [200, 60, 20])
    predicted = np.where(random.random(280) < 0.7, targets, random.integers(0, 6, 280))
    found = intervals.f1(targets, predicted, confidence=0.9)
    drawn: dict[str, list[float]] = {"macro_f1": [], "weighted_f1": []}
    for _ in range(150):
        chosen = np.concatenate(
            [random.choice(rows, len(rows)) for rows in map(np.flatnonzero, [targets == c for c in (0, 1, 4)])]
        )
        for name, values in drawn.items():
            average = name.removesuffix("_f1")
            values.append(f1_score(targets[chosen], predicted[chosen], labels=[0, 1, 4], average=average))
    for name, values in drawn.items():
        assert found[name] == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])), abs=0.015)


def test_the_same_seed_gives_the_same_interval():
    targets, predicted = np.tile([0, 0, 1, 1, 1], 8), np.tile([0, 1, 1, 1, 0], 8)
    assert not np.isnan(intervals.f1(targets, predicted, confidence=0.95)["macro_f1"]).any()
    assert intervals.f1(targets, predicted, confidence=0.95) == intervals.f1(targets, predicted, confidence=0.95)


def test_a_model_that_is_hardly_ever_wrong_has_no_interval_of_f1():
    targets = np.repeat([0, 3], 50)
    predicted = targets.copy()
    predicted[:9] = 3
    assert np.isnan(intervals.f1(targets, targets, confidence=0.95)["macro_f1"]).all()
    assert np.isnan(intervals.f1(targets, predicted, confidence=0.95)["macro_f1"]).all()


def test_one_image_has_no_interval_of_f1():
    assert np.isnan(intervals.f1(np.array([2]), np.array([2]), confidence=0.95)["macro_f1"]).all()
