"""Records of rounds and the store: what a record needs of runs that have none, and a store that is made of records."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from pipeline.errors import ResumableError
from pipeline.evaluation import changes, headline, recorded_runs, round_record
from pipeline.evaluation.round_record import Record
from pipeline.files import write_csv, write_json, write_table, write_text
from pipeline.tracking.connection import FAULTS, RefusedError, SilentError
from pipeline.tracking.store import METRICS, RECIPE, Tracking
from pipeline.tracking.writer import CHANGES, EXPERIMENT, FINISHED, NOTE

CURVES = ("accuracy", "loss", "val_accuracy", "val_loss", "learning_rate", "seconds", "images_per_second")
RECORD = "round.json"  # artifact


def curve(tracking: Tracking, run: Mapping[str, Any]) -> dict[str, Sequence[float]]:
    """The curves of the training that were logged with a run, one value per epoch; empty where an epoch lacks one."""
    found: dict[str, dict[int, float]] = {}
    for name in CURVES:
        if pd.notna(run.get(f"metrics.{name}")):
            try:
                points = tracking._client.get_metric_history(run["run_id"], name)
            except FAULTS:
                return {}
            found[name] = {point.step: point.value for point in points if point.step > 0}
    epochs = sorted(set().union(*found.values())) if found else []
    if not epochs or any(sorted(values) != epochs for values in found.values()):
        return {}
    return {"epoch": epochs, **{name: [values[epoch] for epoch in epochs] for name, values in found.items()}}


def recipe(tracking: Tracking, run: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of the training of a run; empty where it was not logged as a file."""
    found = tracking.json(str(run["run_id"]), RECIPE)
    return found if isinstance(found, dict) else {}


def fill(tracking: Tracking, records: Sequence[Record]) -> list[str]:
    """Makes a finished run of each record that the store has none of; returns what their versions are called.

    A run gets what a round of today logs, but for its scores and its model: these lie under DVC.

    Raises:
      ResumableError: if the store does not answer; what was made stays, and the next call continues.
    """
    silent = ResumableError("MLflow does not answer", where=tracking.address, mend="start it, and run the same command")
    if not tracking._answers():
        raise silent
    runs, serving = tracking.runs(), round_record.champion(records)
    there = set(runs["run_id"]) | set(runs.get("tags.model_digest", pd.Series(dtype=str)).dropna())
    by_model, made = {found.model_digest: found for found in records}, []
    for found in round_record.in_order(records):
        if not {found.model_digest, found.run_id} & there:
            try:
                _add(tracking, found, by_model.get(found.parent_digest), is_champion=found.model_digest == serving)
            except (SilentError, RefusedError) as error:
                raise silent from error
            made.append(headline.version(found.round, found.model_digest))
    if made:
        tracking.save_view()
    return made


def _add(tracking: Tracking, found: Record, parent: Record | None, *, is_champion: bool) -> None:
    run_id, name = recorded_runs.run_id(found), headline.version(found.round, found.model_digest)
    began = int(pd.Timestamp(found.started).timestamp() * 1000) if found.started else 0
    ended = began + int(1000 * float(found.training.get("seconds", 0)))
    note = changes.note(
        parent.recipe | parent.parameters if parent else {},
        found.recipe | found.parameters,
        classes_before=parent.classes if parent else [],
        classes=found.classes,
    )
    with TemporaryDirectory() as folder:
        files = _files(found, Path(folder))
        start = {"name": name, "experiment": EXPERIMENT, "at": began, "params": dict(found.parameters)}
        start |= {"tags": _tags(found, parent, note, is_champion=is_champion), "datasets": _datasets(found)}
        made = tracking._call("start", {"run_id": run_id} | start, files)
        figures = {key: float(value) for key, value in found.headline.items() if key in headline.TRAINING}
        points = [(key, value, found.round) for key, value in figures.items() if key != headline.MINUTES]
        epochs = [int(epoch or 0) for epoch in found.curve.get("epoch", [])]
        for column in found.curve.keys() - {"epoch"}:
            values = zip(epochs, found.curve[column], strict=True)
            points += [(column, float(value), epoch) for epoch, value in values if value is not None]
        tracking._call("curves", {"run_id": made, "points": points, "tags": {}})
        accuracies = {key: float(v) for key, v in found.headline.items() if key.endswith(headline.ACCURACY)}
        evaluation = {"run_id": made, "name": name, "step": found.round, "at": ended, "metrics": accuracies}
        tracking._call("evaluation", evaluation | {"tags": {}})
        tracking._call("end", {"run_id": made, "status": FINISHED, "at": ended})


def _tags(found: Record, parent: Record | None, note: str, *, is_champion: bool) -> dict[str, str]:
    tags = {
        "round": str(found.round),
        "throwaway": "false",
        "base_run_id": recorded_runs.run_id(parent) if parent else "",
        "base_digest": found.parent_digest,
        headline.MODEL: found.model_digest,
        headline.DATA: found.data_digest,
        headline.GATE: found.gate.verdict,
        headline.GATE_REASON: found.gate.reason,
        "champion": {True: "yes", False: "no"}[is_champion] if found.releases else "",
        "mlflow.source.name": "wallaby",
        NOTE: note,
        CHANGES: note,
    }
    tags |= {f"version.{recorded_runs.metric_name(name)}": version for name, version in found.versions.items()}
    tags |= {key: str(value) for key, value in found.headline.items() if key.endswith(f"_{headline.IMAGES}")}
    return {key: value for key, value in tags.items() if value}


def _datasets(found: Record) -> list[dict[str, Any]]:
    contexts = {"val": "validation"}
    return [
        {
            "name": name,
            "digest": version,
            "source": RECORD,
            "context": contexts.get(name, "evaluation"),
            "images": int(found.headline.get(headline.images(name), 0)),
        }
        for name, version in found.versions.items()
        if name in found.measured
    ]


def _files(found: Record, folder: Path) -> list[Path]:
    files = [folder / name for name in (RECORD, RECIPE, METRICS, "per_class.csv", "bands.parquet")]
    write_text(round_record.to_text(found), files[0])
    write_json(json.loads(json.dumps(found.recipe, default=str)), files[1])
    write_json(found.measured, files[2])
    write_csv(round_record.per_class_table(found), files[3])
    write_table(round_record.band_table(found), files[4])
    return files
