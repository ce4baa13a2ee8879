"""Where a training starts: a base whose head is replaced by one for today's classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import pandas as pd

from pipeline import bundle
from pipeline.library import splits
from pipeline.models import ensemble
from pipeline.models.head import freeze, renew_head
from pipeline.training import checks
from pipeline.training.fitting import set_seed


@dataclass(frozen=True)
class Prepared:
    """A network that is ready to be trained.

    Attributes:
      base: what it starts from.
      model: the base's layers under a new head.
      classes: in the order of the head's outputs.
      rows: those of the split whose class is among them.
    """

    base: bundle.Bundle
    model: keras.Model
    classes: list[str]
    rows: pd.DataFrame


def learnable(rows: pd.DataFrame) -> tuple[list[str], pd.DataFrame]:
    """The classes that have a training image, sorted, and the rows of these: of others, only val images may be left.

    What is torn validates nothing (`splits.with_clusters`).

    Args:
      rows: of the split; columns `set`, `label`.
    """
    classes = sorted(rows.loc[rows["set"] == "train", "label"].unique())
    return classes, splits.untorn(rows[rows["label"].isin(classes)])


def prepare(
    stored: bundle.Stored,
    rows: pd.DataFrame,
    *,
    preset_size: int | None,
    head: str = "reset",
    frozen: Sequence[str] = (),
    seed: int,
    member: int = 0,
) -> Prepared:
    """Loads the base, replaces its head, and sets the seed of all that is drawn from here on.

    Of a base that is an ensemble one member goes on.

    Args:
      rows: of the split; columns `set`, `label`.
      preset_size: the image size in pixels that the base's preset asks for; None if there is no such preset.
      head: how the head is made: see `renew_head`.
      frozen: beginnings of the names of layers that are not trained: see `freeze`.
      member: of the ensemble that is to be trained, from 0. Where the base has fewer, they go on more than once.

    Raises:
      DataError: if the base cannot be read, or reads images of another size than its card or its preset says.
      UsageError: if no layer's name begins as one of `frozen`.
    """
    set_seed(seed)  # before the model is loaded: its dropout draws a seed when it is built
    base = bundle.Bundle(stored.model, stored.classes, stored.card, stored.lineage)
    checks.refuse_another_image_size(base.model, base.card, preset_size, where=stored.folder)
    classes, known = learnable(rows)
    networks = ensemble.members(base.model)
    network = networks[member % len(networks)]
    model = renew_head(network, classes, old_classes=base.classes, mode=head, seed=seed)
    freeze(model, frozen)
    return Prepared(base, model, classes, known)
