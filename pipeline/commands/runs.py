"""`wallaby runs`: all rounds by their records, and what MLflow knows besides, compared, counted and drawn."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline import sections
from pipeline.commands import Answer, records, warn
from pipeline.errors import DataError, WallabyError
from pipeline.evaluation import over_rounds, recorded_runs, round_costs, round_record
from pipeline.evaluation import runs as runs_tables
from pipeline.evaluation.round_record import Record
from pipeline.files import read_table, write_text
from pipeline.library import classes
from pipeline.library.classes import Classes
from pipeline.pages import runs as page
from pipeline.repository import dvc
from pipeline.review import decisions
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.tracking import Tracking

MIN_CLASS_IMAGES = 10
STORE = "MLFLOW_TRACKING_URI"
RECORDED = {runs_tables.PER_CLASS: round_record.per_class_table, runs_tables.BANDS: round_record.band_table}


@dataclass(frozen=True)
class Runs:
    """The runs, and of them `runs_tables.table` and `runs_tables.sets`; names are today's by `events`.

    Attributes:
      records: by run id, those of `runs` that have one.
      tracking: MLflow's store; None where there is none.
      confidence: of every interval and test.
    """

    runs: pd.DataFrame
    table: pd.DataFrame
    sets: pd.DataFrame
    events: Classes
    confidence: float
    records: dict[str, Record] = field(default_factory=dict)
    tracking: "Tracking | None" = None

    def as_dict(self) -> list[dict[str, Any]]:
        """One record per version, for machines."""
        return self.table.to_dict("records")

    def artifacts(self, rounds: pd.DataFrame, name: str) -> pd.DataFrame:
        """The tables of each round that go by this name, as one (`runs_tables.gather`)."""
        tables: dict[int, pd.DataFrame | None] = {}
        for number, run_id in zip(rounds["round"], rounds["run_id"], strict=True):
            recorded = RECORDED[name](self.records[run_id]) if run_id in self.records else None
            if recorded is not None and len(recorded):
                tables[number] = recorded
            else:
                tables[number] = self.tracking.table(run_id, name) if self.tracking else None
        return runs_tables.gather(tables, self.events)


def read(workspace: Workspace) -> Runs:
    """Reads the rounds from `data/rounds`, and from MLflow's store, where there is one, what else it has.

    A complete round without a record gets one first; so do, once, the rounds that only the store knows.
    """
    records.keep(workspace)
    known = records.read(workspace)
    tracking, runs = _stored(workspace)
    if tracking is not None and len(runs):
        if records.make_old(workspace, tracking, runs, known):
            known = records.read(workspace)
        known = records.with_starts(workspace, known, runs)
    runs = _together(recorded_runs.as_runs(known), runs)
    return Runs(
        runs,
        runs_tables.table(runs),
        runs_tables.sets(runs, confidence=workspace.confidence),
        classes.read(workspace.classes),
        workspace.confidence,
        {recorded_runs.run_id(record): record for record in known},
        tracking,
    )


def listed(workspace: Workspace) -> Answer:
    """All versions side by side: `Runs`."""
    return Answer(_judged(workspace))


def diff(workspace: Workspace, before: str, after: str) -> Answer:
    """What differs between two versions, named as `runs_tables.find` says.

    It is paired image by image where the scores of both are at hand: in the workspace, in DVC's cache or in MLflow.
    Else it is what the records of both say (`recorded_runs.compared`), and `without` names the versions without scores.

    Raises:
      UsageError: if there is no such version.
      DataError: if there is neither a record nor the scores of one.
    """
    runs = _judged(workspace)
    rows = [runs_tables.find(runs.table, name) for name in (before, after)]
    names = [f"round {row['round']} ({row['model'] or row['run']})" for row in rows]
    both = [runs.records.get(row["run_id"]) for row in rows]
    scores = [_scores(workspace, runs, row) for row in rows]
    data: dict[str, Any] = {"before": names[0], "after": names[1]}
    recorded = [record for record in both if record is not None]
    if len(recorded) == 2:
        data["settings"] = recorded_runs.changed_settings(*recorded)
        if any(table is None for table in scores):
            without = [name for name, table in zip(names, scores, strict=True) if table is None]
            compared = recorded_runs.compared(*recorded, confidence=runs.confidence)
            return Answer(data | {"without": without} | compared)
    stored = [runs_tables.stored(table, row, runs.events) for table, row in zip(scores, rows, strict=True)]
    differences = over_rounds.differences(*stored, confidence=runs.confidence, min_images=MIN_CLASS_IMAGES)
    return Answer(data | over_rounds.as_records(differences))


def ledger(workspace: Workspace) -> Answer:
    """What each round cost in labels, minutes and training, what it brought, and where more labels no longer pay."""
    return Answer(ledger_of(workspace, _judged(workspace), shown=_shown(workspace)))


def html(workspace: Workspace) -> Answer:
    """Draws all of it into one page."""
    runs, path = _judged(workspace), workspace.cache("runs.html")
    rounds = runs_tables.rounds_of(runs.table)
    text = page.write(
        table=runs.table,
        sets=runs.sets,
        bands=runs.artifacts(rounds, runs_tables.BANDS),
        per_class=runs.artifacts(rounds, runs_tables.PER_CLASS),
        **ledger_of(workspace, runs, shown=_shown(workspace)),
        confidence=runs.confidence,
        minutes_by_hand=workspace.params(sections.Report).minutes_by_hand,
    )
    write_text(text, path)
    return Answer({"page": path.as_uri()}, f"look at {path.as_uri()}")


def rebuild(workspace: Workspace) -> Answer:
    """Makes a run in MLflow's store of each record that it has none of; doing so twice makes none."""
    from pipeline.tracking import Tracking
    from pipeline.tracking import records as of_runs

    records.keep(workspace)
    tracking = Tracking(workspace.home)
    made = of_runs.fill(tracking, records.read(workspace))
    text = f"made {len(made)} run{'' if len(made) == 1 else 's'} in {tracking.uri}: {', '.join(made)}"
    return Answer({"store": tracking.uri, "made": made}, text if made else f"{tracking.uri} has every round already")


def ledger_of(workspace: Workspace, runs: Runs, *, shown: pd.DataFrame | None = None) -> dict[str, Any]:
    """Keys `ledger`, one record per round and set, `costs`, one per round, and `hints`, one per class.

    Args:
      shown: answers shown to users, by `round`; None where nothing was served.
    """
    rounds = runs_tables.rounds_of(runs.table)
    sets = runs.sets[runs.sets["run_id"].isin(rounds["run_id"]) & ~runs.sets["set"].isin(over_rounds.NOT_SHOWN)]
    taken = decisions.read_all(workspace.reviews, workspace.root_names)
    reviewed, prices = runs_tables.reviewed(taken, runs.runs, rounds), workspace.params(sections.Report)
    costs = round_costs.per_round(runs_tables.trained(runs.runs, rounds), reviewed, shown, **prices.prices())
    table = over_rounds.ledger(
        rounds, sets.assign(round=sets["round"].astype(int)), reviewed, costs, confidence=runs.confidence
    )
    hints = over_rounds.worth_labelling(runs.artifacts(rounds, runs_tables.PER_CLASS), confidence=runs.confidence)
    return {
        "ledger": table.to_dict("records"),
        "costs": costs.to_dict("records"),
        "hints": hints.to_dict("records"),
    }


def _judged(workspace: Workspace) -> Runs:
    if _has_store(workspace):
        from pipeline.commands.gate import record_verdict  # here, as MLflow below: without a store, nobody waits for it

        record_verdict(workspace)
    return read(workspace)


def _has_store(workspace: Workspace) -> bool:
    """Whether there is a store to read; else MLflow, whose import takes seconds, is not needed."""
    return bool(os.environ.get(STORE)) or (workspace.home / "mlflow.db").exists()


def _stored(workspace: Workspace) -> "tuple[Tracking | None, pd.DataFrame]":
    """MLflow's store and its runs; None and none where there is no store, or it is not readable."""
    nothing = pd.DataFrame(columns=["run_id", "start_time"])
    if not _has_store(workspace):
        return None, nothing
    from pipeline.tracking import Tracking

    tracking = Tracking(workspace.home)
    return tracking, tracking.runs()


def _together(recorded: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """The rows of both, oldest first; of a round that both have, the record's."""
    if recorded.empty or stored.empty:
        return stored if recorded.empty else recorded
    twice = stored["run_id"].isin(recorded["run_id"])
    if "tags.model_digest" in stored:
        same = stored["tags.model_digest"].isin(recorded["tags.model_digest"])
        # Equal weights have equal digests: a throw-away that repeats a round's training is a run of its own.
        twice |= same & (stored.get("tags.throwaway", pd.Series("", stored.index)) != "true")
    both = pd.concat([recorded, stored[~twice]], ignore_index=True)
    started = pd.to_datetime(both["start_time"], utc=True)
    return both.assign(start_time=started).copy().sort_values("start_time", kind="stable", ignore_index=True)


def _scores(workspace: Workspace, runs: Runs, row: pd.Series) -> pd.DataFrame | None:
    """The compact scores of a version, from the nearest place that has them; None if no place has."""
    record, place = runs.records.get(row["run_id"]), None
    if record is not None:
        place = workspace.scores if _is_of(workspace.scores, record.model_digest) else None
        if place is None and record.scores_md5:
            place = dvc.cached(workspace.root, record.scores_md5)
    if place is not None:
        return over_rounds.compact(read_table(place, over_rounds.SCORED, optional=["cluster"]))
    return runs.tracking.table(row["run_id"], runs_tables.SCORES) if runs.tracking else None


def _is_of(scores: Path, model: str) -> bool:
    """Whether a table of scores is there, whole, and that of this model."""
    try:
        return scores.exists() and set(read_table(scores, ["model"])["model"]) == {model}
    except DataError:
        return False


def _shown(workspace: Workspace) -> pd.DataFrame | None:
    """Answers shown to users by round, from the log of what was served; None where there is none to read."""
    from pipeline.serving import reports  # here: a list of rounds does not need what reads databases

    try:
        versions = reports.shown_by_version(workspace.params(sections.Serve).store)
    except WallabyError as error:
        warn([f"what was served cannot be read: {error.what}"])
        return None
    return None if versions is None else round_costs.shown_by_round(versions)
