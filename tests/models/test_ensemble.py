"""Several networks in one: the mean of what its members say, in one file that is a network like any other."""

import keras
import numpy as np
import pytest

from pipeline import bundle
from pipeline.bundle import Bundle, Card, Stored
from pipeline.evaluation import calibration
from pipeline.inference import model_export
from pipeline.inference.runtimes import kinds
from pipeline.inference.runtimes.converted import Calibration
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage
from pipeline.models import hub_layer
from pipeline.models.ensemble import average, members
from pipeline.models.head import FEATURES, HEAD, calibrated
from pipeline.models.hub import hub
from tests.hub_modules import save_module
from tests.library.builders import noise, put
from tests.networks import SIDE, coloured, equal, tiny

PIXELS, _ = coloured(7)
TEMPERATURES = [0.5, 1.0, 3.0]


def probs(model: keras.Model) -> np.ndarray:
    return np.asarray(model.predict(PIXELS.astype(np.float32), verbose=0))


@pytest.fixture
def networks() -> list[keras.Model]:
    return [tiny(seed=seed) for seed in range(3)]


@pytest.fixture
def stored(tmp_path, networks) -> Stored:
    made = Bundle(average(networks, TEMPERATURES), ["cat", "dog", "owl"], Card("tiny", SIDE), lineage.empty())
    bundle.save(made, tmp_path / "model")
    return Stored(tmp_path / "model")


def test_an_ensemble_says_the_mean_of_its_members_calibrated_probabilities(networks):
    expected = np.mean(
        [calibration.scale(probs(network), t) for network, t in zip(networks, TEMPERATURES, strict=True)], axis=0
    )
    np.testing.assert_allclose(probs(average(networks, TEMPERATURES)), expected, atol=1e-6)


def test_its_features_are_those_of_the_first_member(networks):
    made = average(networks, TEMPERATURES)
    found = keras.Model(made.input, made.get_layer(FEATURES).output)
    first = keras.Model(networks[0].input, networks[0].get_layer(FEATURES).output)
    np.testing.assert_allclose(probs(found), probs(first), atol=1e-6)


def test_its_members_come_back_from_its_file_with_their_temperatures_inside(networks, stored):
    found = members(stored.model)
    assert len(found) == 3
    for network, temperature, member in zip(networks, TEMPERATURES, found, strict=True):
        np.testing.assert_allclose(probs(member), probs(calibrated(network, temperature)), atol=1e-6)
        assert equal(network.get_weights()[:-2], member.get_weights()[:-2])


def test_a_network_that_is_no_ensemble_is_its_own_member():
    model = tiny()
    assert members(model) == [model]


def test_an_ensemble_is_calibrated_as_a_whole(networks):
    made = average(networks, TEMPERATURES)
    np.testing.assert_allclose(probs(calibrated(made, 2.0)), calibration.scale(probs(made), 2.0), atol=1e-6)


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_other_runtimes_say_what_keras_says_of_an_ensemble(name, stored, tmp_path):
    expected, features = KerasRuntime(stored, 8).predict_with_features(PIXELS)
    runtime = kinds.load(name, [stored], Calibration([], []), batch_size=8, cache=tmp_path / "runtimes")
    found, found_features = runtime.predict_with_features(PIXELS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found_features, features, atol=1e-2)


@pytest.mark.parametrize("name", ["savedmodel", "onnx", "litert"])
def test_an_ensemble_is_exported_as_any_network(name, stored, tmp_path):
    images = [put(tmp_path / f"{number}.png", noise(number, 24)) for number in range(4)]
    card = model_export.export(name, stored.folder, tmp_path / "export", pictures=images)
    assert card["check"]["max_difference"] <= model_export.LIMIT


def test_an_ensemble_of_networks_on_one_hub_module_knows_its_module(tmp_path):
    handle = str(save_module(tmp_path / "module"))
    made = [hub(handle=handle, image_size=SIDE, num_classes=3) for _ in range(2)]
    card = bundle.save(
        Bundle(average(made, [1.0, 2.0]), list("abc"), Card("hub", SIDE), lineage.empty()), tmp_path / "b"
    )
    assert card.hub_digest == hub_layer.module_of(made[0]) != ""
    np.testing.assert_allclose(probs(bundle.load(tmp_path / "b").model), probs(average(made, [1.0, 2.0])), atol=1e-6)


def test_its_head_is_where_every_network_has_it(stored):
    assert stored.model.layers[-1].name == HEAD
