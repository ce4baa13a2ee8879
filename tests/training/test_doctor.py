"""The doctor finds what is planted, and nothing where nothing is wrong."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from pipeline.models.head import FEATURES, add_head, freeze
from pipeline.models.hub import hub
from pipeline.training import doctor
from pipeline.training.doctor import FAIL, PASS, WARN
from pipeline.training.fitting import Fitted
from tests.hub_modules import save_module
from tests.networks import SIDE, coloured, train


def network(before=(), *, after=(), num_classes: int = 3, scale: tuple = (1 / 127.5, -1.0)) -> keras.Model:
    """A network like `tiny`, with layers planted before its first convolution, or after it."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIDE, SIDE, 3), name="pixels")
    x = layers.Rescaling(scale[0], offset=scale[1])(pixels)
    for layer in before:
        x = layer(x)
    x = layers.Conv2D(16, 3, strides=2, use_bias=False, name="first")(x)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
    for layer in after:
        x = layer(x)
    x = layers.Dropout(0.5, name=FEATURES)(layers.Flatten()(x))
    return keras.Model(pixels, add_head(x, num_classes, seed=0))


@pytest.fixture(scope="module")
def pictures():
    return coloured(64)


@pytest.fixture(scope="module")
def sound() -> keras.Model:
    return network()


def rows(**sets: str) -> pd.DataFrame:
    return pd.DataFrame([(name, label) for name, labels in sets.items() for label in labels], columns=["set", "label"])


@pytest.mark.parametrize(
    ("split", "verdict", "says"),
    [
        (rows(train="aabb", val="ab", test="ab"), PASS, "2 classes, 8 images; the fewest to train on: 2 of a"),
        (rows(train="ab", val="ab", benchmark="c"), PASS, "2 classes"),  # a benchmark may ask for more
        (rows(train="abc", val="ab", test="c"), WARN, "none to validate on: c"),
        (rows(train="ab", val="abc", test="d"), FAIL, "not in train: c, d"),
        (rows(train="ab", test="ab"), FAIL, "no validation image"),
        (rows(train="aa", val="a"), FAIL, "1 classes in train"),
    ],
)
def test_a_class_that_is_missing_from_a_set_is_named(split, verdict, says):
    found = doctor.classes_present(split)
    assert found.verdict == verdict
    assert says in found.measured
    assert bool(found.mend) == (verdict != PASS)


@pytest.mark.parametrize("scale", [(1 / 127.5, -1.0), (1 / 255, 0.0)])
def test_a_known_scale_passes(pictures, scale):
    found = doctor.inputs_scaled(network(scale=scale), pictures[0])
    assert found.verdict == PASS
    assert f"({'-1' if scale[1] else '0'} to 1)" in found.measured


def test_the_scale_of_a_network_within_the_network_is_found(pictures):
    inner = network()
    pixels = keras.Input((SIDE, SIDE, 3))
    assert doctor.inputs_scaled(keras.Model(pixels, inner(pixels)), pictures[0]).verdict == PASS
    twice = layers.Rescaling(1 / 255)(pixels)
    assert doctor.inputs_scaled(keras.Model(pixels, inner(twice)), pictures[0]).verdict == FAIL


def test_imagenet_s_normalisation_is_no_layer_to_learn(pictures):
    mean, variance = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]) ** 2
    normal = layers.Normalization(mean=mean, variance=variance)
    found = doctor.inputs_scaled(network([normal], scale=(1 / 255, 0.0)), pictures[0])
    assert found.verdict == PASS
    assert "ImageNet's mean and deviation" in found.measured


@pytest.mark.parametrize(
    "planted",
    [
        lambda: network(scale=(1.0, 0.0)),
        lambda: network([layers.Rescaling(1 / 127.5, offset=-1.0)]),
        lambda: network([layers.Rescaling(0.0)]),
        lambda: network([layers.Rescaling([1.0, 1.0, 0.3])]),
    ],
    ids=["missing", "twice", "constant", "one channel apart"],
)
def test_a_wrong_scaling_is_found(pictures, planted):
    found = doctor.inputs_scaled(planted(), pictures[0])
    assert found.verdict == FAIL
    assert "layer `scale`" in found.mend


@pytest.mark.parametrize(
    ("wanted", "verdict", "says"),
    [
        ([0, 1], PASS, "(0 to 1)"),
        ([-1, 1], PASS, "(-1 to 1)"),
        ([0, 255], PASS, "which the module scales itself"),
        ([0, 2550], FAIL, "no known scale"),
    ],
)
def test_a_module_of_tensorflow_hub_may_scale_pixels_itself(tmp_path, pictures, wanted, verdict, says):
    model = hub(image_size=SIDE, num_classes=3, handle=str(save_module(tmp_path)), input_range=wanted)
    found = doctor.inputs_scaled(model, pictures[0])
    assert found.verdict == verdict
    assert says in found.measured
    assert ("input_range" in found.mend) == (verdict == FAIL)


def test_pictures_that_were_scaled_before_they_came_are_found(sound, pictures):
    assert doctor.inputs_scaled(sound, pictures[0]).verdict == PASS
    assert doctor.inputs_scaled(sound, pictures[0] / 255.0).verdict == FAIL


def first_loss(model: keras.Model, pictures) -> doctor.Finding:
    return doctor.loss_at_start(doctor.first_loss(model, *pictures), model.output_shape[-1])


@pytest.mark.parametrize(
    ("loss", "trains", "verdict"),
    [(4.0, False, FAIL), (4.0, True, WARN), (2.0, True, PASS), (0.1, True, FAIL), (float("nan"), True, FAIL)],
)
def test_a_large_first_loss_is_a_warning_for_a_network_that_trains_all_the_same(loss, trains, verdict):
    assert doctor.loss_at_start(loss, 7, trains=trains).verdict == verdict


def test_a_new_head_says_as_good_as_nothing(sound, pictures):
    found = first_loss(sound, pictures)
    assert found.verdict == PASS
    assert "ln(3) is 1.10" in found.measured


def test_features_that_are_too_large_are_found(pictures):
    found = first_loss(network(after=[layers.Rescaling(50.0)]), pictures)
    assert found.verdict == FAIL


def test_a_head_that_knows_the_answers_already_is_no_new_one(tmp_path, pictures):
    model, _ = train(tmp_path)
    assert first_loss(model, pictures).verdict == FAIL


def test_every_weight_of_a_sound_network_moves(sound, pictures):
    found = doctor.weights_move(doctor.practising(sound), *pictures)
    assert (found.verdict, found.measured) == (PASS, "5 of 5 do")


def test_weights_that_are_frozen_on_purpose_are_counted_and_no_fault(pictures):
    model = network()
    freeze(model, ["first"])
    found = doctor.weights_move(doctor.practising(model), *pictures)
    assert (found.verdict, found.measured) == (PASS, "4 of 4 do, 1 are frozen")


class Severed(layers.Layer):
    """Lets no gradient through."""

    def call(self, x):
        return keras.ops.stop_gradient(x)


def test_a_weight_that_no_gradient_reaches_is_named(pictures):
    found = doctor.weights_move(doctor.practising(network(after=[Severed()])), *pictures)
    assert found.verdict == FAIL
    assert "not first/kernel" in found.measured


def test_a_network_of_dead_units_is_found(pictures):
    dead = layers.Conv2D(4, 3, activation="relu", bias_initializer=keras.initializers.Constant(-1e6), name="dead")
    found = doctor.weights_move(doctor.practising(network(after=[dead])), *pictures)
    assert found.verdict == FAIL
    assert "dead/kernel" in found.measured


def test_the_doctor_leaves_the_network_as_it_was(sound, pictures):
    before = [variable.numpy() for variable in sound.variables]
    doctor.first_loss(sound, *pictures)
    trial = doctor.practising(sound)
    doctor.weights_move(trial, *pictures)
    doctor.overfits(trial, *pictures, steps=4)
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, sound.variables, strict=True))


@pytest.mark.parametrize("labels", ["right", "shuffled"])
def test_a_sound_network_learns_a_few_pictures_by_heart_whatever_they_are_called(sound, pictures, labels):
    pixels, targets = pictures
    targets = targets if labels == "right" else np.random.default_rng(1).permutation(targets)
    found = doctor.overfits(doctor.practising(sound), pixels, targets)
    assert found.verdict == PASS, found.measured
    assert "64 images" in found.check


def test_the_same_picture_under_different_names_cannot_be_learnt(sound, pictures):
    pixels, targets = pictures
    found = doctor.overfits(doctor.practising(sound), np.repeat(pixels[:1], 64, axis=0), targets, steps=20)
    assert found.verdict == FAIL
    assert "do not train yet" in found.mend


def test_a_network_that_cannot_learn_is_found(pictures):
    blind = network(after=[layers.GlobalMaxPooling2D(), layers.Rescaling(0.0)])
    found = doctor.overfits(doctor.practising(blind), *pictures, steps=20)
    assert found.verdict == FAIL
    assert "right after 20 steps at a rate of 0.0001" in found.measured


def test_each_rate_starts_from_the_same_weights(sound, pictures, monkeypatch):
    """A rate that ruins the network does not spoil the next one."""
    monkeypatch.setattr(doctor, "RATES", (1e30, 1e-3))
    found = doctor.overfits(doctor.practising(sound), *pictures, steps=60)
    assert found.verdict == PASS, found.measured
    assert "rate of 0.001" in found.measured


def test_a_short_run_of_the_real_training_passes(tmp_path):
    assert doctor.short_run(lambda: train(tmp_path, max_epochs=2)[1]).verdict == PASS


def test_a_training_that_explodes_fails_with_the_training_s_own_advice(tmp_path):
    found = doctor.short_run(lambda: train(tmp_path, max_epochs=2, learning_rate=1e9)[1])
    assert found.verdict == FAIL
    assert "lower train.learning_rate" in found.mend


@pytest.mark.parametrize(("losses", "verdict"), [((2.0, 1.9), PASS), ((2.0, 2.0), FAIL), ((2.0, float("nan")), FAIL)])
def test_the_loss_must_fall(losses, verdict):
    history = pd.DataFrame({"loss": losses, "val_loss": losses})
    assert doctor.short_run(lambda: Fitted(history, 1)).verdict == verdict
