"""The head: the one layer that knows the classes. Layers are found by name, never by index."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from pipeline.errors import UsageError, closest

HEAD = "head"
FEATURES = "features"
MODES = ("reset", "grow")
TINY = 1e-12  # the least probability that has a logarithm


def add_head(features, num_classes: int, *, seed: int | None = None):
    """Returns probabilities (N, num_classes) from `features` (N, F): a dense softmax layer with random weights.

    It computes in float32 whatever the policy, since a softmax in half precision loses the small probabilities.
    """
    initializer = keras.initializers.GlorotUniform(seed=seed)
    return layers.Dense(num_classes, activation="softmax", dtype="float32", kernel_initializer=initializer, name=HEAD)(
        features
    )


def replace_head(model: keras.Model, num_classes: int, *, seed: int | None = None) -> keras.Model:
    """Returns `model` with its head popped and a new, randomly initialised one for `num_classes`.

    Every other layer is the same object as in `model`, weights included, and is trainable.
    """
    features = model.get_layer(FEATURES).output
    replaced = keras.Model(model.input, add_head(features, num_classes, seed=seed), name=model.name)
    replaced.trainable = False  # on TensorFlow, setting what a model has already does not reach its layers
    replaced.trainable = True
    return replaced


def renew_head(
    model: keras.Model,
    classes: Sequence[str],
    *,
    old_classes: Sequence[str],
    mode: str = "reset",
    seed: int | None = None,
) -> keras.Model:
    """Returns `model` with a head for `classes`; every other weight is shared, and trainable.

    Args:
      old_classes: those of the model's head, in the order of its outputs; none for a model that has learnt none.
      mode: reset: random weights; grow: a class keeps the weights it had, by name, and a new one gets random weights.
    """
    kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in model.get_layer(HEAD).weights)
    renewed = replace_head(model, len(classes), seed=seed)
    if mode == "reset" or not old_classes:
        return renewed
    head = renewed.get_layer(HEAD)
    new_kernel, new_bias = (keras.ops.convert_to_numpy(weight).copy() for weight in head.weights)
    known = [name for name in classes if name in set(old_classes)]
    new, old = [list(classes).index(name) for name in known], [list(old_classes).index(name) for name in known]
    new_kernel[:, new], new_bias[new] = kernel[:, old], bias[old]
    head.set_weights([np.asarray(new_kernel), np.asarray(new_bias)])
    return renewed


def calibrated(model: keras.Model, temperature: float) -> keras.Model:
    """Returns `model` with its temperature inside: its probabilities are those of logits divided by it.

    Every layer but the head is the same object as in `model`, which stays as it is. Where the head has weights, logits
    (Wx + b) / T are those of W / T and b / T.
    """
    if temperature == 1:
        return model
    head = model.get_layer(HEAD)
    if not isinstance(head, layers.Dense):
        logits = ops.log(ops.maximum(model.output, TINY)) / temperature
        return keras.Model(model.input, layers.Softmax(dtype="float32")(logits), name=model.name)
    made = keras.Model(model.input, add_head(model.get_layer(FEATURES).output, head.units), name=model.name)
    made.get_layer(HEAD).set_weights([weights / temperature for weights in head.get_weights()])
    return made


def freeze(model: keras.Model, prefixes: Sequence[str]) -> None:
    """Keeps the layers whose names begin with one of `prefixes` as they are; nothing else is frozen.

    A frozen batch normalisation uses its stored statistics.

    Raises:
      UsageError: if no layer's name begins so, offering the nearest, or the head's does.
    """
    names = [layer.name for layer in model.layers]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise UsageError(
                f"no layer's name begins with '{prefix}'", where="train.freeze", mend=closest(prefix, set(names))
            )
        if HEAD.startswith(prefix):
            raise UsageError(f"'{prefix}' would freeze the head", where="train.freeze", mend="name more of the layer")
    for layer in model.layers:
        if layer.name.startswith(tuple(prefixes)):
            layer.trainable = False
