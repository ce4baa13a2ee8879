"""Shares of the rows for classes: nearest to their cutoff first, and none starves."""

import numpy as np
import pandas as pd

from pipeline.review.recipes.inputs import Material


def by_nearness(board: pd.DataFrame) -> pd.DataFrame:
    """The board's classes, those below their cutoff first, and the nearest to it before the others."""
    lacking = board["cutoff"] - board["groups"]
    return board.assign(reached=lacking <= 0, distance=lacking.abs()).sort_values(["reached", "distance", "label"])


def deal(material: Material, rows: pd.DataFrame, *, order: list[str], good: np.ndarray, number: int) -> pd.DataFrame:
    """At most `number` candidates, class by class, the best of each first; of equally good ones, the first by name.

    Args:
      order: of the classes; others follow by name.
      good: of the images (N,), the highest first.
    """
    names = rows["label"].cat.categories
    places = {name: place for place, name in enumerate(dict.fromkeys([*order, *sorted(names)]))}
    place = names.map(places).to_numpy(int)[rows["label"].cat.codes.to_numpy()]
    counts = np.bincount(place, minlength=len(places))
    share = _shares(counts, number)
    ranked = np.lexsort([-good, place])
    of, value, at = place[ranked], good[ranked], np.arange(len(rows))
    first = (np.cumsum(counts) - counts)[of]
    differs = (at == first) | np.append(True, value[1:] != value[:-1])[: len(value)]
    better = np.maximum.accumulate(at * differs) - first  # candidates of its class that are better than each
    kept = ranked[better < share[of]]  # only the names of these are compared
    chosen = material.named(rows.iloc[kept]).assign(place=place[kept], good=good[kept])
    chosen = chosen.sort_values(["place", "good", "image"], ascending=[True, False, True])
    chosen = chosen[(chosen.groupby("place").cumcount() < share[chosen["place"]]).to_numpy()]
    return chosen.drop(columns=["place", "good"]).astype({"label": "str"})


def _shares(counts: np.ndarray, number: int) -> np.ndarray:
    """How many of `number` rows each class (C,) has, if they are dealt in turn, the first class first.

    Args:
      counts: candidates of each class (C,).
    """
    share = np.zeros_like(counts)
    while left := min(number, int(counts.sum())) - int(share.sum()):
        more = np.flatnonzero(share < counts)[:left]
        share[more] = np.minimum(share[more] + left // len(more), counts[more])
    return share
