"""`wallaby release`: makes a model that passed the gate the champion, or goes back to a former one."""

from functools import partial
from pathlib import Path

from pipeline import bundle
from pipeline.commands import Answer, now, records, user
from pipeline.commands.gate import record_verdict
from pipeline.repository import dvc
from pipeline.serving import champions
from pipeline.serving.champions import SHORT, Change
from pipeline.workspace import Workspace


def release(workspace: Workspace, *, force: str = "", by: str = "", dry_run: bool = False) -> Answer:
    """Makes the last round's model the champion.

    Args:
      force: why it becomes the champion although the gate did not pass it.
      by: who decides; by default whom git takes for the author.

    Raises:
      GateError, DataError: see `champions.candidate`.
      WallabyError: if DVC or MLflow refuses.
    """
    model, evaluation = workspace.model, workspace.evaluation
    change = champions.candidate(model, evaluation, workspace.gate, by=by or user(), at=now(), force=force)
    return _installed(workspace, change, model, evaluation, workspace.predictions, dry_run=dry_run)


def roll_back(workspace: Workspace, *, to: str = "", why: str = "", by: str = "", dry_run: bool = False) -> Answer:
    """Makes a former champion the champion again.

    Args:
      to: its round, or the beginning of its digest; by default, the one before.
      why: the reason, which is kept.
      by: who decides; by default whom git takes for the author.

    Raises:
      UsageError, WallabyError: see `champions.former`.
    """
    checkout = partial(dvc.checkout, workspace.root)
    folder, change = champions.former(
        workspace.released, workspace.champions, checkout=checkout, to=to, by=by or user(), at=now(), reason=why
    )
    return _installed(workspace, change, folder, folder, None, dry_run=dry_run)


def _installed(
    workspace: Workspace, change: Change, model: Path, evaluation: Path, predictions: Path | None, *, dry_run: bool
) -> Answer:
    card, released = change.card, workspace.released
    name = f"the model of round {card.round} ({card.model_digest[:SHORT]})"
    if dry_run:
        return Answer(change.row, f"would make {name} the champion: {change.row['action']}")
    former = champions.keep(released, workspace.champions, following=card.model_digest)
    if former:
        dvc.track(workspace.root, former)
    is_new = champions.install(change, model, evaluation, released, predictions, workspace.champions)
    dvc.track(workspace.root, released)
    records.keep(workspace)
    record_verdict(workspace)
    from pipeline.tracking import Tracking

    tracking, tags = Tracking(workspace.home), champions.tags(released, change)
    if not tracking.has_version(card.model_digest):  # an older round, or a clone whose store is new
        tracking.log_model(card.run_id, bundle.load(released), released, candidate=False)
    version = tracking.set_champion(card.run_id, champions.name(card), tags)
    known = f"MLflow's version {version}" if version else "which MLflow hears of with the next command"
    text = f"the champion is now {name}, {known}; next: git commit"
    return Answer(
        change.row | {"released": is_new, "version": version}, text if is_new else f"{name} is the champion already"
    )
