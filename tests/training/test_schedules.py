import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.schedules import SMOOTHING, find_learning_rate, share, suggest
from tests.networks import batches, equal, tiny, weights


def at(progress: float, *, warmup: float = 0.0, cosine: float | None = None) -> float:
    return share(progress, step=0.1, warmup_epochs=warmup, cosine_epochs=cosine)


def test_the_rate_rises_from_the_first_step_to_the_end_of_the_warm_up():
    assert [at(progress, warmup=0.5) for progress in (0, 0.1, 0.2, 0.3, 0.4)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert at(0.5, warmup=0.5) == at(7, warmup=0.5) == 1


def test_the_cosine_falls_from_the_whole_over_the_half_to_nothing():
    assert [at(epoch, cosine=10) for epoch in (0, 5, 10, 11)] == pytest.approx([1, 0.5, 0, 0])


def test_the_cosine_begins_at_the_end_of_the_warm_up():
    assert [at(epoch, warmup=2, cosine=10) for epoch in (2, 6, 10)] == pytest.approx([1, 0.5, 0])


@given(st.floats(0, 200), st.floats(0, 5), st.none() | st.floats(1, 150))
def test_the_rate_is_a_share_of_the_full_one(progress, warmup, cosine):
    assert 0 <= at(progress, warmup=warmup, cosine=cosine) <= 1


def test_the_suggested_rate_is_where_the_loss_falls_fastest():
    rates = np.geomspace(1e-5, 1, 11)
    losses = [2, 2, 2, 1.9, 1.2, 0.7, 0.6, 0.6, 0.9, 2, 5]
    assert suggest(pd.DataFrame({"rate": rates, "loss": losses})) == pytest.approx(rates[4])


def test_a_loss_that_only_rises_suggests_the_lowest_rate():
    assert suggest(pd.DataFrame({"rate": [0.1, 1.0], "loss": [1.0, 2.0]})) == 0.1


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-0.3, 0.3), st.sampled_from([60, 100, 200]))
def test_the_luck_of_the_first_batches_suggests_nothing(seed, first, steps):
    """A level loss with noise, smoothed as the test does it, that falls from a rate of 1e-4 on and rises again."""
    rates = np.geomspace(1e-6, 1, steps)
    true = np.interp(np.log10(rates), [-6, -4, -2, -1, 0], [2.5, 2.5, 1.5, 1.5, 3])
    noisy = true + np.random.default_rng(seed).normal(0, 0.02, steps)
    noisy[0] += first
    smoothed = pd.Series(noisy).ewm(alpha=1 - SMOOTHING).mean()
    assert 5e-5 < suggest(pd.DataFrame({"rate": rates, "loss": smoothed})) < 5e-2


def test_the_range_test_takes_the_optimiser_and_the_loss_that_training_has():
    curves = [
        find_learning_rate(tiny(), batches(24), lowest=1e-3, steps=20, **options)[0]["loss"]
        for options in ({}, {"optimizer": "rmsprop"}, {"loss": "focal"}, {"body_rate": 0.01})
    ]
    assert all(not np.allclose(curve, curves[0]) for curve in curves[1:])


def test_the_range_test_raises_the_rate_step_by_step_and_leaves_the_network_alone():
    model = tiny()
    before = weights(model)
    curve, suggestion = find_learning_rate(model, batches(24), lowest=1e-4, highest=10.0, steps=30)
    assert equal(weights(model), before)
    assert curve["rate"].is_monotonic_increasing
    assert np.isfinite(curve["loss"]).all()
    assert curve["rate"].iloc[0] <= suggestion <= curve["rate"].iloc[-1]
