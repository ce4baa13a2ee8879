"""Optimisers with decoupled weight decay (Loshchilov and Hutter 2019), and a rate of its own for all but the head."""

import keras

from pipeline.models.head import HEAD


class Layerwise(keras.optimizers.Optimizer):
    """Scales rate and weight decay of every variable but the head's by `body_rate`; goes before an optimiser."""

    body_rate: float
    decay: float

    def build(self, variables: list) -> None:
        super().build(variables)
        # By index: while it trains on several devices, TensorFlow hands out copies of the variables.
        self._rates = [1.0 if variable.path.split("/")[0] == HEAD else self.body_rate for variable in variables]

    def update_step(self, gradient, variable, learning_rate) -> None:
        rate = keras.ops.cast(learning_rate, variable.dtype) * self._rates[self._get_variable_index(variable)]
        if self.decay:
            self.assign_sub(variable, variable * (self.decay * rate))
        super().update_step(gradient, variable, rate)


class LayerwiseAdamW(Layerwise, keras.optimizers.Adam):
    pass


class LayerwiseRMSprop(Layerwise, keras.optimizers.RMSprop):
    pass


# RMSprop as in the Inception-V4 paper, section 4.
OPTIMIZERS = {"adamw": (LayerwiseAdamW, {}), "rmsprop": (LayerwiseRMSprop, {"rho": 0.9, "epsilon": 1.0})}


def build_optimizer(
    name: str, *, learning_rate: float, weight_decay: float, body_rate: float = 1.0, ema: float = 0.0
) -> keras.optimizers.Optimizer:
    """Returns an optimiser.

    Args:
      name: adamw or rmsprop.
      weight_decay: share of a weight that is taken off each step, times the learning rate.
      body_rate: factor on the learning rate of all layers but the head.
      ema: momentum of a moving average of the weights, from step to step; 0: none is kept.
    """
    kind, options = OPTIMIZERS[name]
    optimizer = kind(learning_rate, use_ema=ema > 0, ema_momentum=ema or 0.99, **options)
    optimizer.body_rate, optimizer.decay = body_rate, weight_decay
    return optimizer


def averages(model: keras.Model) -> list:
    """The moving averages of the trainable variables, in their order; none without EMA."""
    return list(model.optimizer._model_variables_moving_average) if model.optimizer.use_ema else []


class ValidateAverages(keras.callbacks.Callback):
    """Validates the moving averages in place of the weights.

    Keras' SwapEMAWeights swaps by adding and subtracting, which rounds the weights anew in every epoch.
    """

    def on_test_begin(self, logs=None) -> None:
        self._raw = [keras.ops.convert_to_numpy(variable) for variable in self.model.trainable_variables]
        for variable, average in zip(self.model.trainable_variables, averages(self.model), strict=True):
            variable.assign(average)

    def on_test_end(self, logs=None) -> None:
        for variable, value in zip(self.model.trainable_variables, self._raw, strict=True):
            variable.assign(value)
