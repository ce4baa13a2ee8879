"""`wallaby summary`: the last round in figures."""

from typing import Any

from pipeline import bundle
from pipeline.commands import Answer
from pipeline.errors import DataError
from pipeline.files import read_json, read_table
from pipeline.repository import dvc
from pipeline.serving import champions
from pipeline.workspace import Workspace


def summary(workspace: Workspace) -> Answer:
    """Gathers the summaries that the stages of the last round wrote.

    Raises:
      DataError: if the round is not complete.
    """
    if not workspace.model.is_dir() and not dvc.has_made(workspace.root, workspace.model):
        raise DataError("there is no round yet", where=workspace.model, mend="`scripts/round` runs the first one")
    card = bundle.check(workspace.model)
    predictions = read_json(workspace.predictions / "summary.json")
    verdict, released = read_json(workspace.verdict), champions.current(workspace.released)
    champion = released is not None and released.model_digest == card.model_digest
    figures: dict[str, Any] = {
        "round": card.round,
        "model": card.model_digest[:12],
        "index": read_json(workspace.index / "summary.json"),
        "curated": read_json(workspace.curated / "summary.json"),
        "splits": read_json(workspace.splits / "summary.json"),
        "training": card.training,
        "metrics": read_json(workspace.evaluation / "metrics.json"),
        "gate": {key: verdict[key] for key in ("verdict", "reason")} | {"champion": champion},
        "predictions": predictions,
        "queue": {
            path.stem: {"images": len(rows), "decisions": int(rows["group"].nunique())}
            for path in sorted(workspace.queue.glob("*.parquet"))
            for rows in [read_table(path, ["group"])]
        },
        "remote": dvc.remote(workspace.root),
    }
    return Answer(figures)
