"""Metrics with many points: the curves of a training, by epoch, and accuracies over rounds."""

from collections.abc import Iterable

from mlflow.entities import Metric, Run
from mlflow.tracking import MlflowClient

MEASURED = ("accuracy", "loss", "top5", "macro_f1", "weighted_f1", "log_loss")
RENAMED = {name: f"train_{name}" for name in MEASURED}  # MLflow compares what comes first in the alphabet


def metric_of(column: str) -> str:
    """What a column of a training's history is called in the store."""
    return RENAMED.get(column, column)


def of_ancestors(client: MlflowClient, parent: Run | None, names: Iterable[str], *, before: int) -> list[Metric]:
    """The points of metrics that the parent's run has of the rounds before a round: its own, and those it carries.

    With them, a single run draws the curve over rounds.
    """
    if parent is None:
        return []
    return [
        Metric(name, old.value, old.timestamp, old.step)
        for name in names
        for old in client.get_metric_history(parent.info.run_id, name)
        if 0 < old.step < before
    ]
