"""Runs that an older version logged: every figure as a metric, no headline, throw-aways among the rounds."""

import re
from collections.abc import Mapping

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from pipeline.evaluation import headline
from pipeline.evaluation.over_rounds import NOT_SHOWN
from pipeline.tracking import curves

FIGURE = re.compile(r"(?P<set>.+)/(?P<measure>top1|n)")
OF_TRAINING = {"training/epochs": headline.EPOCHS, "training/best_epoch": headline.BEST_EPOCH}


def measured(run: Run) -> dict[str, dict[str, float]]:
    """The figures `top1` and `n` of each set that says how good a version is, by the set's name."""
    figures: dict[str, dict[str, float]] = {}
    for name, value in run.data.metrics.items():
        if found := FIGURE.fullmatch(name):
            set_name = found["set"].replace("/", ":", 1)
            if set_name not in NOT_SHOWN:
                figures.setdefault(set_name, {})[found["measure"]] = value
    return {name: values for name, values in figures.items() if values.keys() == {"top1", "n"}}


def renew(client: MlflowClient, run: Run, parent: Run | None) -> None:
    """Adds what today's version logs of a round: name, parameters, accuracies, images; nothing is taken away.

    Args:
      parent: the run of the model that it started from, if the store has it.
    """
    tags, params, made = run.data.tags, run.data.params, run.info.run_id
    if not tags.get(headline.ROUND, "").isdigit():
        return
    step, figures, at = int(tags[headline.ROUND]), measured(run), run.info.start_time
    values = headline.metrics(figures)
    points = [Metric(name, value, at, step) for name, value in values.items()]
    points += curves.of_ancestors(client, parent, values, before=step)
    points += [
        Metric(new, run.data.metrics[old], at, step) for old, new in OF_TRAINING.items() if old in run.data.metrics
    ]
    client.log_batch(
        made,
        metrics=points,
        params=[Param(key, str(value)) for key, value in _parameters(tags, params).items() if key not in params],
        tags=[RunTag(name, str(number)) for name, number in headline.counts(figures).items()],
    )
    if tags.get("throwaway") == "true":
        if parent:
            client.set_tag(made, "mlflow.parentRunId", parent.info.run_id)
        return
    client.update_run(made, name=headline.run_name(f"round-{step}", at, tags.get(headline.MODEL, "")))


def _parameters(tags: Mapping[str, str], params: Mapping[str, str]) -> dict[str, str | int]:
    round_ = int(tags[headline.ROUND])
    by_set = [params.get(f"{headline.IMAGES}_{name}", "0") for name in headline.SETS]
    return {
        headline.ROUND: round_,
        headline.PARENT: headline.version(round_ - 1, tags.get("base_digest", "")),
        headline.IMAGES: sum(int(number) for number in by_set if number.isdigit()),
    }
