"""`wallaby summary`: the last round in figures."""

from typing import Any

from pipeline import bundle
from pipeline.commands import Answer
from pipeline.files import read_json, read_table
from pipeline.repository import dvc
from pipeline.workspace import Workspace


def summary(workspace: Workspace) -> Answer:
    """Gathers the summaries that the stages of the last round wrote.

    Raises:
      DataError: if the round is not complete.
    """
    card = bundle.check(workspace.model)
    predictions = read_json(workspace.predictions / "summary.json")
    verdict = read_json(workspace.verdict)
    figures: dict[str, Any] = {
        "round": card.round,
        "model": card.model_digest[:12],
        "index": read_json(workspace.index / "summary.json"),
        "curated": read_json(workspace.curated / "summary.json"),
        "splits": read_json(workspace.splits / "summary.json"),
        "training": card.training,
        "metrics": read_json(workspace.evaluation / "metrics.json"),
        "gate": {key: verdict[key] for key in ("verdict", "reason")},
        "predictions": predictions,
        "queue": {
            path.stem: {"images": len(rows), "decisions": int(rows["group"].nunique())}
            for path in sorted(workspace.queue.glob("*.parquet"))
            for rows in [read_table(path, ["group"])]
        },
        "remote": dvc.remote(workspace.root),
    }
    return Answer(figures)
