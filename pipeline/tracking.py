"""MLflow: one run per round, in a SQLite store beside the repository's data. The only module that imports mlflow."""

import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
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

if TYPE_CHECKING:
    import keras

EXPERIMENT, COMPARISONS, SERVING = "wallaby", "wallaby-comparisons", "wallaby-serving"
MODEL_NAME = "model"
REGISTERED, CHAMPION = "wallaby", "champion"  # the registered model and the alias of its version that serves
VARIABLE, SQLITE = "MLFLOW_TRACKING_URI", "sqlite:///"
UNNAMEABLE = re.compile(r"[^\w\-. :/]")  # a benchmark may be called so, a metric may not

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each small table
logging.getLogger("alembic").setLevel(logging.WARNING)  # it narrates the making of a new store
logging.getLogger("mlflow").setLevel(logging.ERROR)


class Tracking:
    """The store of a repository's runs. It is made with the first run that is logged; who only reads finds it empty.

    Args:
      home: the repository, also inside a DVC experiment.

    Attributes:
      uri: the store's address: that of MLFLOW_TRACKING_URI, else `mlflow.db` in `home`, with its files in `mlruns`.
    """

    def __init__(self, home: Path):
        here = f"sqlite:///{home / 'mlflow.db'}"
        self.uri = os.environ.get(VARIABLE) or here
        self._artifacts = (home / "mlruns").as_uri() if self.uri == here else None

    def start(self, name: str, *, run_id: str = "", params: dict[str, Any], tags: dict[str, str]) -> str:
        """Opens the run `run_id` again or, where the store does not have it, a new one; returns its id."""
        run_id = self._existing_or_new(run_id, name)
        self._client.log_batch(
            run_id,
            params=[Param(key, str(value)) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in (tags | {"git_commit": _git_commit()}).items()],
        )
        return run_id

    def log_training(self, run_id: str, history: pd.DataFrame, headline: dict[str, float]) -> None:
        """Logs the curves, one metric per column and one step per epoch, and a few numbers of the whole training."""
        epochs = history["epoch"].astype(int)
        metrics = [
            Metric(column, float(value), 0, int(epoch))
            for column in history.columns.drop("epoch")
            for epoch, value in zip(epochs, history[column], strict=True)
        ]
        metrics += [Metric(key, float(value), 0, 0) for key, value in headline.items()]
        self._log_metrics(run_id, metrics)

    def log_model(self, run_id: str, model: "keras.Model", pixels: np.ndarray, probs: np.ndarray) -> None:
        """Logs the model with its signature, taken from one batch of `pixels` and the `probs` it gave.

        A network that needs a SavedModel gets it logged beside, as the run's artifact `hub`: before
        `mlflow.keras.load_model`, that folder goes to `hub_layer.register`.
        """
        import keras
        import mlflow.keras
        import tensorflow as tf

        from pipeline.models import hub_layer

        requirements = [f"keras=={keras.__version__}", f"tensorflow=={tf.__version__}"]
        with self._resumed(run_id):
            mlflow.keras.log_model(
                model,
                name=MODEL_NAME,
                signature=mlflow.models.infer_signature(pixels, probs),
                pip_requirements=requirements,  # inferring them would start a second TensorFlow
            )
            if module := hub_layer.module_of(model):
                mlflow.log_artifacts(str(hub_layer.locate(module)), "hub")

    def log_evaluation(
        self,
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
        client, run_id = self._client, self._existing_or_new(run_id, name)
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

    def log_comparison(self, rows: pd.DataFrame, files: list[Path]) -> None:
        """Networks side by side, in an experiment of their own: one child run per network, and whole files."""
        client = self._client
        experiment = self._experiment(COMPARISONS)
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
        self,
        name: str,
        metrics: dict[str, float],
        curves: dict[str, pd.Series],
        files: list[Path],
        tags: dict[str, str],
    ) -> str:
        """A report on what was served, in an experiment of its own; returns the run's id.

        Args:
          curves: each a metric over time, by the time of its values.
        """
        client = self._client
        run_id = client.create_run(self._experiment(SERVING), run_name=name).info.run_id
        points = [Metric(UNNAMEABLE.sub("_", key), value, 0, 0) for key, value in metrics.items()]
        points += [
            Metric(UNNAMEABLE.sub("_", key), float(value), int(when.timestamp() * 1000), step)
            for key, values in curves.items()
            for step, (when, value) in enumerate(values.items())
        ]
        self._log_metrics(run_id, points)
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        for file in files:
            client.log_artifact(run_id, str(file))
        client.set_terminated(run_id)
        return run_id

    def tag(self, run_id: str, tags: dict[str, str]) -> bool:
        """Adds tags to a run; returns False where the store does not have it."""
        if not self._exists(run_id):
            return False
        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        return True

    def set_champion(self, run_id: str, name: str, tags: dict[str, str]) -> str:
        """Gives the alias `champion` to the version whose `model_digest` is that of `tags`; returns its number.

        The registered version is made if there is none, and so is a run called `name` where the store does not have it.

        Raises:
          WallabyError: in MLflow's words, if it refuses.
        """
        client = self._client
        try:
            if not self._exists(run_id):
                run_id = self._existing_or_new("", name)
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
            for run in client.search_runs([self._experiment()], "tags.champion = 'yes'"):
                client.set_tag(run.info.run_id, "champion", "no")
            client.log_batch(run_id, tags=[RunTag("champion", "yes"), *(RunTag(*item) for item in tags.items())])
        except MlflowException as error:
            raise WallabyError(
                f"MLflow refused: {str(error).splitlines()[0]}",
                where=self.uri,
                mend="the champion itself is in place; the same command tells MLflow again",
            ) from error
        return number

    def table(self, run_id: str, name: str) -> pd.DataFrame | None:
        """A table that was logged with the run, as CSV or Parquet; None where it was deleted or never there."""
        if not self._is_there():
            return None
        try:
            path = Path(self._client.download_artifacts(run_id, name))
            return pd.read_csv(path) if path.suffix == ".csv" else read_table(path)
        except (MlflowException, OSError, WallabyError, pd.errors.ParserError, pd.errors.EmptyDataError):
            return None

    def runs(self) -> pd.DataFrame:
        """Every run, oldest first: columns `run_id`, `start_time`, `metrics.NAME`, `params.NAME`, `tags.NAME`."""
        experiment = self._client.get_experiment_by_name(EXPERIMENT) if self._is_there() else None
        if experiment is None:
            return pd.DataFrame(columns=["run_id", "start_time"])
        with self._selected():
            found = mlflow.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
        return pd.DataFrame(found)

    @cached_property
    def _client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def _is_there(self) -> bool:
        """Whether there is a store to read: MLflow would make an empty one of SQLite."""
        file = self.uri.removeprefix(SQLITE)
        return file == self.uri or Path(file).exists()

    def _experiment(self, name: str = EXPERIMENT) -> str:
        found = self._client.get_experiment_by_name(name)
        return found.experiment_id if found else self._client.create_experiment(name, self._artifacts)

    def _exists(self, run_id: str) -> bool:
        if not run_id or not self._is_there():
            return False
        try:
            run = self._client.get_run(run_id)
        except MlflowException:
            return False
        return run.info.lifecycle_stage == LifecycleStage.ACTIVE  # and not in the store's bin

    def _existing_or_new(self, run_id: str, name: str) -> str:
        if self._exists(run_id):
            return run_id
        return self._client.create_run(self._experiment(), run_name=name).info.run_id

    def _log_metrics(self, run_id: str, metrics: list[Metric]) -> None:
        for first in range(0, len(metrics), 1000):  # the most that a call may hold
            self._client.log_batch(run_id, metrics=metrics[first : first + 1000])

    @contextmanager
    def _selected(self) -> Iterator[None]:
        """Makes this the store of MLflow's functions that take none; what they change in the environment is undone."""
        before = os.environ.get(VARIABLE)
        mlflow.set_tracking_uri(self.uri)
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(VARIABLE, None)
            else:
                os.environ[VARIABLE] = before

    @contextmanager
    def _resumed(self, run_id: str) -> Iterator[None]:
        with self._selected(), mlflow.start_run(run_id=run_id, log_system_metrics=False):
            yield


def _git_commit() -> str:
    result = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or "none"
