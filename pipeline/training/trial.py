"""One network on trial: trained for a while on the user's own data, and measured."""

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from pipeline import bundle
from pipeline.errors import WallabyError
from pipeline.files import read_table
from pipeline.inference import latency
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage
from pipeline.models import presets
from pipeline.models.head import HEAD
from pipeline.sections import Preset
from pipeline.training import hardware, start
from pipeline.training.augmentation import Augmentation
from pipeline.training.fitting import set_seed
from pipeline.training.trainer import Machine, TrainSettings, train

VALIDATION_COST = 1 / 3  # of a training step, for the same images: only the forward pass
RATE_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What a network on trial is trained with; for how many epochs follows from its time.

    Attributes:
      seconds: for training, about.
      frozen: only the head is trained.
      batch_size: images per step.
    """

    seconds: float
    frozen: bool
    batch_size: int
    seed: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    min_delta: float
    optimizer: Literal["adamw", "rmsprop"] = "adamw"

    def training(self, epochs: int) -> TrainSettings:
        """The settings of a training of so many epochs, whose rate falls as a cosine to 0 at their end."""
        return TrainSettings(
            seed=self.seed,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            label_smoothing=self.label_smoothing,
            min_delta=self.min_delta,
            max_epochs=epochs,
            patience=epochs,
            lr_patience=epochs,
            decay="cosine",
        )


def compete(
    *,
    preset: Preset | None,
    weights: str,
    frozen: bool,
    base: Path,
    base_size: int | None,
    splits: Path,
    folders: dict[str, Path],
    cache: Path,
    batch_size: int,
    rates: dict[bool, float],
    seconds: float,
    seed: int,
    augmentation: dict[str, Any],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Builds a network, or takes the base, and returns what `run` measures of it; or a `failure`, the reason for none.

    Args:
      preset: with `weights` and `cache` as `presets.build` takes them; None for the base in the folder `base`.
      frozen: only the head is trained.
      base_size: the image size of the base's preset (`start.prepare`).
      splits: the table of the data sets.
      folders: of the roots, by name.
      rates: the learning rate of a network that has learnt nothing (False), and of one that has (True).
      augmentation: as `Augmentation` takes it.
      settings: others of `TrialSettings`.
    """
    rows = read_table(splits)
    rows = rows[rows["set"].isin(["train", "val"])]
    try:
        if preset is None:
            prepared = start.prepare(bundle.Stored(base), rows, preset_size=base_size, seed=seed)
            model, classes, rows = prepared.model, prepared.classes, prepared.rows
            learnt = prepared.base.has_learnt
        else:
            set_seed(seed)
            classes, rows = start.learnable(rows)
            model = presets.build(preset, len(classes), seed=seed, weights=weights, cache=cache)
            learnt = weights != presets.RANDOM
        with TemporaryDirectory() as work, contextlib.redirect_stdout(sys.stderr):
            return run(
                model,
                rows.reset_index(drop=True),
                classes,
                TrialSettings(
                    seconds=seconds,
                    frozen=frozen,
                    batch_size=batch_size,
                    seed=seed,
                    learning_rate=rates[learnt and not frozen],
                    **settings,
                ),
                folders=folders,
                work=Path(work),
                augmentation=Augmentation(**augmentation),
            )
    except WallabyError as error:
        return {"failure": f"{error.what}; {error.mend}" if error.mend else error.what}
    except Exception as error:
        if not hardware.is_out_of_memory(error):
            raise
        return {"failure": "memory was too small"}


def run(
    model: keras.Model,
    rows: pd.DataFrame,
    classes: list[str],
    settings: TrialSettings,
    *,
    folders: dict[str, Path],
    work: Path,
    augmentation: Augmentation,
) -> dict[str, Any]:
    """Trains `model` for about `settings.seconds`, measured beforehand, and measures what came out.

    Where the time is too short for one epoch, it is trained on a part of the pictures, of every class the same share.

    Args:
      rows: those of train and val; see `trainer.train`.

    Returns:
      `epochs`, `images` (trained on, each once an epoch), `train_seconds`, `right` (of each val image, in order),
      `accuracy`, `macro_f1`, `latency_ms` (of one picture), `images_per_second` (of a batch of 32), `memory_mb` (the
      most that the process held), `size_mb` (of the file), `parameters`.
    """
    if settings.frozen:
        for layer in model.layers:
            layer.trainable = layer.name == HEAD
    rate = hardware.images_per_second(model, batch_size=settings.batch_size)
    chosen, epochs = within(rows, rate * settings.seconds, seed=settings.seed)
    started = time.perf_counter()
    trained = train(
        model,
        chosen,
        classes,
        settings.training(epochs),
        folders=folders,
        work=work,
        machine=Machine(settings.batch_size, "float32"),
        augmentation=augmentation,
    )
    train_seconds = time.perf_counter() - started
    right = trained.val_probs.argmax(axis=1) == trained.val_targets
    macro = f1_score(trained.val_targets, trained.val_probs.argmax(axis=1), average="macro", zero_division=0.0)
    memory = hardware.resident() / 1e6
    model.save(work / bundle.MODEL)
    return {
        "parameters": model.count_params(),
        "image_size": model.input_shape[1],
        "epochs": epochs,
        "images": int((chosen["set"] == "train").sum()),
        "train_seconds": round(train_seconds, 1),
        "accuracy": float(right.mean()),
        "macro_f1": float(macro),
        "right": right.astype(int).tolist(),
        **speed(model, classes),
        "memory_mb": round(memory),
        "size_mb": round((work / bundle.MODEL).stat().st_size / 1e6, 2),
    }


def within(rows: pd.DataFrame, images: float, *, seed: int) -> tuple[pd.DataFrame, int]:
    """The rows and the number of epochs that a budget of `images` training steps' worth of pictures allows."""
    train = rows["set"] == "train"
    epoch = train.sum() + VALIDATION_COST * (rows["set"] == "val").sum()
    if images >= epoch:
        return rows, int(images // epoch)
    share = max(0.0, images - VALIDATION_COST * (rows["set"] == "val").sum()) / train.sum()
    least = rows[train].groupby("label").head(1)  # every class has one at least
    part = rows[train].drop(least.index).groupby("label").sample(frac=share, random_state=seed)
    return rows[~train | rows.index.isin([*least.index, *part.index])], 1


def speed(model: keras.Model, classes: list[str]) -> dict[str, float]:
    """Median latency of one picture, and the best rate of batches of 32, through the runtime that serves."""
    card = bundle.Card("", model.input_shape[1])
    made = bundle.Bundle(model, classes, card, lineage.empty())
    pixels = np.random.default_rng(0).integers(0, 256, (32, *model.input_shape[1:]), dtype=np.uint8)
    runtime = KerasRuntime(made, len(pixels))
    together = [_seconds(runtime, pixels) for _ in range(RATE_RUNS + 1)][1:]  # the first traces the graph
    return {
        "latency_ms": latency.measure(made)["ms"],
        "images_per_second": round(len(pixels) / min(together), 1),
        "threads": os.cpu_count() or 1,
    }


def _seconds(runtime: KerasRuntime, pixels: np.ndarray) -> float:
    start = time.perf_counter()
    runtime.predict(pixels)
    return time.perf_counter() - start
