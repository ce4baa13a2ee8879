"""A runtime on trial: what is compared, and what refuses it."""

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.evaluation.thresholds import Thresholds
from pipeline.inference import trials
from pipeline.inference.trials import Limits

CLASSES = ["cat", "dog"]
LIMITS = Limits(min_agreement=0.99, confidence=0.95, images=1000)
NEVER = float("inf")


def thresholds(threshold: float) -> Thresholds:
    return Thresholds("m", 1.0, 0.95, ["test"], 100, threshold, "assured", {}, [])


def says(*cats: float) -> np.ndarray:
    return np.stack([np.array(cats), 1 - np.array(cats)], axis=1)


def judged(
    expected: np.ndarray,
    probs: np.ndarray,
    *,
    label: str = "",
    threshold: float | None = None,
    bursts_of: int = 1,
    **limits,
):
    rows = pd.DataFrame({"label": [label] * len(expected), "cluster": np.arange(len(expected)) // bursts_of})
    limits = Limits(**({"min_agreement": 0.99, "confidence": 0.95, "images": 1000} | limits))
    chosen = None if threshold is None else thresholds(threshold)
    return trials.judge(rows, expected, probs, CLASSES, thresholds=chosen, limits=limits)


def test_a_runtime_that_says_the_same_is_not_refused():
    expected = says(*[0.9] * 100)
    trial = judged(expected, expected * 0.999, label="cat", threshold=0.5)
    assert (trial.refused, trial.agreement, trial.compared, trial.val) == ("", 1.0, 100, 100)


def test_answers_that_no_user_would_see_are_not_compared():
    expected, found = says(*[0.9] * 90, *[0.6] * 10), says(*[0.9] * 90, *[0.4] * 10)
    assert judged(expected, found, threshold=0.8).refused == ""
    assert judged(expected, found, threshold=0.8).compared == 90
    trial = judged(expected, found)
    assert trial.agreement == pytest.approx(0.9)
    assert trial.refused == "at least 99.00% shall be alike"


@pytest.mark.parametrize(("other", "refused"), [(1, False), (2, True)])
def test_the_limit_of_agreement_itself_is_kept(other, refused):
    found = says(*[0.1] * other, *[0.9] * (100 - other))
    assert bool(judged(says(*[0.9] * 100), found).refused) == refused


def test_few_answers_tell_nothing():
    few = says(*[0.9] * 49)
    assert judged(few, few).refused == "49 answers to compare, at least 50 would tell something"
    many = says(*[0.9] * 100)
    assert judged(many, many, threshold=NEVER).refused.startswith("0 answers to compare")


def test_few_independent_answers_tell_nothing_however_many_frames_they_have():
    many = says(*[0.9] * 480)
    assert judged(many, many, bursts_of=10).refused == "48 answers to compare, at least 50 would tell something"
    trial = judged(many, many, bursts_of=5)
    assert trial.refused == ""
    assert str(trial).startswith("100.00% of 480 answers, 96 independent, alike")


@pytest.mark.parametrize(("bursts_of", "refused"), [(1, True), (10, False)])
def test_ten_frames_of_one_burst_that_are_lost_are_one_loss(bursts_of, refused):
    expected, found = says(*[0.9] * 2000), says(*[0.1] * 10, *[0.9] * 1990)
    assert bool(judged(expected, found, label="cat", bursts_of=bursts_of).refused) == refused


@pytest.mark.parametrize(("lost", "refused"), [(4, False), (5, True)])
def test_a_loss_of_accuracy_that_is_no_chance_refuses(lost, refused):
    """McNemar, one-sided: of 4 images lost and none gained p is 1/16, of 5 it is 1/32."""
    found = says(*[0.1] * lost, *[0.9] * (100 - lost))
    trial = judged(says(*[0.9] * 100), found, label="cat", min_agreement=0.9)
    assert (trial.lost, trial.gained) == (lost, 0)
    assert bool(trial.refused) == refused
    assert not refused or trial.refused.endswith("is no chance (p = 0.031)")


def test_images_gained_weigh_against_images_lost():
    expected, found = says(*[0.9] * 8, *[0.1] * 8, *[0.9] * 184), says(*[0.1] * 8, *[0.9] * 8, *[0.9] * 184)
    trial = judged(expected, found, label="cat", min_agreement=0.9)
    assert (trial.refused, trial.gained, trial.lost) == ("", 8, 8)


def test_images_of_the_pool_have_no_label_to_lose():
    found = says(*[0.1] * 9, *[0.9] * 91)
    trial = judged(says(*[0.9] * 100), found, min_agreement=0.9)
    assert (trial.refused, trial.val, trial.lost) == ("", 0, 0)


def test_a_runtime_that_gives_no_numbers_is_refused():
    expected = says(*[0.9] * 100)
    assert judged(expected, np.full_like(expected, np.nan)).refused == "it gives no numbers (NaN)"


def test_a_network_that_cannot_be_converted_is_refused_and_the_trial_goes_on():
    def load():
        raise DataError("this network cannot be converted: no such operation")

    rows = pd.DataFrame({"label": [""]})
    trial = trials.run(load, [[np.zeros((1, 8, 8, 3))]], rows, says(0.9), trials.Answers(LIMITS))
    assert trial.refused == "this network cannot be converted: no such operation"
