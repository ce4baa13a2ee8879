"""Any network of `keras.applications`, with random weights or those learnt from ImageNet."""

import itertools
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import keras
import numpy as np
from keras import layers

from pipeline.errors import UsageError, closest
from pipeline.models.head import FEATURES, add_head

NAMES = {name for name in dir(keras.applications) if name[0].isupper()}


def applications(
    *,
    name: str,
    image_size: int = 224,
    num_classes: int = 1000,
    features: str = "",
    width: float = 1.0,
    dropout: float = 0.2,
    batch_norm_momentum: float | None = None,
    weights: str = "random",
) -> keras.Model:
    """Returns a network of `keras.applications`: pixels (N, image_size, image_size, 3) in [0, 255] to probabilities.

    What the network wants of its pixels is done inside it. Its features are the average over all places of its last
    convolution; a classifier of more layers, as VGG16's or MobileNetV3's, is left off unless `features` names one.

    Args:
      name: EfficientNetB0, MobileNetV3Small, ...
      image_size: side of the square input, in pixels.
      features: the dense layer of the network's own classifier whose output are the features: fc2 of VGG16, say. The
        first such layer grows with the image, so that ImageNet weights need the size that they were learnt at.
      width: factor on every number of channels, of a MobileNet.
      dropout: share of features dropped before the head, and after each dense layer of the classifier.
      batch_norm_momentum: of the moving statistics, if not the network's own; small data need a smaller one.
      weights: random, or imagenet: downloaded once and kept in ~/.keras/models.

    Raises:
      ValueError: if `image_size` is too small for the network.
      UsageError: for an unknown name, the nearest is offered; or if the weights cannot be downloaded.
    """
    if name not in NAMES:
        raise UsageError(f"keras.applications has no '{name}'", where="configs/models", mend=closest(name, NAMES))
    network = getattr(keras.applications, name)
    preprocess = sys.modules[network.__module__].preprocess_input

    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    shape = (image_size, image_size, 3)
    options = {"include_top": bool(features), "input_tensor": preprocess(pixels), "input_shape": shape}
    options |= {} if width == 1 else {"alpha": width}
    body = network(weights=None, **options) if weights == "random" else _downloaded(network, options)
    for layer in body.layers:
        if isinstance(layer, layers.BatchNormalization) and batch_norm_momentum is not None:
            layer.momentum = batch_norm_momentum
    x = _classifier(body, features, dropout) if features else layers.GlobalAveragePooling2D(name="pool")(body.output)
    x = layers.Dropout(dropout, name=FEATURES)(x)
    return _with_constants(keras.Model(pixels, add_head(x, num_classes), name=name.lower()))


def _classifier(body: keras.Model, last: str, dropout: float):
    """The dense layers of the network's own classifier up to `last`, with dropout between them, as in VGG's paper."""
    dense = [layer for layer in body.layers if isinstance(layer, layers.Dense)][:-1]  # without the one of the classes
    names = [layer.name for layer in dense]
    if last not in names:
        mend = closest(last, set(names)) if names else "leave `features` out: it has no dense layer before its classes"
        raise UsageError(f"{body.name} has no dense layer '{last}'", where="configs/models", mend=mend)
    x = dense[0].output
    for before, layer in itertools.pairwise(dense[: names.index(last) + 1]):
        copy = layers.Dense.from_config(layer.get_config())  # the layer itself is joined to the one before it already
        x = copy(layers.Dropout(dropout, name=f"{before.name}_dropout")(x))
        copy.set_weights(layer.get_weights())
    return x


def _downloaded(network: Callable, options: dict[str, Any]) -> keras.Model:
    try:
        with redirect_stdout(sys.stderr):  # Keras tells there how far it is
            return network(weights="imagenet", **options)
    except Exception as error:  # Keras raises no kind of its own
        told = str(error).startswith(("URL fetch failure", "Incomplete or corrupted file"))
        if not told and not isinstance(error, (ConnectionError, TimeoutError)):
            raise
        raise UsageError(
            f"the ImageNet weights could not be downloaded: {error}",
            where=network.__name__,
            mend="try again where there is a network, which ~/.keras/models spares the next time; or --weights random",
        ) from None


def _with_constants(model: keras.Model) -> keras.Model:
    """Turns the mean and the variance of EfficientNet's pixels from weights into numbers of a `Rescaling`.

    Keras reads such weights once, when the layer is built: a copy that is given them later would not know them. And
    tf2onnx takes the constants of a `Normalization` for inputs of the network.
    """

    def constant(layer: keras.Operation) -> keras.Operation:
        if isinstance(layer, layers.Normalization) and layer.weights:
            mean, variance, _ = (np.asarray(weight, "float64") for weight in layer.get_weights())
            scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
            return layers.Rescaling(scale.tolist(), offset=(-mean * scale).tolist(), name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    if not any(isinstance(layer, layers.Normalization) and layer.weights for layer in model.layers):
        return model
    copy = keras.models.clone_model(model, clone_function=constant)
    for old, new in zip(model.layers, copy.layers, strict=True):
        if not isinstance(old, layers.Normalization):
            new.set_weights(old.get_weights())
    return copy
