"""MLflow: one run a round, in a SQLite store at the repository's root. The only module that imports mlflow."""

import logging
import os
import re
import subprocess
import tempfile
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

from pipeline.errors import WallabyError
from pipeline.files import read_table, write_table
from pipeline.paths import workspace

if TYPE_CHECKING:
    import keras

EXPERIMENT, COMPARISONS, SERVING = "wallaby", "wallaby-comparisons", "wallaby-serving"
MODEL_NAME = "model"
REGISTERED, CHAMPION = "wallaby", "champion"  # the registered model and the alias of its version that serves
UNNAMEABLE = re.compile(r"[^\w\-. :/]")  # a benchmark may be called so, a metric may not

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each small table
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


def log_evaluation(
    run_id: str,
    name: str,
    metrics: dict[str, float],
    files: list[Path],
    *,
    tables: dict[str, pd.DataFrame] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    """Adds headline metrics, whole files, tables (as NAME.parquet) and tags to the run, or to a new one where the
    store does not have it."""
    client = _client()
    if not _exists(client, run_id):
        run_id = client.create_run(_experiment(client), run_name=name).info.run_id
    named = {UNNAMEABLE.sub("_", key): value for key, value in metrics.items()}
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, 0, 0) for key, value in named.items()],
        tags=[RunTag(UNNAMEABLE.sub("_", key), value) for key, value in (tags or {}).items()],
    )
    with tempfile.TemporaryDirectory() as folder:
        for table_name, table in (tables or {}).items():
            write_table(table, Path(folder) / f"{table_name}.parquet")
        for file in [*files, *sorted(Path(folder).iterdir())]:
            client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)


def log_comparison(rows: pd.DataFrame, files: list[Path]) -> None:
    """Networks side by side, in an experiment of their own: a child run a network, and whole files."""
    client = _client()
    experiment = _experiment(client, COMPARISONS)
    parent = client.create_run(experiment, run_name="comparison").info.run_id
    for row in rows.to_dict("records"):
        tags = {"mlflow.parentRunId": parent}
        run_id = client.create_run(experiment, run_name=row["name"], tags=tags).info.run_id
        numbers = {key: value for key, value in row.items() if isinstance(value, int | float)}
        client.log_batch(
            run_id, metrics=[Metric(f"comparison/{key}", float(value), 0, 0) for key, value in numbers.items()]
        )
        client.set_terminated(run_id)
    for file in files:
        client.log_artifact(parent, str(file))
    client.set_terminated(parent)


def log_serving(
    name: str, metrics: dict[str, float], curves: dict[str, pd.Series], files: list[Path], tags: dict[str, str]
) -> str:
    """A report on what was served, in an experiment of its own; returns the run's id.

    Args:
      curves: each a metric over time, by the time of its values.
    """
    client = _client()
    run_id = client.create_run(_experiment(client, SERVING), run_name=name).info.run_id
    points = [Metric(UNNAMEABLE.sub("_", key), value, 0, 0) for key, value in metrics.items()]
    points += [
        Metric(UNNAMEABLE.sub("_", key), float(value), int(when.timestamp() * 1000), step)
        for key, values in curves.items()
        for step, (when, value) in enumerate(values.items())
    ]
    for first in range(0, len(points), 1000):  # the most that a call may hold
        client.log_batch(run_id, metrics=points[first : first + 1000])
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    for file in files:
        client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)
    return run_id


def tag(run_id: str, tags: dict[str, str]) -> bool:
    """Adds tags to a run; returns False where the store does not have it."""
    client = _client()
    if not _exists(client, run_id):
        return False
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    return True


def set_champion(run_id: str, name: str, tags: dict[str, str]) -> str:
    """Gives the alias `champion` to the registered version whose `model_digest` is that of `tags`; returns its number.

    The version is made if there is none, and so is a run called `name` where the store does not have it.

    Raises:
      WallabyError: in MLflow's words, if it refuses.
    """
    client = _client()
    try:
        if not _exists(client, run_id):
            run_id = client.create_run(_experiment(client), run_name=name).info.run_id
            client.set_terminated(run_id)
        if not client.search_registered_models(f"name = '{REGISTERED}'"):
            client.create_registered_model(REGISTERED)
        known = client.search_model_versions(f"name = '{REGISTERED}'")
        same = [version for version in known if version.tags.get("model_digest") == tags["model_digest"]]
        found = same[0] if same else client.create_model_version(REGISTERED, f"runs:/{run_id}/{MODEL_NAME}", run_id)
        number = str(found.version)
        for key, value in tags.items():
            client.set_model_version_tag(REGISTERED, number, key, value)
        client.set_registered_model_alias(REGISTERED, CHAMPION, number)
        for run in mlflow.search_runs([_experiment(client)], "tags.champion = 'yes'", output_format="list"):
            client.set_tag(run.info.run_id, "champion", "no")
        client.log_batch(run_id, tags=[RunTag("champion", "yes"), *(RunTag(*item) for item in tags.items())])
    except MlflowException as error:
        raise WallabyError(
            f"MLflow refused: {str(error).splitlines()[0]}",
            where=uri(),
            mend="the champion itself is in place; the same command tells MLflow again",
        ) from error
    return number


def table(run_id: str, name: str) -> pd.DataFrame | None:
    """A table that was logged with the run, as CSV or Parquet; None where it was deleted or never there."""
    try:
        path = Path(_client().download_artifacts(run_id, name))
        return pd.read_csv(path) if path.suffix == ".csv" else read_table(path)
    except (MlflowException, OSError, WallabyError, pd.errors.ParserError, pd.errors.EmptyDataError):
        return None


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


def _experiment(client: MlflowClient, name: str = EXPERIMENT) -> str:
    found = client.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    # Not told by the variable being there: `set_tracking_uri` sets it itself.
    artifacts = (workspace() / "mlruns").as_uri() if uri() == _own_store() else None
    return client.create_experiment(name, artifact_location=artifacts)


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
