"""Fitting: train every weight until the validation loss, or what else is watched, has reached its plateau."""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import pandas as pd

from pipeline import errors
from pipeline.errors import DataError, UsageError, WallabyError
from pipeline.models.head import HEAD
from pipeline.training import hardware, monitors
from pipeline.training.batches import Batches
from pipeline.training.losses import build_loss
from pipeline.training.optimizers import ValidateAverages, build_optimizer
from pipeline.training.reporting import EpochLines
from pipeline.training.resume import Resume
from pipeline.training.schedules import Rates

LR_FACTOR = 0.2
EXPLODED = 1000.0  # the loss of a network that knows nothing is below 8, for 1,500 classes


def set_seed(seed: int) -> None:
    """Makes everything random in this process a function of `seed`, and on CPU every sum come out the same."""
    keras.utils.set_random_seed(seed)
    hardware.deterministic()


@dataclass(frozen=True)
class Fitted:
    """The plateau's best epoch counts from 1; `history` has a row an epoch."""

    history: pd.DataFrame
    best_epoch: int


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What decides how a network is fitted, on whatever images and machine.

    Attributes:
      monitor: what is to be better on the validation set: the loss, or one of the metrics of `monitors.MONITORS`.
      lr_patience: with decay plateau, epochs without a better monitor before the rate is divided by 5.
      patience: epochs without a better monitor before training ends.
      min_delta: what counts as better.
      body_rate: factor on the learning rate of all layers but the head.
      warmup_epochs: over which the learning rate rises from 0; may be a part of one.
      decay: of the learning rate: plateau, or cosine (to 0 at `max_epochs`).
      ema: momentum of a moving average of the weights, which is then validated and kept in their place; 0: none.
      loss, focal_gamma, label_smoothing: see `losses.build_loss`.
      head_warmup_epochs: epochs at the start that train the head alone, the body's normalisation using its stored
        statistics; they are never the best epoch, and patience counts from their end.
    """

    max_epochs: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    lr_patience: int
    patience: int
    min_delta: float
    monitor: monitors.Name = "loss"
    optimizer: Literal["adamw", "rmsprop"] = "adamw"
    body_rate: float = 1.0
    warmup_epochs: float = 0.0
    decay: Literal["plateau", "cosine"] = "plateau"
    ema: float = 0.0
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal_gamma: float = 2.0
    head_warmup_epochs: int = 0


class OutOfMemoryError(Exception):
    """A batch did not fit in memory."""


def fit(
    model: keras.Model,
    train: Batches,
    val: Batches,
    settings: FitSettings,
    *,
    folder: Path,
    class_weights: dict[int, float] | None = None,
    precision: str = "float32",
    devices: list[str] | None = None,
    tensorboard: Path | None = None,
    told: Callable[[pd.DataFrame], None] | None = None,
) -> Fitted:
    """Trains `model` until its validation loss is at its plateau; it gets the best epoch's weights.

    Interrupted at any moment and called again with the same arguments, it continues from the last whole epoch.

    Args:
      folder: where the state is kept between epochs.
      class_weights: of each class in the training loss.
      precision, devices: see `hardware.twin`.
      tensorboard: a folder for TensorBoard's curves.
      told: is called with the history after each epoch.

    Raises:
      DataError: if the loss is no longer a number, or has exploded.
      OutOfMemoryError: if a batch does not fit.
      UsageError: if TensorBoard is asked for and not installed.
    """
    trained = hardware.twin(model, precision=precision, devices=devices)
    monitor = monitors.MONITORS[settings.monitor]
    stopping = keras.callbacks.EarlyStopping(
        monitor.column,
        mode=monitor.mode,
        patience=settings.patience,
        min_delta=settings.min_delta,
        start_from_epoch=settings.head_warmup_epochs,
    )
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor.column,
        mode=monitor.mode,
        factor=LR_FACTOR,
        patience=settings.lr_patience,
        min_delta=settings.min_delta,
    )
    resume = Resume(folder, stopping, [plateau], told)
    phases = [("head", settings.head_warmup_epochs)] if settings.head_warmup_epochs else []
    done = 0  # epochs that this very call has trained
    for phase, until in [*phases, ("all", settings.max_epochs)]:
        for layer, original in zip(trained.layers, model.layers, strict=True):
            layer.trainable = original.trainable and (phase == "all" or layer.name == HEAD)
        with hardware.scope(trained):
            trained.compile(
                optimizer=build_optimizer(
                    settings.optimizer,
                    learning_rate=settings.learning_rate,
                    weight_decay=settings.weight_decay,
                    body_rate=settings.body_rate,
                    ema=settings.ema,
                ),
                loss=build_loss(
                    settings.loss, label_smoothing=settings.label_smoothing, focal_gamma=settings.focal_gamma
                ),
                metrics=["accuracy", *monitors.metrics(settings.monitor)],
                jit_compile=hardware.jit(),
            )
            trained.optimizer.build(trained.trainable_variables)
            _build_metrics(trained)
        resume.restore(trained, phase)
        if resume.next_epoch > done and resume.next_epoch < until and not resume.finished:
            print(f"train: continues after epoch {resume.next_epoch}", flush=True)
        if resume.finished or resume.next_epoch >= until:
            continue
        first_epoch = 0 if phase == "head" else settings.head_warmup_epochs
        falls = settings.decay == "cosine" and phase == "all"
        cosine_epochs = settings.max_epochs - first_epoch if falls else None
        rates = Rates(
            settings.learning_rate,
            steps=len(train),
            first_epoch=first_epoch,
            warmup_epochs=settings.warmup_epochs if phase == "all" else 0.0,
            cosine_epochs=cosine_epochs,
        )
        callbacks = [StopWhenAsked(), StopAtNaN(resume), rates, stopping]
        if cosine_epochs is None and phase == "all":
            callbacks.append(plateau)
        if settings.ema:
            callbacks.append(ValidateAverages())
        lines = EpochLines(train, settings.max_epochs, stopping, monitor)
        callbacks += [lines, *_tensorboard(tensorboard), resume]
        endless, endless_val = Endless(train, resume.next_epoch), Endless(val)
        with closing(lines), _faults_named(endless, endless_val):
            trained.fit(
                hardware.feed(endless),
                steps_per_epoch=len(train),
                validation_data=hardware.feed(endless_val),
                validation_steps=len(val),
                initial_epoch=resume.next_epoch,
                epochs=until,
                shuffle=False,  # the batches draw their own order
                class_weight=class_weights,
                callbacks=callbacks,
                verbose=0,
            )
        done = resume.next_epoch
    resume.restore_best(trained)
    hardware.copy_variables(trained, model)
    return Fitted(pd.DataFrame(resume.history), int(resume.best_epoch or 0))


def halve_until_it_fits(attempt: Callable[[int], Fitted], batch_size: int) -> tuple[Fitted, int]:
    """Calls `attempt` with `batch_size`, and with half of it while memory is too small; returns the size that fitted.

    Raises:
      DataError: if not even one picture fits.
    """
    while batch_size >= 1:
        try:
            return attempt(batch_size), batch_size
        except OutOfMemoryError:
            gc.collect()  # what the failed attempt held
            print(f"train: {batch_size} images a step do not fit in memory, {batch_size // 2} are tried", flush=True)
            batch_size //= 2
    raise DataError(
        "not even one image a step fits in memory",
        where="configs/params.yaml, section train",
        mend="start from a base with a smaller preset, or free some memory",
    )


def _build_metrics(model: keras.Model) -> None:
    """Creates the metrics' variables now: TensorFlow traces a step anew, for 10 s, if the first trace makes any."""
    blank = np.zeros((1, *model.output.shape[1:]), np.float32)
    model.compute_metrics(None, blank, blank)
    model.reset_metrics()


def _tensorboard(folder: Path | None) -> list[keras.callbacks.Callback]:
    if folder is None:
        return []
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise UsageError(
            "TensorBoard is not installed", where="train.tensorboard", mend="`pip install tensorboard`, or set false"
        ) from None
    return [keras.callbacks.TensorBoard(str(folder), write_graph=False)]


class Endless(keras.utils.PyDataset):
    """Epoch after epoch of batches as one row: with an end, Keras would set up its input twice in every epoch.

    It remembers the error it met: of one in the input, TensorFlow hands on a text only.
    """

    num_batches = None

    def __init__(self, batches: Batches, first_epoch: int = 0):
        super().__init__(workers=batches.workers)
        self._batches, self._first_epoch = batches, first_epoch
        self.error: BaseException | None = None

    def __getitem__(self, turn: int):
        epoch, number = divmod(turn, len(self._batches))
        try:
            return self._batches.of_epoch(self._first_epoch + epoch)[number]
        except BaseException as error:
            self.error = error
            raise


@contextmanager
def _faults_named(*inputs: Endless) -> Iterator[None]:
    """Turns what the backend makes of a fault into the fault."""
    try:
        yield
    except (WallabyError, KeyboardInterrupt):
        raise
    except Exception as error:
        cause = next((batches.error for batches in inputs if batches.error), error)
        if hardware.is_out_of_memory(cause):
            raise OutOfMemoryError from error
        if cause is error:
            raise
        raise cause from None


class StopWhenAsked(keras.callbacks.Callback):
    """Ends training at the next step after Ctrl-C, also where Python's own exception was swallowed."""

    def on_train_batch_begin(self, batch: int, logs=None) -> None:
        errors.stop_if_asked()


class StopAtNaN(keras.callbacks.Callback):
    """Ends training, the state of the epoch before untouched, when the loss is no longer a number, or explodes."""

    def __init__(self, resume: Resume):
        super().__init__()
        self._resume = resume

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        self._check("loss", logs, f"at step {batch + 1} of epoch {self._resume.next_epoch + 1}")

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        self._check(monitors.LOSS, logs, f"in epoch {epoch + 1}")

    def _check(self, name: str, logs: dict | None, when: str) -> None:
        value = float((logs or {}).get(name, 0.0))
        if math.isfinite(value) and value < EXPLODED:
            return
        what = f"has exploded to {value:.0f}" if math.isfinite(value) else "is no longer a number"
        kept = f"; the state after epoch {self._resume.next_epoch} is kept" if self._resume.next_epoch else ""
        raise DataError(
            f"the {name} {what} {when}{kept}",
            where="configs/params.yaml, section train",
            mend="lower train.learning_rate, or raise train.warmup_epochs",
        )
