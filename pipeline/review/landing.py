"""Where a decision lands: on the image that has today the content that the person saw."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from pipeline.library.tables import is_in


@dataclass(frozen=True)
class Landed:
    """Decisions that landed, and those whose content no image has.

    Attributes:
      rows: with today's `image`, in the order and with the index of the decisions; a content that several images have
        stands once for each.
      gone: the decisions that landed nowhere, as they were.
    """

    rows: pd.DataFrame
    gone: pd.DataFrame


Landing = Callable[[pd.DataFrame], Landed]


def land(decisions: pd.DataFrame, images: pd.DataFrame) -> Landed:
    """Lands decisions on the images that have their content.

    A decision stays with its image if that still has the content; else it goes to every image that has it; else it is
    gone. One that names no content stays with its name, and is given the content that the image has.

    Args:
      decisions: columns `image`, `sha256` and any others; an empty `sha256` names no content.
      images: the content of each image today, columns `image`, `sha256`.
    """
    now = decisions["image"].map(images.drop_duplicates("image").set_index("image")["sha256"]).astype("str").fillna("")
    nameless = decisions["sha256"] == ""
    stays = nameless | (now == decisions["sha256"])
    landed = decisions[stays].assign(sha256=decisions["sha256"].mask(nameless, now)[stays])
    away = decisions[~stays]
    if away.empty:
        return Landed(landed, away)
    places = images[is_in(images["sha256"], away["sha256"])].drop_duplicates("image").sort_values("image")
    moved = away.drop(columns="image").rename_axis("at_row").reset_index()
    moved = moved.merge(places[["image", "sha256"]], on="sha256").set_index("at_row")[list(decisions)]
    rows = pd.concat([landed, moved.rename_axis(landed.index.name)]).sort_index(kind="stable")
    return Landed(rows, away[~is_in(away["sha256"], places["sha256"])])


def by_name(decisions: pd.DataFrame) -> Landed:
    """Every decision on the image that it names: of tables alone, without files."""
    return Landed(decisions, decisions.head(0))
