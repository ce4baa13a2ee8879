"""The learning rate over a training: warm-up, cosine decay, and a test of which rate suits a network."""

import math

import keras
import numpy as np
import pandas as pd

from pipeline.training.hardware import jit, twin
from pipeline.training.losses import build_loss
from pipeline.training.optimizers import build_optimizer

DECAYS = ("plateau", "cosine")
SMOOTHING = 0.9  # of the loss curve, as a moving average with bias correction
DIVERGED = 4.0  # times the lowest loss


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
        """Args:
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


def find_learning_rate(
    model: keras.Model,
    batches: keras.utils.PyDataset,
    *,
    optimizer: str = "adamw",
    weight_decay: float = 0.0,
    body_rate: float = 1.0,
    loss: str = "cross_entropy",
    focal_gamma: float = 2.0,
    label_smoothing: float = 0.0,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> tuple[pd.DataFrame, float]:
    """The learning rate range test (Smith 2017): the loss while the rate rises exponentially, step by step.

    Optimiser and loss are told as to `fitting.fit`. `model` keeps its weights. The test ends early where the loss has
    become four times the lowest, or no number.

    Returns:
      A table of `rate` and `loss` (smoothed), a row a step, and the rate at which the loss fell fastest.
    """
    trial = twin(model)
    trial.compile(
        build_optimizer(optimizer, learning_rate=lowest, weight_decay=weight_decay, body_rate=body_rate),
        build_loss(loss, label_smoothing=label_smoothing, focal_gamma=focal_gamma),
        jit_compile=jit(),
    )
    rows: list[dict[str, float]] = []
    average = 0.0
    for number, rate in enumerate(np.geomspace(lowest, highest, steps)):
        trial.optimizer.learning_rate = float(rate)
        trial.reset_metrics()
        value = float(trial.train_on_batch(*batches[number % len(batches)]))
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        rows.append({"rate": float(rate), "loss": average / (1 - SMOOTHING ** (number + 1))})
        if not math.isfinite(value) or rows[-1]["loss"] > DIVERGED * min(row["loss"] for row in rows):
            rows.pop()
            break
    curve = pd.DataFrame(rows, columns=["rate", "loss"])
    return curve, suggest(curve)


def suggest(curve: pd.DataFrame) -> float:
    """The rate of steepest descent of `loss` over the logarithm of `rate`, before the lowest loss.

    The first tenth does not count: there the moving average is that of a few batches, and falls or rises by their luck.
    For the same reason the slope is that over a tenth of the steps. `rate` rises by the same factor each step.
    """
    loss, first, reach = curve["loss"].to_numpy(), len(curve) // 10, max(1, len(curve) // 20)
    lowest = first + int(loss[first:].argmin())
    middles = np.arange(max(first, reach), min(lowest, len(curve) - 1 - reach) + 1)
    if not len(middles):
        return float(curve["rate"].iloc[lowest])
    steepest = middles[int((loss[middles + reach] - loss[middles - reach]).argmin())]
    return float(curve["rate"].iloc[steepest])
