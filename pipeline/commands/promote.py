"""`wallaby promote`: makes the last round's model the next round's base."""

import shutil

from pipeline import bundle
from pipeline.bundle import Card
from pipeline.commands import Answer, records, warn
from pipeline.commands.gate import record_verdict
from pipeline.errors import DataError, LeakageError
from pipeline.evaluation import audit
from pipeline.files import atomic_folder, digest, read_table
from pipeline.library import board, history
from pipeline.repository import dvc
from pipeline.workspace import Workspace


def promote(workspace: Workspace, *, dry_run: bool = False) -> Answer:
    """Makes the model the next round's base, and names a base that would be lost by it.

    The base also keeps what the round had (`history`), so that the next one can say what has changed, and which labels
    its model contradicted (`evaluation.audit`).

    Raises:
      LeakageError: if the model comes from a throw-away run.
      DataError: if the model is incomplete, or not the one that the last round made.
    """
    model, base = workspace.model, workspace.base
    card = bundle.check(model)
    is_new = not base.exists() or bundle.check(base).model_digest != card.model_digest
    if is_new:
        warn(dvc.warnings_of_replacing(workspace.root, base))
    if dry_run:
        return Answer(vars(card), f"would make the model of round {card.round} the base")
    if card.throwaway:
        raise LeakageError("a throw-away model is never a base", where=model, mend="run `dvc repro --force train`")
    record_verdict(workspace)  # the next round replaces the model, and nobody could tell MLflow any more
    if is_new:
        _refuse_another_model(workspace, card)
        _replace_base(workspace, card)
    dvc.track(workspace.root, base)
    records.keep(workspace)
    text = f"the base is now the model of round {card.round}; next: dvc repro"
    return Answer({"round": card.round, "promoted": is_new}, text if is_new else "the base is this model already")


def _refuse_another_model(workspace: Workspace, card: Card) -> None:
    same = digest(workspace.model / bundle.MODEL) == card.model_digest
    status = dvc.run(workspace.root, "status", "--json", "curate", "split", "train") if same else ""
    if not same or "changed outs" in status:
        raise DataError(
            f"{workspace.model} is not what the last round made",
            where="dvc.lock",
            mend="run `dvc repro`, or `dvc checkout`",
        )


def _replace_base(workspace: Workspace, card: Card) -> None:
    before = workspace.base / history.BOARDS
    boards = read_table(before) if before.exists() else history.empty()[1]
    boards = history.extend_boards(boards, board.read(workspace.board), card.round)
    images = history.snapshot(
        read_table(workspace.splits_table), read_table(workspace.left_out), read_table(workspace.excluded)
    )
    contradicted = workspace.evaluation / audit.FILE
    with atomic_folder(workspace.base) as new:
        bundle.copy(workspace.model, new)
        history.write(new, images, boards)
        if contradicted.exists():
            shutil.copyfile(contradicted, new / audit.FILE)
