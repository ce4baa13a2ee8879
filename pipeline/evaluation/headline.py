"""The few figures of a round that people compare over versions, under the same names in every round and every place.

MLflow, the records of rounds and the pages that show them take these names from here. Whatever else a round measures
lies in its files.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.evaluation.over_rounds import NOT_SHOWN

ACCURACY, IMAGES = "accuracy", "images"
EPOCHS, BEST_EPOCH, MINUTES, COST = "epochs", "best_epoch", "minutes", "cost"
TRAINING = (EPOCHS, BEST_EPOCH, MINUTES, COST)
ROUND, PARENT, PRESET, CLASSES = "round", "parent", "preset", "classes"
SETS = ("train", "val", "test")
MODEL, DATA, GATE, GATE_REASON = "model_digest", "data_digest", "gate", "gate_reason"
RECIPE_DIGEST = "recipe"  # of every setting of a training; two rounds with the same one were trained in the same way
RECIPE = (
    "head", "freeze", "optimizer", "learning_rate", "max_epochs", "batch_size", "precision", "loss", "imbalance",
    "seed",
)  # fmt: skip
SHORT, IN_A_NAME = 12, 8  # digits of a digest that people see, and in the name of a run
UNNAMEABLE = re.compile(r"[^\w\-.]+")


def accuracy(set_name: str) -> str:
    """The name of a set's accuracy: `test_accuracy`, `benchmark_field_accuracy` (of `benchmark:field`)."""
    return f"{_named(set_name)}_{ACCURACY}"


def images(set_name: str) -> str:
    """The name of the number of images that a set's accuracy was measured on: `benchmark_field_images`."""
    return f"{_named(set_name)}_{IMAGES}"


def images_of(accuracy_name: str) -> str:
    """The name of the number of images that belongs to the name of an accuracy."""
    return f"{accuracy_name.removesuffix(ACCURACY)}{IMAGES}"


def metrics(
    measured: Mapping[str, Mapping[str, Any]], training: Mapping[str, Any] | None = None, *, cost_per_hour: float = 0.0
) -> dict[str, float]:
    """The headline metrics: `test_accuracy`, `benchmark_NAME_accuracy`, and what the training took.

    Args:
      measured: the figures of each set (`metrics.by_set`), as `data/evaluation/metrics.json` has them.
      training: `epochs`, `best_epoch` and `seconds`, as a card has them; without, the metrics are those of the sets.
      cost_per_hour: what an hour of training costs; there is no `cost` where it costs nothing.

    Returns:
      Shares from 0 to 1, `epochs`, `best_epoch`, `minutes` and `cost`; what was not measured is left out.
    """
    found = {accuracy(name): float(figures["top1"]) for name, figures in _shown(measured).items()}
    training = training or {}
    found |= {key: float(training[key]) for key in (EPOCHS, BEST_EPOCH) if key in training}
    if "seconds" in training:
        minutes = training["seconds"] / 60
        found[MINUTES] = round(minutes, 2)
        if cost_per_hour:
            found[COST] = round(minutes / 60 * cost_per_hour, 2)
    return found


def counts(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """How many images each of the accuracies was measured on: `test_images`, `benchmark_NAME_images`."""
    return {images(name): int(figures["n"]) for name, figures in _shown(measured).items()}


def parameters(
    card: Mapping[str, Any], *, classes: int, images_by_set: Mapping[str, int], recipe: Mapping[str, Any]
) -> dict[str, str | int | float]:
    """The named parameters: what a round was made of, and the part of its recipe that people change.

    Args:
      card: of the model that is trained, as `card.json` has it.
      classes: how many it knows.
      images_by_set: images of train, val and test.
      recipe: every setting of the training, with those of `RECIPE` among them; `learning_rate` and `max_epochs` are
        those in force.

    Returns:
      `round`, `parent` (`version`), `preset`, `classes`, `images`, `images_train`, `images_val`, `images_test`,
      `data_digest`, the settings of `RECIPE`, and `recipe`, the digest of all of them.
    """
    by_set = {name: int(images_by_set.get(name, 0)) for name in SETS}
    settings = {key: recipe[key] for key in RECIPE if key in recipe}
    return {
        ROUND: int(card["round"]),
        PARENT: version(int(card["round"]) - 1, str(card["parent_digest"])),
        PRESET: str(card["preset"]),
        CLASSES: classes,
        IMAGES: sum(by_set.values()),
        **{f"{IMAGES}_{name}": number for name, number in by_set.items()},
        DATA: str(card["data_digest"]),
        **{key: value if isinstance(value, str | int | float) else _words(value) for key, value in settings.items()},
        RECIPE_DIGEST: recipe_digest(recipe),
    }


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """A short digest of settings, whatever their order."""
    text = json.dumps(dict(recipe), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]


def version(round_: int, digest: str) -> str:
    """What a model version is called: `round-12-` and the beginning of its digest."""
    return f"round-{round_}-{digest[:SHORT]}"


def run_name(name: str, at: int, digest: str = "") -> str:
    """What a run is called: by its round, its day (`at`, see `day`), and its model once there is one."""
    return " ".join(part for part in (name, day(at), digest[:IN_A_NAME]) if part)


def day(at: int) -> str:
    """The day, in UTC, of a time in milliseconds since 1970."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d}"


def _shown(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    there = {name: figures for name, figures in measured.items() if figures.get("top1") is not None}
    return {name: figures for name, figures in there.items() if name not in NOT_SHOWN}


def _named(set_name: str) -> str:
    return UNNAMEABLE.sub("_", set_name).strip("_")


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else json.dumps(value, default=str)
