"""MLflow: one run a round, in a SQLite store at the repository's root. The only module that imports mlflow."""

import logging
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import LifecycleStage, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.config import workspace

if TYPE_CHECKING:
    import keras

EXPERIMENT = "wallaby"
MODEL_NAME = "model"
UNNAMEABLE = re.compile(r"[^\w\-. :/]")  # a benchmark may be called so, a metric may not

logging.getLogger("alembic").setLevel(logging.WARNING)  # it narrates the making of a new store
logging.getLogger("mlflow").setLevel(logging.ERROR)


def uri() -> str:
    """The store's address: MLFLOW_TRACKING_URI, else `mlflow.db` in the repository, also inside a DVC experiment."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _own_store()


def start(name: str, *, run_id: str = "", params: dict[str, Any], tags: dict[str, str]) -> str:
    """Opens the run `run_id` again or, where the store does not have it, a new one; returns its id."""
    client = _client()
    if not _exists(client, run_id):
        run_id = client.create_run(_experiment(client), run_name=name).info.run_id
    client.log_batch(
        run_id,
        params=[Param(key, str(value)) for key, value in params.items()],
        tags=[RunTag(key, value) for key, value in (tags | {"git_commit": _git_commit()}).items()],
    )
    return run_id


def log_training(run_id: str, history: pd.DataFrame, headline: dict[str, float]) -> None:
    """Logs the curves, a metric a column and a step an epoch, and a few numbers of the whole training."""
    epochs = history["epoch"].astype(int)
    metrics = [
        Metric(column, float(value), 0, int(epoch))
        for column in history.columns.drop("epoch")
        for epoch, value in zip(epochs, history[column], strict=True)
    ]
    metrics += [Metric(key, float(value), 0, 0) for key, value in headline.items()]
    for first in range(0, len(metrics), 1000):  # the most that a call may hold
        _client().log_batch(run_id, metrics=metrics[first : first + 1000])


def log_model(run_id: str, model: "keras.Model", pixels: np.ndarray, probs: np.ndarray) -> None:
    """Logs the model with its signature, told from one batch of `pixels` and the `probs` it gave.

    A network that needs a SavedModel gets it logged beside, as the run's artifact `hub`: before
    `mlflow.keras.load_model`, that folder goes to `hub_layer.register`.
    """
    import keras
    import mlflow.keras
    import tensorflow as tf

    from pipeline.models import hub_layer

    requirements = [f"keras=={keras.__version__}", f"tensorflow=={tf.__version__}"]
    with _resumed(run_id):
        mlflow.keras.log_model(
            model,
            name=MODEL_NAME,
            signature=mlflow.models.infer_signature(pixels, probs),
            pip_requirements=requirements,  # inferring them would start a second TensorFlow
        )
        if module := hub_layer.module_of(model):
            mlflow.log_artifacts(str(hub_layer.locate(module)), "hub")


def log_evaluation(run_id: str, name: str, metrics: dict[str, float], files: list[Path]) -> None:
    """Adds headline metrics and whole files to the run, or to a new one where the store does not have it."""
    client = _client()
    if not _exists(client, run_id):
        run_id = client.create_run(_experiment(client), run_name=name).info.run_id
    named = {UNNAMEABLE.sub("_", key): value for key, value in metrics.items()}
    client.log_batch(run_id, metrics=[Metric(key, value, 0, 0) for key, value in named.items()])
    for file in files:
        client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)


def log_comparison(rows: pd.DataFrame, files: list[Path]) -> None:
    """A run of its own for networks side by side: a child a network, with its figures; and whole files."""
    client = _client()
    experiment = _experiment(client)
    parent = client.create_run(experiment, run_name="comparison", tags={"comparison": "true"}).info.run_id
    for row in rows.to_dict("records"):
        tags = {"mlflow.parentRunId": parent, "comparison": "true"}
        run_id = client.create_run(experiment, run_name=row["name"], tags=tags).info.run_id
        numbers = {key: value for key, value in row.items() if isinstance(value, int | float)}
        client.log_batch(
            run_id, metrics=[Metric(f"comparison/{key}", float(value), 0, 0) for key, value in numbers.items()]
        )
        client.set_terminated(run_id)
    for file in files:
        client.log_artifact(parent, str(file))
    client.set_terminated(parent)


def runs() -> pd.DataFrame:
    """Every run, oldest first: columns `run_id`, `start_time`, `metrics.NAME`, `params.NAME`, `tags.NAME`."""
    client = _client()
    found = mlflow.search_runs([_experiment(client)], order_by=["attributes.start_time ASC"])
    return pd.DataFrame(found)


def _own_store() -> str:
    return f"sqlite:///{workspace() / 'mlflow.db'}"


def _client() -> MlflowClient:
    mlflow.set_tracking_uri(uri())
    return MlflowClient(uri())


def _experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return found.experiment_id
    # Not told by the variable being there: `set_tracking_uri` sets it itself.
    artifacts = (workspace() / "mlruns").as_uri() if uri() == _own_store() else None
    return client.create_experiment(EXPERIMENT, artifact_location=artifacts)


def _exists(client: MlflowClient, run_id: str) -> bool:
    if not run_id:
        return False
    try:
        return client.get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE  # and not in the store's bin
    except MlflowException:
        return False


@contextmanager
def _resumed(run_id: str) -> Iterator[None]:
    _client()
    with mlflow.start_run(run_id=run_id, log_system_metrics=False):
        yield


def _git_commit() -> str:
    result = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or "none"
