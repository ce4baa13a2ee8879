"""The pages people look at after a round: each is one HTML file that needs nothing else, not even a network."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.library import pictures
from pipeline.pages import chart, rendering

MAX_CONFUSIONS = 1000  # pairs on the page; the rest is in confusions.csv
MAIN_SET = "test"  # whose weakest classes come first
MAIN_MEASURES = ["recall", "precision", "f1", "mean_score", "n"]  # of the main set
MEASURES = ["recall", "n"]  # of the other sets

Picture = Callable[[str], str]
Row = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A recipe's section on the queue page.

    Args:
      name: the recipe, as in its table's file name.
      finds: one sentence: what it finds and what to do with it.
      rows: columns `image`, `group`, `rank`, `label`, `score`, `reason`, a row an image.
      empty: why there may be no rows.
    """

    name: str
    finds: str
    rows: pd.DataFrame
    empty: str = (
        "Nothing to decide here this round: either no image is of this kind, "
        "or the section queue in configs/params.yaml lets none through."
    )


def report(
    *,
    title: str,
    facts: dict[str, str],
    sets: pd.DataFrame,
    per_class: pd.DataFrame,
    confusions: pd.DataFrame,
    history: pd.DataFrame,
    mistakes: pd.DataFrame,
    picture: Picture,
    best_epoch: int | None = None,
) -> str:
    """Returns the page that shows how good a model is and where it errs.

    Args:
      title: the page's heading.
      facts: name and text of what was trained, in the order shown.
      sets: columns `set`, `n`, `out_of_class`, `top1`, `top5`, `macro_f1`, `log_loss`, a row a set.
      per_class: columns `set`, `label`, `n`, `precision`, `recall`, `f1`, `mean_score`, a row a set and class.
      confusions: columns `set`, `label`, `predicted`, `n`, `share` (of that class's images in that set), worst first.
      history: columns `epoch`, `loss`, `val_loss`, `accuracy`, `val_accuracy`, `learning_rate`, a row an epoch.
      mistakes: columns `image`, `set`, `label`, `predicted`, `score`, `label_score`.
      picture: gives the data URI of an image, "" if it cannot be read.
      best_epoch: whose weights were kept; by default, that of the lowest validation loss.
    """
    classes = _class_table(per_class)
    return rendering.render(
        "report.html",
        title=title,
        facts=facts,
        sets=_records(sets),
        main=_main_row(sets),
        weakest=_weakest(classes),
        columns=list(classes.columns),
        classes=[(label, list(cells)) for label, *cells in classes.itertuples()],
        confusions=_records(confusions.head(MAX_CONFUSIONS)),
        confusions_left_out=max(0, len(confusions) - MAX_CONFUSIONS),
        history=_records(history),
        panels=chart.panels(history, best_epoch),
        chart=chart,
        mistakes=sorted(_with_pictures(mistakes, picture), key=lambda row: row["score"], reverse=True),
    )


def queue(*, title: str, recipes: list[Recipe], picture: Picture) -> str:
    """Returns the page that shows the images worth a person's time, a section a recipe, a card a decision.

    Args:
      title: the page's heading.
      recipes: in the order shown; images of one `group` share a card, an empty group is the image alone.
      picture: gives the data URI of an image, "" if it cannot be read.
    """
    sections = [
        {"recipe": recipe, "images": len(recipe.rows), "cards": _cards(recipe.rows, picture)} for recipe in recipes
    ]
    return rendering.render("queue.html", title=title, sections=sections)


def picture_uri(path: Path, side: int = 160) -> str:
    """The picture as a data URI, at most `side` pixels wide and high; "" if it cannot be read."""
    try:
        thumbnail = pictures.thumbnail(path, side)
    except pictures.PictureError:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail).decode()


def _class_table(per_class: pd.DataFrame) -> pd.DataFrame:
    """A row a class, weakest in the main set first; columns (set, measure), the main set's first."""
    if per_class.empty:
        return pd.DataFrame()
    names = list(dict.fromkeys(per_class["set"]))
    names.sort(key=lambda name: (name != MAIN_SET, name == "train"))
    wide = per_class.pivot(index="label", columns="set", values=MAIN_MEASURES).swaplevel(axis=1)
    measures = dict.fromkeys(names, MEASURES) | {names[0]: MAIN_MEASURES}
    wide = wide[[(name, measure) for name in names for measure in measures[name]]]
    return wide.sort_values((names[0], "recall"), kind="stable")


def _main_row(sets: pd.DataFrame) -> Row | None:
    """The main set's row, if it has something to say."""
    rows = (row for row in _records(sets) if row["set"] == MAIN_SET and row["n"] and pd.notna(row["top1"]))
    return next(rows, None)


def _weakest(classes: pd.DataFrame) -> list[tuple[str, float]]:
    """Up to three classes of least recall in the main set."""
    if (MAIN_SET, "recall") not in classes:
        return []
    recall = classes[(MAIN_SET, "recall")].dropna().head(3)
    return list(zip(recall.index, recall, strict=True))


def _cards(rows: pd.DataFrame, picture: Picture) -> list[list[Row]]:
    """The images of each card, by rank; a card stands where its first image does."""
    if rows.empty:
        return []
    rows = rows.sort_values(["rank", "image"], kind="stable")
    alone = rows["group"].isna() | (rows["group"] == "")
    group = rows["group"].astype(object).mask(alone, "image " + rows["image"])
    return [_with_pictures(card, picture) for _, card in rows.groupby(group, sort=False)]


def _with_pictures(rows: pd.DataFrame, picture: Picture) -> list[Row]:
    return [{**row, "uri": picture(row["image"])} for row in _records(rows)]


def _records(rows: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
