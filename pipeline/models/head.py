"""The head: the one layer that knows the classes. Layers are found by name, never by index."""

import keras
from keras import layers

HEAD = "head"
FEATURES = "features"


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
