"""Stage train: pop the base's head, put a random one for today's classes, train every weight to the plateau."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pandas as pd

from pipeline import bundle, config, errors, files, sections, tracking
from pipeline.evaluation import calibration
from pipeline.files import digest, read_json, read_table, write_csv, write_json
from pipeline.library import lineage
from pipeline.models.head import freeze, renew_head
from pipeline.training import checks, reporting
from pipeline.training.augmentation import Augmentation
from pipeline.training.fitting import set_seed
from pipeline.training.trainer import TRAINING_PARAMS, choose_machine, train


def main(splits_table: str, base_folder: str, out: str) -> None:
    params = config.load(sections.Train)
    distance = config.load(sections.Curate).near_duplicate_distance
    rows = read_table(Path(splits_table))
    set_seed(params.seed)  # before the base is loaded: its dropout draws a seed when it is built
    base = bundle.load(Path(base_folder))
    checks.refuse_another_image_size(base.model, base.card, where=base_folder)
    lineage.refuse_overlaps(rows, base.lineage, near_duplicate_distance=distance)
    classes = sorted(rows.loc[rows["set"] == "train", "label"].unique())
    measurable = rows[rows["label"].isin(classes)]  # of some classes, only val images may be left
    checks.name_classes_without_validation(measurable, where=splits_table)

    model = renew_head(base.model, classes, old_classes=base.classes, mode=params.head, seed=params.seed)
    freeze(model, params.freeze)
    data_digest = digest(Path(splits_table))
    work = work_folder(data_digest, base.card.model_digest, params.model_dump(exclude=sections.FOR_PEOPLE))
    card = bundle.Card(
        preset=base.card.preset,
        image_size=base.card.image_size,
        round=base.card.round + 1,
        throwaway="DVC_EXP_NAME" in os.environ,
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
    run_id = start_run(work, card, base, rows, params.model_dump() | vars(machine) | {"classes": len(classes)})
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
        folders=config.load(sections.Roots).folders,
        work=work,
        machine=machine,
        augmentation=Augmentation(**params.augmentation()),
        tensorboard=config.cache("tensorboard") / run_id if params.tensorboard else None,
        told=lambda history: tracking.log_training(run_id, with_cost(history).tail(1), {}),
        **params.model_dump(include=TRAINING_PARAMS),
        **params.start(learnt=base.has_learnt),
    )
    fitted, history = trained.fitted, with_cost(trained.fitted.history)
    seconds = float(history["seconds"].sum())
    training = {"epochs": len(history), "best_epoch": fitted.best_epoch, "seconds": round(seconds, 1)}
    tracking.log_training(run_id, history, {f"training/{key}": value for key, value in training.items()})
    tracking.log_model(run_id, model, trained.example, trained.val_probs[: len(trained.example)])

    temperature = round(calibration.fit_temperature(trained.val_probs, trained.val_targets), 4)
    card = bundle.replace(card, temperature=temperature, run_id=run_id, training=training)
    bundle.save(bundle.Bundle(model, classes, card, lineage.extend(base.lineage, rows, round_=card.round)), Path(out))
    write_csv(history, Path(out) / "history.csv")
    shutil.rmtree(work)
    print(f"train: plateau at epoch {fitted.best_epoch}, {len(history)} epochs in {seconds / 60:.1f} min")


def work_folder(*inputs: object) -> Path:
    """The state of an interrupted training with the very same inputs; those of any other are removed."""
    parent = config.own("train")
    work = parent / hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]
    for other in parent.glob("*"):
        if other != work:
            shutil.rmtree(other)
    work.mkdir(parents=True, exist_ok=True)
    return work


def start_run(work: Path, card: bundle.Card, base: bundle.Bundle, rows: pd.DataFrame, settings: dict) -> str:
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
            "experiment": os.environ.get("DVC_EXP_NAME", ""),
        },
    )
    write_json({"run_id": run_id}, note)
    return run_id


def alone() -> None:
    with files.alone(config.cache("train.lock"), "training"):
        main(*sys.argv[1:])


if __name__ == "__main__":
    errors.run(alone)
