"""A burst is judged by the mean of its frames' log probabilities, of which only the best are stored."""

import numpy as np
import pytest

from pipeline.evaluation import joint


def judge(probs: list[list[float]], burst: list[int], *, top_k: int | None = None, kept: int = 3) -> joint.Judgement:
    values = np.array(probs)
    top_k = top_k or values.shape[1]
    best = np.argsort(-values, axis=1, kind="stable")[:, :top_k]
    frame = np.repeat(np.arange(len(values)), top_k)
    score = np.take_along_axis(values, best, axis=1).ravel()
    return joint.judge(np.array(burst), frame, best.ravel(), score, classes=values.shape[1], top_k=kept)


def test_where_all_probabilities_are_known_it_is_the_geometric_mean():
    probs = [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]]
    found = judge(probs, [0, 0])
    mean = np.exp(np.log(probs).mean(axis=0))
    assert found.labels.tolist() == [[1, 0, 2]]
    assert found.scores[0] == pytest.approx(np.sort(mean / mean.sum())[::-1])


def test_a_burst_of_one_frame_is_judged_as_the_frame():
    found = judge([[0.5, 0.2, 0.15, 0.1, 0.05]], [0], top_k=3)
    assert found.labels.tolist() == [[0, 1, 2]]
    assert found.scores[0] == pytest.approx([0.5, 0.2, 0.15])


def test_a_model_of_many_classes_is_as_sure_of_a_burst_as_of_its_frames():
    probs = np.full(1500, 1e-12)
    probs[7] = 1 - probs.sum() + probs[7]
    found = judge([list(probs)] * 4, [0] * 4, top_k=5)
    assert found.labels[0, 0] == 7
    assert found.scores[0, 0] == pytest.approx(0.99, abs=0.001)


def test_many_hesitant_frames_outweigh_one_that_is_sure():
    found = judge([[0.9, 0.05, 0.05], *[[0.1, 0.6, 0.3]] * 5], [0] * 6)
    assert found.labels[0, 0] == 1


def test_one_frame_alone_does_not_rule_a_class_out():
    found = judge([[1.0, 0.0, 0.0], *[[0.0, 1.0, 0.0]] * 3], [0] * 4)
    assert found.labels[0].tolist() == [1, 0, 2]
    assert found.scores[0, 1] > 1e-4


def test_classes_beyond_the_best_share_what_is_left():
    exact = judge([[0.6, 0.2, 0.1, 0.1], [0.2, 0.6, 0.1, 0.1]], [0, 0])
    stored = judge([[0.6, 0.2, 0.1, 0.1], [0.2, 0.6, 0.1, 0.1]], [0, 0], top_k=2)
    assert stored.scores[0, :2] == pytest.approx(exact.scores[0, :2])
    assert stored.labels[0].tolist() == [0, 1, -1]


def test_bursts_are_judged_apart_and_none_is_the_likelier_for_its_size():
    found = judge([[0.7, 0.2, 0.1]] * 5 + [[0.7, 0.2, 0.1]], [1] * 5 + [0])
    assert found.scores[0] == pytest.approx(found.scores[1])


def test_of_equally_likely_classes_the_first_stands_first():
    found = judge([[0.25, 0.375, 0.375]], [0])
    assert found.labels.tolist() == [[1, 2, 0]]
