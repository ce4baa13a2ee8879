"""Fitting: train every weight until the validation loss has reached its plateau."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from pipeline import errors
from pipeline.errors import DataError
from pipeline.progress import bar
from pipeline.training.batches import Batches
from pipeline.training.resume import Resume

MONITOR = "val_loss"
LR_FACTOR = 0.2


def set_seed(seed: int) -> None:
    """Makes everything that is random in this process a function of `seed`."""
    keras.utils.set_random_seed(seed)


@dataclass(frozen=True)
class Fitted:
    """The plateau's best epoch counts from 1; `history` has a row an epoch."""

    history: pd.DataFrame
    best_epoch: int


def fit(
    model: keras.Model,
    train: Batches,
    val: Batches,
    *,
    folder: Path,
    max_epochs: int,
    learning_rate: float,
    weight_decay: float,
    label_smoothing: float,
    lr_patience: int,
    patience: int,
    min_delta: float,
) -> Fitted:
    """Trains `model` with AdamW until `patience` epochs brought no better validation loss; it keeps the best weights.

    Interrupted at any moment and called again with the same arguments, it continues from the last whole epoch.

    Args:
      folder: where the state is kept between epochs.
      lr_patience: epochs without a better validation loss before the learning rate is divided by 5.
      min_delta: what counts as better.

    Raises:
      DataError: if the loss is no longer a number.
    """
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing),
        metrics=["accuracy"],
        # TensorFlow's XLA is slower than its plain graph on CPU, and takes a minute to compile.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    model.optimizer.build(model.trainable_variables)
    _build_metrics(model)
    stopping = keras.callbacks.EarlyStopping(MONITOR, patience=patience, min_delta=min_delta)
    plateau = keras.callbacks.ReduceLROnPlateau(MONITOR, factor=LR_FACTOR, patience=lr_patience, min_delta=min_delta)
    resume = Resume(folder, stopping, [plateau])
    resume.restore(model)
    if resume.history:
        print(f"train: continues after epoch {resume.next_epoch}", flush=True)
    if not resume.finished:
        train.start_at(resume.next_epoch)
        lines = EpochLines(len(train), max_epochs, stopping)
        model.fit(
            train,
            validation_data=val,
            initial_epoch=resume.next_epoch,
            epochs=max_epochs,
            shuffle=False,  # the batches draw their own order
            callbacks=[StopWhenAsked(), StopAtNaN(), stopping, plateau, lines, resume],
            verbose=0,
        )
    resume.restore_best(model)
    return Fitted(pd.DataFrame(resume.history), resume.best_epoch + 1)


def _build_metrics(model: keras.Model) -> None:
    """Creates the metrics' variables now: TensorFlow traces a step anew, for 10 s, if the first trace makes any."""
    blank = np.zeros((1, *model.output.shape[1:]), np.float32)
    model.compute_metrics(None, blank, blank)
    model.reset_metrics()


class StopWhenAsked(keras.callbacks.Callback):
    """Ends training at the next step after Ctrl-C, also where Python's own exception was swallowed."""

    def on_train_batch_begin(self, batch: int, logs=None) -> None:
        errors.stop_if_asked()


class StopAtNaN(keras.callbacks.Callback):
    """Ends training, the state of the epoch before untouched, when the loss is no longer a number."""

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        for name in ("loss", MONITOR):
            if not math.isfinite((logs or {}).get(name, 0.0)):
                raise DataError(
                    f"the {name} is no longer a number in epoch {epoch + 1}",
                    where="configs/params.yaml, section train",
                    mend="lower train.learning_rate",
                )


class EpochLines(keras.callbacks.Callback):
    """One line an epoch: losses, accuracies, the best so far, rate, and the longest it may still take."""

    def __init__(self, steps: int, max_epochs: int, stopping: keras.callbacks.EarlyStopping):
        super().__init__()
        self._steps, self._max_epochs, self._stopping = steps, max_epochs, stopping

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        self._start = time.perf_counter()
        self._bar = bar(f"epoch {epoch + 1}", self._steps, unit=" steps")

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        self._bar.close()
        logs = logs if logs is not None else {}
        seconds = time.perf_counter() - self._start
        logs["seconds"] = seconds
        new = "  best" if self._stopping.best_epoch == epoch else f"  best was epoch {self._stopping.best_epoch + 1}"
        left = seconds * (self._max_epochs - epoch - 1)
        print(
            f"epoch {epoch + 1:3}  loss {logs['loss']:.3f}  accuracy {logs['accuracy']:6.1%}"
            f"  val loss {logs['val_loss']:.3f}  val accuracy {logs['val_accuracy']:6.1%}"
            f"  rate {logs['learning_rate']:.1e}  {seconds:.1f} s, at most {left / 60:.0f} min left{new}",
            flush=True,
        )
