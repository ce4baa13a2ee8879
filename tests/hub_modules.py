"""Tiny TensorFlow Hub modules: reusable SavedModels, made of a Keras network without any download."""

from pathlib import Path

import tensorflow as tf
from keras import Input, Model, layers, utils

from tests.networks import SIDE

FEATURES = 4


def body(side: int | None = SIDE, *, seed: int = 0) -> Model:
    utils.set_random_seed(seed)
    pixels = Input((side, side, 3))
    x = layers.Conv2D(FEATURES, 3, strides=2, use_bias=False)(pixels)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
    return Model(pixels, layers.GlobalAveragePooling2D()(x))


def save_module(
    folder: Path,
    model: Model | None = None,
    *,
    side: int | None = SIDE,
    outputs=lambda features: features,
    dtype: tf.DType = tf.float32,
    batch: int | None = None,
) -> Path:
    """Writes what TensorFlow Hub calls a feature vector; `outputs` makes of the features what the module gives."""
    model = body(side) if model is None else model
    root = tf.train.Checkpoint()
    root.variables = [variable.value for variable in model.variables]
    root.trainable_variables = [variable.value for variable in model.trainable_variables]
    root.regularization_losses = []

    @tf.function
    def call(inputs, training=False):
        return outputs(model(tf.cast(inputs, tf.float32), training=training))

    for training in (False, True):
        call.get_concrete_function(tf.TensorSpec((batch, side, side, 3), dtype), training=training)
    root.__call__ = call
    tf.saved_model.save(root, str(folder))
    return folder
