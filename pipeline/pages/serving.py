"""The report on the served model: a page for who decides, and below it all figures for who mends."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.evaluation.independence import images
from pipeline.pages import rendering
from pipeline.pages.plots import (
    Bar,
    Dot,
    Frame,
    Line,
    Plot,
    Rule,
    Scale,
    Text,
    Tick,
    path,
    percents,
    round_numbers,
    round_shares,
)

MOST_ROWS = 40  # of a plot with a row a class: the rest is in the table
MONTH = "%B %Y"
TIMES = {"hour": "%d %b %H:00", "day": "%a %d %b", "week": "%d %b %Y"}
FRAME = Frame(width=620, height=240, left=52, right=604, top=22, bottom=204)
ROW, NAMES, NUMBERS = 26, 170, 500  # height of a row; where the names end, and the numbers begin
LONG_NUMBERS = 430  # where numbers begin that say how many images are independent
LETTERS = 22  # of a name that are shown
MOST_TICKS = 8
SHORT_TIMES = {"hour": "%d %b %H:00", "day": "%a %d", "week": "%d %b"}
LENGTHS = {"hour": pd.Timedelta(hours=1), "day": pd.Timedelta(days=1), "week": pd.Timedelta(days=7)}


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


def _plots(tables: dict[str, pd.DataFrame], unit: str) -> dict[str, Plot]:
    use, over_time = tables["use"], tables["accuracy_over_time"]
    versions = tables["versions"]
    changes = [(row["first"], row["version"]) for row in versions.to_dict("records")[1:]]
    found = {
        "use": counts_over_time("Pictures", use["start"], use["pictures"], unit, "pictures"),
        "latency": counts_over_time("Latency, 99th percentile", use["start"], use["p99_ms"], unit, "ms"),
    }
    if len(over_time):
        found["accuracy"] = shares_over_time("Right, of all usable pictures", over_time, unit, changes)
    return found


def _forests(tables: dict[str, pd.DataFrame]) -> dict[str, Plot]:
    found = {}
    versions = tables["accuracy_by_version"]
    for name, measure in {"versions": "right", "versions_shown": "right when shown"}.items():
        rows = versions[versions["measure"] == measure]
        if len(rows):
            found[name] = shares_in_rows(f"{measure.capitalize()}, by model", rows, name="version")
    bands = tables["accuracy_by_band"]
    if len(bands):
        named = bands.assign(name=[f"score from {low:.0%}" for low in bands["band"]])
        found["bands"] = shares_in_rows("Right, by how sure the model is", named, name="name")
    classes = tables["accuracy_by_class"]
    known = classes[classes["found_n"] > 0].sort_values("found").head(MOST_ROWS)
    if len(known):
        found["classes"] = shares_in_rows("Found, by class", known, name="label", of="found")
    return found


def shares_over_time(title: str, table: pd.DataFrame, unit: str, marks: list[tuple[pd.Timestamp, str]]) -> Plot:
    """Draws shares with their intervals, one per stretch of time.

    Args:
      table: columns `start`, `share`, `low`, `high`, `n` and, if they are there, `independent` and `unusual` (bool).
      marks: times to mark, and what happened.
    """
    ticks = round_shares(float(table["low"].min()), float(table["high"].max()))
    x, y = _times(table["start"], unit), FRAME.up(ticks[0], ticks[-1])
    middle = [x(when + LENGTHS[unit] / 2) for when in table["start"]]
    dots = [
        Dot(
            at,
            y(row["share"]),
            (at, y(row["low"]), at, y(row["high"])),
            _reading(f"{row['start']:{SHORT_TIMES[unit]}}", row),
            "marked" if row.get("unusual", False) else "",
        )
        for at, row in zip(middle, table.to_dict("records"), strict=True)
    ]
    marked = [(x(when), text) for when, text in marks if table["start"].min() <= when]
    return Plot(
        FRAME,
        title,
        _time_ticks(table["start"], unit, middle),
        percents(ticks, y),
        rules=[Rule(at, FRAME.top - 8, at, FRAME.bottom, "break") for at, _ in marked],
        lines=[Line(path((dot.x, dot.y) for dot in dots), "thin")],
        dots=dots,
        texts=[Text(at + 5, FRAME.top - 6, text) for at, text in marked],
    )


def counts_over_time(title: str, start: pd.Series, values: pd.Series, unit: str, noun: str) -> Plot:
    """Draws bars, one per stretch of time."""
    ticks = round_numbers(0.0, float(values.max()) or 1.0)
    x, y = _times(start, unit), FRAME.up(0.0, ticks[-1])
    middle = [x(when + LENGTHS[unit] / 2) for when in start]
    width = max(round(0.7 * (x(start.min() + LENGTHS[unit]) - FRAME.left), 1), 1.0)
    bars = [
        Bar(
            round(at - width / 2, 1),
            y(value),
            width,
            round(FRAME.bottom - y(value), 1),
            f"{when:{SHORT_TIMES[unit]}}: {value:,.0f} {noun}",
        )
        for at, when, value in zip(middle, start, values, strict=True)
    ]
    y_ticks = [(y(tick), f"{tick:,.0f}") for tick in ticks]
    return Plot(FRAME, title, _time_ticks(start, unit, middle), y_ticks, bars=bars)


def shares_in_rows(title: str, table: pd.DataFrame, *, name: str, of: str = "") -> Plot:
    """Draws shares with their intervals, one row of `table` below the other.

    Args:
      table: the columns `name`, `share`, `low`, `high`, `n` and, if it is known, `independent`; or, for `of`, that name
        itself, and `of`_low and so on.
    """
    low, high = (f"{of}_low", f"{of}_high") if of else ("low", "high")
    bottom = FRAME.top + ROW * len(table)
    rows = table.to_dict("records")
    numbers = [f"{row[of or 'share']:.0%}, n = {_number(row, of, short=True)}" for row in rows]
    right = LONG_NUMBERS if any("ind." in text for text in numbers) else NUMBERS
    frame = Frame(FRAME.width, bottom + 26, left=NAMES, right=right, top=FRAME.top, bottom=bottom)
    ticks = round_shares(float(table[low].min()), float(table[high].max()))
    x = frame.across(ticks[0], ticks[-1])
    dots, texts = [], []
    for number, row in enumerate(rows):
        y = frame.top + ROW * number + ROW / 2
        interval = (x(row[low]), y, x(row[high]), y)
        dots.append(Dot(x(row[of or "share"]), y, interval, _reading(row[name], row, of)))
        texts.append(Text(0, y + 4, _short(str(row[name])), kind="name"))
        texts.append(Text(frame.width, y + 4, numbers[number], "end"))
    x_ticks = percents(ticks, x)
    grid = [Rule(at, frame.top, at, frame.bottom, "grid") for at, _ in x_ticks]
    return Plot(frame, title, x_ticks, rules=grid, dots=dots, texts=texts)


def _times(start: pd.Series, unit: str) -> Scale:
    """From the first stretch of time to the end of the last."""
    return FRAME.across(start.min(), start.max() + LENGTHS[unit])


def _time_ticks(start: pd.Series, unit: str, places: list[float]) -> list[Tick]:
    step = -(-len(start) // MOST_TICKS)
    return [(at, f"{when:{SHORT_TIMES[unit]}}") for at, when in zip(places[::step], start[::step], strict=True)]


def _reading(name: object, row: dict[str, Any], of: str = "") -> str:
    low, high = (row[f"{of}_{end}" if of else end] for end in ("low", "high"))
    return f"{name}: {row[of or 'share']:.1%} of {_number(row, of)}: {low:.1%} to {high:.1%}"


def _number(row: dict[str, Any], of: str = "", *, short: bool = False) -> str:
    """The images of a row and, where these are fewer, the independent ones among them."""
    before = f"{of}_" if of else ""
    text = images(row[f"{before}n"], row.get(f"{before}independent"), word="")
    return text.replace(" independent", " ind.") if short else text


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"


def _represented(design: pd.DataFrame) -> float:
    """The share of the transactions drawn from that some evaluated one stands for."""
    population = design["population"].sum()
    return float(design.loc[design["evaluated"] > 0, "population"].sum() / population) if population else 0.0


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
