"""What a person sees of a training: a bar within an epoch, a line after it."""

import sys
import threading
import time

import keras
import pandas as pd

from pipeline.progress import bar
from pipeline.training.batches import Batches
from pipeline.training.monitors import LOSS, Monitor

EVERY = 30.0  # seconds between two lines within an epoch


class EpochLines(keras.callbacks.Callback):
    """One line an epoch: losses, accuracies, the best so far, images a second, and the longest it may still take.

    It adds `seconds` and `images_per_second` (validation not counted) to the epoch's row.
    """

    def __init__(self, train: Batches, max_epochs: int, stopping: keras.callbacks.EarlyStopping, monitor: Monitor):
        super().__init__()
        self._monitor = monitor
        self._steps, self._images, self._max_epochs, self._stopping = len(train), train.images, max_epochs, stopping
        self._within: Within | None = None

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        self._start = time.perf_counter()
        what = f"epoch {epoch + 1} of at most {self._max_epochs}{self._best()}"
        self._within = Within(what, self._steps, self._images / self._steps)

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        if self._within is not None:
            self._within.step()

    def on_test_begin(self, logs=None) -> None:
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        self.close()
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

    def close(self) -> None:
        """Ends what is seen within an epoch, also of one that failed."""
        if self._within is not None:
            self._within.close()

    def _best(self) -> str:
        if self._stopping.best is None:
            return ""
        return f", best {self._monitor.words} {self._stopping.best:.3f} in epoch {self._stopping.best_epoch + 1}"


class Within:
    """What is seen within an epoch: a bar on a terminal, else a line every 30 seconds, also before the first step ends.

    TensorFlow prepares the first step for a minute or more, in which no callback is called: a thread writes the lines.

    Args:
      what: names the epoch.
      steps: of the epoch.
      images: of a step, on average.
    """

    def __init__(self, what: str, steps: int, images: float, *, every: float = EVERY):
        self._what, self._steps, self._images, self._every = what, steps, images, every
        self._done, self._ended = 0, threading.Event()
        self._start = self._first = time.perf_counter()
        self._bar = bar(what, steps, unit=" steps") if sys.stderr.isatty() else None
        if self._bar is not None:
            self._bar.refresh()
        else:
            threading.Thread(target=self._write_lines, name="epoch lines", daemon=True).start()

    def step(self) -> None:
        """Counts a step that has ended."""
        self._done += 1
        if self._done == 1:
            self._first = time.perf_counter()
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        """Ends it; may be called again."""
        self._ended.set()
        if self._bar is not None:
            self._bar.close()

    def line(self) -> str:
        """How far the epoch is: steps, images a second, and the time that its steps will still take."""
        now, done = time.perf_counter(), self._done
        if not done:
            return f"{self._what}: the first of {self._steps} steps is prepared, {now - self._start:.0f} s so far"
        if done >= self._steps:
            return f"{self._what}: all {self._steps} steps are done, the validation set is next"
        if done == 1 or now <= self._first:
            return f"{self._what}: 1 of {self._steps} steps"
        rate = (done - 1) / (now - self._first)
        left = (self._steps - done) / rate
        shown = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        return (
            f"{self._what}: {done} of {self._steps} steps, {rate * self._images:.0f} images/s, about {shown} left"
            " before validation"
        )

    def _write_lines(self) -> None:
        while not self._ended.wait(self._every):
            print(self.line(), file=sys.stderr, flush=True)


def with_cost(history: pd.DataFrame, *, per_hour: float) -> pd.DataFrame:
    """Adds the columns `minutes` and, where an hour has a price, `cost`, both of all epochs so far."""
    minutes = history["seconds"].cumsum() / 60
    return history.assign(minutes=minutes, **({"cost": minutes / 60 * per_hour} if per_hour else {}))
