"""The likest images of each class, by features of a frozen network."""

import numpy as np
import pytest

from pipeline.evaluation.neighbours import Neighbours


@pytest.fixture
def library() -> tuple[np.ndarray, np.ndarray]:
    """Features of 4 classes of 20 images, and their class indices."""
    targets = np.repeat(np.arange(4), 20)
    return np.eye(4, 16)[targets] * 4 + np.random.default_rng(0).normal(0, 0.5, (80, 16)), targets


def opinion(features: np.ndarray, targets: np.ndarray, **more) -> Neighbours:
    return Neighbours(features, np.arange(len(targets)), targets, num_classes=int(targets.max()) + 1, **more)


def test_the_likest_images_say_what_an_image_shows(library):
    features, targets = library
    probs = opinion(features, targets).probs(slice(None))
    assert probs.sum(axis=1) == pytest.approx(1)
    assert (probs.argmax(axis=1) == targets).all()


def test_a_wrong_label_is_contradicted(library):
    features, targets = library
    given = targets.copy()
    given[3] = 2
    probs = opinion(features, given).probs(np.array([3]))
    assert probs[0, 0] > 5 * probs[0, 2]


def test_frames_of_one_burst_do_not_confirm_each_other(library):
    features, targets = library
    given = targets.copy()
    given[:10] = 2  # ten frames of one event, all with the same wrong label
    features[:10] = features[0]
    alone = opinion(features, given).probs(np.arange(10))
    together = opinion(features, given, cluster=np.where(np.arange(80) < 10, 1000, np.arange(80))).probs(np.arange(10))
    assert (alone[:, 2] > 0.15).all()
    assert (together[:, 2] < 0.05).all()


def test_an_image_without_features_is_not_judged_and_neither_is_one_that_is_alone_in_its_class(library):
    features, targets = library
    features[5] = 0
    given = targets.copy()
    given[7] = 4
    judged = opinion(features, given).judged
    assert not judged[5]
    assert not judged[7]
    assert judged.sum() == 78


def test_the_labels_of_images_that_have_no_vote_change_nothing(library):
    features, targets = library
    votes = np.arange(80) % 4 != 0
    other = np.where(votes, targets, (targets + 1) % 4)
    first, second = (opinion(features, given, votes=votes).probs(np.flatnonzero(votes)) for given in (targets, other))
    assert first == pytest.approx(second)
