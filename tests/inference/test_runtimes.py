"""Other runtimes say what Keras says, are converted once, and are refused with a reason where they cannot run."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from keras import Input, Model, layers

from pipeline import bundle
from pipeline.bundle import Stored
from pipeline.errors import DataError, UsageError
from pipeline.files import read_json
from pipeline.inference.ensemble import Ensemble
from pipeline.inference.runtimes import converted, kinds, openvino
from pipeline.inference.runtimes.converted import Calibration
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage
from pipeline.models import efficientnet_lite0
from pipeline.models.grouped import GroupedConv2D
from pipeline.models.head import FEATURES, add_head
from pipeline.models.hub import hub
from tests.hub_modules import save_module
from tests.library.builders import noise, put
from tests.networks import SIDE, coloured, save_bundle

FLOAT = ["openvino", "onnx"]
NONE = Calibration([], [])


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "runtimes"


@pytest.fixture
def stored(tmp_path) -> Stored:
    save_bundle(tmp_path / "model", temperature=2.0)
    return Stored(tmp_path / "model")


@pytest.fixture
def calibration(tmp_path) -> Calibration:
    paths = [put(tmp_path / "val" / f"{n}.png", noise(n, 24)) for n in range(12)]
    return Calibration([str(n) for n in range(12)], paths)


def graphs(tmp_path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted((tmp_path / "runtimes").rglob("model.*"))}


@pytest.mark.parametrize("name", FLOAT)
@pytest.mark.parametrize("number", [1, 4, 11])
def test_in_float32_probabilities_and_features_are_those_of_keras(stored, name, number, cache):
    pixels, _ = coloured(number)
    expected, features = KerasRuntime(stored, 16).predict_with_features(pixels)
    runtime = kinds.load(name, [stored], NONE, batch_size=16, cache=cache)
    np.testing.assert_allclose(runtime.predict(pixels), expected, atol=1e-5)
    probs, found = runtime.predict_with_features(pixels)
    np.testing.assert_allclose(probs, expected, atol=1e-5)
    np.testing.assert_allclose(found, features, atol=1e-2)
    assert found.dtype == np.float16


@pytest.mark.parametrize("name", FLOAT)
def test_an_image_s_neighbours_do_not_matter(stored, name, cache):
    pixels, _ = coloured(9)
    runtime = kinds.load(name, [stored], NONE, batch_size=4, cache=cache)
    whole = runtime.predict(pixels)
    assert np.array_equal(np.concatenate([runtime.predict(pixels[:8]), runtime.predict(pixels[8:])]), whole)


def test_int8_is_near_keras_and_no_more_than_near(stored, calibration, cache):
    pixels, _ = coloured(16)
    expected = KerasRuntime(stored, 16).predict(pixels)
    found = kinds.load("openvino-int8", [stored], calibration, batch_size=16, cache=cache).predict(pixels)
    assert 0 < np.abs(found - expected).max() < 0.1


@pytest.mark.parametrize("name", [*FLOAT, "openvino-int8"])
def test_the_key_is_known_before_a_runtime_is_loaded_and_tells_it_from_the_others(stored, calibration, name, cache):
    known = kinds.key(name, stored, calibration)
    assert kinds.load(name, [stored], calibration, batch_size=4, cache=cache).key == known
    assert known not in {kinds.key(other, stored, calibration) for other in kinds.KINDS if other != name}


def test_int8_fitted_to_other_pictures_is_another_runtime(stored, calibration):
    fewer = Calibration(calibration.sha256[1:], calibration.paths[1:])
    assert kinds.key("openvino-int8", stored, fewer) != kinds.key("openvino-int8", stored, calibration)


def test_int8_with_weights_of_7_bits_is_another_runtime(stored, calibration, cache):
    pixels, _ = coloured(16)
    eight, seven = (
        kinds.load("openvino-int8", [stored], replace(calibration, bits=bits), batch_size=16, cache=cache)
        for bits in (8, 7)
    )
    assert eight.key != seven.key
    assert not np.array_equal(eight.predict(pixels), seven.predict(pixels))


def test_a_network_is_converted_once_and_keras_is_not_asked_again(stored, calibration, tmp_path, monkeypatch, cache):
    pixels, _ = coloured(4)
    before = kinds.load("openvino-int8", [stored], calibration, batch_size=4, cache=cache).predict(pixels)
    monkeypatch.setattr(Stored, "model", property(lambda self: pytest.fail("the model was read")))
    again = kinds.load("openvino-int8", [Stored(tmp_path / "model")], calibration, batch_size=4, cache=cache)
    assert np.array_equal(again.predict(pixels), before)


@pytest.mark.parametrize("damage", ["cut short", "gone", "no settings"])
def test_a_damaged_graph_in_the_cache_is_made_again(stored, tmp_path, damage, cache):
    pixels, _ = coloured(4)
    before = kinds.load("openvino", [stored], NONE, batch_size=4, cache=cache).predict(pixels)
    graph = converted.float32(stored, cache)
    if damage == "cut short":
        graph.write_bytes(graph.read_bytes()[:-100])
    elif damage == "gone":
        graph.unlink()
    else:
        (graph.parent / converted.MADE).write_text("{")
    assert np.array_equal(kinds.load("openvino", [stored], NONE, batch_size=4, cache=cache).predict(pixels), before)
    assert read_json(graph.parent / converted.MADE)["files"].keys() == {converted.FLOAT}


def test_another_model_has_a_graph_of_its_own(stored, tmp_path, cache):
    save_bundle(tmp_path / "next", seed=5)
    assert converted.float32(stored, cache) != converted.float32(Stored(tmp_path / "next"), cache)
    assert len(graphs(tmp_path)) == 2


def test_the_cache_forgets_the_graph_that_was_used_longest_ago(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(converted, "KEPT", 2)
    made = []
    for seed in range(3):
        save_bundle(tmp_path / str(seed), seed=seed)
        made.append(converted.float32(Stored(tmp_path / str(seed)), cache))
    assert [graph.exists() for graph in made] == [False, True, True]


def test_a_conversion_that_was_killed_leaves_nothing_that_counts(stored, tmp_path, monkeypatch, cache):
    def killed(model, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.inference.model_formats.write_onnx", killed)
        with pytest.raises(KeyboardInterrupt):
            converted.float32(stored, cache)
    assert graphs(tmp_path) == {}
    assert converted.float32(stored, cache).stat().st_size > 1000


def test_a_network_that_cannot_be_converted_is_refused_by_its_name(stored, monkeypatch, cache):
    def fails(model, path):
        raise ValueError("no such operation: Wobble\nand more")

    monkeypatch.setattr("pipeline.inference.model_formats.write_onnx", fails)
    with pytest.raises(DataError, match="cannot be converted: no such operation: Wobble") as refused:
        kinds.load("onnx", [stored], NONE, batch_size=4, cache=cache)
    assert refused.value.where == "tiny"


def test_int8_needs_pictures(stored, calibration, cache):
    few = Calibration(calibration.sha256[:2], [*calibration.paths[:2], calibration.paths[0].with_name("gone.png")])
    with pytest.raises(DataError, match="2 pictures of the validation set can be read, int8 is fitted to at least 8"):
        kinds.load("openvino-int8", [stored], few, batch_size=4, cache=cache)


@pytest.mark.parametrize(("name", "module"), [("openvino", "openvino"), ("openvino-int8", "nncf"), ("onnx", "tf2onnx")])
def test_a_runtime_whose_package_is_missing_says_which_one(stored, monkeypatch, name, module, cache):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None if asked == module else find(asked))
    assert kinds.missing(name) == f"{module} not installed"
    with pytest.raises(UsageError, match=f"cannot run here: {module} not installed") as refused:
        kinds.load(name, [stored], NONE, batch_size=4, cache=cache)
    assert "'.[runtimes]'" in refused.value.mend
    assert not kinds.missing("keras")


def test_bfloat16_is_offered_only_where_the_cpu_has_it(stored, monkeypatch, cache):
    monkeypatch.setattr(openvino, "computes_bfloat16", lambda: False)
    assert kinds.missing("openvino-bf16") == "this CPU has no bfloat16"
    with pytest.raises(UsageError, match="this CPU has no bfloat16") as refused:
        kinds.load("openvino-bf16", [stored], NONE, batch_size=4, cache=cache)
    assert refused.value.mend == "auto"
    monkeypatch.setattr(openvino, "computes_bfloat16", lambda: True)
    assert not kinds.missing("openvino-bf16")


@pytest.mark.parametrize("name", FLOAT)
def test_classes_that_do_not_fit_a_converted_network_are_refused(stored, tmp_path, name, cache):
    converted.float32(stored, cache)
    (tmp_path / "model" / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match="2 classes for 3 outputs"):
        kinds.load(name, [Stored(tmp_path / "model")], NONE, batch_size=4, cache=cache)


def test_several_models_speak_together_in_every_runtime(stored, tmp_path, cache):
    save_bundle(tmp_path / "other", seed=5)
    members = [stored, Stored(tmp_path / "other")]
    pixels, _ = coloured(5)
    together, keras = (kinds.load(name, members, NONE, batch_size=8, cache=cache) for name in ("openvino", "keras"))
    assert isinstance(together, Ensemble)
    assert together.model == keras.model
    np.testing.assert_allclose(together.predict(pixels), keras.predict(pixels), atol=1e-5)


def hub_module(tmp_path) -> Model:
    return hub(image_size=SIDE, num_classes=3, handle=str(save_module(tmp_path / "vector")))


def grouped(tmp_path) -> Model:
    pixels = Input((SIDE, SIDE, 3))
    x = GroupedConv2D(8, 3, groups=4)(layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(pixels)))
    x = layers.GlobalAveragePooling2D(name=FEATURES)(x)
    return Model(pixels, add_head(x, 3, seed=0))


@pytest.mark.parametrize("network", [hub_module, grouped])
@pytest.mark.parametrize("name", [*FLOAT, "openvino-int8"])
def test_hub_modules_and_grouped_convolutions_run_everywhere(calibration, tmp_path, network, name, cache):
    made = bundle.Bundle(network(tmp_path), ["cat", "dog", "owl"], bundle.Card("odd", SIDE), lineage.empty())
    bundle.save(made, tmp_path / "odd")
    pixels, _ = coloured(6)
    expected, found = (
        kinds.load(kind, [Stored(tmp_path / "odd")], calibration, batch_size=8, cache=cache).predict(pixels)
        for kind in ("keras", name)
    )
    np.testing.assert_allclose(found, expected, atol=0.05 if name == "openvino-int8" else 1e-5)


def test_depthwise_convolutions_and_relu6_run_everywhere(calibration, tmp_path, monkeypatch, cache):
    monkeypatch.setattr(efficientnet_lite0, "STAGES", [(1, 3, 1, 1, 8), (2, 5, 2, 6, 12)])
    side = efficientnet_lite0.MIN_IMAGE_SIZE
    network = efficientnet_lite0.efficientnet_lite0(image_size=side, num_classes=3)
    made = bundle.Bundle(network, ["cat", "dog", "owl"], bundle.Card("lite", side), lineage.empty())
    bundle.save(made, tmp_path / "lite")
    pixels = np.random.default_rng(0).integers(0, 256, (6, side, side, 3), np.uint8)

    def predicted(name: str) -> tuple[np.ndarray, np.ndarray]:
        runtime = kinds.load(name, [Stored(tmp_path / "lite")], calibration, batch_size=8, cache=cache)
        return runtime.predict_with_features(pixels)

    expected, features = predicted("keras")
    assert features.shape == (6, 1280)
    for name in FLOAT:
        probs, found = predicted(name)
        np.testing.assert_allclose(probs, expected, atol=1e-5)
        np.testing.assert_allclose(found, features, atol=1e-2)
    np.testing.assert_allclose(predicted("openvino-int8")[0], expected, atol=0.05)


def test_openvino_tells_nobody_of_its_use():
    assert sys.modules["openvino_telemetry"] is None
