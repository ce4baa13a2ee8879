"""Stage train: pop the base's head, put a random one for today's classes, train every weight to the plateau."""

import hashlib
import shutil
from pathlib import Path

import pandas as pd

from pipeline import bundle, files, sections, stages
from pipeline.evaluation import calibration
from pipeline.files import digest, read_json, read_table, write_csv, write_json
from pipeline.library import lineage
from pipeline.tracking import Tracking
from pipeline.training import checks, reporting, start
from pipeline.training.augmentation import Augmentation
from pipeline.training.trainer import TrainSettings, choose_machine, train
from pipeline.workspace import Workspace


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
    base, model, classes, measurable = prepared.base, prepared.model, prepared.classes, prepared.rows
    checks.name_classes_without_validation(measurable, where=workspace.splits_table)
    data_digest = digest(workspace.splits_table)
    settings = params.model_dump(exclude=sections.FOR_PEOPLE)
    work = work_folder(workspace.own("train"), data_digest, base.card.model_digest, settings)
    card = bundle.Card(
        preset=base.card.preset,
        image_size=base.card.image_size,
        round=base.card.round + 1,
        throwaway=workspace.throwaway,
        parent_digest=base.card.model_digest,
        data_digest=data_digest,
        pretrained=base.card.pretrained,
    )
    images = int((measurable["set"] == "train").sum())
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

    def with_cost(history: pd.DataFrame) -> pd.DataFrame:
        return reporting.with_cost(history, per_hour=params.cost_per_hour)

    trained = train(
        model,
        measurable,
        classes,
        TrainSettings(**params.training(learnt=base.has_learnt)),
        folders=workspace.folders,
        work=work,
        machine=machine,
        augmentation=Augmentation(**params.augmentation()),
        tensorboard=workspace.cache("tensorboard") / run_id if params.tensorboard else None,
        told=lambda history: tracking.log_training(run_id, with_cost(history).tail(1), {}),
    )
    fitted, history = trained.fitted, with_cost(trained.fitted.history)
    seconds = float(history["seconds"].sum())
    training = {"epochs": len(history), "best_epoch": fitted.best_epoch, "seconds": round(seconds, 1)}
    tracking.log_training(run_id, history, {f"training/{key}": value for key, value in training.items()})
    tracking.log_model(run_id, model, trained.example, trained.val_probs[: len(trained.example)])

    temperature = round(calibration.fit_temperature(trained.val_probs, trained.val_targets), 4)
    card = bundle.replace(card, temperature=temperature, run_id=run_id, training=training)
    seen = lineage.extend(base.lineage, rows, round_=card.round)
    bundle.save(bundle.Bundle(model, classes, card, seen), workspace.model)
    write_csv(history, workspace.model / "history.csv")
    shutil.rmtree(work)
    print(f"train: plateau at epoch {fitted.best_epoch}, {len(history)} epochs in {seconds / 60:.1f} min")


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
