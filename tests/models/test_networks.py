"""Every architecture: the numbers of its source, and what training asks of any network."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import Model, layers

from pipeline import config
from pipeline.config import load_preset
from pipeline.models import catalogue, presets
from pipeline.models.bn_inception import bn_inception
from pipeline.models.grouped import GroupedConv2D
from pipeline.models.head import FEATURES, HEAD, replace_head
from pipeline.models.resnext import resnext
from pipeline.models.squeezenet import squeezenet
from pipeline.sections import Preset
from pipeline.training.hardware import twin
from tests.networks import equal, weights

# Parameters with 1,000 classes, and thousand million multiply-adds, as the sources give them
SOURCES = {
    # 11,295,240 in the network released for PyTorch, of which each of the 10,016 filters has a bias that the batch
    # normalisation after it makes idle
    "bn_inception": (11_295_240 - 10_016, 2.03),
    "inception_v4": (42_679_816, 12.25),  # timm
    "mobilenet_v2": (3_504_872, 0.30),  # torchvision, and the paper's 300 M
    "resnext50_32x4d": (25_028_904, 4.23),  # torchvision
    "squeezenet": (1_235_496, 0.35 - 0.09),  # torchvision, whose classifier runs at 13 x 13 places: here at one
    "vgg16": (138_357_544, 15.47),  # torchvision
    "efficientnet_b0": (5_288_548, 0.39),  # Keras, and the paper
    "efficientnet_lite0": (4_652_008, 0.39),  # the tensors of its package; the authors report 4.7 M and 407 M
}
TINY = {
    "bn_inception": ("bn_inception", 32, {}),
    "efficientnet_lite0": ("efficientnet_lite0", 32, {}),
    "inception_v4": ("inception_v4", 75, {"width": 0.05, "blocks": [1, 1, 1]}),
    "mobilenet_v2": ("applications", 32, {"name": "MobileNetV2", "width": 0.35, "batch_norm_momentum": 0.9}),
    "mobilenet_v3": ("applications", 32, {"name": "MobileNetV3Small"}),
    "resnext": ("resnext", 32, {"blocks": [1, 1, 1, 1], "cardinality": 4}),
    "squeezenet": ("squeezenet", 31, {}),
}


@pytest.fixture(params=TINY)
def network(request) -> Model:
    return tiny(request.param)


@cache
def tiny(name: str) -> Model:
    """The smallest of its kind that has all its parts; tests leave it as it is."""
    architecture, size, options = TINY[name]
    return presets.build(Preset(architecture=architecture, image_size=size, options=options), num_classes=3, seed=0)


def pictures(model: Model, number: int = 4) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (number, *model.input_shape[1:])).astype(np.float32)


def answers(model: Model) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(pictures(model), training=False))


def parameters(model: Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


OF_ITS_MODULE = "hub"  # a network that is another with each module: see test_hub.py


@pytest.mark.parametrize("name", sorted({*config.presets()} - {OF_ITS_MODULE}))
def test_every_preset_builds_its_network_as_its_source_counts_it(name):
    preset = load_preset(name)
    model = presets.build(preset, num_classes=1000)
    assert model.input_shape == (None, preset.image_size, preset.image_size, 3)
    assert model.output_shape == (None, 1000)
    assert model.layers[-1].name == HEAD
    if name in SOURCES:
        counted = catalogue.costs(catalogue.count(model), num_classes=1000)
        assert (parameters(model), round(counted["gflops"] / 2, 2)) == pytest.approx(SOURCES[name], abs=0.011)
        assert counted["parameters"] == parameters(model)


def test_every_architecture_is_tried_here():
    assert {architecture for architecture, _, _ in TINY.values()} | {OF_ITS_MODULE} == set(presets.ARCHITECTURES)


def test_resnext_152_has_what_its_blocks_add_up_to():
    total = 3 * 7 * 7 * 64 + 2 * 64
    channels = 64
    for stage, repeats in enumerate((3, 8, 36, 3)):
        wide, filters = 128 * 2**stage, 256 * 2**stage
        total += channels * filters + 2 * filters  # the stage's only shortcut with weights
        for _ in range(repeats):
            total += channels * wide + 9 * wide * (wide // 32) + wide * filters + 2 * (2 * wide + filters)
            channels = filters
    assert parameters(resnext(blocks=(3, 8, 36, 3))) == total + 2049 * 1000 == 59_951_400


def test_bn_inception_has_the_shapes_of_the_paper_s_columns():
    joints = [layer.output.shape[1:] for layer in bn_inception().layers if isinstance(layer, layers.Concatenate)]
    assert [shape[0] for shape in joints] == [28, 28, 14, 14, 14, 14, 14, 7, 7, 7]
    assert [shape[-1] for shape in joints] == [256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024]


def test_squeezenet_has_the_shapes_of_version_1_1():
    fires = [layer.output.shape[1:] for layer in squeezenet().layers if isinstance(layer, layers.Concatenate)]
    assert fires == [(55, 55, 128)] * 2 + [(27, 27, 256)] * 2 + [(13, 13, 384)] * 2 + [(13, 13, 512)] * 2


def test_one_step_of_training_moves_every_weight(network):
    model = twin(network)
    for layer in model.layers:  # dropout could leave a tiny network nothing to learn from
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    before = weights(model)
    model.compile(keras.optimizers.AdamW(1e-3), "categorical_crossentropy", run_eagerly=True)
    loss = model.train_on_batch(pictures(model), np.eye(3)[[0, 1, 2, 0]])
    assert np.isfinite(loss)
    changed = dict(
        zip((weight.path for weight in model.variables), zip(before, weights(model), strict=True), strict=True)
    )
    assert [w.path for w in model.trainable_weights if np.array_equal(*changed[w.path])] == []
    assert all(np.isfinite(value).all() for _, value in changed.values())


def test_a_copy_and_a_saved_network_say_the_same(network, tmp_path):
    said = answers(network)
    network.save(tmp_path / "model.keras")
    saved = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert np.array_equal(answers(twin(network)), said)
    assert np.array_equal(answers(saved), said)
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)


def test_a_head_is_replaced_by_its_name(network):
    copy = twin(network)
    replaced = replace_head(copy, 5)
    assert replaced.output_shape == (None, 5)
    assert [layer.name for layer in replaced.layers] == [layer.name for layer in network.layers]
    assert equal(
        [weight.numpy() for layer in copy.layers[:-1] for weight in layer.weights],
        [weight.numpy() for layer in replaced.layers[:-1] for weight in layer.weights],
    )
    assert replaced.get_layer(FEATURES).output.shape == network.get_layer(FEATURES).output.shape


@pytest.mark.parametrize(
    ("architecture", "least"),
    [("bn_inception", 32), ("efficientnet_lite0", 32), ("resnext", 32), ("squeezenet", 31)],
)
def test_a_picture_too_small_for_the_network_is_refused_with_the_least_size(architecture, least):
    with pytest.raises(ValueError, match=f"image_size {least - 1} is too small for .*: at least {least}"):
        presets.ARCHITECTURES[architecture](image_size=least - 1, num_classes=2)
    assert TINY[architecture][1] == least


def test_groups_are_convolved_apart():
    one = layers.Conv2D(8, 3, strides=2, padding="same", groups=4)
    ours = GroupedConv2D(8, 3, strides=2, padding="same", groups=4)
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 12)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(one(x))
    ours.build(x.shape)
    ours.set_weights(one.get_weights())
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours(x)), expected, atol=1e-5)


def test_layers_are_named_after_their_blocks():
    names = [layer.name for layer in tiny("inception_v4").layers]
    assert {"stem_1_conv", "inception_a1_7_norm", "reduction_b_6_conv", "inception_c1_10_relu"} <= set(names)
    assert not [name for name in names if name.startswith(("conv2d", "batch_norm"))]
