import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation import calibration, ensembling
from pipeline.evaluation.ensembling import average, is_ensemble, short

ABC = ["a", "b", "c"]


def test_models_of_the_same_classes_are_averaged_whatever_the_order_of_their_outputs():
    ours, theirs = np.array([[0.6, 0.3, 0.1]]), np.array([[0.2, 0.2, 0.6]])
    assert average([ours, theirs], [ABC, ABC]).tolist() == pytest.approx(np.array([[0.4, 0.25, 0.35]]))
    turned = average([ours, theirs[:, ::-1]], [ABC, ABC[::-1]])
    np.testing.assert_allclose(turned, [[0.4, 0.25, 0.35]])


def test_a_model_has_a_say_only_among_the_classes_it_shares_with_the_first():
    ours, theirs = np.array([[0.5, 0.3, 0.2]]), np.array([[0.2, 0.6, 0.2]])
    found = average([ours, theirs], [ABC, ["a", "b", "gone"]])
    assert found[0, 2] == pytest.approx(0.2)  # it does not know c
    np.testing.assert_allclose(found[0, :2], [(0.5 + 0.8 * 0.25) / 2, (0.3 + 0.8 * 0.75) / 2])


def test_a_model_that_is_sure_of_a_class_the_first_does_not_know_changes_nothing():
    ours, theirs = np.array([[0.5, 0.3, 0.2]]), np.array([[0.0, 0.0, 1.0]])
    np.testing.assert_allclose(average([ours, theirs], [ABC, ["a", "b", "gone"]]), ours)


@given(st.integers(0, 999), st.lists(st.sets(st.sampled_from("abcdef"), min_size=2), min_size=1, max_size=4))
def test_the_average_is_one_of_probabilities(seed, lists):
    random = np.random.default_rng(seed)
    classes = [sorted(names) for names in lists]
    probs = [random.dirichlet(np.ones(len(names)), 5) for names in classes]
    found = average(probs, classes)
    assert found.shape == (5, len(classes[0]))
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)


def test_a_model_beside_itself_says_what_it_says_alone():
    ours = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    np.testing.assert_allclose(average([ours, ours], [ABC, ABC]), ours)


def test_the_name_of_an_ensemble_tells_all_its_models():
    name = "+".join(["1" * 64, "2" * 64])
    assert is_ensemble(name)
    assert not is_ensemble("1" * 64)
    assert short(name) == "111111111111+222222222222"
    assert short("1" * 64) == "1" * 12


def test_the_temperature_of_an_ensemble_is_fitted_to_validation_images_of_known_classes():
    random = np.random.default_rng(0)
    logits = random.normal(size=(3000, 3)) * 2
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (honest.cumsum(axis=1) > random.random((3000, 1))).argmax(axis=1)
    log_probs = np.log(calibration.scale(honest, 2.0))
    rows = pd.DataFrame({"set": ["val", "test"] * 1500, "label": np.array(["a", "b", "c"], dtype=object)[targets]})
    assert ensembling.temperature(rows, log_probs, ["a", "b", "c"]) == pytest.approx(0.5, rel=0.1)
    assert ensembling.temperature(rows.assign(set="test"), log_probs, ["a", "b", "c"]) == 1
    assert ensembling.temperature(rows.assign(label="other"), log_probs, ["a", "b", "c"]) == 1


def test_tempered_log_probabilities_are_those_of_scaled_probabilities():
    probs = np.random.default_rng(0).dirichlet(np.ones(4), 9)
    tempered = ensembling.Tempered(np.log(probs), 0.5)
    np.testing.assert_allclose(np.exp(tempered[2:5]), calibration.scale(probs, 0.5)[2:5], rtol=1e-5)
    assert (tempered.shape, len(tempered)) == ((9, 4), 9)
