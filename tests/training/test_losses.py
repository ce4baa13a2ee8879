import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.losses import build_loss, class_weights

TARGETS = np.eye(3, dtype=np.float32)
PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]], np.float32)


def loss(name: str, **options) -> float:
    return float(build_loss(name, **({"label_smoothing": 0.0} | options))(TARGETS, PROBS))


def test_the_cross_entropy_is_the_mean_log_of_what_the_true_class_got():
    assert loss("cross_entropy") == pytest.approx(-np.log([0.7, 0.6, 0.4]).mean(), rel=1e-5)


def test_the_focal_loss_without_focus_is_the_cross_entropy():
    assert loss("focal", focal_gamma=0.0) == pytest.approx(loss("cross_entropy"), rel=1e-5)


def test_the_focal_loss_counts_a_picture_by_what_it_lacks():
    true = np.array([0.7, 0.6, 0.4])
    assert loss("focal", focal_gamma=2.0) == pytest.approx(-((1 - true) ** 2 * np.log(true)).mean(), rel=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_a_smoothed_label_costs_the_certain_more(name):
    certain = TARGETS * 0.998 + 0.001
    plain, smooth = (build_loss(name, label_smoothing=share) for share in (0.0, 0.1))
    assert float(smooth(TARGETS, certain)) > float(plain(TARGETS, certain))


def test_a_rare_class_weighs_more_and_a_picture_weighs_1_on_average():
    targets = np.array([0] * 6 + [1] * 3)
    assert class_weights(targets, 2, cap=10) == pytest.approx({0: 0.75, 1: 1.5})


def test_no_class_weighs_more_than_the_cap():
    assert class_weights(np.array([0] * 99 + [1]), 2, cap=10)[1] == 10


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.floats(1, 20))
def test_every_class_has_a_weight_above_0_and_the_rarer_never_weighs_less(labels, cap):
    targets = np.array(labels)
    weights = class_weights(targets, 6, cap=cap)
    assert sorted(weights) == list(range(6))
    assert all(0 < weight <= cap for weight in weights.values())
    counts = np.bincount(targets, minlength=6)
    present = sorted(set(labels), key=lambda label: counts[label])
    assert [weights[label] for label in present] == sorted((weights[label] for label in present), reverse=True)
