"""Stage train: pop the base's head, put a random one for today's classes, train every weight to the plateau."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import filelock
import pandas as pd

from pipeline import bundle, config, errors, tracking
from pipeline.evaluation import calibration
from pipeline.files import digest, read_json, read_table, write_csv, write_json
from pipeline.library import labels, lineage
from pipeline.models.head import replace_head
from pipeline.training.augmentation import Augmentation
from pipeline.training.batches import Batches, decode_all
from pipeline.training.fitting import fit, set_seed

FIT_PARAMS = ("max_epochs", "weight_decay", "label_smoothing", "lr_patience", "patience", "min_delta")
AUGMENTATION_PARAMS = ("flip", "rotate_degrees", "zoom")


def main(splits_table: str, base_folder: str, out: str) -> None:
    params = config.load(config.Train)
    distance = config.load(config.Curate).near_duplicate_distance
    rows = read_table(Path(splits_table))
    set_seed(params.seed)  # before the base is loaded: its dropout draws a seed when it is built
    base = bundle.load(Path(base_folder))
    lineage.refuse_overlaps(rows, base.lineage, near_duplicate_distance=distance)

    settings = params.model_dump()
    data_digest = digest(Path(splits_table))
    work = work_folder(data_digest, base.card.model_digest, settings)
    classes = sorted(rows.loc[rows["set"] == "train", "label"].unique())
    measurable = rows[rows["label"].isin(classes)]  # of some classes, only val images may be left
    if not (measurable["set"] == "val").any():
        raise errors.DataError(
            "no image to validate on", where=splits_table, mend="label more real images, or raise split.val"
        )
    card = bundle.Card(
        preset=base.card.preset,
        image_size=base.card.image_size,
        round=base.card.round + 1,
        throwaway="DVC_EXP_NAME" in os.environ,
        parent_digest=base.card.model_digest,
        data_digest=data_digest,
    )
    run_id = start_run(work, card, base.card, rows, classes, settings)

    model = replace_head(base.model, len(classes), seed=params.seed)
    train, val = (
        make_batches(
            measurable[measurable["set"] == name],
            classes,
            card.image_size,
            work / f"{name}.npy",
            params,
            augment=name == "train",
        )
        for name in ("train", "val")
    )
    print(f"train: round {card.round}, {len(classes)} classes, {len(train)} steps an epoch", flush=True)
    rate = params.learning_rate if base.lineage.empty else params.continued_learning_rate
    fitted = fit(model, train, val, folder=work, learning_rate=rate, **{key: settings[key] for key in FIT_PARAMS})

    probs = model.predict(val, verbose=0)
    targets = pd.Index(classes).get_indexer(measurable.loc[measurable["set"] == "val", "label"])
    seconds = float(fitted.history["seconds"].sum())
    training = {"epochs": len(fitted.history), "best_epoch": fitted.best_epoch, "seconds": round(seconds, 1)}
    temperature = round(calibration.fit_temperature(probs, targets), 4)
    tracking.log_training(run_id, fitted.history, {f"training/{key}": value for key, value in training.items()})
    tracking.log_model(run_id, model, val[0][0], probs[: len(val[0][0])])

    card = bundle.replace(card, temperature=temperature, run_id=run_id, training=training)
    bundle.save(bundle.Bundle(model, classes, card, lineage.extend(base.lineage, rows, round_=card.round)), Path(out))
    write_csv(fitted.history, Path(out) / "history.csv")
    shutil.rmtree(work)
    print(f"train: plateau at epoch {fitted.best_epoch}, {len(fitted.history)} epochs in {seconds / 60:.1f} min")


def work_folder(*inputs: object) -> Path:
    """The state of an interrupted training with the very same inputs; those of any other are removed."""
    parent = config.cache("train")
    work = parent / hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]
    for other in parent.glob("*"):
        if other != work:
            shutil.rmtree(other)
    work.mkdir(parents=True, exist_ok=True)
    return work


def make_batches(
    rows: pd.DataFrame, classes: list[str], image_size: int, cache: Path, params: config.Train, *, augment: bool
) -> Batches:
    folders = config.load(config.Roots).folders
    decoded = decode_all([labels.locate(image, folders) for image in rows["image"]], image_size, cache)
    steps = {key: getattr(params, key) for key in AUGMENTATION_PARAMS}
    return Batches(
        decoded,
        pd.Index(classes).get_indexer(rows["label"]),
        num_classes=len(classes),
        batch_size=params.batch_size,
        seed=params.seed,
        augment=Augmentation(**steps) if augment else None,
    )


def start_run(
    work: Path, card: bundle.Card, parent: bundle.Card, rows: pd.DataFrame, classes: list[str], settings: dict
) -> str:
    """Starts the round's MLflow run, or finds that of the interrupted training."""
    note = work / "run.json"
    counts = {f"images_{name}": int(number) for name, number in rows["set"].value_counts().items()}
    run_id = tracking.start(
        f"round-{card.round}",
        run_id=read_json(note)["run_id"] if note.exists() else "",
        params=settings | counts | {"classes": len(classes), "preset": card.preset, "data_digest": card.data_digest},
        tags={
            "round": str(card.round),
            "base_run_id": parent.run_id,
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
