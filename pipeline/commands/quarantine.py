"""`wallaby quarantine`: shows, accepts or takes back what recipe purge-low would put away. No file is deleted."""

import numpy as np
import pandas as pd

from pipeline.commands import Answer, now, user
from pipeline.errors import UsageError
from pipeline.library import quarantine
from pipeline.review import decisions, purging
from pipeline.review.decisions import PURGE_RECIPE
from pipeline.workspace import Workspace


def show(workspace: Workspace) -> Answer:
    """What the last round would put away, and what people said of the sample drawn from it.

    Raises:
      DataError: if the round has not come so far, or a table is not readable.
    """
    audit = _audit(workspace, quarantine.read(workspace.quarantine))
    next_step = "\nnext: wallaby quarantine accept --lost SHARE" if audit.complete else ""
    return Answer(audit, f"{audit}{next_step}")


def accept(
    workspace: Workspace, *, lost: float | None, by: str = "", at: str | None = None, dry_run: bool = False
) -> Answer:
    """Puts the last round's list into quarantine, but for what people named or kept.

    Args:
      lost: the share of good images among them that may be lost, at most.
      by: who decides; git's user.name by default.
      at: when; now by default.

    Raises:
      UsageError: if the sample is not judged yet, or does not exclude a greater loss than `lost`.
    """
    by, at = by or user(), at or now()
    away = quarantine.read(workspace.quarantine)
    audit = _audit(workspace, away)
    if audit.whole.empty:
        raise UsageError("there is nothing to put into quarantine", where=workspace.queue, mend="run `dvc repro`")
    if not audit.complete:
        raise UsageError(
            f"{audit.sample - audit.judged} of the {audit.sample} images drawn are not judged yet",
            where=f"recipe {PURGE_RECIPE} of {workspace.queue}",
            mend="decide them (bad, a class, unknown) in the review",
        )
    if lost is None or lost < audit.bound:
        given = "name the loss that you accept" if lost is None else f"a loss of {lost:.1%} is not excluded"
        raise UsageError(
            f"{given}: at most {audit.bound:.1%} of {len(audit.whole)} images are good",
            where=f"{audit.good} of {audit.judged} judged are",
            mend=f"--lost {np.ceil(audit.bound * 1000) / 1000:g}, or lower purge_far in section queue",
        )
    note = f"at most {audit.bound:.1%} good, {audit.good} of {audit.judged} judged"
    new = audit.whole[~audit.whole["image"].isin(audit.spared)].assign(by=by, at=at, note=note)
    new["score"] = new["score"].map("{:.4f}".format)
    if not dry_run:
        quarantine.write(pd.concat([away, new.astype("str")]), workspace.quarantine)
    done = f"{len(new)} images {_are(dry_run)} in quarantine; `wallaby quarantine undo` takes them back"
    return Answer(audit.as_dict() | {"put_away": len(new)}, f"{audit}\n{done}; next: dvc repro")


def undo(workspace: Workspace, *, dry_run: bool = False) -> Answer:
    """Takes out of quarantine what was put there last.

    Raises:
      UsageError: if nothing is in quarantine.
    """
    away = quarantine.read(workspace.quarantine)
    if away.empty:
        raise UsageError("nothing is in quarantine", where=workspace.quarantine)
    last = away["at"] == away["at"].max()
    if not dry_run:
        quarantine.write(away[~last], workspace.quarantine)
    number = int(last.sum())
    return Answer({"returned": number}, f"{number} images {_are(dry_run)} back in the pool; next: dvc repro")


def _audit(workspace: Workspace, away: pd.DataFrame) -> purging.Audit:
    decided = decisions.read_all(workspace.reviews, workspace.root_names)
    confidence = workspace.confidence
    return purging.audit(workspace.queue, away, decided, confidence=confidence)


def _are(dry_run: bool) -> str:
    return "would be" if dry_run else "are"
