"""The store of a repository's runs: what is logged of rounds, models and reports, and what is read again."""

import json
import os
import platform
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from pipeline import bundle
from pipeline.errors import ResumableError, WallabyError
from pipeline.evaluation import headline
from pipeline.files import plain, read_table, write_json, write_table
from pipeline.tracking import models
from pipeline.tracking.connection import CACHE, FAULTS, Connection, RefusedError, SilentError, unusable
from pipeline.tracking.curves import metric_of
from pipeline.tracking.writer import (
    ABLATIONS,
    CHANGES,
    EXPERIMENT,
    FINISHED,
    KILLED,
    NOTE,
    PROCESS,
    ROUNDS,
    THROWAWAYS,
)  # fmt: skip

FAILED = "FAILED"
RECIPE, METRICS = "recipe.json", "metrics.json"  # artifacts
OF_TRAINING = {"epochs": "training/epochs", "best_epoch": "training/best_epoch"}  # what older runs call them


class Tracking(Connection):
    """The store of a repository's runs. It is made with the first run that is logged; who only reads finds it empty.

    A store that does not answer stops nothing: what could not be logged lies in `.wallaby/mlflow` and is logged by the
    next command that finds the store.

    Args:
      home: the repository, also inside a DVC experiment.
    """

    def start(
        self,
        name: str,
        *,
        run_id: str = "",
        experiment: str = "",
        params: dict[str, Any],
        tags: dict[str, str],
        recipe: Mapping[str, Any] | None = None,
        datasets: list[dict[str, Any]] | None = None,
        note: str = "",
    ) -> str:
        """Opens the run `run_id` again or, where the store does not have it, a new one; returns its id.

        This is the first that a training asks of the store, before it begins.

        Args:
          experiment: whose copy trains (`workspace.experiment`): its runs lie apart from those of rounds.
          recipe: every setting, kept as the artifact `recipe.json`; `params` are the few that people compare.
          datasets: `name`, `digest`, `images`, `source` and `context` of each, and `classes` where that is known.
          note: what changed since the parent, in Markdown.

        Raises:
          UsageError: if MLflow takes no store of this kind, or refuses it.
        """
        about = {
            "git_commit": _git_commit(),
            PROCESS: f"{platform.node()} {os.getpid()}",
            "mlflow.source.name": "wallaby",
        }
        if note:
            about |= {NOTE: note, CHANGES: note}
        arguments: dict[str, Any] = {
            "run_id": run_id,
            "name": name,
            "experiment": experiment_of(experiment),
            "at": _now(),
            "params": params,
            "tags": tags | about,
            "datasets": datasets or [],
        }
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / RECIPE] if recipe is not None else []
            for file in files:
                write_json(plain(recipe), file)
            try:
                return str(self._call("start", arguments, files))
            except RefusedError as refused:
                raise unusable(self.address, str(refused)) from refused
            except SilentError:
                arguments["run_id"] = run_id or uuid.uuid4().hex
                self._later.keep("start", arguments, files)
                return arguments["run_id"]

    @contextmanager
    def running(self, run_id: str) -> Iterator[None]:
        """Marks the run as stopped, or as failed, if what is done meanwhile ends so."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit, ResumableError):
            self.end(run_id, KILLED)
            raise
        except BaseException:
            self.end(run_id, FAILED)
            raise

    def end(self, run_id: str, status: str = FINISHED) -> None:
        """Ends a run: FINISHED, KILLED or FAILED."""
        self._now_or_later("end", {"run_id": run_id, "status": status, "at": _now()})

    def log_training(
        self,
        run_id: str,
        history: pd.DataFrame,
        figures: dict[str, float],
        *,
        step: int = 0,
        tags: dict | None = None,
    ) -> None:
        """Logs the curves, one metric per column and one step per epoch, and a few numbers of the whole training.

        Args:
          step: of the numbers of the whole training: the round.
        """
        epochs = history["epoch"].astype(int)
        points = [
            (metric_of(column), float(value), int(epoch))
            for column in history.columns.drop("epoch")
            for epoch, value in zip(epochs, history[column], strict=True)
        ]
        points += [(key, float(value), step) for key, value in figures.items()]
        self._now_or_later("curves", {"run_id": run_id, "points": points, "tags": tags or {}})

    def log_model(self, run_id: str, made: bundle.Bundle, source: Path, *, candidate: bool = True) -> str:
        """Logs a bundle's model as a registered version; returns the version's number, "" where it is logged later.

        Its tags name the round, the model, its data and its parent. A model that has a version keeps it.

        Args:
          source: the bundle's folder.
          candidate: whether it gets the alias `candidate`.
        """
        card = made.card
        tags = {
            headline.MODEL: card.model_digest,
            headline.DATA: card.data_digest,
            headline.ROUND: str(card.round),
            "parent_digest": card.parent_digest,
            headline.PRESET: card.preset,
            headline.CLASSES: str(len(made.classes)),
        }
        name = headline.version(card.round, card.model_digest)
        arguments = {"run_id": run_id, "name": name, "tags": tags, "candidate": candidate}
        if self.has_version(card.model_digest):
            return str(self._now_or_later("model", arguments) or "")
        folder = self._home / CACHE / models.MODEL_NAME
        models.remove(folder)
        models.pack(made, source, folder)
        number = self._now_or_later("model", arguments, [folder])
        models.remove(folder)
        return str(number or "")

    def has_version(self, model_digest: str) -> bool:
        """Whether the store answers, and has a registered version of a model."""
        return self._answers() and bool(self._quietly(lambda: self._writer.version(model_digest)))

    def log_evaluation(
        self,
        run_id: str,
        name: str,
        metrics: dict[str, float],
        files: list[Path],
        *,
        tables: dict[str, pd.DataFrame] | None = None,
        tags: dict[str, str] | None = None,
        step: int = 0,
    ) -> None:
        """Adds headline metrics, whole files, tables (as NAME.parquet) and tags to the run, or to a new one where the
        store does not have it.

        Args:
          name: the run is called so from now on, unless it is empty.
          step: of the metrics: the round, so that MLflow draws them over rounds.
        """
        arguments = {
            "run_id": run_id,
            "name": name,
            "step": step,
            "at": _now(),
            "metrics": {key: float(value) for key, value in metrics.items()},
            "tags": tags or {},
        }
        with tempfile.TemporaryDirectory() as folder:
            for table_name, table in (tables or {}).items():
                write_table(table, Path(folder) / f"{table_name}.parquet")
            self._now_or_later("evaluation", arguments, [*files, *sorted(Path(folder).iterdir())])

    def save_view(self) -> None:
        """Saves how MLflow's page shows the rounds, with a column and a curve for each accuracy that a round has."""
        self._now_or_later("rounds_view", {"at": _now()})

    def tag(self, run_id: str, tags: dict[str, str]) -> bool:
        """Adds tags to a run; returns False where the store does not have it."""
        if not run_id or not (self._is_there() or len(self._later)):
            return False
        return bool(self._now_or_later("tag", {"run_id": run_id, "tags": tags}))

    def set_champion(self, run_id: str, name: str, tags: dict[str, str]) -> str:
        """Gives the alias `champion` to the version whose `model_digest` is that of `tags`; returns its number.

        The registered version is made if there is none, and so is a run called `name` where the store does not have it.

        Returns:
          The number; "" where the store does not answer, and the next command tells it.

        Raises:
          WallabyError: in MLflow's words, if it refuses.
        """
        arguments = {"run_id": run_id, "name": name, "tags": tags}
        try:
            return str(self._call("champion", arguments))
        except SilentError:
            self._later.keep("champion", arguments)
            return ""
        except RefusedError as refused:
            raise WallabyError(
                f"MLflow refused: {refused}",
                where=self.uri,
                mend="the champion itself is in place; the same command tells MLflow again",
            ) from refused

    def log_comparison(self, rows: pd.DataFrame, files: list[Path]) -> None:
        """Networks side by side, in an experiment of their own: one child run per network, and whole files."""
        self._now_or_later("comparison", {"rows": rows.to_dict("records")}, files)

    def log_serving(
        self,
        name: str,
        metrics: dict[str, float],
        curves: dict[str, pd.Series],
        files: list[Path],
        tags: dict[str, str],
    ) -> str:
        """A report on what was served, in an experiment of its own; returns the run's id, "" where it is logged later.

        Args:
          curves: each a metric over time, by the time of its values.
        """
        points = {
            key: [[int(when.timestamp() * 1000), float(value)] for when, value in values.items()]
            for key, values in curves.items()
        }
        arguments = {"name": name, "metrics": metrics, "curves": points, "tags": tags}
        return str(self._now_or_later("serving", arguments, files) or "")

    def table(self, run_id: str, name: str) -> pd.DataFrame | None:
        """A table that was logged with the run, as CSV or Parquet; None where it was deleted or never there."""
        try:
            path = self._artifact(run_id, name)
            if path is None:
                return None
            return pd.read_csv(path) if path.suffix == ".csv" else read_table(path)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, WallabyError):
            return None

    def json(self, run_id: str, name: str) -> Any:
        """A JSON file that was logged with the run; None where it was deleted or never there."""
        path = self._artifact(run_id, name)
        with suppress(OSError, ValueError):
            return json.loads(path.read_text(encoding="utf-8")) if path else None

    def made_of(self, run_id: str) -> tuple[dict[str, str], dict[str, Any]]:
        """The named parameters and the recipe of a run, both as the store has them; empty where it does not."""
        run = self._quietly(lambda: self._writer.find(run_id)) if self._answers(new=False) else None
        return (dict(run.data.params), self.json(run_id, RECIPE) or {}) if run else ({}, {})

    def runs(self) -> pd.DataFrame:
        """Every round and throw-away, oldest first: `run_id`, `start_time`, `metrics.NAME`, `params.NAME`, `tags.NAME`.

        Figures that lie in a run's files are columns, too: `metrics.SET/MEASURE` and `metrics.training/NAME`.
        """
        nothing = pd.DataFrame(columns=["run_id", "start_time"])
        if not self._answers(new=False):
            return nothing
        known = [self._client.get_experiment_by_name(name) for name in ROUNDS]
        numbers = [experiment.experiment_id for experiment in known if experiment]
        if not numbers:
            return nothing
        with self._selected():
            found = pd.DataFrame(mlflow.search_runs(numbers, order_by=["attributes.start_time ASC"]))
        return self._with_details(found)

    def experiments(self) -> dict[str, str]:
        """The numbers of the experiments of rounds, throw-away runs and ablations, by name: of those that exist."""
        if not self._answers(new=False):
            return {}
        found = {name: self._client.get_experiment_by_name(name) for name in ROUNDS}
        return {name: str(experiment.experiment_id) for name, experiment in found.items() if experiment}

    def _with_details(self, runs: pd.DataFrame) -> pd.DataFrame:
        if runs.empty:
            return runs
        figures = {}
        for place, run_id in zip(runs.index, runs["run_id"], strict=True):
            measured = self.json(run_id, METRICS) or {}
            figures[place] = {
                f"metrics.{name.replace(':', '/')}/{key}": value
                for name, values in measured.items()
                for key, value in values.items()
            }
        details = pd.DataFrame.from_dict(figures, orient="index").reindex(runs.index)
        for new, old in OF_TRAINING.items():
            if f"metrics.{new}" in runs:
                details[f"metrics.{old}"] = runs[f"metrics.{new}"]
        if "metrics.minutes" in runs:
            details["metrics.training/seconds"] = 60 * runs["metrics.minutes"]
        both = [name for name in details if name in runs]
        filled = {name: runs[name].where(runs[name].notna(), details[name]) for name in both}
        return pd.concat([runs.assign(**filled), details.drop(columns=both)], axis=1)

    def _artifact(self, run_id: str, name: str) -> Path | None:
        if not self._answers(new=False):
            return None
        try:
            run = self._writer.find(run_id)
            return Path(self._client.download_artifacts(run.info.run_id, name)) if run else None
        except FAULTS:
            return None


def experiment_of(copy: str) -> str:
    """MLflow's experiment for the runs of a workspace's copy, by the copy's name; "" is the workspace itself."""
    if not copy:
        return EXPERIMENT
    return ABLATIONS if copy.startswith("ablate-") else THROWAWAYS


def _now() -> int:
    return int(time.time() * 1000)


def _git_commit() -> str:
    result = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or "none"
