"""How much luck trainings have, from several seeds or from settings that mostly change nothing."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.evaluation import luck
from pipeline.evaluation.luck import Luck


def trainings(settings: int, seeds: int, *, spread: float = 0.01, seed: int = 0) -> np.ndarray:
    return 0.9 + np.random.default_rng(seed).normal(0, spread, (settings, seeds))


def test_settings_and_seeds_may_be_better_than_others_without_being_luck():
    effects, seeds = np.array([[0.0], [0.2], [-0.1]]), np.array([[0.0, 0.05]])
    found = luck.of_trainings(pd.DataFrame(0.7 + effects + seeds))
    assert found.variance == pytest.approx(0, abs=1e-20)
    assert found.freedom == 2


def test_the_luck_that_was_planted_is_found_from_several_seeds():
    found = [luck.of_trainings(pd.DataFrame(trainings(10, 3, seed=seed))).variance for seed in range(100)]
    assert np.mean(found) == pytest.approx(2 * 0.01**2, rel=0.1)


def test_a_training_that_failed_is_left_out():
    values = trainings(4, 2)
    values[3, 1] = np.nan
    assert luck.of_trainings(pd.DataFrame(values)).freedom == 2


def test_with_one_seed_a_setting_with_an_effect_is_not_taken_for_luck():
    values = trainings(15, 1)
    quiet = luck.of_trainings(pd.DataFrame(values)).variance
    values[3] -= 0.5
    assert luck.of_trainings(pd.DataFrame(values)).variance < 2 * quiet


def test_of_two_trainings_nothing_is_known_of_luck():
    assert luck.of_trainings(pd.DataFrame(trainings(2, 1))) is None


def test_without_luck_an_interval_stays_as_it_is():
    assert Luck(0.0, 3).widen(0.01, -0.02, 0.03, confidence=0.95) == pytest.approx((-0.02, 0.03))


def test_where_all_is_luck_the_interval_is_students():
    half = stats.t.ppf(0.975, 2) * 0.01
    assert Luck(0.01**2, 2).widen(0.0, 0.0, 0.0, confidence=0.95) == pytest.approx((-half, half))


def test_what_both_have_counts_once():
    """With very many seeds, and no more luck than the images have it, nothing is added."""
    z = stats.norm.ppf(0.975)
    low, high = Luck(1e-4, 1e9, shared=1e-4).widen(0.0, -z * 0.02, z * 0.02, confidence=0.95)
    assert (low, high) == pytest.approx((-z * 0.02, z * 0.02))


def test_the_interval_of_a_single_value_covers_whatever_its_mean():
    drawn = np.random.default_rng(0).normal(size=100_000)
    for mean in (0.3, 1.0, 3.0, 10.0):
        values = mean + drawn
        assert np.mean(np.abs(values - mean) <= luck.of_one(values, confidence=0.9)) >= 0.895
