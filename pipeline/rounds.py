"""What turns the wheel from round to round: the first base, promoting, and a round in a few words."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline import bundle, config
from pipeline.errors import DataError, LeakageError, UsageError, WallabyError
from pipeline.evaluation import audit
from pipeline.files import atomic_folder, digest, read_json, read_table
from pipeline.library import board, history, lineage


def init_base(preset_name: str, out: Path, *, seed: int, replace: bool, weights: str = "random") -> bundle.Card:
    """Writes round 0: a network that has seen none of the library's images. Its one output is popped in round 1.

    Args:
      weights: where its weights come from: see `presets.build`.

    Raises:
      UsageError: for an unknown preset, weights that do not fit it, or if there is a base and `replace` is not given.
      DataError: if the weights cannot be read.
    """
    preset = config.load_preset(preset_name)
    refuse_replacing(out, replace=replace)
    from pipeline.models import presets

    model = presets.build(preset, num_classes=1, seed=seed, weights=weights)
    card = bundle.Card(preset_name, preset.image_size, pretrained=presets.pretrained(weights))
    with atomic_folder(out) as new:
        card = bundle.save(bundle.Bundle(model, [], card, lineage.empty()), new)
        history.write(new, *history.empty())
    return card


def refuse_replacing(out: Path, *, replace: bool) -> None:
    """Raises:
    UsageError: if there is a base and `replace` is not given.
    """
    if out.exists() and not replace:
        raise UsageError(
            "there is a base already",
            where=out,
            mend="`wallaby promote` opens the next round; --replace starts again, and forgets what the base has learnt",
        )


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
    if digest(model / bundle.MODEL) != card.model_digest or "changed outs" in dvc(
        "status", "--json", "curate", "split", "train"
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


def track_with_dvc(folder: Path) -> None:
    """Puts a source folder under DVC, so that a commit says what the round started from.

    Raises:
      WallabyError: with DVC's own words, if it refuses.
    """
    dvc("add", "--quiet", str(folder))


def warnings_of_replacing(base: Path) -> list[str]:
    """What a person should know before this base is replaced: where it can be had from afterwards, if anywhere.

    Nothing is said of a base that a remote has and git names.
    """
    if not base.exists():
        return []
    card, tracked = bundle.check(base), Path(f"{base}.dvc")
    name = f"the base of round {card.round} ({card.model_digest[:12]})"
    commit = _commit_of(tracked)
    if not commit:
        return [
            f"{name} will be lost: git has no commit with its {tracked}; keep it first:"
            f" `git add {tracked}; git commit`, and `dvc push {tracked}`"
        ]
    back = f"`git checkout {commit} -- {tracked}; dvc checkout {tracked}` brings it back"
    try:
        if not _remote():
            return [f"{name} will be in this machine's DVC cache only, no remote is configured; {back}"]
        if json.loads(dvc("status", "--cloud", "--json", str(tracked))):
            return [
                f"{name} will be in this machine's DVC cache only, the remote lacks it: `dvc push {tracked}`; {back}"
            ]
    except WallabyError as error:
        return [f"whether a remote has {name} cannot be asked ({error.what}); this machine's DVC cache has it: {back}"]
    return []


def _remote() -> str:
    """The name of DVC's default remote; "" if there is none."""
    try:
        return dvc("config", "core.remote").strip()
    except WallabyError:  # some versions of DVC call an option that is not set an error
        return ""


def _commit_of(tracked: Path) -> str:
    """The last commit whose version of a file is the one that is there; "" if none is."""
    if not tracked.exists():
        return ""
    blob = _git("hash-object", str(tracked))
    return _git("log", "--all", "--format=%h", "-1", f"--find-object={blob}", "--", str(tracked))


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def dvc(*arguments: str) -> str:
    """Runs DVC and returns what it printed.

    Raises:
      WallabyError: with the last line of its error.
    """
    result = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no reason given"]
        raise WallabyError(f"dvc {arguments[0]}: {lines[-1]}", mend="`dvc doctor` tells about this repository's DVC")
    return result.stdout


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
    from pipeline import tracking

    return tracking.tag(card.run_id, {"gate": said["verdict"], "gate_reason": said["reason"]})


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
