"""What is written into an MLflow store. Each call can be made again later: its arguments are plain values and files."""

import json
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LifecycleStage,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunStatus,
    RunTag,
)  # fmt: skip
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.evaluation import changes, headline
from pipeline.files import is_running
from pipeline.tracking import curves, older, views
from pipeline.tracking.models import MODEL_NAME, put

EXPERIMENT, THROWAWAYS, ABLATIONS = "wallaby", "wallaby-throwaways", "wallaby-ablations"
COMPARISONS, SERVING = "wallaby-comparisons", "wallaby-serving"
RUNS = {EXPERIMENT: "round", THROWAWAYS: "throw-away", ABLATIONS: "training of an ablation"}  # what a run is
ROUNDS = tuple(RUNS)  # experiments whose runs are trainings
REGISTERED, CHAMPION, CANDIDATE = "wallaby", "champion", "candidate"
KEY = "run_key"  # tag: the id that a card has of a run, where the store gave it another
PROCESS = "process"  # tag: the host and the process that trains
NOTE, CHANGES = "mlflow.note.content", "what_changed"
BASE = "base_run_id"
RUNNING, KILLED, FINISHED = (RunStatus.to_string(s) for s in (RunStatus.RUNNING, RunStatus.KILLED, RunStatus.FINISHED))
CURVES = {"train_accuracy", "val_accuracy"}  # one step per epoch, not per round
MOST = 1000  # metrics in one call
UNNAMEABLE = re.compile(r"[^\w\-. :/]")  # a benchmark may be called so, a metric may not


class Writer:
    """Writes runs, models and their versions.

    Args:
      client: of the store.
      artifacts: the address for the artifacts of a new experiment; None leaves it to the server.
    """

    def __init__(self, client: MlflowClient, artifacts: str | None):
        self._client, self._artifacts = client, artifacts

    def experiment(self, name: str = EXPERIMENT) -> str:
        """The id of an experiment, which is made if there is none."""
        client = self._client
        found = client.get_experiment_by_name(name)
        if found and found.tags.get(views.KIND):
            return found.experiment_id
        number = found.experiment_id if found else client.create_experiment(name, self._artifacts)
        client.set_experiment_tag(number, views.KIND, views.MODEL_TRAINING)
        if name in RUNS:
            client.set_experiment_tag(number, NOTE, views.note(number, RUNS[name]))
        return number

    def find(self, run_id: str) -> Run | None:
        """The run that a card names, or the one that took its place; None if the store has neither."""
        if not run_id:
            return None
        try:
            run = self._client.get_run(run_id)
            if run.info.lifecycle_stage == LifecycleStage.ACTIVE:  # and not in the store's bin
                return run
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        found = self._search(f"tags.{KEY} = '{run_id}'", list(ROUNDS))
        return found[0] if found else None

    def start(
        self, files: list[Path], *, run_id: str, name: str, experiment: str, at: int, params: dict[str, Any],
        tags: dict[str, str], datasets: list[dict[str, Any]],
    ) -> str:  # fmt: skip
        """Starts a run, or opens `run_id` again; returns its id."""
        client, run = self._client, self.find(run_id)
        if run is None:
            number = self.experiment(experiment)
            tagged = {KEY: run_id} if run_id else {}
            run = client.create_run(number, start_time=at, run_name=headline.run_name(name, at), tags=tagged)
        elif run.info.status != RUNNING:
            client.update_run(run.info.run_id, status=RUNNING)
        made, known = run.info.run_id, run.data.params
        client.log_batch(
            made,
            params=[Param(key, str(value)) for key, value in params.items() if key not in known],
            tags=[RunTag(_named(key), str(value)) for key, value in tags.items()],
        )
        self._log_datasets(made, datasets)
        for file in files:
            client.log_artifact(made, str(file))
        return made

    def curves(
        self, files: list[Path], *, run_id: str, points: list[tuple[str, float, int]], tags: dict[str, str]
    ) -> None:
        """Logs points of metrics: name, value and step."""
        run = self._made(run_id)
        self._log_metrics(run.info.run_id, [Metric(name, value, 0, step) for name, value, step in points])
        if tags:
            self._client.log_batch(run.info.run_id, tags=[RunTag(*item) for item in tags.items()])

    def end(self, files: list[Path], *, run_id: str, status: str, at: int) -> None:
        """Ends a run with a status."""
        if run := self.find(run_id):
            self._client.set_terminated(run.info.run_id, status, end_time=at)

    def evaluation(
        self, files: list[Path], *, run_id: str, name: str, step: int, at: int, metrics: dict[str, float],
        tags: dict[str, str],
    ) -> None:  # fmt: skip
        """Adds figures, files and tags to a run, or to a new one, and ends it.

        The accuracies of the rounds before are carried along, so that one run draws the curve over rounds.
        """
        client, run = self._client, self._made(run_id, name)
        made, parent = run.info.run_id, self.find(run.data.tags.get(BASE, ""))
        points = [Metric(_named(key), value, at, step) for key, value in metrics.items()]
        accuracies = [key for key in metrics if key.endswith(headline.ACCURACY)]
        points += curves.of_ancestors(client, parent, accuracies, before=step)
        self._log_metrics(made, points)
        table = changes.results(metrics, _counts(tags), parent.data.metrics if parent else {})
        note = "\n\n".join(part for part in (run.data.tags.get(CHANGES, ""), table) if part)
        tags = tags | ({NOTE: note} if note else {})
        client.log_batch(made, tags=[RunTag(_named(key), value) for key, value in tags.items()])
        for file in files:
            client.log_artifact(made, str(file))
        if name:
            client.update_run(made, name=headline.run_name(name, run.info.start_time, tags.get(headline.MODEL, "")))
        client.set_terminated(made)

    def rounds_view(self, files: list[Path], *, at: int) -> None:
        """Saves the view of the rounds, with a column and a curve for each accuracy that a round has.

        Throw-away runs and ablations have the same view, each in its experiment.
        """
        self.experiment()
        for name in RUNS:
            experiment = self._client.get_experiment_by_name(name)
            if experiment is None:
                continue
            number = experiment.experiment_id
            runs = self._client.search_runs([number], max_results=MOST)
            metrics = {metric for run in runs for metric in run.data.metrics}
            accuracies = {metric for metric in metrics if metric.endswith(f"_{headline.ACCURACY}")} - CURVES
            view = views.view(accuracies, at=at, costs=headline.COST in metrics)
            self._client.set_experiment_tag(number, views.TAG, view)
            self._client.set_experiment_tag(number, NOTE, views.note(number, RUNS[name]))

    def tag(self, files: list[Path], *, run_id: str, tags: dict[str, str]) -> bool:
        """Adds tags to a run, and those of the gate to its model's version; False if the store does not have it."""
        run = self.find(run_id)
        if run is None:
            return False
        self._client.log_batch(run.info.run_id, tags=[RunTag(*item) for item in tags.items()])
        version = self.version(run.data.tags.get(headline.MODEL, ""))
        for key in {headline.GATE, headline.GATE_REASON} & tags.keys() if version else ():
            self._client.set_model_version_tag(REGISTERED, version, key, tags[key])
        return True

    def model(self, files: list[Path], *, run_id: str, name: str, tags: dict[str, str], candidate: bool) -> str:
        """Logs the model that lies in the one folder of `files`, and registers it, perhaps as `candidate`.

        Returns:
          The number of its version; a model that has one keeps it.
        """
        client, run, digest = self._client, self._ended(run_id, name), tags[headline.MODEL]
        number = self.version(digest)
        if not number:
            step = int(tags.get(headline.ROUND, 0))
            logged = client.create_logged_model(
                run.info.experiment_id, name=MODEL_NAME, source_run_id=run.info.run_id, tags=tags
            )
            for folder in files:
                put(client, logged, folder, run_id=run.info.run_id)
            client.finalize_logged_model(logged.model_id, "READY")
            client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step)])
            number = self._new_version(f"models:/{logged.model_id}", run.info.run_id, logged.model_id)
        for key, value in tags.items():
            client.set_model_version_tag(REGISTERED, number, key, value)
        if candidate:
            client.set_registered_model_alias(REGISTERED, CANDIDATE, number)
        return number

    def champion(self, files: list[Path], *, run_id: str, name: str, tags: dict[str, str]) -> str:
        """Gives the alias `champion` to the version of a model, which is made if there is none; returns its number."""
        client, run = self._client, self._ended(run_id, name)
        made, digest = run.info.run_id, tags[headline.MODEL]
        number = self.version(digest) or self._new_version(f"runs:/{made}/{MODEL_NAME}", made, None)
        for key, value in tags.items():
            client.set_model_version_tag(REGISTERED, number, key, value)
        client.set_registered_model_alias(REGISTERED, CHAMPION, number)
        for former in self._search("tags.champion = 'yes'", [EXPERIMENT]):
            client.set_tag(former.info.run_id, "champion", "no")
        client.log_batch(made, tags=[RunTag("champion", "yes"), *(RunTag(*item) for item in tags.items())])
        return number

    def comparison(self, files: list[Path], *, rows: list[dict[str, Any]]) -> None:
        """Networks side by side: one child run per network below a run with the files."""
        client, experiment = self._client, self.experiment(COMPARISONS)
        parent = client.create_run(experiment, run_name="comparison").info.run_id
        for row in rows:
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

    def serving(
        self, files: list[Path], *, name: str, metrics: dict[str, float], curves: dict[str, list[list[float]]],
        tags: dict[str, str],
    ) -> str:  # fmt: skip
        """A report on what was served; each curve has pairs of milliseconds since 1970 and a value."""
        client = self._client
        run_id = client.create_run(self.experiment(SERVING), run_name=name).info.run_id
        points = [Metric(_named(key), value, 0, 0) for key, value in metrics.items()]
        points += [
            Metric(_named(key), value, int(when), step)
            for key, values in curves.items()
            for step, (when, value) in enumerate(values)
        ]
        self._log_metrics(run_id, points)
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        for file in files:
            client.log_artifact(run_id, str(file))
        client.set_terminated(run_id)
        return run_id

    def mark_stopped(self, *, nobody_trains: bool) -> list[str]:
        """Marks runs whose process has ended without a word; returns their ids.

        Args:
          nobody_trains: whether runs that name no process, as older versions logged them, have ended, too.
        """
        stopped = []
        for run in self._search(f"attributes.status = '{RUNNING}'", list(ROUNDS)):
            host, _, process = run.data.tags.get(PROCESS, "").rpartition(" ")
            ended = host == platform.node() and not is_running(int(process)) if host else nobody_trains
            if ended:
                self._client.set_terminated(run.info.run_id, KILLED)
                stopped.append(run.info.run_id)
        return stopped

    def renew(self) -> int:
        """Gives the runs that an older version logged today's names; returns how many.

        Their accuracies become curves over rounds; what is thrown away is nested below the round that it started from.
        """
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is None or found.tags.get(views.KIND):
            return 0
        runs = self._client.search_runs(
            [found.experiment_id], order_by=["attributes.start_time ASC"], max_results=10_000
        )
        by_id = {run.info.run_id: run for run in runs}
        for run in runs:
            older.renew(self._client, run, by_id.get(run.data.tags.get(BASE, "")))
        self.experiment()
        self.rounds_view([], at=0)
        return len(runs)

    def version(self, digest: str) -> str:
        """The number of the registered version of a model; "" if there is none."""
        if not digest or not self._client.search_registered_models(f"name = '{REGISTERED}'"):
            return ""
        known = self._client.search_model_versions(f"name = '{REGISTERED}'")
        return next((str(one.version) for one in known if one.tags.get(headline.MODEL) == digest), "")

    def _new_version(self, source: str, run_id: str, model_id: str | None) -> str:
        client = self._client
        description = client.get_run(run_id).data.tags.get(NOTE, "")
        if not client.search_registered_models(f"name = '{REGISTERED}'"):
            client.create_registered_model(REGISTERED, description="One version per round.")
        made = client.create_model_version(REGISTERED, source, run_id, description=description, model_id=model_id)
        return str(made.version)

    def _made(self, run_id: str, name: str = "") -> Run:
        run = self.find(run_id)
        tags = {KEY: run_id} if run_id else {}
        return run or self._client.create_run(self.experiment(), run_name=name or None, tags=tags)

    def _ended(self, run_id: str, name: str) -> Run:
        """The run of a training that is over; a new one, where the store has none, ends at once."""
        run = self.find(run_id)
        if run is None:
            run = self._made(run_id, name)
            self._client.set_terminated(run.info.run_id)
        return run

    def _search(self, query: str, experiments: list[str]) -> list[Run]:
        found = [self._client.get_experiment_by_name(name) for name in experiments]
        numbers = [experiment.experiment_id for experiment in found if experiment]
        return list(self._client.search_runs(numbers, query)) if numbers else []

    def _log_metrics(self, run_id: str, metrics: list[Metric]) -> None:
        for first in range(0, len(metrics), MOST):
            self._client.log_batch(run_id, metrics=metrics[first : first + MOST])

    def _log_datasets(self, run_id: str, datasets: list[dict[str, Any]]) -> None:
        if datasets:
            self._client.log_inputs(run_id, list(_inputs(datasets)))


def _counts(tags: dict[str, str]) -> dict[str, int]:
    return {key: int(value) for key, value in tags.items() if key.endswith(headline.IMAGES) and value.isdigit()}


def _named(text: str) -> str:
    return UNNAMEABLE.sub("_", text)


def _inputs(datasets: list[dict[str, Any]]) -> Iterator[DatasetInput]:
    for dataset in datasets:
        counts = {"num_rows": dataset["images"]} | {key: dataset[key] for key in ("classes",) if key in dataset}
        yield DatasetInput(
            Dataset(
                name=dataset["name"],
                digest=dataset["digest"][:36],
                source_type="local",
                source=json.dumps({"uri": dataset["source"]}),
                profile=json.dumps(counts),
            ),
            [InputTag("mlflow.data.context", dataset["context"])],
        )
