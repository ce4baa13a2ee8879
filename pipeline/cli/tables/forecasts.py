"""What the commands that look ahead show on a terminal."""

from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from pipeline.cli.tables import console
from pipeline.cli.tables.rounds import frame
from pipeline.commands.preview import Preview
from pipeline.evaluation import independence


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
        cells = ["not finished: the same command continues", "", "", ""]
        if row["finished"]:
            cells = [row["at"][:16].replace("T", " "), *(str(row[name]) for name in ("round", "classes", "clear"))]
        shown.add_row(escape(row["name"]), str(row["min_images"]), *cells, style="" if row["finished"] else "dim")
    console().print(shown)


def outlook(facts: dict[str, Any]) -> None:
    """The near-cutoff classes of a throw-away run, and what each may expect of its candidates."""
    shown = Table(title=f"Throw-away {facts['name']}: classes of {facts['min_images']} to {facts['cutoff'] - 1} groups")
    shown.add_column("class", overflow="fold")
    for name in ("has", "cutoff", "candidates", "groups", "expected", "with them", "chance"):
        shown.add_column(name, justify="right")
    shown.add_column("clears the cutoff")
    for row in facts["classes"].to_dict("records"):
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
    print(f"look at {facts['page']}")


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


def preview(made: Preview) -> None:
    """The next round, as it is forecast."""
    screen = console()
    screen.rule(f"Forecast of round {made.round}")
    images = made.images
    lines = [
        ("training images", f"{images['train']} today, {images['train_next']} then"),
        ("classes that enter", ", ".join(made.enter) or "none"),
        ("classes that leave", ", ".join(made.leave) or "none"),
    ]
    if images["without_features"]:
        lines.append(("left out", f"{images['without_features']} images that no stored features are known of"))
    for name, text in lines:
        screen.print(f"{name:>18}  {text}", markup=False, soft_wrap=True)
    rows = [row | {"standing": "crosses" if row["had"] < row["cutoff"] <= row["now"] else ""} for row in made.board]
    frame("Classes around the cutoff", rows)
    frame("Sets", [_forecast(row, "set") for row in made.sets])
    frame("Classes, on test and benchmarks", [_forecast(row, "label", "train", "train_next") for row in made.classes])
    if any(row["forecast"] is None for row in made.classes):
        screen.print("without a forecast: nothing shows that the class changes, and that it stays is as good a guess")
    screen.print("after the round: wallaby preview --held")


def compared(forecast: dict[str, list[dict[str, Any]]]) -> None:
    """A forecast beside what the round really became."""
    for name, key in (("sets", "set"), ("classes", "label")):
        rows = [
            {"": row[key], "images": _images(row)}
            | {part: _share(row[part]) for part in ("now", "forecast")}
            | {"interval": _interval(row), "real": _share(row["real"])}
            | {"within": "yes" if row["within"] else "no"}
            for row in forecast[name]
        ]
        frame(f"Forecast and round: {name}", rows)
        inside = sum(row["within"] for row in forecast[name])
        console().print(f"{inside} of {len(rows)} within their interval")


def _forecast(row: dict[str, Any], key: str, *counts: str) -> dict[str, str]:
    gain = "" if row["gain"] is None else f"{100 * row['gain']:+.1f}"
    around = "" if row["gain"] is None else f"{100 * row['gain_low']:+.1f} to {100 * row['gain_high']:+.1f}"
    return (
        {key.replace("label", "class"): row[key]}
        | {name.replace("_next", " then"): str(row[name]) for name in counts}
        | {"images": _images(row), "now": _share(row["now"]), "forecast": _share(row["forecast"])}
        | {"interval": _interval(row), "points gained": gain, "between": around}
        | {"": row["verdict"]}
    )


def _images(row: dict[str, Any]) -> str:
    return independence.images(
        row["n"], row.get("independent"), word=""
    )  # forecasts of earlier versions do not know it


def _interval(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f"{row['low']:.1%} to {row['high']:.1%}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _between(row: dict[str, Any]) -> str:
    return f"{row['expected']:.1f} ({row['low']} to {row['high']})"
