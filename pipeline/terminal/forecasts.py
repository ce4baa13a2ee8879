"""What the commands that look ahead show on a terminal."""

from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from pipeline.terminal import console


def throwaways(rows: list[dict[str, Any]]) -> None:
    """All throw-away runs, by name."""
    if not rows:
        console().print("no throw-aways: `wallaby throwaway --min-images N` makes one")
        return
    shown = Table(title="Throw-aways")
    shown.add_column("name", overflow="fold")
    shown.add_column("cutoff", justify="right")
    shown.add_column("made")
    shown.add_column("of round", justify="right")
    shown.add_column("near classes", justify="right")
    shown.add_column("would clear", justify="right")
    for row in rows:
        cells = [row["at"][:16].replace("T", " "), str(row["round"]), str(row["classes"]), str(row["clear"])]
        made = cells if row["finished"] else ["not finished: the same command continues", "", "", ""]
        shown.add_row(escape(row["name"]), str(row["min_images"]), *made, style="" if row["finished"] else "dim")
    console().print(shown)


def outlook(facts: dict[str, Any], table: pd.DataFrame) -> None:
    """The near-cutoff classes of a throw-away run, and what each may expect of its candidates."""
    shown = Table(title=f"Throw-away {facts['name']}: classes of {facts['min_images']} to {facts['cutoff'] - 1} groups")
    shown.add_column("class", overflow="fold")
    for name in ("has", "cutoff", "candidates", "groups", "expected", "with them", "chance"):
        shown.add_column(name, justify="right")
    shown.add_column("clears the cutoff")
    for row in table.to_dict("records"):
        shown.add_row(
            escape(row["label"]),
            *(str(row[name]) for name in ("had", "cutoff", "candidates", "groups")),
            _between(row),
            f"{row['had'] + row['low']} to {row['had'] + row['high']}",
            f"{row['chance']:.0%}",
            row["clears"],
            style="bold" if row["clears"] in ("yes", "likely") else "",
        )
    screen = console()
    screen.print(shown)
    name = escape(facts["name"])
    screen.print(f"next: wallaby review --throwaway {name} --sheet sheet.csv; then wallaby throwaway report {name}")


def yields(table: pd.DataFrame) -> None:
    """What a throw-away run has brought, beside what was expected of it."""
    shown = Table(title="Yield of the throw-away: groups of near-duplicates")
    shown.add_column("class", overflow="fold")
    for name in ("cutoff", "had", "candidates", "expected", "decided", "expected of these", "accepted", "now"):
        shown.add_column(name, justify="right")
    shown.add_column("clears")
    for row in table.to_dict("records"):
        shown.add_row(
            escape(row["label"]),
            *(str(row[name]) for name in ("cutoff", "had", "candidates")),
            _between(row),
            str(row["decided"]),
            f"{row['expected_decided']:.1f}",
            *(str(row[name]) for name in ("accepted", "now")),
            "yes" if row["clears"] else "no",
            style="bold" if row["clears"] else "",
        )
    console().print(shown)


def _between(row: dict[str, Any]) -> str:
    return f"{row['expected']:.1f} ({row['low']} to {row['high']})"
