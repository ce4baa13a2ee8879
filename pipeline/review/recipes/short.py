"""Recipes for classes that are short of images, or of real ones."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.review.recipes.inputs import Found, Material, two_best
from pipeline.review.recipes.settings import OfClasses

LOOKED_AT = 10_000  # pool images, the most hesitant, that are held against classes the model does not know
FEWEST = 3  # images of a class that make a mean


@dataclass(frozen=True, kw_only=True)
class LowCount(OfClasses):
    """What `low_count` takes."""

    low_count_below: float
    low_count_score: float


@dataclass(frozen=True, kw_only=True)
class ReplaceStaged(OfClasses):
    """What `replace_staged` takes."""

    replace_staged_share: float
    replace_staged_score: float


def low_count(material: Material, asked: LowCount) -> Found:
    """Pool images of the classes that have fewer than `low_count_below` times their cutoff.

    Of a class that the model knows, those that it names at a score of `low_count_score` or more, the surest first. Of
    one that it does not know, the hesitant ones that are nearer to the class's images than to those of the class that
    the model sees. The classes below their cutoff come first, those nearest to it before the others; each has as good
    a share of the rows as its number of candidates allows. With fewer rows than classes, the first have one each.
    """
    board = material.board.set_index("label")
    groups = board["groups"]
    short = asked.classes or list(groups.index[groups < asked.low_count_below * board["cutoff"]])
    sure = (material.rows["score"] >= asked.low_count_score).to_numpy()
    seen = material.candidates(material.labelled(short) & sure)
    kin = _kin(material, list(groups.index.intersection(short).difference(material.classes, sort=False)))
    kin = kin[~kin.index.isin(seen.index)]
    both = pd.api.types.union_categoricals([seen["label"], kin["label"]])
    rows = pd.concat([seen.assign(near=np.nan), kin]).assign(label=both)
    order = _by_nearness(material.board)["label"].tolist()
    good = rows["score"].fillna(rows["near"]).to_numpy(float)
    rows = _fair(material, rows, order=order, good=good, number=asked.max_rows)
    rows = material.pool.with_details(rows)
    many = rows["label"].map(groups).fillna(0).astype(int).astype("str")
    reason = rows["label"] + " has only " + many + " images; the model sees " + two_best(rows)
    unknown = rows["near"].notna()
    nearer = " but does not know this class, and the picture is nearer to it"
    rows["reason"] = reason.where(~unknown, reason + nearer).astype("str")
    absent = len(short) and material.vectors() is None
    note = "The predictions hold no embeddings: of classes that the model does not know, nothing is found."
    return Found(rows, note if absent else "")


def replace_staged(material: Material, asked: ReplaceStaged) -> Found:
    """Pool images of classes that live on staged or synthetic ones, those that have hardly a real one first.

    Of equally staged classes, those nearest to their cutoff come first; each has its share of the rows, as in
    `low_count`.
    """
    board = material.board.set_index("label")
    share = board["staged_share"]
    living = asked.classes or list(share.index[share >= asked.replace_staged_share])
    sure = (material.rows["score"] >= asked.replace_staged_score).to_numpy()
    rows = material.candidates(material.labelled(living) & sure)
    order = _by_nearness(material.board).sort_values("staged_share", ascending=False, kind="stable")["label"].tolist()
    rows = _fair(material, rows, order=order, good=rows["score"].to_numpy(), number=asked.max_rows)
    rows = material.pool.with_details(rows)
    staged = (board["images"] - board["real"]).astype(str) + " of " + board["images"].astype(str)
    reason = rows["label"] + ": " + rows["label"].map(staged).fillna("0 of 0") + " images are staged; the model sees "
    return Found(rows.assign(reason=(reason + two_best(rows)).astype("str")))


def _by_nearness(board: pd.DataFrame) -> pd.DataFrame:
    """The board's classes, those below their cutoff first, and the nearest to it before the others."""
    lacking = board["cutoff"] - board["groups"]
    return board.assign(reached=lacking <= 0, distance=lacking.abs()).sort_values(["reached", "distance", "label"])


def _fair(material: Material, rows: pd.DataFrame, *, order: list[str], good: np.ndarray, number: int) -> pd.DataFrame:
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


def _kin(material: Material, labels: list[str]) -> pd.DataFrame:
    """Hesitant pool images nearer to one of `labels`, which the model does not know, than to what it sees; `near`: by
    how much."""
    vectors, library = material.vectors(), material.library()
    none = material.rows.head(0)[["label", "score"]].assign(near=0.0)
    if not labels or vectors is None or library is None:
        return none
    counts = library.rows["label"].value_counts()
    labels = [label for label in labels if counts.get(label, 0) >= FEWEST]
    if not labels:
        return none
    pool = material.candidates(np.ones(len(material.rows), bool))
    rows = material.first(pool, [pool["score"].to_numpy()], LOOKED_AT)
    directions = library.directions(vectors.exact[rows.index.to_numpy()])
    to_short = directions @ library.mean_of(labels).T
    own = rows["label"].cat
    to_own = (directions * library.mean_of(list(own.categories))[own.codes]).sum(axis=1)
    near = to_short.max(axis=1) - to_own
    label = pd.Categorical.from_codes(to_short.argmax(axis=1), labels)
    return rows[["label", "score"]].assign(label=label, score=np.nan, near=near)[near > 0]
