"""The learning rate over a training: warm-up and cosine decay."""

import math

import keras


def share(progress: float, *, step: float, warmup_epochs: float, cosine_epochs: float | None) -> float:
    """The share of the full learning rate at a step.

    Args:
      progress: epochs done before the step.
      step: length of a step, in epochs.
      warmup_epochs: the rate rises linearly over these (Goyal et al. 2017).
      cosine_epochs: it then falls as half a cosine, to 0 at this epoch (Loshchilov and Hutter 2017); None: it stays.
    """
    if progress < warmup_epochs:
        return min(1.0, (progress + step) / warmup_epochs)
    if cosine_epochs is None:
        return 1.0
    done = min(1.0, (progress - warmup_epochs) / max(step, cosine_epochs - warmup_epochs))
    return 0.5 * (1 + math.cos(math.pi * done))


class Rates(keras.callbacks.Callback):
    """Sets the learning rate of each step, and notes that of the epoch's end.

    A function of the epoch and the step alone, so that it needs no state of its own. After the warm-up, without cosine
    decay, it leaves the rate to `ReduceLROnPlateau`.
    """

    def __init__(
        self, learning_rate: float, *, steps: int, first_epoch: int, warmup_epochs: float, cosine_epochs: float | None
    ):
        """Sets the shape of the schedule; `share` explains it.

        Args:
          first_epoch: counted from 0; warm-up and cosine count their epochs from it.
        """
        super().__init__()
        self._learning_rate, self._steps, self._first_epoch = learning_rate, steps, first_epoch
        self._warmup_epochs, self._cosine_epochs = warmup_epochs, cosine_epochs

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        self._epoch = epoch - self._first_epoch

    def on_train_batch_begin(self, batch: int, logs=None) -> None:
        progress, step = self._epoch + batch / self._steps, 1 / self._steps
        if self._cosine_epochs is None and progress >= self._warmup_epochs + step:
            return
        self.model.optimizer.learning_rate = self._learning_rate * share(
            progress, step=step, warmup_epochs=self._warmup_epochs, cosine_epochs=self._cosine_epochs
        )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
