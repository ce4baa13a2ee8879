"""Exports say what Keras says of real pictures, or are not written."""

import json
import os
import zipfile

import numpy as np
import onnx
import pytest
from PIL import Image

from pipeline import bundle
from pipeline.errors import DataError, UsageError
from pipeline.files import read_json
from pipeline.inference import model_export, model_formats
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage, pictures
from pipeline.models import presets
from pipeline.sections import Preset
from tests.library.builders import noise, put
from tests.networks import SIDE, save_bundle, tiny, train

CLASSES = ["cat", "dög", "owl"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A bundle whose network was trained in half precision, with a temperature that matters."""
    folder = tmp_path_factory.mktemp("trained")
    network, _ = train(folder / "state", precision="mixed_bfloat16", max_epochs=2)
    card = bundle.Card("tiny", SIDE, temperature=0.4, round=3)
    bundle.save(bundle.Bundle(network, CLASSES, card, lineage.empty()), folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """Eleven pictures, one on its side and one on a transparent ground."""
    folder = tmp_path_factory.mktemp("shots")
    found = [put(folder / f"{n:02d}.png", noise(n)) for n in range(9)]
    turned, exif = noise(9).crop((0, 0, 64, 40)), Image.Exif()
    exif[pictures.ORIENTATION_TAG] = 6
    turned.save(folder / "09.jpg", exif=exif)
    clear = noise(10)
    clear.putalpha(90)
    return [*found, folder / "09.jpg", put(folder / "10.png", clear)]


@pytest.fixture(scope="module", params=sorted(model_formats.FORMATS))
def exported(request, model, shots, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / request.param
    model_export.export(request.param, model, out, pictures=shots)
    return request.param, out


def run(name: str, folder) -> model_formats.Predict:
    return model_formats.FORMATS[name].load(folder / model_formats.FORMATS[name].file)


def pixels_of(shots) -> np.ndarray:
    return np.stack([pictures.read(path, SIDE) for path in shots])


def test_an_export_gives_the_calibrated_scores_that_identify_gives(exported, model, shots):
    expected = KerasRuntime(bundle.load(model), 11).predict(pixels_of(shots))
    np.testing.assert_allclose(run(*exported)(pixels_of(shots)), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.05  # or a constant would do


def test_the_mean_of_the_pixels_that_efficientnet_knows_travels_inside(tmp_path):
    preset = Preset(architecture="applications", image_size=32, options={"name": "EfficientNetB0"})
    model = presets.build(preset, num_classes=2, seed=0)
    model_formats.write_onnx(model, tmp_path / "model.onnx")
    assert [given.name for given in onnx.load(tmp_path / "model.onnx").graph.input] == [model.inputs[0].name]


def test_a_savedmodel_holds_every_weight_once(model, shots, tmp_path):
    import tensorflow as tf

    model_export.export("savedmodel", model, tmp_path / "out", pictures=shots)
    held = tf.train.load_checkpoint(str(tmp_path / "out/saved_model/variables/variables")).get_variable_to_shape_map()
    weights = {name: shape for name, shape in held.items() if "VARIABLE_VALUE" in name}
    assert sum(map(np.prod, weights.values())) == bundle.load(model).model.count_params()


def test_a_large_network_says_the_same_in_onnx_without_copies_of_its_graph(model, shots, tmp_path, monkeypatch):
    from tf2onnx.graph import Graph

    written, copied = Graph.update_proto, list[Graph]()

    def noted(graph, memo):
        copied.append(graph)
        return graph

    monkeypatch.setattr(Graph, "__deepcopy__", noted, raising=False)
    model_export.export("onnx", model, tmp_path / "small", pictures=shots)
    assert copied  # else this test would see nothing
    copied.clear()
    monkeypatch.setattr(model_formats, "LARGE", 0)
    card = model_export.export("onnx", model, tmp_path / "large", pictures=shots)
    assert not copied
    assert card["check"]["agreement"] == 1
    assert Graph.update_proto is written
    assert "TF2ONNX_CATCH_ERRORS" not in os.environ


def test_an_export_takes_any_number_of_pictures(exported, shots):
    predict = run(*exported)
    whole = predict(pixels_of(shots))
    for number in (1, 3):
        np.testing.assert_allclose(predict(pixels_of(shots)[:number]), whole[:number], atol=1e-6)


def test_class_list_and_card_are_inside_and_beside(exported, model):
    name, folder = exported
    written = folder / model_formats.FORMATS[name].file
    if name == "onnx":
        import onnx

        inside = {item.key: item.value for item in onnx.load(written).metadata_props}
    elif name == "litert":
        with zipfile.ZipFile(written) as archive:
            inside = {file: archive.read(file).decode() for file in archive.namelist()}
    else:
        inside = {file.name: file.read_text() for file in (written / "assets.extra").iterdir()}
    card = read_json(folder / "card.json")
    assert inside["classes.txt"] == (folder / "classes.txt").read_text() == "cat\ndög\nowl\n"
    assert json.loads(inside["card.json"]).items() <= card.items()
    assert card["model_digest"] == bundle.check(model).model_digest
    assert (card["image_size"], card["temperature"], card["preprocessing"]) == (SIDE, 0.4, pictures.PREPROCESSING)
    assert card["check"]["pictures"] == 11
    assert card["check"]["agreement"] == 1
    assert card["check"]["max_difference"] <= model_export.LIMIT


@pytest.fixture
def instant(monkeypatch):
    """A format whose files are written at once, and whose answers a test gives."""

    def plant(predict, write=lambda model, path: path.write_text("a model")):
        made = model_formats.Format(
            "Instant", "model", (), write, lambda path, texts: None, lambda path: predict, "{path}"
        )
        monkeypatch.setitem(model_formats.FORMATS, "instant", made)

    return plant


def spoilt(source: bundle.Bundle, change) -> model_formats.Predict:
    return lambda pixels: change(KerasRuntime(source, 8).predict(pixels))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda probs: probs + 0.01, "11 of 11 pictures get other scores than from Keras: the worst differ by 0.01"),
        (lambda probs: probs[:, ::-1], "led by another class"),
        (lambda probs: probs * np.nan, "11 of 11 pictures"),
    ],
)
def test_an_export_that_says_otherwise_than_keras_is_not_written(instant, model, shots, tmp_path, change, says):
    instant(spoilt(bundle.load(model), change))
    with pytest.raises(DataError, match=says) as refused:
        model_export.export("instant", model, tmp_path / "out", pictures=shots)
    assert refused.value.where in map(str, shots)
    assert list(tmp_path.iterdir()) == []


def test_another_class_is_a_fault_however_near_the_scores(instant, model, shots, tmp_path):
    instant(spoilt(bundle.load(model), lambda probs: probs[:, ::-1]))
    with pytest.raises(DataError, match="led by another class"):
        model_export.export("instant", model, tmp_path / "out", pictures=shots, limit=1.0)


def test_a_temperature_left_out_is_found(instant, model, shots, tmp_path):
    plain = bundle.load(model)
    instant(spoilt(bundle.replace(plain, card=bundle.replace(plain.card, temperature=1.0)), lambda probs: probs))
    with pytest.raises(DataError, match="get other scores than from Keras"):
        model_export.export("instant", model, tmp_path / "out", pictures=shots)


def test_one_weight_that_differs_is_found_and_the_last_export_stays(instant, model, shots, tmp_path):
    instant(spoilt(bundle.load(model), lambda probs: probs))
    model_export.export("instant", model, tmp_path / "out", pictures=shots)
    other = bundle.load(model)
    kernel = other.model.get_layer("head").kernel
    kernel.assign(kernel + 0.01 * np.eye(*kernel.shape, dtype=np.float32))
    instant(spoilt(other, lambda probs: probs))
    with pytest.raises(DataError, match="pictures get other scores"):
        model_export.export("instant", model, tmp_path / "out", pictures=shots)
    assert read_json(tmp_path / "out" / "card.json")["check"]["agreement"] == 1


def test_the_picture_that_differs_most_is_named(instant, model, shots, tmp_path):
    calls = []

    def change(probs):
        calls.append(len(probs))
        probs = probs.copy()
        if len(calls) == 2:  # the second batch of eight: pictures 9 to 11
            probs[1, 0] += 0.5
        return probs

    instant(spoilt(bundle.load(model), change))
    with pytest.raises(DataError, match="1 of 11 pictures") as refused:
        model_export.export("instant", model, tmp_path / "out", pictures=shots)
    assert refused.value.where == str(shots[9])


def test_pictures_that_can_no_longer_be_read_are_left_out_of_the_check(instant, model, shots, tmp_path):
    instant(spoilt(bundle.load(model), lambda probs: probs))
    gone = tmp_path / "gone.png"
    card = model_export.export("instant", model, tmp_path / "out", pictures=[gone, *shots[:3]])
    assert card["check"]["pictures"] == 3
    with pytest.raises(DataError, match="not one of 1 pictures to check with can be read: missing"):
        model_export.export("instant", model, tmp_path / "out", pictures=[gone])


def test_a_network_that_a_converter_cannot_hold_is_one_clear_error(instant, model, shots, tmp_path):
    def refuse(network, path):
        raise NotImplementedError("no such operation\nand a page of context")

    instant(None, write=refuse)
    with pytest.raises(DataError, match="Instant cannot hold this network: no such operation\\n"):
        model_export.export("instant", model, tmp_path / "out", pictures=shots)


def test_a_runtime_that_cannot_run_what_was_written_is_the_same_error(instant, model, shots, tmp_path):
    def refuse(pixels):
        raise ValueError("required inputs are missing")

    instant(refuse)
    with pytest.raises(DataError, match="Instant cannot hold this network: required inputs are missing\\n"):
        model_export.export("instant", model, tmp_path / "out", pictures=shots)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_never_replaced(instant, model, shots, tmp_path):
    instant(spoilt(bundle.load(model), lambda probs: probs))
    (tmp_path / "thesis.txt").write_text("ten years")
    for folder in (tmp_path, model):  # a bundle has a card too
        with pytest.raises(UsageError, match="something else than an export"):
            model_export.export("instant", model, folder, pictures=shots)
    assert (tmp_path / "thesis.txt").exists()
    for _ in range(2):  # an export is
        model_export.export("instant", model, tmp_path / "out", pictures=shots)


def test_a_base_that_has_seen_nothing_is_not_exported(instant, shots, tmp_path):
    save_bundle(tmp_path / "base", classes=[])
    instant(None)
    with pytest.raises(DataError, match="no classes to tell"):
        model_export.export("instant", tmp_path / "base", tmp_path / "out", pictures=shots)


def test_an_unknown_format_offers_the_nearest():
    with pytest.raises(UsageError, match="unknown format 'savdmodel'") as refused:
        model_formats.find("savdmodel")
    assert refused.value.mend == "did you mean 'savedmodel'?"


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="ONNX needs tf2onnx, onnx, onnxruntime, not installed here") as refused:
        model_formats.find("onnx")
    assert "'.[export]'" in refused.value.mend


def test_the_calibrated_network_keeps_small_probabilities(tmp_path):
    """As the runtime, which takes the logarithm of what the head says: a temperature acts on it alike."""
    source = bundle.Bundle(tiny(), CLASSES, bundle.Card("tiny", SIDE, temperature=0.1), lineage.empty())
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    found = model_export.calibrated(source).predict(pixels, verbose=0)["probs"]
    np.testing.assert_allclose(found, KerasRuntime(source, 4).predict(pixels), atol=1e-6)
