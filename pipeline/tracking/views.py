"""How MLflow's page shows the rounds: a saved view, which is a tag of the experiment, and the addresses that open it.

MLflow's table shows name, date and duration unless a view says otherwise; the view has its columns and its charts.
"""

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any

from pipeline.evaluation import headline

KIND, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"
ROUNDS = "rounds"  # the view's key
TAG = f"mlflow.sharedViewState.{ROUNDS}"
TITLE = "Rounds"
PACKED = "deflate;"
WORKFLOW = "workflowType=machine_learning"  # else MLflow 3.17 opens every experiment as one of language models
LOSSES, ACCURACIES = ["train_loss", "val_loss"], ["train_accuracy", "val_accuracy"]
NARROW, MIDDLING, WIDE = 75, 100, 150  # pixels
WIDTHS = {headline.PARENT: WIDE, headline.PRESET: MIDDLING, headline.GATE: MIDDLING}
PARAMETERS = [headline.ROUND, headline.PARENT, headline.PRESET, headline.CLASSES, headline.IMAGES]


def view(accuracies: Iterable[str], *, at: int, costs: bool) -> str:
    """The saved view: what a round was made of, its accuracies with their images, what it took, and the gate's verdict.

    Args:
      accuracies: names of metrics (`headline.accuracy`).
      at: milliseconds since 1970.
      costs: whether an hour of training has a price.
    """
    measured = sorted(accuracies, key=lambda name: (name != headline.accuracy("test"), name))
    columns = [f"params.`{name}`" for name in PARAMETERS]
    for name in measured:
        columns += [f"metrics.`{name}`", f"tags.`{headline.images_of(name)}`"]
    taken = [headline.EPOCHS, headline.MINUTES, *([headline.COST] if costs else [])]
    columns += [f"metrics.`{name}`" for name in taken] + [f"tags.`{headline.GATE}`"]
    charts, sections = _charts(measured, taken)
    state: dict[str, Any] = {
        "selectedColumns": [*columns, "attributes.`Models`"],
        "columnOrder": columns,
        "columnWidths": {name: _width(name) for name in columns},
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()  # a tag holds 20,000 characters
    return json.dumps({"name": TITLE, "createdAt": at, "updatedAt": at, "state": f"{PACKED}{packed}"})


def state_of(view: str) -> dict[str, Any]:
    """What a saved view says, unpacked."""
    packed = json.loads(view)["state"].removeprefix(PACKED)
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def _width(column: str) -> int:
    name = column.split("`")[1]
    if name.startswith("benchmark"):
        return WIDE if name.endswith(headline.ACCURACY) else MIDDLING
    return WIDTHS.get(name, MIDDLING if "_" in name else NARROW)


def _charts(accuracies: list[str], taken: list[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    sections = {
        "Accuracy over rounds": [("accuracy over rounds", accuracies), *((name, [name]) for name in accuracies)],
        "Training, epoch by epoch": [("loss", LOSSES), ("accuracy", ACCURACIES), ("rate", ["learning_rate"])],
        "What it took": [(name, [name]) for name in [*taken, headline.BEST_EPOCH, "seconds", "images_per_second"]],
    }
    charts, described = [], []
    for number, (title, lines) in enumerate(sections.items()):
        section = f"section-{number}"
        described.append(
            {
                "uuid": section,
                "name": title,
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
            }
        )
        charts += [
            _line(f"{section}-{place}", section, name, metrics)
            for place, (name, metrics) in enumerate(lines)
            if metrics
        ]
    alone = {metric for chart in charts for metric in chart["selectedMetricKeys"]}
    shown = {chart["metricKey"] for chart in charts if len(chart["selectedMetricKeys"]) == 1}
    for number, metric in enumerate(sorted(alone - shown)):  # else MLflow would add a chart of each
        charts.append(_line(f"left-{number}", "section-1", metric, [metric]) | {"deleted": True})
    return charts, described


def _line(uuid: str, section: str, name: str, metrics: list[str]) -> dict[str, Any]:
    return {
        "type": "LINE",
        "uuid": uuid,
        "metricSectionId": section,
        "isGenerated": True,
        "deleted": False,
        "displayName": name,
        "metricKey": metrics[0],
        "selectedMetricKeys": metrics,
        "runsCountToCompare": 20,
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
        "lineSmoothness": 0,
        "selectedXAxisMetricKey": "",
        "ignoreOutliers": False,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": True,
    }


def address(server: str, experiment_id: str, *, charts: bool = False) -> str:
    """The page of the rounds on a server: the table, or the charts beside it."""
    mode = "&compareRunsMode=CHART" if charts else ""
    return f"{server.rstrip('/')}/#{_path(experiment_id)}{mode}"


def note(experiment_id: str, run: str) -> str:
    """What the experiment's own page says of it, in Markdown; `run` says what one of its runs is."""
    path = _path(experiment_id)
    return (
        f"One run per {run}. [The runs as a table](#{path}), [as charts](#{path}&compareRunsMode=CHART), "
        "or the view **Rounds** under *Views*."
    )


def _path(experiment_id: str) -> str:
    return f"/experiments/{experiment_id}/runs?{WORKFLOW}&viewStateShareKey={ROUNDS}"
