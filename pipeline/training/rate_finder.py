"""The learning rate range test on the round's own training pictures, from its base."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import bundle, config, paths, sections
from pipeline.files import read_table
from pipeline.library import labels
from pipeline.models.head import freeze, renew_head
from pipeline.training import checks, hardware
from pipeline.training.augmentation import Augmentation
from pipeline.training.batches import Batches, decode_all
from pipeline.training.fitting import set_seed
from pipeline.training.schedules import find_learning_rate
from pipeline.training.trainer import STEPS


@dataclass(frozen=True)
class Found:
    """The loss over the rate, the rate suggested for `key` of section train, and the one it has `now`."""

    curve: pd.DataFrame
    suggestion: float
    key: str
    now: float


def find(*, steps: int, seed: int | None = None) -> Found:
    """Trains the round's network for a few steps at ever higher rates; nothing of it is kept.

    Raises:
      DataError: if the data sets or the base are missing.
    """
    params = config.load(sections.Train)
    seed = params.seed if seed is None else seed
    set_seed(seed)
    base = bundle.load(paths.BASE)
    checks.refuse_another_image_size(base.model, base.card, where=paths.BASE)
    splits = read_table(paths.SPLITS / "splits.parquet")
    train = splits[splits["set"] == "train"]
    classes = sorted(train["label"].unique())
    model = renew_head(base.model, classes, old_classes=base.classes, mode=params.head, seed=seed)
    freeze(model, params.freeze)
    batch_size = params.batch_size or hardware.best_batch_size(model, most=len(train) // STEPS)

    drawn = train.sample(min(len(train), steps * batch_size), random_state=seed)
    folders = config.load(sections.Roots).folders
    config.cache("").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=config.cache("")) as folder:
        decoded = decode_all(
            [labels.locate(image, folders) for image in drawn["image"]],
            base.card.image_size,
            Path(folder) / "train.npy",
        )
        batches = Batches(
            decoded,
            pd.Index(classes).get_indexer(drawn["label"]),
            num_classes=len(classes),
            batch_size=batch_size,
            seed=seed,
            augment=Augmentation(**params.augmentation()),
            no_flip=pd.Index(classes).get_indexer(drawn.loc[~drawn["flip"], "label"].unique()),
            balance=params.imbalance == "sampling",
        )
        continued = base.has_learnt
        curve, suggestion = find_learning_rate(
            model,
            batches,
            optimizer=params.optimizer,
            weight_decay=params.weight_decay,
            body_rate=params.body_rate if continued else 1.0,
            loss=params.loss,
            focal_gamma=params.focal_gamma,
            label_smoothing=params.label_smoothing,
            steps=steps,
        )
    key = "continued_learning_rate" if continued else "learning_rate"
    return Found(curve, suggestion, key, getattr(params, key))
