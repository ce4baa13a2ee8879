"""Several networks in one, whose output is the mean of what the members say.

An ensemble is made of layers that Keras knows, with the features and the head where every network has them, so that
each runtime, export and stage takes it for a network like any other.
"""

from collections.abc import Sequence

import keras
from keras import layers

from pipeline.models.head import FEATURES, HEAD, add_head, calibrated

MEMBER = "member"


def average(networks: Sequence[keras.Model], temperatures: Sequence[float]) -> keras.Model:
    """Returns a network that says the mean (N, C) of the members' calibrated probabilities.

    Networks that differ in their seed alone are averaged so by Lakshminarayanan, Pritzel, Blundell 2017, "Simple and
    scalable predictive uncertainty estimation using deep ensembles". The features (N, F) are those of the first.

    Args:
      networks: with the same input and classes, each with its head directly on its features.
      temperatures: of each.
    """
    pixels = keras.Input(networks[0].input_shape[1:], dtype=networks[0].input.dtype, name="pixels")
    opinions = []
    for number, (network, temperature) in enumerate(zip(networks, temperatures, strict=True)):
        body = keras.Model(network.input, network.get_layer(FEATURES).output, name=_numbered(MEMBER, number))
        features = body(pixels)
        if number == 0:  # on the way to the output: a model that is cut here has its head, too
            features = layers.Identity(name=FEATURES)(features)
        head = layers.Dense(network.output_shape[-1], "softmax", dtype="float32", name=_numbered(HEAD, number))
        opinions.append(head(features))
        head.set_weights(calibrated(network, temperature).get_layer(HEAD).get_weights())
    return keras.Model(pixels, layers.Average(dtype="float32", name=HEAD)(opinions), name="ensemble")


def members(model: keras.Model) -> list[keras.Model]:
    """The networks of an ensemble, or the network itself if it is none; they share the weights of their bodies."""
    inside = {layer.name: layer for layer in model.layers}
    found: list[keras.Model] = []
    while body := inside.get(_numbered(MEMBER, len(found))):
        head = inside[_numbered(HEAD, len(found))]
        network = keras.Model(body.input, add_head(body.output, head.units), name=body.name)
        network.get_layer(HEAD).set_weights(head.get_weights())
        found.append(network)
    return found or [model]


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number + 1}"
