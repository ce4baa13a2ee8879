"""The examination before a long run: a round's own data, base and params go through the doctor's checks."""

import contextlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import pandas as pd

from pipeline import sections
from pipeline.bundle import Bundle, Card, Stored
from pipeline.library import labels
from pipeline.progress import bar
from pipeline.training import doctor, hardware, reading_check, start, trainer
from pipeline.training.augmentation import Augmentation
from pipeline.training.batches import decode_all
from pipeline.training.doctor import Finding
from pipeline.training.fitting import Fitted
from pipeline.training.trainer import Machine, TrainSettings

IMAGES = 64
SHORT_RUN_IMAGES = {"train": 200, "val": 64}
EPOCHS = 2
STEPS = 8  # an epoch; the mean loss of fewer is mostly luck
TEMPERATURE = 2.0  # of the network that is asked about pictures: at 1, one left out would not show
CHECKED_PICTURES = 16


def examine(
    stored: Stored,
    rows: pd.DataFrame,
    params: sections.Train,
    *,
    preset_size: int | None,
    folders: dict[str, Path],
    work: Path,
    quick: bool,
) -> list[Finding]:
    """Runs every check of the doctor on what the next training would start from.

    Args:
      stored: the base.
      rows: of the split.
      preset_size: see `start.prepare`.
      folders: of the roots, by name.
      work: a folder that is emptied before and removed afterwards.
      quick: leaves out the two checks that train for a while.

    Raises:
      DataError: if the base does not fit its card.
    """
    present = doctor.classes_present(rows)
    if len(start.learnable(rows)[0]) < 2:
        return [present]
    prepared = start.prepare(stored, rows, preset_size=preset_size, frozen=params.freeze, seed=params.seed)
    base, model, classes = prepared.base, prepared.model, prepared.classes
    shutil.rmtree(work, ignore_errors=True)

    try:
        few = some_of_each(rows[rows["set"] == "train"], IMAGES)
        located = [labels.locate(image, folders) for image in few["image"]]
        pixels = decode_all(located, base.card.image_size, work / "few.npy")
        targets = pd.Index(classes).get_indexer(few["label"])
        shown = some_of_each(rows, CHECKED_PICTURES)["image"]
        located = [labels.locate(image, folders) for image in shown]
        asked = Bundle(model, classes, Card("", base.card.image_size, temperature=TEMPERATURE), base.lineage)
        trial = doctor.practising(model)
        loss = doctor.first_loss(model, pixels, targets)
        steps: list[Callable[[], Finding]] = [
            lambda: reading_check.read_alike(asked, located, work),
            lambda: doctor.inputs_scaled(model, pixels),
            lambda: doctor.loss_at_start(loss, len(classes)),
            lambda: doctor.weights_move(trial, pixels, targets),
        ]
        if not quick:
            steps += [
                lambda: doctor.overfits(trial, pixels, targets),
                lambda: doctor.short_run(
                    lambda: train_shortly(
                        model,
                        params,
                        prepared.rows,
                        classes,
                        folders=folders,
                        continued=base.has_learnt,
                        work=work / "short",
                    )
                ),
            ]
        findings = [present]
        with bar("doctor", len(steps), unit=" checks") as progress, contextlib.redirect_stdout(sys.stderr):
            for step in steps:
                findings.append(step())
                progress.update()
        if not quick and all(finding.verdict == doctor.PASS for finding in findings[-2:]):
            first = doctor.loss_at_start(loss, len(classes), trains=True)
            findings = [first if finding.check == first.check else finding for finding in findings]
        return findings
    finally:
        shutil.rmtree(work, ignore_errors=True)


def some_of_each(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """At most `number` of the rows, of each class as many as there are of others, as their hashes fall."""
    turn = rows.sort_values("sha256").groupby("label").cumcount()
    return rows.assign(turn=turn).sort_values(["turn", "sha256"]).drop(columns="turn").head(number)


def train_shortly(
    model: keras.Model,
    params: sections.Train,
    rows: pd.DataFrame,
    classes: list[str],
    *,
    folders: dict[str, Path],
    continued: bool,
    work: Path,
) -> Fitted:
    """Two epochs of the stage's own training on a few pictures, with the params' optimiser, rate and loss.

    What only a whole run needs is left out: warm-up ends with the first epoch, and no head is trained alone.
    """
    train, val = (some_of_each(rows[rows["set"] == name], number) for name, number in SHORT_RUN_IMAGES.items())
    settings = replace(
        TrainSettings(**params.training(learnt=continued)),
        max_epochs=EPOCHS,
        warmup_epochs=min(params.warmup_epochs, 1.0),
        head_warmup_epochs=0,
    )
    return trainer.train(
        hardware.twin(model),
        pd.concat([train, val]),
        classes,
        settings,
        folders=folders,
        work=work,
        machine=Machine(
            batch_size=min(params.batch_size or doctor.BATCH, max(len(train) // STEPS, 1)),
            precision="float32" if params.precision == "auto" else params.precision,
        ),
        augmentation=Augmentation(**params.augmentation()),
    ).fitted
