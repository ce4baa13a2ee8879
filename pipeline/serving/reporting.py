"""The report of a workspace: what its log and its rounds tell, as a page, as tables, and in MLflow."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import champion, config, paths, sections
from pipeline.evaluation import thresholds
from pipeline.files import write_csv, write_text
from pipeline.library import board, labels
from pipeline.pages import serving as page
from pipeline.serving.reports import Report, Workspace, findings


def workspace(*, cost_per_hour: float) -> Workspace:
    """What this workspace tells beside the log; parts that it does not have are left out."""
    told = Workspace(cost_per_hour=cost_per_hour)
    parts: dict[str, Any] = {}
    if paths.LABELS.exists():
        from pipeline import chronicle  # here, as below: it brings MLflow along, and tables need it not

        parts["labels"] = labels.read(paths.LABELS, list(config.load(sections.Roots).folders))
        versions = chronicle.read(paths.CLASSES, confidence=config.load(sections.Evaluate).confidence)
        parts["ledger"] = chronicle.ledger(versions, paths.REVIEWS)["ledger"]
    if (paths.CURATED / "board.csv").exists():
        parts["board"] = board.read(paths.CURATED / "board.csv")
    card, limits = champion.current(paths.RELEASED), paths.RELEASED / thresholds.FILE
    if card and limits.exists():
        parts["thresholds"] = thresholds.read(limits, card.model_digest).classes
    return Workspace(**(vars(told) | parts))


def html(report: Report) -> str:
    """The page: one file that needs nothing else."""
    return page.write(
        since=report.since,
        until=report.until,
        unit=report.unit,
        releases=report.releases,
        tables=report.tables,
        findings=findings.of(report),
        confidence=report.confidence,
    )


def write(report: Report, out: Path, csv: Path | None = None) -> list[Path]:
    """Writes the page and, if a folder is given, each table as NAME.csv; returns the files."""
    write_text(html(report), out)
    tables = {csv / f"{name}.csv": table for name, table in report.tables.items()} if csv else {}
    for path, table in tables.items():
        write_csv(table, path)
    return [out, *tables]


def as_dict(report: Report) -> dict[str, Any]:
    """For JSON: times as ISO 8601, what is not known as null."""
    return {
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
        "unit": report.unit,
        "releases": report.releases,
        "findings": [vars(finding) for finding in findings.of(report)],
        "tables": {name: _records(table) for name, table in report.tables.items()},
    }


def log(report: Report, files: list[Path]) -> str:
    """Tells MLflow: a run in the experiment of served models, with figures, curves and what `write` has written;
    returns its id."""
    from pipeline.tracking import Tracking

    figures = {f"serving/{row['measure']}": row for row in report["accuracy"].to_dict("records")}
    metrics = {name: row["share"] for name, row in figures.items()}
    metrics |= {f"{name} {end}": row[end] for name, row in figures.items() for end in ("low", "high")}
    metrics |= {
        "serving/pictures": float(report["use"]["pictures"].sum()),
        "serving/p99_ms": float(report["use"]["p99_ms"].max()),
        "serving/drifts": float((report["drift"]["drift"] != "").sum()),
    }
    curves = {
        "serving/right over time": report["accuracy_over_time"].set_index("start")["share"],
        "serving/pictures over time": report["use"].set_index("start")["pictures"],
    }
    tags = {
        "versions": ", ".join(report.releases),
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
    }
    name = f"{report.since:%Y-%m-%d} to {report.until:%Y-%m-%d}"
    return Tracking(paths.workspace()).log_serving(name, metrics, curves, files, tags)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None).replace({np.inf: None})
    return [{str(key): _plain(value) for key, value in row.items()} for row in plain.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
