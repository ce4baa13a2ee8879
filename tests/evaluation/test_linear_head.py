"""A linear head on stored features: calibrated, named by its weights, and as good as its features allow."""

import numpy as np
import pytest

from pipeline.evaluation import linear_head


def drawn(number: int, *, classes: int = 3, spread: float = 0.6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    target = random.integers(0, classes, number)
    features = np.eye(classes, 8)[target] + spread * random.normal(size=(number, 8))
    return features.astype(np.float32), np.array(["cow", "elk", "owl"])[target]


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_sum_to_one_and_name_the_classes_in_their_order(classes):
    head = linear_head.calibrated(*drawn(200, classes=classes), *drawn(80, classes=classes, seed=1))
    features, labels = drawn(400, classes=classes, seed=2)
    probs = head.probs(features)
    assert probs.shape == (400, classes)
    assert probs.sum(axis=1) == pytest.approx(1)
    assert np.mean(np.array(head.classes)[probs.argmax(axis=1)] == labels) > 0.7


def test_scores_are_as_high_as_answers_are_right():
    head = linear_head.calibrated(*drawn(600), *drawn(400, seed=1))
    features, labels = drawn(4000, seed=2)
    probs = head.probs(features)
    right = np.array(head.classes)[probs.argmax(axis=1)] == labels
    assert probs.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.05)


def test_other_weights_have_another_digest():
    first, again, other = (linear_head.calibrated(*drawn(100, seed=seed), *drawn(30, seed=9)) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest


def test_the_nearest_images_vote():
    features, labels = drawn(300, spread=0.1)
    asked, truth = drawn(50, spread=0.1, seed=3)
    assert np.mean(linear_head.nearest(features, labels, asked) == truth) > 0.95


def test_a_validation_set_of_other_classes_leaves_the_temperature_alone():
    features, labels = drawn(100)
    head = linear_head.calibrated(features, labels, features[:5], np.array(["yak"] * 5))
    assert head.temperature == 1
