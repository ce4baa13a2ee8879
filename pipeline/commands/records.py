"""The records of rounds in `data/rounds`: copied there once a round is complete, read, and made of an older store."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.commands import Answer, log, warn
from pipeline.errors import DataError, WallabyError
from pipeline.evaluation import recorded_runs, round_record
from pipeline.evaluation.round_record import Record, Release
from pipeline.files import write_text
from pipeline.repository import old_rounds
from pipeline.serving import champions
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.tracking import Tracking


def record_round(workspace: Workspace) -> Answer:
    """Copies the record of the round that is complete to `data/rounds`; doing so twice changes nothing."""
    written = keep(workspace)
    return Answer({"recorded": [str(path) for path in written]})


def keep(workspace: Workspace) -> list[Path]:
    """Copies the record of the last complete round, and notes in the records which models were released when.

    A record is written once. Only a new evaluation of the same model renews it (`round_record.renewed`). The model of a
    throw-away run gets none. What cannot be read is a warning: no command ends for it.

    Returns:
      The files that were written.
    """
    if workspace.throwaway:
        return []
    records, faults = round_record.read_all(workspace.rounds)
    by_model = {record.model_digest: record for record in records}
    changed: dict[str, Record] = {}
    try:
        if (made := _complete(workspace)) is not None:
            before = by_model.get(made.model_digest)
            if before is None or (now := round_record.renewed(before, made)) != before:
                changed[made.model_digest] = made if before is None else now
    except DataError as error:
        warn([f"the last round is not recorded: {error.where}: {error.what}"])
    by_model |= changed
    changed |= _with_releases(workspace, by_model)
    warn(
        f"{error.where} is left out: {error.what}; {error.mend}" for error in faults if not _is_renewed(error, changed)
    )
    return write(workspace, changed.values())


def read(workspace: Workspace) -> list[Record]:
    """All records, oldest first; files that are not records are left out (`keep` names them)."""
    return round_record.read_all(workspace.rounds)[0]


def write(workspace: Workspace, records: Iterable[Record]) -> list[Path]:
    """Writes each record to its file, and says so; returns the files."""
    written = []
    for record in records:
        path = workspace.rounds / record.name
        write_text(round_record.to_text(record), path)
        log(f"recorded: {path}; commit it with the round")
        written.append(path)
    return written


def make_old(workspace: Workspace, tracking: "Tracking", runs: pd.DataFrame, known: list[Record]) -> list[Path]:
    """Records the rounds that an older program has left in MLflow's store alone, once; returns the files.

    Of a store that the user has named, which may have the runs of other repositories, only the ancestors of the present
    model count.

    Args:
      runs: `Tracking.runs`.
      known: the records that there are.
    """
    from pipeline.tracking import records as of_runs

    there = {record.model_digest for record in known} | {record.run_id for record in known}
    rows = [row for row in runs.to_dict("records") if not {row["run_id"], row.get("tags.model_digest")} & there]
    if not tracking.is_here:
        ancestors = _ancestors(workspace, runs)
        rows = [row for row in rows if row["run_id"] in ancestors]
    if not rows:
        return []
    judged = old_rounds.judged(workspace.root)
    made: dict[str, Record] = {}
    models = dict(zip(runs["run_id"], runs["tags.model_digest"], strict=True)) if "tags.model_digest" in runs else {}
    for row in rows:
        if pd.isna(row.get("tags.base_digest")):  # the first versions named the parent's run alone
            row["tags.base_digest"] = models.get(row.get("tags.base_run_id"))
        git = judged.get(str(row.get("tags.model_digest")), old_rounds.Judged())
        record = recorded_runs.of_run(
            row,
            per_class=tracking.table(row["run_id"], "per_class.csv"),
            bands=tracking.table(row["run_id"], "bands.parquet"),
            curve=of_runs.curve(tracking, row),
            recipe=of_runs.recipe(tracking, row),
            scores_md5=git.scores_md5,
            gate=round_record.Gate(verdict=git.verdict, reason=git.reason, champion=git.champion),
        )
        if record is not None:
            made[record.model_digest] = record
    made |= _with_releases(workspace, made)
    return write(workspace, made.values())


def with_starts(workspace: Workspace, records: list[Record], runs: pd.DataFrame) -> list[Record]:
    """The records, those that do not say when training began completed from MLflow's runs, in their files, too."""
    if runs.empty:
        return records
    began = runs.set_index("run_id")["start_time"]
    late = {
        record.model_digest: record.model_copy(update={"started": began[record.run_id].isoformat()})
        for record in records
        if not record.started and record.run_id in began.index and pd.notna(began[record.run_id])
    }
    write(workspace, late.values())
    return round_record.in_order(late.get(record.model_digest, record) for record in records)


def _complete(workspace: Workspace) -> Record | None:
    """The record of the last round that came to its queue; None before the first, and for a throw-away model."""
    return round_record.read(workspace.round, named=False) if workspace.round.exists() else None


def _with_releases(workspace: Workspace, records: dict[str, Record]) -> dict[str, Record]:
    """The records of models whose releases the champion's history knows better."""
    try:
        history = champions.history(workspace.released)
    except WallabyError as error:
        warn([f"{error.where}: {error.what}"])
        return {}
    events: dict[str, list[dict[str, Any]]] = {}
    for row in history.to_dict("records"):
        events.setdefault(row["model"], []).append(row)
    renewed = {}
    for digest, rows in events.items():
        if digest not in records:
            continue
        before = records[digest].releases
        known = {event.at for event in before}
        new = [_release(row) for row in rows if row["at"] not in known]
        if any(new):
            renewed[digest] = records[digest].model_copy(
                update={"releases": sorted([*before, *filter(None, new)], key=lambda event: event.at)}
            )
    return renewed


def _release(row: dict[str, Any]) -> Release | None:
    try:
        return Release(**{name: row[name] for name in ("at", "by", "action", "reason")})
    except ValueError:  # a time that a person has mistyped
        return None


def _is_renewed(error: DataError, changed: dict[str, Record]) -> bool:
    return Path(error.where).name in {record.name for record in changed.values()}


def _ancestors(workspace: Workspace, runs: pd.DataFrame) -> set[str]:
    """The runs that the present model and the base come from, their own among them."""
    from pipeline import bundle

    ancestors, parents = set(), {}
    if "tags.base_run_id" in runs:
        parents = dict(zip(runs["run_id"], runs["tags.base_run_id"].fillna(""), strict=True))
    for folder in (workspace.model, workspace.base):
        run_id = bundle.check(folder).run_id if (folder / bundle.CARD).exists() else ""
        while run_id and run_id not in ancestors:
            ancestors.add(run_id)
            run_id = parents.get(run_id, "")
    return ancestors
