"""Stage train: pop the base's head, put a random one for today's classes, train every weight to the plateau."""

import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from pipeline import bundle, files, sections, stages
from pipeline.evaluation import calibration, changes, ending, headline, over_rounds
from pipeline.files import digest, plain, read_json, read_table, write_csv, write_json
from pipeline.library import lineage
from pipeline.models import ensemble
from pipeline.tracking import Tracking
from pipeline.training import checks, reporting, start
from pipeline.training.augmentation import Augmentation
from pipeline.training.trainer import Machine, Trained, TrainSettings, choose_machine, train
from pipeline.workspace import Workspace

DATASETS = "splits.parquet"  # where the sets that MLflow shows are written down


@dataclass(frozen=True)
class Products:
    """What a training makes.

    Attributes:
      model: the network, or the ensemble of all networks, with the weights of their best epochs.
      history: the curves of the first network, one row per epoch, with the cost of each.
      temperature: calibrates the model's probabilities.
      training: `epochs` and `best_epoch` of the first network, and `seconds` of all, for the card; `members` of an
        ensemble.
    """

    model: keras.Model
    history: pd.DataFrame
    temperature: float
    training: dict[str, Any]


def compute(
    first: start.Prepared,
    params: sections.Train,
    *,
    further: Iterable[start.Prepared] = (),
    machine: Machine,
    folders: dict[str, Path],
    work: Path,
    tensorboard: Path | None,
    log_epoch: Callable[[pd.DataFrame], None],
) -> Products:
    """Trains a network to its plateau and fits the temperature; with further ones, their mean is the model.

    Args:
      further: more networks, each with a seed of its own, in their turn.
      folders: of the roots, by name.
      work: keeps the state of an interrupted training, which continues.
      tensorboard: the folder of TensorBoard's curves; None for none.
      log_epoch: gets the row of each epoch of the first network.

    Raises:
      ResumableError, DataError: see `trainer.train`.
    """

    def with_cost(history: pd.DataFrame) -> pd.DataFrame:
        return reporting.with_cost(history, per_hour=params.cost_per_hour)

    settings = TrainSettings(**params.training(learnt=first.base.has_learnt))
    networks: list[keras.Model] = []
    fits: list[Trained] = []
    for number, prepared in enumerate(itertools.chain([first], further)):
        if number:
            print(f"train: network {number + 1} of {params.members}", flush=True)
        trained = train(
            prepared.model,
            prepared.rows,
            prepared.classes,
            replace(settings, seed=settings.seed + number),
            folders=folders,
            work=work,
            machine=machine,
            augmentation=Augmentation(**params.augmentation()),
            state=work / f"network-{number + 1}" if number else None,
            tensorboard=None if number else tensorboard,
            told=None if number else lambda history: log_epoch(with_cost(history).tail(1)),
        )
        networks.append(prepared.model)
        fits.append(trained)
    lead, targets = fits[0].fitted, fits[0].val_targets
    seconds = sum(float(trained.fitted.history["seconds"].sum()) for trained in fits)
    training = {"epochs": len(lead.history), "best_epoch": lead.best_epoch, "seconds": round(seconds, 1)}
    temperatures = [round(calibration.fit_temperature(trained.val_probs, targets), 4) for trained in fits]
    model, temperature = networks[0], temperatures[0]
    if len(networks) > 1:
        model = ensemble.average(networks, temperatures)
        probs = [calibration.scale(each.val_probs, t) for each, t in zip(fits, temperatures, strict=True)]
        temperature = round(calibration.fit_temperature(np.mean(probs, axis=0), targets), 4)
        training["members"] = len(networks)
    return Products(model, with_cost(lead.history), temperature, training)


def main(workspace: Workspace) -> None:
    params, distance = workspace.params(sections.Train), workspace.near_duplicate_distance
    rows, stored = read_table(workspace.splits_table), bundle.Stored(workspace.base)
    lineage.refuse_overlaps(rows, stored.lineage, near_duplicate_distance=distance)
    preset_size = workspace.preset_size(stored.card.preset)

    def prepare(member: int, base: bundle.Stored) -> start.Prepared:
        return start.prepare(
            base,
            rows,
            preset_size=preset_size,
            head=params.head,
            frozen=params.freeze,
            seed=params.seed + member,
            member=member,
        )

    prepared = prepare(0, stored)
    base, classes = prepared.base, prepared.classes
    checks.name_classes_without_validation(prepared.rows, where=workspace.splits_table)
    card = card_of(base.card, data_digest=digest(workspace.splits_table), throwaway=workspace.throwaway)
    settings = params.model_dump(exclude=sections.FOR_PEOPLE)
    work = work_folder(workspace.own("train"), card.data_digest, card.parent_digest, settings)
    began, images = first_begun(work), int((prepared.rows["set"] == "train").sum())
    machine = choose_machine(
        prepared.model,
        batch_size=params.batch_size,
        precision=params.precision,
        gpus=params.gpus,
        images=images,
        note=work / "machine.json",
    )
    tracking = Tracking(workspace.home)
    recipe = settings | vars(machine) | in_force(params, learnt=base.has_learnt)
    run_id = start_run(tracking, work, card, prepared, rows, recipe, experiment=workspace.experiment)
    print(
        f"train: round {card.round}, {len(classes)} classes, {images} images, {machine.batch_size} a step,"
        f" {machine.precision}, {len(machine.gpus)} GPUs",
        flush=True,
    )
    with tracking.running(run_id):
        made = compute(
            prepared,
            params,
            # Each reads the base of its own: networks of one reading would share their weights.
            further=(prepare(member, bundle.Stored(workspace.base)) for member in range(1, params.members)),
            machine=machine,
            folders=workspace.folders,
            work=work,
            tensorboard=workspace.cache("tensorboard") / run_id if params.tensorboard else None,
            log_epoch=lambda epoch: tracking.log_training(run_id, epoch, {}),
        )
        training = made.training | {"started": began}
        card = bundle.replace(card, temperature=made.temperature, run_id=run_id, training=training)
        seen = lineage.extend(base.lineage, rows, round_=card.round)
        card = bundle.save(bundle.Bundle(made.model, classes, card, seen), workspace.model)
    write_csv(made.history, workspace.model / "history.csv")
    write_json(plain(recipe), workspace.model / bundle.RECIPE)
    taken = headline.metrics({}, made.training)
    if params.members == 1:
        taken.pop(headline.MINUTES)  # it is the last value of a curve
    tracking.log_training(run_id, made.history, taken, step=card.round, tags={headline.MODEL: card.model_digest})
    tracking.end(run_id)
    shutil.rmtree(work)
    epochs, minutes = made.training["epochs"], made.training["seconds"] / 60
    others = f" of the first of {params.members} networks, all" if params.members > 1 else ""
    print(f"train: {ending.sentence(made.training)}, {epochs} epochs{others} in {minutes:.1f} min")


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


def first_begun(work: Path) -> str:
    """When the training in this folder began, interrupted since or not: UTC, ISO 8601."""
    note = work / "began.json"
    if not note.exists():
        write_json({"at": datetime.now(UTC).isoformat(timespec="seconds")}, note)
    return read_json(note)["at"]


def in_force(params: sections.Train, *, learnt: bool) -> dict[str, Any]:
    """The epochs and the rate of this training: those of a base that has learnt already, or of one that has not."""
    chosen = params.training(learnt=learnt)
    return {key: chosen[key] for key in ("max_epochs", "learning_rate")}


def start_run(
    tracking: Tracking,
    work: Path,
    card: bundle.Card,
    prepared: start.Prepared,
    rows: pd.DataFrame,
    recipe: dict[str, Any],
    *,
    experiment: str,
) -> str:
    """Starts the round's MLflow run, or finds that of the interrupted training.

    Args:
      rows: of the split.
      recipe: every setting of the training.
    """
    note, base, classes = work / "run.json", prepared.base, prepared.classes
    by_set = {str(name): int(number) for name, number in rows["set"].value_counts().items()}
    parameters = headline.parameters(asdict(card), classes=len(classes), images_by_set=by_set, recipe=recipe)
    parent, parents_recipe = tracking.made_of(base.card.run_id)
    run_id = tracking.start(
        experiment or f"round-{card.round}",
        run_id=read_json(note)["run_id"] if note.exists() else "",
        experiment=experiment,
        params=parameters,
        tags={
            "round": str(card.round),
            "base_run_id": base.card.run_id,
            "base_digest": card.parent_digest,
            "throwaway": str(card.throwaway).lower(),
            "experiment": experiment,
        },
        recipe=recipe,
        datasets=datasets(rows),
        note=changes.note(
            parents_recipe | parent if parent else {},
            recipe | parameters,
            classes_before=base.classes,
            classes=classes,
        ),
    )
    write_json({"run_id": run_id}, note)
    return run_id


def datasets(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What MLflow shows of the sets: name, a digest of contents and labels, images, classes."""
    described = []
    for name, some in rows.groupby("set"):
        version = over_rounds.set_versions(some.assign(set="all"))["all"]
        context = {"train": "training", "val": "validation"}.get(str(name), "evaluation")
        counts = {"images": len(some), "classes": int(some["label"].nunique())}
        described.append({"name": str(name), "digest": version, "source": DATASETS, "context": context} | counts)
    return described


def alone(workspace: Workspace) -> None:
    with files.alone(workspace.cache("train.lock"), "training"):
        main(workspace)


if __name__ == "__main__":
    stages.run("train", alone)
