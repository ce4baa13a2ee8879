"""The report on the served model: a page for who decides, and below it all figures for who mends."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.pages import plots, rendering

MOST_ROWS = 40  # of a plot with a row a class: the rest is in the table
MONTH = "%B %Y"
TIMES = {"hour": "%d %b %H:00", "day": "%a %d %b", "week": "%d %b %Y"}
GEOMETRY = {name.lower(): getattr(plots, name) for name in ("WIDTH", "HEIGHT", "LEFT", "RIGHT", "TOP", "BOTTOM", "ROW")}


def write(
    *,
    since: pd.Timestamp,
    until: pd.Timestamp,
    unit: str,
    releases: list[str],
    tables: dict[str, pd.DataFrame],
    findings: Sequence[Any],
    confidence: float,
) -> str:
    """Returns the page.

    Args:
      since, until: the first and the last transaction.
      unit: hour, day or week.
      releases: the versions that served, the first first.
      tables: by the names and with the columns that `pipeline.serving.reports.Report` tells of.
      findings: each with `kind` (good, bad or note), `section` and `text`.
      confidence: of the intervals.
    """
    use, accuracy = tables["use"], tables["accuracy"].set_index("measure")
    first, last = (f"{when.day} {when:{MONTH}}" for when in (since, until))
    return rendering.render(
        "serving.html",
        title="The served model",
        period=first if first == last else f"{first} to {last}",
        unit=unit,
        unit_format=TIMES[unit],
        releases=releases,
        confidence=confidence,
        findings=findings,
        accuracy=accuracy.to_dict("index"),
        totals=_totals(use, tables["clients"], tables["peaks"]),
        plots=_plots(tables, unit),
        forests=_forests(tables),
        geometry=GEOMETRY,
        tables={name: _records(table) for name, table in tables.items()},
        audited=int(tables["design"]["evaluated"].sum()),
        drawn=int(tables["design"]["drawn"].sum()),
        represented=_represented(tables["design"]),
    )


def _totals(use: pd.DataFrame, clients: pd.DataFrame, peaks: pd.DataFrame) -> dict[str, Any]:
    pictures, refused = int(use["pictures"].sum()), int(use["refused"].sum())
    shown = (use["shown"] * (use["pictures"] - use["refused"])).sum() / max(pictures - refused, 1)
    hour = peaks[peaks["within"] == "hour"]
    return {
        "pictures": pictures,
        "requests": int(use["requests"].sum()),
        "clients": len(clients),
        "refused": refused,
        "shown": shown,
        "peak": None if hour.empty else hour.iloc[0].to_dict(),
    }


def _plots(tables: dict[str, pd.DataFrame], unit: str) -> dict[str, plots.OverTime]:
    use, over_time = tables["use"], tables["accuracy_over_time"]
    versions = tables["versions"]
    changes = [(row["first"], row["version"]) for row in versions.to_dict("records")[1:]]
    found = {
        "use": plots.counts_over_time("Pictures", use["start"], use["pictures"], unit, "pictures"),
        "latency": plots.counts_over_time("Latency, 99th percentile", use["start"], use["p99_ms"], unit, "ms"),
    }
    if len(over_time):
        found["accuracy"] = plots.shares_over_time("Right, of all usable pictures", over_time, unit, changes)
    return found


def _forests(tables: dict[str, pd.DataFrame]) -> dict[str, plots.Rows]:
    found = {}
    versions = tables["accuracy_by_version"]
    for name, measure in {"versions": "right", "versions_shown": "right when shown"}.items():
        rows = versions[versions["measure"] == measure]
        if len(rows):
            found[name] = plots.rows(f"{measure.capitalize()}, by model", rows, name="version")
    bands = tables["accuracy_by_band"]
    if len(bands):
        named = bands.assign(name=[f"score from {low:.0%}" for low in bands["band"]])
        found["bands"] = plots.rows("Right, by how sure the model is", named, name="name")
    classes = tables["accuracy_by_class"]
    known = classes[classes["found_n"] > 0].sort_values("found").head(MOST_ROWS)
    if len(known):
        found["classes"] = plots.rows("Found, by class", known, name="label", of="found")
    return found


def _represented(design: pd.DataFrame) -> float:
    """The share of the transactions drawn from that some evaluated one stands for."""
    population = design["population"].sum()
    return float(design.loc[design["evaluated"] > 0, "population"].sum() / population) if population else 0.0


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
