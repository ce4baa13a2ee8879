"""All versions side by side on a page: what each was made of, curves over the rounds, classes, bands, the ledger."""

from typing import Any

import pandas as pd

from pipeline.evaluation.independence import images as counted
from pipeline.evaluation.over_rounds import NOT_SHOWN
from pipeline.pages import rendering
from pipeline.pages.plots import Dot, Frame, Line, Plot, Rule, Text, band, path, percents, round_numbers

FRAME = Frame(width=540, height=240, left=54, right=510, top=18, bottom=200)
MOST_BREAKS = 8  # rules in a curve where the images became others
LAST = 12  # rounds in the table of classes
MADE_OF = ["round", "started", "model", "parent", "classes", "new classes", "train", "images", "new images", "epochs"]
MADE_OF += ["minutes", "gate", "reason", "champion", "run"]


def write(
    *,
    table: pd.DataFrame,
    sets: pd.DataFrame,
    bands: pd.DataFrame,
    per_class: pd.DataFrame,
    ledger: list[dict[str, Any]],
    costs: list[dict[str, Any]],
    hints: list[dict[str, Any]],
    confidence: float,
    minutes_by_hand: float,
) -> str:
    """Returns the page.

    Args:
      table: a row a run: `MADE_OF`, `throw-away` and `run_id`.
      sets: a row a run and set: `run_id`, `round`, `throwaway`, `set`, `version`, `n`, `top1`, `low`, `high`,
        `macro_f1`, `log_loss`, `ece`.
      bands: columns `round`, `set`, `band`, `n`, `right`, `mean_score`.
      per_class: columns `round`, `set`, `label`, `n`, `recall`.
      ledger: rows with `set`, `round`, `labelled`, `minutes`, `gain`, `per_100_images`, `per_hour`, `exact`.
      costs: rows with the columns of `round_costs`.
      hints: rows with `label`, `hint`, `grew`, `before`, `now`, `low`, `n`, `gain_high`.
      confidence: of the intervals.
      minutes_by_hand: that a person needs for an answer.
    """
    empty = table.empty
    shown = sets[~sets["set"].isin(NOT_SHOWN)]
    rounds = shown[~shown["throwaway"]].drop_duplicates(["round", "set"], keep="last") if len(shown) else shown
    rows = [] if empty else table[[*MADE_OF, "throw-away", "run_id"]].rename(columns=_plain).to_dict("records")
    classes, numbers = _classes(per_class)
    return rendering.render(
        "runs.html",
        title="Model versions",
        rounds=[row for row in rows if not row["throw_away"]],
        throwaways=[row for row in rows if row["throw_away"]],
        champion=next((row for row in rows if row["champion"] == "yes"), None),
        sets=shown.to_dict("records"),
        curves=[_curve(str(name), some) for name, some in rounds.groupby("set") if len(some) > 1],
        bands=_bands(bands),
        classes=classes,
        class_rounds=numbers,
        ledger=ledger,
        costs=costs,
        served=any(row["shown"] > 0 for row in costs),
        minutes_by_hand=f"{minutes_by_hand:g}",
        hints=hints,
        confidence=confidence,
    )


def _plain(name: str) -> str:
    return name.replace(" ", "_").replace("-", "_")


def _curve(title: str, rows: pd.DataFrame) -> Plot:
    """A set's accuracy over the rounds, with its interval.

    A rule marks where the set became another version, or its images of known classes more or fewer.
    """
    rows = rows.assign(number=pd.to_numeric(rows["round"])).sort_values("number", ignore_index=True)
    ticks = round_numbers(float(rows["low"].min()), float(rows["high"].max()))
    x, y = FRAME.across(rows["number"].min(), rows["number"].max()), FRAME.up(ticks[0], ticks[-1])
    xs = [x(number) for number in rows["number"]]
    line, upper, lower = (list(zip(xs, map(y, rows[name]), strict=True)) for name in ("top1", "high", "low"))
    texts = [
        f"round {row['round']}: {row['top1']:.1%} of {counted(row['n'], row.get('independent'), word='')},"
        f" {row['low']:.1%} to {row['high']:.1%}"
        for row in rows.to_dict("records")
    ]
    other = rows["version"] != rows["version"].shift().fillna(rows["version"])
    other |= rows["n"] != rows["n"].shift().fillna(rows["n"])  # new classes bring images that did not count before
    marks = [at for at, new in zip(xs, other, strict=True) if new]
    top = FRAME.top if len(marks) <= MOST_BREAKS else FRAME.bottom - 8  # more would hide the curve: short marks then
    step = max(len(rows) // 10, 1)
    return Plot(
        FRAME,
        title,
        x_ticks=[(at, str(name)) for at, name in zip(xs[::step], rows["round"][::step], strict=True)],
        y_ticks=percents(ticks, y),
        rules=[Rule(at, top, at, FRAME.bottom, "break") for at in marks],
        bands=[band(upper, lower)],
        lines=[Line(path(line))],
        dots=[Dot(*point, text=text, kind="ring") for point, text in zip(line, texts, strict=True)],
        texts=[Text(FRAME.left - 8, FRAME.bottom + 20, "round", "end")],
    )


def _bands(bands: pd.DataFrame) -> list[dict[str, Any]]:
    """For each set, its bands and each round's accuracy in them, an accuracy and a number of images a cell."""
    found = []
    for name, rows in bands[~bands["set"].isin(NOT_SHOWN)].groupby("set"):
        cells = rows.assign(share=rows["right"].astype(float) / rows["n"].astype(float))
        wide = cells.pivot(index="band", columns="round", values=["share", "n"]).sort_index(ascending=False)
        numbers = sorted(set(rows["round"]))[-LAST:]
        edges = sorted(set(rows["band"]), reverse=True)
        found.append(
            {
                "set": str(name).replace(":", "/"),
                "rounds": numbers,
                "rows": [
                    (edge, [(wide.loc[edge, ("share", number)], wide.loc[edge, ("n", number)]) for number in numbers])
                    for edge in edges
                ],
            }
        )
    return found


def _classes(per_class: pd.DataFrame) -> tuple[list[dict[str, Any]], list[int]]:
    """A row a class: its recall in each of the last rounds over all sets but train and val; the greatest fall first."""
    rows = per_class[~per_class["set"].isin(NOT_SHOWN)]
    if rows.empty:
        return [], []
    counts = rows.assign(right=rows["recall"].astype(float) * rows["n"].astype(float))
    counts = counts.groupby(["label", "round"])[["right", "n"]].sum()
    wide = (counts["right"] / counts["n"].astype(float)).unstack()
    images = counts["n"].unstack()
    numbers = sorted(wide.columns)[-LAST:]
    wide = wide[numbers]
    change = wide[numbers[-1]] - wide[numbers[-2]] if len(numbers) > 1 else wide[numbers[-1]] * float("nan")
    order = pd.DataFrame({"change": change, "now": wide[numbers[-1]]}).sort_values(["change", "now"]).index
    return [
        {"label": label, "recalls": list(wide.loc[label]), "change": change[label], "n": images.loc[label, numbers[-1]]}
        for label in order
    ], [int(number) for number in numbers]
