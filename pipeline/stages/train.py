"""Stage train: pop the base's head, put a random one for today's classes, train every weight to the plateau."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import bundle, files, sections, stages
from pipeline.evaluation import calibration, ending
from pipeline.files import digest, read_json, read_table, write_csv, write_json
from pipeline.library import lineage
from pipeline.tracking import Tracking
from pipeline.training import checks, reporting, start
from pipeline.training.augmentation import Augmentation
from pipeline.training.trainer import Machine, Trained, TrainSettings, choose_machine, train
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Products:
    """What a training makes.

    Attributes:
      history: the curves, one row per epoch, with the cost of each.
      trained: the plateau, and what the network says of the validation set at it.
      temperature: calibrates the network's probabilities.
      training: `epochs`, `best_epoch` and `seconds`, for the card.
    """

    history: pd.DataFrame
    trained: Trained
    temperature: float
    training: dict[str, Any]


def compute(
    prepared: start.Prepared,
    params: sections.Train,
    *,
    machine: Machine,
    folders: dict[str, Path],
    work: Path,
    tensorboard: Path | None,
    log_epoch: Callable[[pd.DataFrame], None],
) -> Products:
    """Trains the network to its plateau and fits the temperature; the network gets the weights of the best epoch.

    Args:
      folders: of the roots, by name.
      work: keeps the state of an interrupted training, which continues.
      tensorboard: the folder of TensorBoard's curves; None for none.
      log_epoch: gets the row of each epoch.

    Raises:
      ResumableError, DataError: see `trainer.train`.
    """

    def with_cost(history: pd.DataFrame) -> pd.DataFrame:
        return reporting.with_cost(history, per_hour=params.cost_per_hour)

    trained = train(
        prepared.model,
        prepared.rows,
        prepared.classes,
        TrainSettings(**params.training(learnt=prepared.base.has_learnt)),
        folders=folders,
        work=work,
        machine=machine,
        augmentation=Augmentation(**params.augmentation()),
        tensorboard=tensorboard,
        told=lambda history: log_epoch(with_cost(history).tail(1)),
    )
    history = with_cost(trained.fitted.history)
    seconds = round(float(history["seconds"].sum()), 1)
    training = {"epochs": len(history), "best_epoch": trained.fitted.best_epoch, "seconds": seconds}
    temperature = round(calibration.fit_temperature(trained.val_probs, trained.val_targets), 4)
    return Products(history, trained, temperature, training)


def main(workspace: Workspace) -> None:
    params, distance = workspace.params(sections.Train), workspace.near_duplicate_distance
    rows, stored = read_table(workspace.splits_table), bundle.Stored(workspace.base)
    lineage.refuse_overlaps(rows, stored.lineage, near_duplicate_distance=distance)
    prepared = start.prepare(
        stored,
        rows,
        preset_size=workspace.preset_size(stored.card.preset),
        head=params.head,
        frozen=params.freeze,
        seed=params.seed,
    )
    base, model, classes = prepared.base, prepared.model, prepared.classes
    checks.name_classes_without_validation(prepared.rows, where=workspace.splits_table)
    card = card_of(base.card, data_digest=digest(workspace.splits_table), throwaway=workspace.throwaway)
    settings = params.model_dump(exclude=sections.FOR_PEOPLE)
    work = work_folder(workspace.own("train"), card.data_digest, card.parent_digest, settings)
    images = int((prepared.rows["set"] == "train").sum())
    machine = choose_machine(
        model,
        batch_size=params.batch_size,
        precision=params.precision,
        gpus=params.gpus,
        images=images,
        note=work / "machine.json",
    )
    tracking = Tracking(workspace.home)
    logged = params.model_dump() | vars(machine) | {"classes": len(classes)}
    run_id = start_run(tracking, work, card, base, rows, logged, experiment=workspace.experiment)
    print(
        f"train: round {card.round}, {len(classes)} classes, {images} images, {machine.batch_size} a step,"
        f" {machine.precision}, {len(machine.gpus)} GPUs",
        flush=True,
    )
    made = compute(
        prepared,
        params,
        machine=machine,
        folders=workspace.folders,
        work=work,
        tensorboard=workspace.cache("tensorboard") / run_id if params.tensorboard else None,
        log_epoch=lambda epoch: tracking.log_training(run_id, epoch, {}),
    )
    tracking.log_training(run_id, made.history, {f"training/{key}": value for key, value in made.training.items()})
    tracking.log_model(run_id, model, made.trained.example, made.trained.val_probs[: len(made.trained.example)])
    card = bundle.replace(card, temperature=made.temperature, run_id=run_id, training=made.training)
    seen = lineage.extend(base.lineage, rows, round_=card.round)
    bundle.save(bundle.Bundle(model, classes, card, seen), workspace.model)
    write_csv(made.history, workspace.model / "history.csv")
    shutil.rmtree(work)
    epochs, minutes = made.training["epochs"], made.training["seconds"] / 60
    print(f"train: {ending.sentence(made.training)}, {epochs} epochs in {minutes:.1f} min")


def card_of(base: bundle.Card, *, data_digest: str, throwaway: bool) -> bundle.Card:
    """The card of the model that is trained from a base on the data with this digest."""
    return bundle.Card(
        preset=base.preset,
        image_size=base.image_size,
        round=base.round + 1,
        throwaway=throwaway,
        parent_digest=base.model_digest,
        data_digest=data_digest,
        pretrained=base.pretrained,
    )


def work_folder(parent: Path, *inputs: object) -> Path:
    """The state of an interrupted training with the very same inputs; those of any other are removed."""
    work = parent / hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]
    for other in parent.glob("*"):
        if other != work:
            shutil.rmtree(other)
    work.mkdir(parents=True, exist_ok=True)
    return work


def start_run(
    tracking: Tracking,
    work: Path,
    card: bundle.Card,
    base: bundle.Bundle,
    rows: pd.DataFrame,
    settings: dict,
    *,
    experiment: str,
) -> str:
    """Starts the round's MLflow run, or finds that of the interrupted training."""
    note = work / "run.json"
    counts = {f"images_{name}": int(number) for name, number in rows["set"].value_counts().items()}
    seen = {f"lineage_{role}": int(number) for role, number in base.lineage["role"].value_counts().items()}
    run_id = tracking.start(
        f"round-{card.round}",
        run_id=read_json(note)["run_id"] if note.exists() else "",
        params=settings | counts | seen | {"preset": card.preset, "data_digest": card.data_digest},
        tags={
            "round": str(card.round),
            "base_run_id": base.card.run_id,
            "base_digest": card.parent_digest,
            "throwaway": str(card.throwaway).lower(),
            "experiment": experiment,
        },
    )
    write_json({"run_id": run_id}, note)
    return run_id


def alone(workspace: Workspace) -> None:
    with files.alone(workspace.cache("train.lock"), "training"):
        main(workspace)


if __name__ == "__main__":
    stages.run("train", alone)
