"""What a person sees of a training: a bar within an epoch, a line after it."""

import time

import keras
import pandas as pd

from pipeline.progress import bar
from pipeline.training.batches import Batches
from pipeline.training.monitors import LOSS, Monitor


class EpochLines(keras.callbacks.Callback):
    """One line an epoch: losses, accuracies, the best so far, images a second, and the longest it may still take.

    It adds `seconds` and `images_per_second` (validation not counted) to the epoch's row.
    """

    def __init__(self, train: Batches, max_epochs: int, stopping: keras.callbacks.EarlyStopping, monitor: Monitor):
        super().__init__()
        self._monitor = monitor
        self._steps, self._images, self._max_epochs, self._stopping = len(train), train.images, max_epochs, stopping

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        self._start = time.perf_counter()
        self._bar = bar(f"epoch {epoch + 1} of at most {self._max_epochs}{self._best()}", self._steps, unit=" steps")

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        self._bar.update()

    def on_test_begin(self, logs=None) -> None:
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        self._bar.close()
        logs = logs if logs is not None else {}
        logs["seconds"] = seconds = time.perf_counter() - self._start
        logs["images_per_second"] = self._images / (self._trained - self._start)
        left = seconds * (self._max_epochs - epoch - 1)
        column, words = self._monitor.column, self._monitor.words
        watched = "" if column in (LOSS, "val_accuracy") else f"  {words} {logs[column]:.3f}"
        new = ", best" if self._stopping.best_epoch == epoch else self._best()
        print(
            f"epoch {epoch + 1:3}  loss {logs['loss']:.3f}  accuracy {logs['accuracy']:6.1%}"
            f"  val loss {logs[LOSS]:.3f}  val accuracy {logs['val_accuracy']:6.1%}{watched}"
            f"  rate {logs['learning_rate']:.1e}  {logs['images_per_second']:.0f} images/s  {seconds:.1f} s,"
            f" at most {left / 60:.0f} min left{new}",
            flush=True,
        )

    def _best(self) -> str:
        if self._stopping.best is None:
            return ""
        return f", best {self._monitor.words} {self._stopping.best:.3f} in epoch {self._stopping.best_epoch + 1}"


def with_cost(history: pd.DataFrame, *, per_hour: float) -> pd.DataFrame:
    """Adds the columns `minutes` and, where an hour has a price, `cost`, both of all epochs so far."""
    minutes = history["seconds"].cumsum() / 60
    return history.assign(minutes=minutes, **({"cost": minutes / 60 * per_hour} if per_hour else {}))
