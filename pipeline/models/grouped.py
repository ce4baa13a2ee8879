"""A convolution with groups that TensorFlow can train on a CPU."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("wallaby")
class GroupedConv2D(layers.Conv2D):
    """Conv2D with groups, computed group by group where TensorFlow has no GPU.

    There Keras takes a way through XLA, with which a training step lasts two hundred times as long.
    """

    def convolution_op(self, inputs, kernel):
        if keras.backend.backend() != "tensorflow" or keras.distribution.list_devices("gpu"):
            return super().convolution_op(inputs, kernel)
        convolve = super().convolution_op
        parts = zip(ops.split(inputs, self.groups, axis=-1), ops.split(kernel, self.groups, axis=-1), strict=True)
        return ops.concatenate([convolve(part, filters) for part, filters in parts], axis=-1)
