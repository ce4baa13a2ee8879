"""What the transaction log tells: tables for people, pages and notebooks.

from pipeline.serving import reports

told = reports.load("sqlite:///data/serving/transactions.sqlite", since="2026-03-01")
told["accuracy_by_version"]
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from pipeline.errors import DataError
from pipeline.evaluation import class_mix
from pipeline.serving.reports import accuracy, capabilities, drift, effort, model_comparison, periods, use
from pipeline.serving.reports.log import Log
from pipeline.serving.store.opening import open_existing

REFERENCE_DAYS = 7.0


@dataclass(frozen=True)
class BesideTheLog:
    """What is known beside the log; every part may be missing.

    Attributes:
      labels: the label table.
      board: of the library.
      pool: how many images of the pool the last model names as each class.
      thresholds: of the released model's classes that have their own.
      ledger, costs: as `runs.ledger_of` tells them.
      cost_per_hour: of a reviewer.
      minutes_by_hand: that a person needs for an answer; 0 if it is not known.
    """

    labels: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["by", "at", "model"], dtype="str"))
    board: pd.DataFrame | None = None
    pool: dict[str, int] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    costs: list[dict[str, Any]] = field(default_factory=list)
    cost_per_hour: float = 0.0
    minutes_by_hand: float = 0.0


@dataclass(frozen=True)
class Report:
    """The tables by name, as the functions of this package return them; `report[NAME]` is one.

    Attributes:
      since, until: the first and the last transaction.
      unit: hour, day or week: what tables over time tell by.
      releases: the versions that served, the first first.
      confidence: of every interval.
      tables: use, clients, versions, peaks, refusals, accuracy, coverage, accuracy_over_time, accuracy_by_version,
        accuracy_by_band, accuracy_by_class, verdicts, expected, versus, shadow, asked_for, drift, class_mix, effort,
        costs, labels, audits, capabilities, design.
    """

    since: pd.Timestamp
    until: pd.Timestamp
    unit: str
    releases: list[str]
    confidence: float
    tables: dict[str, pd.DataFrame]

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.tables[name]


def load(
    url: str,
    *,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    confidence: float = 0.95,
    reference_days: float = REFERENCE_DAYS,
    beside: BesideTheLog = BesideTheLog(),
) -> Report:
    """Reads a store and returns all that is told of it.

    Args:
      url: of the store, as SQLAlchemy writes it.
      since, until: from when on, and before when; UTC unless they say otherwise.
      confidence: of every interval.
      reference_days: see `drift.find`.

    Raises:
      UsageError: for what is no URL, or no date.
      DataError: if there is no transaction in that time.
      ResumableError: if the database does not answer.
    """
    engine = open_existing(url)
    if engine is None:
        raise DataError("nothing has been served yet", where=url, mend="`wallaby serve`, and ask it something")
    log = Log(engine, since=periods.microseconds(since), until=periods.microseconds(until))
    try:
        return tell(log, url, confidence=confidence, reference_days=reference_days, beside=beside)
    finally:
        engine.dispose()


def shown_by_version(url: str) -> pd.DataFrame | None:
    """Columns `version`, `shown`: answers that a user saw, by the version that gave them; None if nothing was served.

    Raises:
      UsageError, ResumableError: as `load`.
    """
    engine = open_existing(url)
    if engine is None:
        return None
    try:
        return Log(engine).shown_by_version()
    finally:
        engine.dispose()


def tell(log: Log, where: object, *, confidence: float, reference_days: float, beside: BesideTheLog) -> Report:
    """As `load`, of an open log."""
    rows = log.transactions()
    if rows.empty:
        raise DataError("there is no transaction in that time", where=where, mend="name another --since or --until")
    unit = periods.unit_for(rows["at"])
    tables = {
        "use": use.over_time(rows, unit),
        "clients": use.by_client(rows),
        "versions": use.by_version(rows),
        "peaks": use.peaks(rows),
        "refusals": use.refusals(rows),
        "drift": drift.find(rows, unit, reference_days=reference_days),
        "class_mix": class_mix.beside(
            {} if beside.board is None else dict(zip(beside.board["label"], beside.board["images"], strict=True)),
            pool=beside.pool,
            served=use.named(rows),
        ),
    }
    since, until = periods.times(rows["at"].agg(["min", "max"]))
    answered = int((rows["status"] == 200).sum())
    del rows
    releases, drawn, said = log.releases(), log.audits(), log.evaluations()
    served = tables["versions"]["version"].tolist()
    ordered = [name for name in releases["version"] if name in served]
    ordered = [name for name in served if name not in ordered] + ordered
    units, design = accuracy.judged(drawn, said)
    known = releases.set_index("version").to_dict("index")
    newest = known.get(ordered[-1]) if ordered else None
    by_version = accuracy.by_version(units, design, confidence=confidence)
    tables |= {
        "accuracy": accuracy.overall(units, design, confidence=confidence),
        "coverage": accuracy.coverage(answered, design),
        "accuracy_over_time": accuracy.over_time(units, design, unit, confidence=confidence),
        "accuracy_by_version": by_version,
        "accuracy_by_band": accuracy.by_band(units, design, confidence=confidence),
        "accuracy_by_class": accuracy.by_class(units, design, confidence=confidence),
        "verdicts": accuracy.by_source(said),
        "expected": accuracy.against_expected(by_version, releases, confidence=confidence),
        "versus": model_comparison.served(units, design, ordered, unit=unit, confidence=confidence),
        "shadow": model_comparison.shadowed(units, log.shadows(), design, confidence=confidence),
        "asked_for": accuracy.not_in_classes(
            units, design, said, newest["classes"] if newest else [], confidence=confidence
        ),
        "effort": effort.per_round(beside.ledger, cost_per_hour=beside.cost_per_hour),
        "costs": effort.costs(
            beside.costs,
            tables["versions"],
            cost_per_hour=beside.cost_per_hour,
            minutes_by_hand=beside.minutes_by_hand,
        ),
        "labels": effort.labels_by_month(beside.labels),
        "audits": effort.audit_effort(said),
        "design": design.reset_index(),
    }
    if newest:
        own = units[units["version"] == ordered[-1]]
        tables["capabilities"] = capabilities.of(
            newest,
            accuracy.by_class(own, design, confidence=confidence),
            thresholds=beside.thresholds,
            board=beside.board,
            confidence=confidence,
        )
    else:
        tables["capabilities"] = pd.DataFrame(columns=capabilities.COLUMNS)
    return Report(since, until, unit, ordered, confidence, tables)
