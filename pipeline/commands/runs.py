"""`wallaby runs`: all rounds and throw-aways that MLflow knows, compared, counted and drawn."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.commands import Answer
from pipeline.commands.gate import record_verdict
from pipeline.evaluation import over_rounds
from pipeline.evaluation import runs as runs_tables
from pipeline.files import write_text
from pipeline.library import classes
from pipeline.library.classes import Classes
from pipeline.pages import runs as page
from pipeline.review import decisions
from pipeline.tracking import Tracking
from pipeline.workspace import Workspace

MIN_CLASS_IMAGES = 10


@dataclass(frozen=True)
class Runs:
    """MLflow's runs, and of them `runs_tables.table` and `runs_tables.sets`; names are today's by `events`."""

    tracking: Tracking
    runs: pd.DataFrame
    table: pd.DataFrame
    sets: pd.DataFrame
    events: Classes
    confidence: float  # of every interval and test

    def as_dict(self) -> list[dict[str, Any]]:
        """One record per version, for machines."""
        return self.table.to_dict("records")

    def artifacts(self, rounds: pd.DataFrame, name: str) -> pd.DataFrame:
        """The tables that each round logged under this name, as one (`runs_tables.gather`)."""
        tables = {
            number: self.tracking.table(run_id, name)
            for number, run_id in zip(rounds["round"], rounds["run_id"], strict=True)
        }
        return runs_tables.gather(tables, self.events)


def read(workspace: Workspace) -> Runs:
    """Reads the runs from MLflow; where it has none, no store is made."""
    tracking, confidence = Tracking(workspace.home), workspace.confidence
    runs = tracking.runs()
    sets = runs_tables.sets(runs, confidence=confidence)
    return Runs(tracking, runs, runs_tables.table(runs), sets, classes.read(workspace.classes), confidence)


def listed(workspace: Workspace) -> Answer:
    """All versions side by side: `Runs`."""
    return Answer(_judged(workspace))


def diff(workspace: Workspace, before: str, after: str) -> Answer:
    """What differs between two versions, named as `runs_tables.find` says.

    Raises:
      UsageError: if there is no such version.
      DataError: if MLflow no longer has the scores of one.
    """
    runs = _judged(workspace)
    rows = [runs_tables.find(runs.table, name) for name in (before, after)]
    stored = [
        runs_tables.stored(runs.tracking.table(row["run_id"], runs_tables.SCORES), row, runs.events) for row in rows
    ]
    found = over_rounds.differences(*stored, confidence=runs.confidence, min_images=MIN_CLASS_IMAGES)
    names = [f"round {row['round']} ({row['model'] or row['run']})" for row in rows]
    return Answer({"before": names[0], "after": names[1]} | over_rounds.as_records(found))


def ledger(workspace: Workspace) -> Answer:
    """What each round cost in labels and minutes, what it brought, and for which classes more labels no longer pay."""
    return Answer(ledger_of(workspace, _judged(workspace)))


def html(workspace: Workspace) -> Answer:
    """Draws all of it into one page."""
    runs, path = _judged(workspace), workspace.cache("runs.html")
    rounds = runs_tables.rounds_of(runs.table)
    text = page.write(
        table=runs.table,
        sets=runs.sets,
        bands=runs.artifacts(rounds, runs_tables.BANDS),
        per_class=runs.artifacts(rounds, runs_tables.PER_CLASS),
        **ledger_of(workspace, runs),
        confidence=runs.confidence,
    )
    write_text(text, path)
    return Answer({"page": path.as_uri()}, f"look at {path.as_uri()}")


def ledger_of(workspace: Workspace, runs: Runs) -> dict[str, Any]:
    """Keys `ledger`, one record per round and set, and `hints`, one record per class."""
    rounds = runs_tables.rounds_of(runs.table)
    sets = runs.sets[runs.sets["run_id"].isin(rounds["run_id"]) & ~runs.sets["set"].isin(over_rounds.NOT_SHOWN)]
    taken = decisions.read_all(workspace.reviews, workspace.root_names)
    costs = over_rounds.ledger(
        rounds,
        sets.assign(round=sets["round"].astype(int)),
        runs_tables.reviewed(taken, runs.runs, rounds),
        confidence=runs.confidence,
    )
    hints = over_rounds.worth_labelling(runs.artifacts(rounds, runs_tables.PER_CLASS), confidence=runs.confidence)
    return {"ledger": costs.to_dict("records"), "hints": hints.to_dict("records")}


def _judged(workspace: Workspace) -> Runs:
    record_verdict(workspace)
    return read(workspace)
