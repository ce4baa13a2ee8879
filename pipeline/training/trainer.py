"""One training, from rows and pictures to fitted weights: what the machine can do, the sets decoded, the fit."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import pandas as pd

from pipeline.files import read_json, write_json
from pipeline.library import labels, mounts
from pipeline.training import hardware
from pipeline.training.augmentation import Augmentation
from pipeline.training.batches import Batches, decode_all
from pipeline.training.fitting import FitSettings, Fitted, fit, halve_until_it_fits
from pipeline.training.losses import class_weights

SETS = ("train", "val")
STEPS = 20  # an epoch of fewer steps would learn little


@dataclass(frozen=True, kw_only=True)
class TrainSettings(FitSettings):
    """What decides how a network is trained on rows of images: beside the fit, what is drawn and weighed.

    Attributes:
      imbalance: between classes: none, weights (of the loss, at most `max_class_weight`) or sampling.
    """

    seed: int
    imbalance: Literal["none", "weights", "sampling"] = "none"
    max_class_weight: float = 1.0


@dataclass(frozen=True)
class Machine:
    """How the machine is used; `batch_size` images a step."""

    batch_size: int
    precision: str
    gpus: tuple[str, ...] = ()


def choose_machine(
    model: keras.Model, *, batch_size: int | None, precision: str, gpus: int, images: int, note: Path
) -> Machine:
    """Measures what is left to the machine, once: a resumed training finds the choice in `note`.

    Args:
      batch_size: images a step; None for the largest that fits and is still faster.
      precision: float32, mixed_bfloat16, or auto for the faster of both.
      gpus: to train on, at most; 0 for all there are.
      images: of the training set.
    """
    devices = hardware.devices(gpus)
    if not note.exists():
        if precision == "auto":
            precision = hardware.fastest_precision(model, batch_size=batch_size or 32)
        if batch_size is None:
            batch_size = hardware.best_batch_size(model, most=images // STEPS, precision=precision, devices=devices)
        write_json({"batch_size": batch_size, "precision": precision}, note)
    return Machine(**read_json(note), gpus=tuple(devices))


@dataclass(frozen=True)
class Trained:
    """The plateau, and the probabilities (N, C) and class indices (N,) of the validation set at it."""

    fitted: Fitted
    val_probs: np.ndarray
    val_targets: np.ndarray
    example: np.ndarray  # pixels, float32: what the network takes


def train(
    model: keras.Model,
    rows: pd.DataFrame,
    classes: list[str],
    settings: TrainSettings,
    *,
    folders: dict[str, Path],
    work: Path,
    machine: Machine,
    augmentation: Augmentation,
    state: Path | None = None,
    tensorboard: Path | None = None,
    told: Callable[[pd.DataFrame], None] | None = None,
) -> Trained:
    """Trains `model` on the pictures of `rows` until its plateau; it gets the weights of the best epoch.

    Interrupted and called again with the same arguments, it continues from the last whole epoch.

    Args:
      rows: columns `image`, `set`, `label`, `flip`; those of other sets than train and val are left alone.
      classes: in the order of the head's outputs.
      folders: of the roots.
      work: where decoded images and the state lie until the training is over.
      state: where the state lies, if others are trained on the same images in `work`.

    Raises:
      ResumableError: if a root's folder is empty or not there.
      DataError: if a picture can no longer be read, the loss explodes, or not even one picture fits in memory.
    """
    image_size = model.input_shape[1]
    rows = rows[rows["set"].isin(SETS)]
    decoded, targets = {}, {}
    for name, some in rows.groupby("set"):
        paths = [labels.locate(image, folders) for image in some["image"]]
        with mounts.watched(some["image"], folders):
            decoded[name] = decode_all(paths, image_size, work / f"{name}.npy")
        targets[name] = pd.Index(classes).get_indexer(some["label"])
    no_flip = pd.Index(classes).get_indexer(rows.loc[~rows["flip"], "label"].unique())
    weights = None
    if settings.imbalance == "weights":
        weights = class_weights(targets["train"], len(classes), cap=settings.max_class_weight)

    def batches(name: str, batch_size: int) -> Batches:
        training = name == "train"
        return Batches(
            decoded[name],
            targets[name],
            num_classes=len(classes),
            batch_size=batch_size,
            seed=settings.seed,
            augment=augmentation if training else None,
            no_flip=no_flip,
            balance=training and settings.imbalance == "sampling",
        )

    def attempt(batch_size: int) -> Fitted:
        write_json({"batch_size": batch_size}, fits)  # a resumed training need not try again
        return fit(
            model,
            batches("train", batch_size),
            batches("val", batch_size),
            settings,
            folder=state or work,
            class_weights=weights,
            precision=machine.precision,
            devices=list(machine.gpus),
            tensorboard=tensorboard,
            told=told,
        )

    fits = work / "fits.json"
    first = read_json(fits)["batch_size"] if fits.exists() else machine.batch_size
    fitted, batch_size = halve_until_it_fits(attempt, first)
    val = batches("val", batch_size)
    return Trained(fitted, model.predict(hardware.feed(val), verbose=0), targets["val"], val[0][0].astype("float32"))
