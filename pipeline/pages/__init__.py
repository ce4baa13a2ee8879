"""The pages people look at after a round: each is one HTML file that needs nothing else, not even a network."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.library import pictures
from pipeline.pages import rendering

Picture = Callable[[str], str]
Row = dict[str, Any]
FRAMES = 8  # of a burst, whose images are shown: the page holds them all
EMPTY = (
    "Nothing to decide here this round: either no image is of this kind, "
    "or the section queue in configs/params.yaml lets none through."
)


@dataclass(frozen=True)
class Recipe:
    """A recipe's section on the queue page.

    Args:
      name: the recipe, as in its table's file name.
      finds: one sentence: what it finds and what to do with it.
      rows: columns `image`, `group`, `rank`, `label`, `score`, `reason`, a row an image; those with the same text in
        `cluster`, if there is such a column, stand together under it. Where `burst` names one, the rows of a group are
        its frames.
      note: a sentence on what limited the search, or why there are no rows.
      labelled: of images whose label is doubted, what they are labelled: the title of their card, whose `label` is what
        the model sees instead.
    """

    name: str
    finds: str
    rows: pd.DataFrame
    note: str = ""
    labelled: Mapping[str, str] = field(default_factory=dict)


def queue(*, title: str, recipes: list[Recipe], picture: Picture) -> str:
    """Returns the page that shows the images worth a person's time, one section per recipe, one card per decision.

    Args:
      title: the page's heading.
      recipes: in the order shown, those without an image last; images of one `group` share a card, an empty group is
        the image alone.
      picture: gives the data URI of an image, "" if it cannot be read.
    """
    sections = [
        {"recipe": recipe, "images": len(recipe.rows), "empty": EMPTY, "clusters": _clusters(recipe.rows, picture)}
        for recipe in recipes
    ]
    open_ = next((section for section in sections if section["images"]), None)
    sections = [section | {"first": section is open_} for section in sections]
    sections.sort(key=lambda section: not section["images"])  # what waits for a person comes first
    bursts = any("burst" in recipe.rows for recipe in recipes)
    return rendering.render("queue.html", title=title, sections=sections, bursts=bursts)


def picture_uri(path: Path, side: int = 160) -> str:
    """The picture as a data URI, at most `side` pixels wide and high; "" if it cannot be read."""
    try:
        thumbnail = pictures.thumbnail(path, side)
    except pictures.PictureError:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail).decode()


def _clusters(rows: pd.DataFrame, picture: Picture) -> list[dict[str, Any]]:
    """The cards of each cluster, in the order of the first ranks; images of none stand under ""."""
    rows = rows.sort_values(["rank", "image"], kind="stable")
    text = rows["cluster"].fillna("") if "cluster" in rows else pd.Series("", index=rows.index)
    return [
        {"title": title, "images": len(own), "cards": _cards(own, picture)}
        for title, own in rows.groupby(text.astype(object), sort=False)
    ]


def _cards(rows: pd.DataFrame, picture: Picture) -> list[list[Row]]:
    """The images of each card, by rank; a card stands where its first image does."""
    alone = rows["group"].isna() | (rows["group"] == "")
    group = rows["group"].astype(object).mask(alone, "image " + rows["image"])
    return [_with_pictures(card, picture) for _, card in rows.groupby(group, sort=False)]


def _with_pictures(rows: pd.DataFrame, picture: Picture) -> list[Row]:
    """The images of a card; of a burst the first few, with the number of all its `frames`."""
    if "burst" in rows and (rows["burst"] != "").any():
        rows = rows.assign(frames=len(rows)).head(FRAMES)
    return [{**row, "uri": picture(row["image"])} for row in _records(rows)]


def _records(rows: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
