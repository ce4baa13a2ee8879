"""`wallaby report`: how the served model is used and how right it is, as a page, as tables, and in MLflow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import sections
from pipeline.commands import Answer, runs
from pipeline.evaluation import thresholds
from pipeline.files import write_csv, write_text
from pipeline.inference import pool_predictions
from pipeline.library import board, labels
from pipeline.pages import serving as page
from pipeline.serving import champions, reports
from pipeline.serving.reports import Report, findings
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.tracking import Tracking


def report(
    workspace: Workspace,
    *,
    out: Path | None = None,
    csv: Path | None = None,
    since: str | None = None,
    until: str | None = None,
    store: str = "",
    mlflow: bool = False,
) -> Answer:
    """Reads the log of what was served, and writes the report on it.

    Args:
      out: the page; by default below `data/serving`.
      csv: a folder that also gets each table.
      since, until: from when on, and before when, UTC.
      store: its address; by default that of serve.store.
      mlflow: also logs it as a run of the experiment wallaby-serving.

    Raises:
      DataError: if nothing has been served, or not in that time.
      UsageError: if `since` or `until` is not a date.
    """
    params, out = workspace.params(sections.Report), out or workspace.serving_report
    made = reports.load(
        store or workspace.params(sections.Serve).store,
        since=since,
        until=until,
        confidence=workspace.confidence,
        reference_days=params.reference_days,
        beside=beside_the_log(workspace, params),
    )
    files = write(made, out, csv)
    if mlflow:
        from pipeline.tracking import Tracking

        log(Tracking(workspace.home), made, files)
    lines = [f"{finding.kind:>4}  {finding.text}" for finding in findings.of(made)]
    tables = f", and {len(files) - 1} tables in {csv}" if csv else ""
    return Answer(as_dict(made), "\n".join([*lines, f"look at {out.resolve().as_uri()}{tables}"]))


def beside_the_log(workspace: Workspace, params: sections.Report) -> reports.BesideTheLog:
    """What the workspace tells beside the log; parts that it does not have are left out."""
    parts: dict[str, Any] = {}
    if workspace.labels.exists():
        parts["labels"] = labels.read(workspace.labels, workspace.root_names)
        ledger = runs.ledger_of(workspace, runs.read(workspace))
        parts |= {name: ledger[name] for name in ("ledger", "costs")}
    if workspace.board.exists():
        parts["board"] = board.read(workspace.board)
        parts["pool"] = pool_predictions.named(workspace.predictions)
    card, limits = champions.current(workspace.released), workspace.released / thresholds.FILE
    if card and limits.exists():
        parts["thresholds"] = thresholds.read(limits, card.model_digest).classes
    return reports.BesideTheLog(
        cost_per_hour=params.reviewer_cost_per_hour, minutes_by_hand=params.minutes_by_hand, **parts
    )


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
    """The report for machines."""
    return {
        "since": report.since,
        "until": report.until,
        "unit": report.unit,
        "releases": report.releases,
        "findings": findings.of(report),
        "tables": report.tables,
    }


def log(tracking: "Tracking", report: Report, files: list[Path]) -> str:
    """Logs a run in the experiment of served models and returns its id.

    Args:
      files: what `write` has written.
    """
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
    return tracking.log_serving(name, metrics, curves, files, tags)
