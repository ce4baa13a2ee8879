"""What turns the wheel from round to round: promoting, and a round in a few words."""

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline import bundle, dvc
from pipeline.errors import DataError, LeakageError
from pipeline.evaluation import audit
from pipeline.files import atomic_folder, digest, read_json, read_table
from pipeline.library import board, history


def promote(model: Path, base: Path, *, curated: Path, splits: Path, evaluation: Path) -> bool:
    """Makes the model the next round's base; returns whether it was not so already.

    The base also keeps what the round had (`history`), so that the next one can say what has changed, and which labels
    its model contradicted (`evaluation.audit`).

    Args:
      curated, splits, evaluation: the round's tables.

    Raises:
      LeakageError: if the model comes from a throw-away run.
      DataError: if the model is incomplete, or not the one the last round made.
    """
    card = bundle.check(model)
    if card.throwaway:
        raise LeakageError("a throw-away model is never a base", where=model, mend="run `dvc repro --force train`")
    if base.exists() and bundle.check(base).model_digest == card.model_digest:
        return False
    if digest(model / bundle.MODEL) != card.model_digest or "changed outs" in dvc.run(
        Path(), "status", "--json", "curate", "split", "train"
    ):
        raise DataError(
            f"{model} is not what the last round made", where="dvc.lock", mend="run `dvc repro`, or `dvc checkout`"
        )
    board_table = board.read(curated / "board.csv")
    kept = base / history.BOARDS
    earlier = read_table(kept) if kept.exists() else history.empty()[1]
    boards = history.extend_boards(earlier, board_table, card.round)
    images = history.snapshot(
        read_table(splits / "splits.parquet"),
        read_table(splits / "left_out.parquet"),
        read_table(curated / "excluded.parquet"),
    )
    with atomic_folder(base) as new:
        bundle.copy(model, new)
        history.write(new, images, boards)
        if (evaluation / audit.FILE).exists():
            shutil.copyfile(evaluation / audit.FILE, new / audit.FILE)
    return True


def record_verdict(model: Path, gate: Path) -> bool:
    """Tells MLflow the gate's verdict on the last round's model, which the stage, being light, could not.

    Returns:
      False where there is nothing to tell: no verdict on this model, or a run that the store does not have.
    """
    if not (gate / "gate.json").exists() or not (model / bundle.CARD).exists():
        return False
    said, card = read_json(gate / "gate.json"), bundle.check(model)
    if said.get("model") != card.model_digest:
        return False
    from pipeline.paths import workspace
    from pipeline.tracking import Tracking

    return Tracking(workspace()).tag(card.run_id, {"gate": said["verdict"], "gate_reason": said["reason"]})


def summary(root: Path) -> dict[str, Any]:
    """The last round in figures, from the summaries that its stages wrote below `root` (the folder `data`).

    Raises:
      DataError: if the round is not complete.
    """
    card = bundle.check(root / "model")
    predictions = read_json(root / "predictions/summary.json")
    return {
        "round": card.round,
        "model": card.model_digest[:12],
        "index": read_json(root / "index/summary.json"),
        "curated": read_json(root / "curated/summary.json"),
        "splits": read_json(root / "splits/summary.json"),
        "training": card.training,
        "metrics": read_json(root / "evaluation/metrics.json"),
        "gate": {key: read_json(root / "gate/gate.json")[key] for key in ("verdict", "reason")},
        "predictions": predictions,
        "queue": {
            path.stem: {"images": len(rows), "decisions": int(rows["group"].nunique())}
            for path in sorted((root / "queue").glob("*.parquet"))
            for rows in [read_table(path, ["group"])]
        },
    }


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
