"""TensorFlow Hub modules as bodies of networks: what they compute, what they learn, and what is refused."""

import http.server
import io
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import PRESETS, load_preset
from pipeline.errors import DataError, UsageError
from pipeline.files import write_text
from pipeline.models import presets
from pipeline.models.head import HEAD, freeze
from pipeline.models.hub import fetch, hub
from pipeline.models.hub_layer import HubLayer, locate, register
from pipeline.sections import Preset
from tests.hub_modules import FEATURES, body, save_module
from tests.networks import SIDE, coloured, equal

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> Path:
    return save_module(tmp_path_factory.mktemp("modules") / "vector")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """What is fetched is kept here."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "fetched"))
    return tmp_path


def network(folder: Path | str, **options) -> keras.Model:
    return hub(**{"image_size": SIDE, "num_classes": 3, "handle": str(folder), "dropout": 0.0} | options)


def values(variables: list) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def train(model: keras.Model) -> None:
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=False)
    pictures, targets = coloured(8)
    model.train_on_batch(pictures, targets)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255)])
def test_a_module_sees_pixels_in_the_range_it_was_made_for(module, low, high):
    pictures, _ = coloured(4)
    model = network(module, input_range=(low, high))
    features = keras.Model(model.input, model.get_layer("hub").output)
    expected = body().predict(pictures / 255 * (high - low) + low, verbose=0)
    np.testing.assert_allclose(features.predict(pictures, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_all_weights_of_a_module_learn_and_its_normalisation_follows_the_data(module):
    model = network(module)
    layer = model.get_layer("hub")
    assert [variable.shape for variable in layer.trainable_variables] == [(3, 3, 3, FEATURES), (FEATURES,), (FEATURES,)]
    before = values(layer.variables)
    train(model)
    assert len(before) == 5  # kernel, gamma, beta, moving mean and variance
    assert not any(map(np.array_equal, values(layer.variables), before))


def test_a_frozen_module_stays_as_it_is_in_inference_mode(module):
    model = network(module)
    freeze(model, ["hub"])
    layer, head = model.get_layer("hub"), model.get_layer(HEAD)
    before = values(layer.variables), values(head.variables)
    pictures, _ = coloured(4)
    assert np.array_equal(layer(pictures / 255, training=True), layer(pictures / 255, training=False))
    train(model)
    assert equal(values(layer.variables), before[0])
    assert not equal(values(head.variables), before[1])


def test_a_frozen_module_can_be_thawed(module):
    model = network(module)
    layer = model.get_layer("hub")
    before = values(layer.variables)
    for thawed in (False, True):
        layer.trainable = thawed
        train(model)
        assert equal(values(layer.variables), before) != thawed


def test_a_module_computes_in_full_precision_whatever_the_policy(module):
    layer = HubLayer(register(module), dtype="mixed_bfloat16")
    assert layer(np.zeros((1, SIDE, SIDE, 3), np.float32)).dtype == "float32"
    assert {variable.dtype for variable in layer.variables} == {"float32"}


def test_two_networks_of_one_module_share_no_weight(module):
    first, second = network(module), network(module)
    train(first)
    assert equal(values(second.get_layer("hub").variables), values(network(module).get_layer("hub").variables))


def test_what_keras_exports_is_a_module_whose_normalisation_is_fixed(tmp_path):
    body().export(tmp_path / "exported", verbose=False)
    layer = (model := network(tmp_path / "exported")).get_layer("hub")
    before = values(layer.variables)
    train(model)
    learnt = [not np.array_equal(*pair) for pair in zip(before, values(layer.variables), strict=True)]
    assert sorted(learnt) == [False, False, True, True, True]


def test_of_several_outputs_the_one_vector_is_taken(tmp_path):
    several = {"scalar": lambda x: x[:, 0], "map": lambda x: x[:, None, None, :], "vector": lambda x: 2 * x}
    folder = save_module(tmp_path / "dict", outputs=lambda x: {name: make(x) for name, make in several.items()})
    assert network(folder).get_layer("hub").output_key == "vector"


def test_of_several_vectors_one_must_be_named(tmp_path):
    folder = save_module(tmp_path / "dict", outputs=lambda x: {"default": x, "logits": 2 * x})
    with pytest.raises(UsageError, match="several vectors: default, logits") as refused:
        network(folder)
    assert "output_key" in refused.value.mend
    pictures, _ = coloured(2)
    one, two = (network(folder, output_key=key).get_layer("hub")(pictures / 255) for key in ("default", "logits"))
    np.testing.assert_allclose(two, 2 * one)
    with pytest.raises(UsageError, match="no output 'logit'") as refused:
        network(folder, output_key="logit")
    assert "did you mean 'logits'" in refused.value.mend


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (lambda x: x[:, None, None, :], r"but \(None, 1, 1, 4\)"),
        (lambda x: {"boxes": x[:, None, :], "number": x[:, 0]}, r"but boxes \(None, 1, 4\), number \(None,\)"),
    ],
    ids=["a map", "a detector"],
)
def test_a_module_without_a_feature_vector_is_refused(tmp_path, outputs, said):
    with pytest.raises(DataError, match=f"gives no feature vector .* {said}"):
        network(save_module(tmp_path / "module", outputs=outputs))


def test_an_image_size_that_the_module_does_not_take_is_refused(module):
    with pytest.raises(
        UsageError, match=r"takes float32 \(None, 16, 16, 3\), not float32 \(None, 24, 24, 3\)"
    ) as refused:
        network(module, image_size=24)
    assert refused.value.mend == "set the preset's image_size to 16"


def test_a_module_of_any_size_takes_the_preset_s(tmp_path):
    folder = save_module(tmp_path / "any", side=None)
    assert network(folder, image_size=24).output_shape == (None, 3)


@pytest.mark.parametrize("fault", [{"dtype": tf.uint8}, {"batch": 1}], ids=["whole numbers", "one picture at a time"])
def test_a_module_that_takes_something_else_is_refused(tmp_path, fault):
    with pytest.raises(UsageError, match="the module takes ") as refused:
        network(save_module(tmp_path / "module", **fault))
    assert "a feature vector of images" in refused.value.mend


def test_a_module_of_texts_is_refused(tmp_path):
    root = tf.train.Checkpoint()
    root.__call__ = tf.function(
        lambda texts: tf.zeros((tf.size(texts), 4)), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(root, str(tmp_path / "texts"))
    with pytest.raises(UsageError, match=r"takes string \(None,\), not float32"):
        network(tmp_path / "texts")


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path):
    write_text("a picture", tmp_path / "folder/a.jpg")
    with pytest.raises(DataError, match="there is no SavedModel"):
        fetch(str(tmp_path / "folder"))
    with pytest.raises(UsageError, match="there is no such module"):
        fetch(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("damage", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_saved_model_is_named(tmp_path, damage):
    folder = save_module(tmp_path / "module")
    (folder / damage).write_bytes(b"\xff\xff damaged")
    with pytest.raises(DataError, match="cannot read the SavedModel") as refused:
        network(folder)
    assert refused.value.where == str(folder)


def test_a_saved_model_with_nothing_to_call_is_refused(tmp_path):
    tf.saved_model.save(tf.train.Checkpoint(v=tf.Variable(1.0)), str(tmp_path / "module"))
    with pytest.raises(DataError, match="no function to call"):
        network(tmp_path / "module")


def test_the_tf1_hub_format_is_refused_by_its_name(tmp_path):
    write_text("", tmp_path / "module/tfhub_module.pb")
    with pytest.raises(DataError, match="TF1 hub format"):
        fetch(str(tmp_path / "module"))


def pack(folder: Path, archive: Path, *, inside: str = "") -> Path:
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, arcname=inside or ".")
    return archive


@pytest.mark.parametrize("inside", ["", "vector"])
def test_an_archive_is_unpacked_once(module, tmp_path, inside):
    archive = pack(module, tmp_path / "module.tar.gz", inside=inside)
    assert register(fetch(str(archive), tmp_path / "cache")) == register(module)
    kept = fetch(str(archive), tmp_path / "cache")
    assert kept.is_relative_to(tmp_path / "cache")
    assert fetch(str(archive), tmp_path / "cache") == kept


def test_a_broken_archive_is_refused_and_leaves_nothing(module, tmp_path):
    archive = pack(module, tmp_path / "module.tar.gz")
    whole = archive.read_bytes()
    for broken in (whole[: len(whole) // 2], b"no archive", whole[:500] + b"x" * 50 + whole[550:]):
        archive.write_bytes(broken)
        with pytest.raises(DataError, match="cannot be unpacked"):
            fetch(str(archive), tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    archive = tmp_path / "module.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.addfile(tarfile.TarInfo("../../outside"), io.BytesIO())
    with pytest.raises(DataError, match="cannot be unpacked"):
        fetch(str(archive), tmp_path / "cache")
    assert not (tmp_path / "outside").exists()


@pytest.fixture
def server(tmp_path):
    """Serves the test's folder over HTTP on this machine; yields its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_a_module_is_fetched_from_its_address_once(module, tmp_path, server):
    archive = pack(module, tmp_path / "module.tar.gz")
    folder = fetch(f"{server}/module.tar.gz")
    assert register(folder) == register(module)
    archive.unlink()
    assert fetch(f"{server}/module.tar.gz") == folder


def test_what_a_server_does_not_have_is_said(tmp_path, server):
    with pytest.raises(UsageError, match="the server answers 404"):
        fetch(f"{server}/none.tar.gz")
    write_text("<html>", tmp_path / "page.tar.gz")
    with pytest.raises((DataError, UsageError), match="module"):
        fetch(f"{server}/page.tar.gz")


def test_an_address_without_a_network_is_refused_at_once():
    with pytest.raises(UsageError, match="cannot be fetched") as refused:
        fetch("https://tfhub.invalid/google/vector/2")
    assert "copy the module's folder" in refused.value.mend


def test_a_network_that_swallows_packets_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("pipeline.models.hub.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UsageError, match="cannot be fetched"):
        fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/module.tar.gz")
    assert socket.getdefaulttimeout() is None


def test_the_preset_takes_a_module_and_nothing_else(module):
    preset = load_preset("hub", REPOSITORY / PRESETS).model_copy(update={"image_size": SIDE})
    model = presets.build(preset, num_classes=5, weights=f"hub:{module}")
    assert [layer.name for layer in model.layers] == ["pixels", "scale", "hub", "features", "head"]
    small = Preset(architecture="inception_v4", image_size=75)
    for refused, weights, said in [
        (preset, "random", "TensorFlow Hub module, which must be named"),
        (small, f"hub:{module}", "not for inception_v4"),
        (small, "randm", "unknown weights 'randm'"),
    ]:
        with pytest.raises(UsageError, match=said):
            presets.build(refused, num_classes=5, weights=weights)


def test_a_card_names_what_was_learnt_without_this_machine_s_paths():
    said = {
        "random": "",
        "hub:/home/me/models/lite0": "hub:lite0",
        "hub:lite0.tar.gz": "hub:lite0.tar.gz",
        "hub:file:///home/me/lite0": "hub:lite0",
        "hub:https://tfhub.dev/google/lite0/2": "hub:https://tfhub.dev/google/lite0/2",
    }
    assert {weights: presets.pretrained(weights) for weights in said} == said


def test_a_module_is_named_by_its_files_wherever_they_lie(module, tmp_path):
    moved = Path(shutil.copytree(module, tmp_path / "moved"))
    (moved / "README.md").write_text("beside it")
    assert register(moved) == register(module)
    (moved / "assets").mkdir(exist_ok=True)
    (moved / "assets/words.txt").write_text("more")
    assert register(moved) != register(module)
    with pytest.raises(DataError, match="which its file does not hold"):
        locate("0" * 64)


def test_tensorflow_hub_is_imported_only_to_fetch():
    program = "import sys; from pipeline.models import presets; print('tensorflow_hub' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False"]
