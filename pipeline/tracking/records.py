"""Records of rounds and the store: what a record needs of runs that have none, and a store that is made of records."""

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
from pipeline.tracking.curves import metric_of
from pipeline.tracking.store import METRICS, RECIPE, Tracking
from pipeline.tracking.writer import CHANGES, EXPERIMENT, FINISHED, NOTE

CURVES = ("accuracy", "loss", "val_accuracy", "val_loss", "learning_rate", "seconds", "images_per_second")
RECORD = "round.json"  # artifact


def curve(tracking: Tracking, run: Mapping[str, Any]) -> dict[str, Sequence[float]]:
    """The curves of the training that were logged with a run, one value per epoch; empty where an epoch lacks one."""
    by_name: dict[str, dict[int, float]] = {}
    for name in CURVES:
        logged = next((key for key in (metric_of(name), name) if pd.notna(run.get(f"metrics.{key}"))), "")
        if logged:
            try:
                points = tracking._client.get_metric_history(run["run_id"], logged)
            except FAULTS:
                return {}
            by_name[name] = {point.step: point.value for point in points if point.step > 0}
    epochs = sorted(set().union(*by_name.values())) if by_name else []
    if not epochs or any(sorted(values) != epochs for values in by_name.values()):
        return {}
    return {"epoch": epochs, **{name: [values[epoch] for epoch in epochs] for name, values in by_name.items()}}


def recipe(tracking: Tracking, run: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of the training of a run; empty where it was not logged as a file."""
    settings = tracking.json(str(run["run_id"]), RECIPE)
    return settings if isinstance(settings, dict) else {}


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
    by_model, made = {record.model_digest: record for record in records}, []
    for record in round_record.in_order(records):
        if not {record.model_digest, record.run_id} & there:
            try:
                _add(tracking, record, by_model.get(record.parent_digest), is_champion=record.model_digest == serving)
            except (SilentError, RefusedError) as error:
                raise silent from error
            made.append(headline.version(record.round, record.model_digest))
    if made:
        tracking.save_view()
    return made


def _add(tracking: Tracking, record: Record, parent: Record | None, *, is_champion: bool) -> None:
    run_id, name = recorded_runs.run_id(record), f"round-{record.round}"
    start_time = pd.Timestamp(record.started) if record.started else pd.Timestamp.now("UTC")
    began = int(start_time.timestamp() * 1000)
    ended = began + int(1000 * float(record.training.get("seconds", 0)))
    note = changes.note(
        parent.recipe | parent.parameters if parent else {},
        record.recipe | record.parameters,
        classes_before=parent.classes if parent else [],
        classes=record.classes,
    )
    with TemporaryDirectory() as folder:
        files = _files(record, Path(folder))
        start = {"name": name, "experiment": EXPERIMENT, "at": began, "params": dict(record.parameters)}
        start |= {"tags": _tags(record, parent, note, is_champion=is_champion), "datasets": _datasets(record)}
        made = tracking._call("start", {"run_id": run_id} | start, files)
        figures = {key: float(value) for key, value in record.headline.items() if key in headline.TRAINING}
        points = [(key, value, record.round) for key, value in figures.items() if key != headline.MINUTES]
        epochs = [int(epoch or 0) for epoch in record.curve.get("epoch", [])]
        for column in record.curve.keys() - {"epoch"}:
            values = zip(epochs, record.curve[column], strict=True)
            points += [(metric_of(column), float(value), epoch) for epoch, value in values if value is not None]
        tracking._call("curves", {"run_id": made, "points": points, "tags": {}})
        accuracies = {key: float(v) for key, v in record.headline.items() if key.endswith(headline.ACCURACY)}
        evaluation = {"run_id": made, "name": name, "step": record.round, "at": ended, "metrics": accuracies}
        tracking._call("evaluation", evaluation | {"tags": {headline.MODEL: record.model_digest}})
        tracking._call("end", {"run_id": made, "status": FINISHED, "at": ended})


def _tags(record: Record, parent: Record | None, note: str, *, is_champion: bool) -> dict[str, str]:
    tags = {
        "round": str(record.round),
        "throwaway": "false",
        "base_run_id": recorded_runs.run_id(parent) if parent else "",
        "base_digest": record.parent_digest,
        headline.MODEL: record.model_digest,
        headline.DATA: record.data_digest,
        headline.GATE: record.gate.verdict,
        headline.GATE_REASON: record.gate.reason,
        "champion": {True: "yes", False: "no"}[is_champion] if record.releases else "",
        "mlflow.source.name": "wallaby",
        NOTE: note,
        CHANGES: note,
    }
    tags |= {f"version.{recorded_runs.metric_name(name)}": version for name, version in record.versions.items()}
    tags |= {key: str(value) for key, value in record.headline.items() if key.endswith(f"_{headline.IMAGES}")}
    return {key: value for key, value in tags.items() if value}


def _datasets(record: Record) -> list[dict[str, Any]]:
    contexts = {"val": "validation"}
    return [
        {
            "name": name,
            "digest": version,
            "source": RECORD,
            "context": contexts.get(name, "evaluation"),
            "images": int(record.headline.get(headline.images(name), 0)),
        }
        for name, version in record.versions.items()
        if name in record.measured
    ]


def _files(record: Record, folder: Path) -> list[Path]:
    files = [folder / name for name in (RECORD, RECIPE, METRICS, "per_class.csv", "bands.parquet")]
    write_text(round_record.to_text(record), files[0])
    write_json(record.recipe, files[1])
    write_json(record.measured, files[2])
    write_csv(round_record.per_class_table(record), files[3])
    write_table(round_record.band_table(record), files[4])
    return files
