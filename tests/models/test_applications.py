"""Networks of keras.applications: what they want of their pixels, and the weights that are downloaded."""

import keras
import numpy as np
import pytest
from keras import Model, layers

from pipeline.errors import UsageError
from pipeline.models import presets
from pipeline.models.applications import applications
from pipeline.models.head import FEATURES, HEAD
from pipeline.sections import Preset
from pipeline.training.hardware import twin

COLOURS = np.array([[0, 0, 0], [255, 255, 255], [200, 100, 50]], dtype=np.float32)


def seen(name: str) -> np.ndarray:
    """What the network's first convolution is given for three colours, (3, 3)."""
    model = applications(name=name, image_size=32, num_classes=2)
    first = next(layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    pictures = np.broadcast_to(COLOURS[:, None, None, :], (3, 32, 32, 3))
    return Model(model.input, first.input).predict_on_batch(pictures.copy())[:, 16, 16]


def test_a_network_of_tensorflow_s_slim_sees_pixels_from_minus_1_to_1():
    np.testing.assert_allclose(seen("MobileNet"), COLOURS / 127.5 - 1, atol=1e-6)


def test_a_network_of_caffe_sees_blue_first_and_no_mean():
    np.testing.assert_allclose(seen("VGG16"), (COLOURS - [123.68, 116.779, 103.939])[:, ::-1], atol=1e-4)


def test_a_network_that_scales_for_itself_is_given_pixels():
    np.testing.assert_allclose(seen("MobileNetV3Small"), COLOURS / 127.5 - 1, atol=1e-6)


@pytest.fixture
def downloaded(monkeypatch, tmp_path) -> Model:
    """EfficientNet-B0 whose made-up weights Keras finds where it would download them, as it is without its head."""
    network = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(32, 32, 3))
    random = np.random.default_rng(0)
    network.set_weights([random.uniform(0.1, 0.5, weight.shape) for weight in network.weights])
    network.save_weights(tmp_path / "made_up.weights.h5")
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(tmp_path / "made_up.weights.h5"))
    return network


def test_weights_from_imagenet_are_kept_by_copying_and_saving_also_those_of_the_pixels(downloaded, tmp_path):
    preset = Preset(architecture="applications", image_size=32, options={"name": "EfficientNetB0"})
    model = presets.build(preset, num_classes=2, weights="imagenet")
    for name in ("stem_conv", "top_bn"):
        assert all(map(np.array_equal, model.get_layer(name).get_weights(), downloaded.get_layer(name).get_weights()))
    mean, variance, _ = next(
        layer.get_weights() for layer in downloaded.layers if isinstance(layer, layers.Normalization)
    )
    picture = np.broadcast_to(COLOURS[2], (1, 32, 32, 3)).copy()
    scaled = (COLOURS[2] / 255 - mean) / np.sqrt(variance)
    deviation = np.sqrt([0.229, 0.224, 0.225])  # Keras divides once more
    model.save(tmp_path / "model.keras")
    for copy in (model, twin(model), keras.saving.load_model(tmp_path / "model.keras", compile=False)):
        sees = Model(copy.input, copy.get_layer("stem_conv").input).predict_on_batch(picture)
        np.testing.assert_allclose(sees[0, 16, 16], scaled / deviation, rtol=1e-4)


def test_no_network_is_one_clear_error(monkeypatch):
    def fails(*_, **__):
        raise Exception("URL fetch failure on https://example.org/b0.h5: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fails)
    with pytest.raises(UsageError) as refused:
        applications(name="MobileNet", image_size=224, num_classes=2, weights="imagenet")
    assert "could not be downloaded: URL fetch failure on https://example.org/b0.h5" in refused.value.what
    assert refused.value.where == "MobileNet"
    assert "--weights random" in refused.value.mend


@pytest.mark.parametrize(
    ("preset", "told"),
    [
        ({"options": {"name": "EfficientNet0"}}, "did you mean 'EfficientNetB0'?"),
        ({"options": {"nmae": "EfficientNetB0"}}, "did you mean 'name'?"),
        ({"options": {"name": "EfficientNetB0", "weights": "imagenet"}}, "unknown option 'weights'"),
        ({"options": {}}, "does not fit applications"),
        ({"options": {"name": "InceptionV3"}, "image_size": 74}, "at least 75x75"),
        ({"options": {"name": "VGG16"}, "image_size": 31}, "at least 32x32"),
        ({"options": {"name": "VGG16", "features": "fc3"}, "image_size": 32}, "did you mean"),
        ({"options": {"name": "MobileNetV2", "features": "fc2"}}, "no dense layer 'fc2'"),
        ({"options": {"name": "ResNet50", "width": 0.5}}, "alpha"),
        ({"architecture": "mobilenet_v2"}, "`name: MobileNetV2` among its options"),
    ],
)
def test_a_slip_in_a_preset_is_named(preset, told):
    with pytest.raises(UsageError) as refused:
        presets.build(Preset(**{"architecture": "applications", "image_size": 96} | preset), num_classes=2)
    assert told in str(refused.value)


def test_vgg16_keeps_its_two_dense_layers_and_drops_features_after_each_as_in_the_paper():
    model = applications(name="VGG16", image_size=32, num_classes=2, features="fc2", dropout=0.5)
    names = [layer.name for layer in model.layers]
    assert names[names.index("flatten") :] == ["flatten", "fc1", "fc1_dropout", "fc2", FEATURES, HEAD]
    assert model.get_layer(FEATURES).output.shape == (None, 4096)
    assert {layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)} == {0.5}


def test_a_network_that_sees_blue_first_says_the_same_after_saving(tmp_path):
    model = applications(name="VGG16", image_size=32, num_classes=2)
    model.save(tmp_path / "model.keras")
    picture = np.broadcast_to(COLOURS[2], (1, 32, 32, 3)).copy()
    saved = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert np.array_equal(saved.predict_on_batch(picture), model.predict_on_batch(picture))


def test_the_momentum_of_the_moving_statistics_is_that_of_the_preset():
    def momenta(**options: float) -> set[float]:
        model = applications(name="MobileNetV2", image_size=32, num_classes=2, width=0.35, **options)
        return {layer.momentum for layer in twin(model).layers if isinstance(layer, layers.BatchNormalization)}

    assert momenta() == {0.999}
    assert momenta(batch_norm_momentum=0.9) == {0.9}
