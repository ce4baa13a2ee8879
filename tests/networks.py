"""A tiny network, made-up pictures for it, and a bundle: what tests of training and of models need."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from keras import Input, Model, layers, utils

from pipeline import bundle
from pipeline.library import lineage
from pipeline.models.head import FEATURES, add_head
from pipeline.training.augmentation import Augmentation
from pipeline.training.batches import Batches
from pipeline.training.fitting import FitSettings, Fitted, fit

SIDE = 16
FIT = FitSettings(
    max_epochs=30,
    learning_rate=0.02,
    weight_decay=0.001,
    label_smoothing=0.1,
    lr_patience=1,
    patience=2,
    min_delta=0.05,
)


def tiny(num_classes: int = 3, *, side: int = SIDE, seed: int = 0) -> Model:
    """A network with all that has a state: batch normalisation, dropout and a head."""
    utils.set_random_seed(seed)
    pixels = Input((side, side, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    x = layers.Conv2D(4, 3, strides=2, use_bias=False)(x)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Dropout(0.2, name=FEATURES)(layers.GlobalAveragePooling2D()(x))
    return Model(pixels, add_head(x, num_classes, seed=seed), name="tiny")


def coloured(number: int, *, num_classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures, uint8 (N, SIDE, SIDE, 3), and their classes (N,), which a hue in much noise tells apart."""
    random = np.random.default_rng(seed)
    targets = np.arange(number) % num_classes
    hue = 60 * np.eye(3)[targets % 3][:, None, None, :]
    return np.clip(random.normal(90, 60, (number, SIDE, SIDE, 3)) + hue, 0, 255).astype(np.uint8), targets


def batches(number: int = 24, *, seed: int = 0, augment: bool = False, batch_size: int = 8) -> Batches:
    pictures, targets = coloured(number, seed=seed)
    safe = Augmentation(flip=True, rotate_degrees=10, zoom=0.1) if augment else None
    return Batches(pictures, targets, num_classes=3, batch_size=batch_size, seed=seed, augment=safe)


def train(folder: Path, model: Model | None = None, **others) -> tuple[Model, Fitted]:
    """Trains a fresh tiny network, or continues what lies in `folder`; `others`: settings, or arguments of `fit`."""
    model = tiny() if model is None else model
    data, val = batches(24, seed=1, augment=True), batches(12, seed=2)
    settings = replace(FIT, **{name: others.pop(name) for name in others.keys() & asdict(FIT)})
    return model, fit(model, data, val, settings, folder=folder, **others)


def weights(model: Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def equal(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return len(some) == len(others) and all(map(np.array_equal, some, others))


def save_bundle(folder: Path, *, classes: list[str] = ["cat", "dog", "owl"], seed: int = 0, **card) -> bundle.Card:  # noqa: B006
    made = bundle.Bundle(
        tiny(len(classes) or 1, seed=seed), classes, bundle.Card("tiny", SIDE, **card), lineage.empty()
    )
    return bundle.save(made, folder)
