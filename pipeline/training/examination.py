"""The examination before a long run: the workspace's own data, base and params go through the doctor's checks."""

import contextlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from pipeline import bundle, config, paths
from pipeline.bundle import Bundle, Card
from pipeline.files import read_table
from pipeline.library import labels
from pipeline.models.head import freeze, renew_head
from pipeline.progress import bar
from pipeline.training import alike, checks, doctor, hardware
from pipeline.training.augmentation import Augmentation
from pipeline.training.batches import Batches, decode_all
from pipeline.training.doctor import Finding
from pipeline.training.fitting import FIT_PARAMS, Fitted, fit, set_seed

IMAGES = 64
SHORT_RUN_IMAGES = 200
EPOCHS = 2
MIN_STEPS = 8  # an epoch; the mean loss of fewer is mostly luck
TEMPERATURE = 2.0  # of the network that is asked about pictures: at 1, one left out would not show
CHECKED_PICTURES = 16


def examine(*, quick: bool) -> list[Finding]:
    """Runs every check; `quick` leaves out the two that train for a while.

    Raises:
      DataError: if the data sets or the base are missing, or the base does not fit its card.
    """
    params, folders = config.load(config.Train), config.load(config.Roots).folders
    rows = read_table(paths.SPLITS / "splits.parquet")
    set_seed(params.seed)
    base = bundle.load(paths.BASE)
    checks.refuse_another_image_size(base.model, base.card, where=paths.BASE)
    present = doctor.classes_present(rows)
    classes = sorted(rows.loc[rows["set"] == "train", "label"].unique())
    if len(classes) < 2:
        return [present]

    model = renew_head(base.model, classes, old_classes=base.classes, mode="reset", seed=params.seed)
    freeze(model, params.freeze)
    work = config.cache("doctor")
    shutil.rmtree(work, ignore_errors=True)

    def pictures(name: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = some_of_each(rows[(rows["set"] == name) & rows["label"].isin(classes)], number)
        located = [labels.locate(image, folders) for image in chosen["image"]]
        decoded = decode_all(located, base.card.image_size, work / f"{name}-{number}.npy")
        return decoded, pd.Index(classes).get_indexer(chosen["label"])

    try:
        pixels, targets = pictures("train", IMAGES)
        shown = some_of_each(rows, CHECKED_PICTURES)["image"]
        located = [labels.locate(image, folders) for image in shown]
        asked = Bundle(model, classes, Card("", base.card.image_size, temperature=TEMPERATURE), base.lineage)
        trial = doctor.practising(model)
        steps: list[Callable[[], Finding]] = [
            lambda: alike.read_alike(asked, located, work),
            lambda: doctor.inputs_scaled(model, pixels),
            lambda: doctor.loss_at_start(model, pixels, targets),
            lambda: doctor.weights_move(trial, pixels, targets),
        ]
        if not quick:
            short = pictures("train", SHORT_RUN_IMAGES), pictures("val", IMAGES)
            continued = not base.lineage.empty
            steps += [
                lambda: doctor.overfits(trial, pixels, targets),
                lambda: doctor.short_run(lambda: train_shortly(model, params, *short, continued=continued, work=work)),
            ]
        findings = [present]
        with bar("doctor", len(steps), unit=" checks") as progress, contextlib.redirect_stdout(sys.stderr):
            for step in steps:
                findings.append(step())
                progress.update()
        return findings
    finally:
        shutil.rmtree(work, ignore_errors=True)


def some_of_each(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """At most `number` of the rows, of each class as many as there are of others, as their hashes fall."""
    turn = rows.sort_values("sha256").groupby("label").cumcount()
    return rows.assign(turn=turn).sort_values(["turn", "sha256"]).drop(columns="turn").head(number)


def train_shortly(
    model: keras.Model,
    params: config.Train,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    *,
    continued: bool,
    work: Path,
) -> Fitted:
    """Two epochs of the stage's own training, with the params' optimiser, rate, loss and augmentation.

    Measures of a whole run are left out: warm-up ends with the first epoch, and no head is trained alone.
    """
    settings = params.model_dump()
    num_classes = model.output_shape[-1]
    augmentation = Augmentation(**{key: settings[key] for key in ("flip", "rotate_degrees", "zoom", "stronger")})
    batch_size = min(params.batch_size or doctor.BATCH, max(len(train[0]) // MIN_STEPS, 1))
    told = {key: settings[key] for key in FIT_PARAMS} | {
        "max_epochs": EPOCHS,
        "warmup_epochs": min(params.warmup_epochs, 1.0),
    }
    return fit(
        hardware.twin(model),
        Batches(*train, num_classes=num_classes, batch_size=batch_size, seed=params.seed, augment=augmentation),
        Batches(*val, num_classes=num_classes, batch_size=batch_size),
        folder=work / "fit",
        learning_rate=params.continued_learning_rate if continued else params.learning_rate,
        body_rate=params.body_rate if continued else 1.0,
        precision="float32" if params.precision == "auto" else params.precision,
        **told,
    )
