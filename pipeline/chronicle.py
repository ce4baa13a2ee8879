"""What MLflow tells of all rounds and throw-aways, for `wallaby runs`: read once, then compared, counted and drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import config, sections, versions
from pipeline.evaluation import versions as measures
from pipeline.files import write_text
from pipeline.library import classes
from pipeline.library.classes import Classes
from pipeline.pages import runs as page
from pipeline.paths import workspace
from pipeline.review import decisions
from pipeline.tracking import Tracking

MIN_CLASS_IMAGES = 10


@dataclass(frozen=True)
class Chronicle:
    """MLflow's runs, and of them `versions.table` and `versions.sets`; names are today's by `events`."""

    runs: pd.DataFrame
    table: pd.DataFrame
    sets: pd.DataFrame
    events: Classes
    confidence: float


def read(class_events: Path, *, confidence: float) -> Chronicle:
    """Reads MLflow.

    Args:
      confidence: of every interval and test.
    """
    runs, events = Tracking(workspace()).runs(), classes.read(class_events)
    return Chronicle(runs, versions.table(runs), versions.sets(runs, confidence=confidence), events, confidence)


def difference(told: Chronicle, before: str, after: str) -> dict[str, Any]:
    """What differs between two versions, named as `versions.find` says.

    Raises:
      UsageError: if there is no such version.
      DataError: if MLflow no longer has the scores of one.
    """
    rows = [versions.find(told.table, name) for name in (before, after)]
    tracking = Tracking(workspace())
    stored = [versions.stored(tracking.table(row["run_id"], versions.SCORES), row, told.events) for row in rows]
    found = measures.differences(*stored, confidence=told.confidence, min_images=MIN_CLASS_IMAGES)
    names = [f"round {row['round']} ({row['model'] or row['run']})" for row in rows]
    return {"before": names[0], "after": names[1]} | measures.as_records(found)


def ledger(told: Chronicle, reviews: Path) -> dict[str, Any]:
    """What each round cost in labels and minutes, what it brought, and for which classes more labels no longer pay."""
    rounds = versions.rounds_of(told.table)
    sets = told.sets[told.sets["run_id"].isin(rounds["run_id"]) & ~told.sets["set"].isin(measures.NOT_SHOWN)]
    taken = decisions.read_all(reviews, list(config.load(sections.Roots).folders))
    costs = measures.ledger(
        rounds,
        sets.assign(round=sets["round"].astype(int)),
        versions.reviewed(taken, told.runs, rounds),
    )
    hints = measures.worth_labelling(_gathered(told, rounds, versions.PER_CLASS), confidence=told.confidence)
    return {"ledger": costs.to_dict("records"), "hints": hints.to_dict("records")}


def write_page(told: Chronicle, reviews: Path, path: Path) -> None:
    """Draws all of it into one page."""
    rounds = versions.rounds_of(told.table)
    text = page.write(
        table=told.table,
        sets=told.sets,
        bands=_gathered(told, rounds, versions.BANDS),
        per_class=_gathered(told, rounds, versions.PER_CLASS),
        **ledger(told, reviews),
        confidence=told.confidence,
    )
    write_text(text, path)


def _gathered(told: Chronicle, rounds: pd.DataFrame, artifact: str) -> pd.DataFrame:
    tracking = Tracking(workspace())
    tables = {
        number: tracking.table(run_id, artifact)
        for number, run_id in zip(rounds["round"], rounds["run_id"], strict=True)
    }
    return versions.gather(tables, told.events)
