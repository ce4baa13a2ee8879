"""Stage train: pop the base's head, put a random one for today's classes, train every weight to the plateau."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import filelock
import keras
import pandas as pd

from pipeline import bundle, config, errors, tracking
from pipeline.evaluation import calibration
from pipeline.files import digest, read_json, read_table, write_csv, write_json
from pipeline.library import labels, lineage
from pipeline.models.head import freeze, renew_head
from pipeline.training import checks, hardware, reporting
from pipeline.training.augmentation import Augmentation
from pipeline.training.batches import Batches, decode_all
from pipeline.training.fitting import FIT_PARAMS, Fitted, fit, halve_until_it_fits, set_seed
from pipeline.training.losses import class_weights

AUGMENTATION_PARAMS = ("flip", "rotate_degrees", "zoom", "stronger")
FOR_PEOPLE = {"tensorboard", "cost_per_hour"}  # they change nothing that is learnt


def main(splits_table: str, base_folder: str, out: str) -> None:
    params = config.load(config.Train)
    distance = config.load(config.Curate).near_duplicate_distance
    rows = read_table(Path(splits_table))
    set_seed(params.seed)  # before the base is loaded: its dropout draws a seed when it is built
    base = bundle.load(Path(base_folder))
    checks.refuse_another_image_size(base.model, base.card, where=base_folder)
    lineage.refuse_overlaps(rows, base.lineage, near_duplicate_distance=distance)
    classes = sorted(rows.loc[rows["set"] == "train", "label"].unique())
    measurable = rows[rows["label"].isin(classes)]  # of some classes, only val images may be left
    checks.name_classes_without_validation(measurable, where=splits_table)

    settings = params.model_dump()
    augmentation = Augmentation(**{key: settings[key] for key in AUGMENTATION_PARAMS})
    data_digest = digest(Path(splits_table))
    work = work_folder(data_digest, base.card.model_digest, params.model_dump(exclude=FOR_PEOPLE))
    card = bundle.Card(
        preset=base.card.preset,
        image_size=base.card.image_size,
        round=base.card.round + 1,
        throwaway="DVC_EXP_NAME" in os.environ,
        parent_digest=base.card.model_digest,
        data_digest=data_digest,
    )
    model = renew_head(base.model, classes, old_classes=base.classes, mode=params.head, seed=params.seed)
    freeze(model, params.freeze)
    gpus = hardware.devices(params.gpus)
    images = int((measurable["set"] == "train").sum())
    machine = choose_machine(work / "machine.json", model, params, images, gpus)
    chosen = {key: machine[key] for key in ("batch_size", "precision")}
    run_id = start_run(work, card, base, rows, settings | chosen | {"classes": len(classes), "gpus": len(gpus)})
    print(
        f"train: round {card.round}, {len(classes)} classes, {images} images,"
        f" {chosen['batch_size']} a step, {chosen['precision']}, {len(gpus)} GPUs",
        flush=True,
    )

    decoded = {name: decode(measurable, name, card.image_size, work) for name in ("train", "val")}
    targets = {
        name: pd.Index(classes).get_indexer(measurable.loc[measurable["set"] == name, "label"]) for name in decoded
    }

    def batches(name: str, batch_size: int) -> Batches:
        training = name == "train"
        return Batches(
            decoded[name],
            targets[name],
            num_classes=len(classes),
            batch_size=batch_size,
            seed=params.seed,
            augment=augmentation if training else None,
            no_flip=pd.Index(classes).get_indexer(measurable.loc[~measurable["flip"], "label"].unique()),
            balance=training and params.imbalance == "sampling",
        )

    def attempt(batch_size: int) -> Fitted:
        write_json(machine | {"fits": batch_size}, work / "machine.json")  # a resumed training need not try again
        weighted = params.imbalance == "weights"
        continued = not base.lineage.empty
        return fit(
            model,
            batches("train", batch_size),
            batches("val", batch_size),
            folder=work,
            learning_rate=params.continued_learning_rate if continued else params.learning_rate,
            head_warmup_epochs=params.head_warmup_epochs if continued else 0,
            body_rate=params.body_rate if continued else 1.0,
            class_weights=class_weights(targets["train"], len(classes), cap=params.max_class_weight)
            if weighted
            else None,
            precision=machine["precision"],
            devices=gpus,
            tensorboard=config.cache("tensorboard") / run_id if params.tensorboard else None,
            told=lambda history: tracking.log_training(run_id, cost_so_far(history).tail(1), {}),
            **{key: settings[key] for key in FIT_PARAMS},
        )

    def cost_so_far(history: pd.DataFrame) -> pd.DataFrame:
        return reporting.with_cost(history, per_hour=params.cost_per_hour)

    fitted, batch_size = halve_until_it_fits(attempt, machine.get("fits", machine["batch_size"]))
    history = cost_so_far(fitted.history)
    val = batches("val", batch_size)
    probs = model.predict(val, verbose=0)
    temperature = round(calibration.fit_temperature(probs, targets["val"]), 4)
    seconds = float(history["seconds"].sum())
    training = {"epochs": len(history), "best_epoch": fitted.best_epoch, "seconds": round(seconds, 1)}
    tracking.log_training(run_id, history, {f"training/{key}": value for key, value in training.items()})
    tracking.log_model(run_id, model, val[0][0].astype("float32"), probs[: len(val[0][0])])

    card = bundle.replace(card, temperature=temperature, run_id=run_id, training=training)
    bundle.save(bundle.Bundle(model, classes, card, lineage.extend(base.lineage, rows, round_=card.round)), Path(out))
    write_csv(history, Path(out) / "history.csv")
    shutil.rmtree(work)
    print(f"train: plateau at epoch {fitted.best_epoch}, {len(history)} epochs in {seconds / 60:.1f} min")


def work_folder(*inputs: object) -> Path:
    """The state of an interrupted training with the very same inputs; those of any other are removed."""
    parent = config.cache("train")
    work = parent / hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]
    for other in parent.glob("*"):
        if other != work:
            shutil.rmtree(other)
    work.mkdir(parents=True, exist_ok=True)
    return work


def choose_machine(note: Path, model: keras.Model, params: config.Train, images: int, gpus: list[str]) -> dict:
    """Batch size and precision, measured where they are left to it; once, so that a resumed training has the same."""
    if not note.exists():
        precision: str = params.precision
        batch_size = params.batch_size
        if precision == "auto":
            precision = hardware.fastest_precision(model, batch_size=batch_size or 32)
        if batch_size is None:
            most = images // 20  # an epoch of fewer steps would learn little
            batch_size = hardware.best_batch_size(model, most=most, precision=precision, devices=gpus)
        write_json({"batch_size": batch_size, "precision": precision}, note)
    return read_json(note)


def decode(rows: pd.DataFrame, name: str, image_size: int, work: Path):
    folders = config.load(config.Roots).folders
    paths = [labels.locate(image, folders) for image in rows.loc[rows["set"] == name, "image"]]
    return decode_all(paths, image_size, work / f"{name}.npy")


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
        },
    )
    write_json({"run_id": run_id}, note)
    return run_id


def locked() -> None:
    lock = config.cache("train.lock")
    lock.parent.mkdir(exist_ok=True)
    try:
        with filelock.FileLock(lock, timeout=0):
            main(*sys.argv[1:])
    except filelock.Timeout:
        raise errors.ResumableError(
            "another training runs in this workspace", where=lock, mend="wait for it, or stop it"
        ) from None


if __name__ == "__main__":
    errors.run(locked)
