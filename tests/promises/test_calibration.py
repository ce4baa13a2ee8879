"""What calibration promises, in small versions of the worlds of `scripts/bench_promises.py`."""

import numpy as np
import pytest

from pipeline.evaluation import calibration
from scripts.promises.calibration import SURE, Network, excess, fitted, gap


@pytest.mark.parametrize("name", SURE)
@pytest.mark.parametrize("number", [20, 300])
def test_a_fitted_temperature_is_never_worse_than_none(name, number):
    network = Network(*SURE[name])
    assert excess(network, fitted(network, number, 40, np.random.default_rng(0))).max() < 0.02


@pytest.mark.parametrize("planted", [0.5, 2.0])
def test_a_planted_temperature_is_found_from_a_hundred_images_on(planted):
    found = fitted(Network(*SURE["77 % right"], planted), 100, 40, np.random.default_rng(0))
    assert np.exp(np.log(found).mean()) == pytest.approx(planted, rel=0.08)


def test_without_a_mistake_scores_do_not_all_become_one():
    """Targets that are always the highest class: the least log loss is at no temperature above 0."""
    probs, _ = Network(*SURE["99 % right"], 0.6).draw(3000, np.random.default_rng(0))
    temperature = calibration.fit_temperature(probs, probs.argmax(axis=1))
    assert len(np.unique(calibration.scale(probs, temperature).max(axis=1).round(6))) > 50


def test_one_confident_mistake_among_few_images_moves_nothing():
    probs = np.tile([0.9999, 0.0001], (20, 1))
    assert calibration.fit_temperature(probs, np.array([0] * 19 + [1])) == pytest.approx(1.0)


def test_an_ensemble_is_calibrated_as_one():
    """The mean of five calibrated networks that see images differently is less sure than it is right, by far."""
    tempered, averaged = gap(5, 2.0, 1000, np.random.default_rng(0))
    assert averaged < -0.05
    assert abs(tempered) < 0.02
