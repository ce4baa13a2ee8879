"""Recipes for classes that are short of images, or of real ones."""

import numpy as np
import pandas as pd

from pipeline.review.recipes.material import Found, Material, first, two_best

LOOKED_AT = 20_000  # pool images, the most hesitant, that are held against classes the model does not know
FEWEST = 3  # images of a class that make a mean


def low_count(
    material: Material, *, number: int, classes: list[str], low_count_below: float, low_count_score: float, **_
) -> Found:
    """Pool images of the classes that have fewer than `low_count_below` times their cutoff.

    Of a class that the model knows, those that it names at a score of `low_count_score` or more, the surest first. Of
    one that it does not know, the hesitant ones that are nearer to the class's images than to those of the class that
    the model sees. Each class has as good a share of the rows as its number of images allows; the shortest class
    comes first.
    """
    board = material.board.set_index("label")
    groups = board["groups"]
    short = classes or list(groups.index[groups < low_count_below * board["cutoff"]])
    seen = material.candidates(material.labelled(short) & (material.rows["score"] >= low_count_score).to_numpy())
    seen = seen.assign(near=np.nan, label=seen["label"].astype("str"))
    kin = _kin(material, [name for name in short if name not in material.classes and name in groups])
    rows = pd.concat([seen, kin]) if len(kin) else seen
    have = rows["label"].map(groups).fillna(0).to_numpy(float)
    rows = _fair(rows, have, rows["score"].fillna(rows["near"]).to_numpy(float), number)
    rows = material.pool.with_details(rows)
    many = rows["label"].map(groups).fillna(0).astype(int).astype("str")
    reason = rows["label"] + " has only " + many + " images; the model sees " + two_best(rows)
    unknown = rows["near"].notna()
    nearer = " but does not know this class, and the picture is nearer to it"
    rows["reason"] = reason.where(~unknown, reason + nearer).astype("str")
    absent = len(short) and material.vectors() is None
    note = "The predictions hold no embeddings: of classes that the model does not know, nothing is found."
    return Found(rows, note if absent else "")


def replace_staged(
    material: Material,
    *,
    number: int,
    classes: list[str],
    replace_staged_share: float,
    replace_staged_score: float,
    **_,
) -> Found:
    """Pool images of classes that live on staged or synthetic ones, those that have hardly a real one first."""
    board = material.board.set_index("label")
    share = board["staged_share"]
    living = classes or list(share.index[share >= replace_staged_share])
    rows = material.candidates(material.labelled(living) & (material.rows["score"] >= replace_staged_score).to_numpy())
    rows = rows.assign(label=rows["label"].astype("str"))
    rows = _fair(rows, -rows["label"].map(share).fillna(0).to_numpy(float), rows["score"].to_numpy(float), number)
    rows = material.pool.with_details(rows)
    staged = (board["images"] - board["real"]).astype(str) + " of " + board["images"].astype(str)
    reason = rows["label"] + ": " + rows["label"].map(staged).fillna("0 of 0") + " images are staged; the model sees "
    return Found(rows.assign(reason=(reason + two_best(rows)).astype("str")))


def _fair(rows: pd.DataFrame, order: np.ndarray, good: np.ndarray, number: int) -> pd.DataFrame:
    """The first `number` rows: each class's best in turn, then class by class.

    Args:
      order: of the classes (N,), the lowest first.
      good: of the images (N,), the highest first.
    """
    codes = pd.factorize(rows["label"], sort=True)[0]
    ranked = np.lexsort([-good, codes])
    of, value, place = codes[ranked], good[ranked], np.arange(len(rows))
    begins = np.append(True, of[1:] != of[:-1])[: len(of)]
    differs = begins | np.append(True, value[1:] != value[:-1])[: len(of)]  # equal ones have the same turn
    turn = np.empty(len(rows), int)
    turn[ranked] = np.maximum.accumulate(place * differs) - np.maximum.accumulate(place * begins)
    chosen = first(rows.assign(order=order, code=codes, good=good), [turn, order, codes], number)
    keys = [chosen["order"].to_numpy(), chosen["code"].to_numpy(), -chosen["good"].to_numpy()]
    return first(chosen, keys, number).drop(columns=["order", "code", "good"])


def _kin(material: Material, labels: list[str]) -> pd.DataFrame:
    """Hesitant pool images nearer to one of `labels`, which the model does not know, than to what it sees; `near`: by
    how much."""
    vectors, library = material.vectors(), material.library()
    if not labels or vectors is None or library is None:
        return material.rows.head(0)
    counts = library.rows["label"].value_counts()
    labels = [label for label in labels if counts.get(label, 0) >= FEWEST]
    if not labels:
        return material.rows.head(0)
    pool = material.candidates(np.ones(len(material.rows), bool))
    rows = first(pool, [pool["score"].to_numpy()], LOOKED_AT)
    directions = library.directions(vectors.exact[rows.index.to_numpy()])
    to_short = directions @ library.mean_of(labels).T
    own = rows["label"].cat
    to_own = (directions * library.mean_of(list(own.categories))[own.codes]).sum(axis=1)
    near = to_short.max(axis=1) - to_own
    rows = rows.assign(label=np.array(labels, object)[to_short.argmax(axis=1)], score=np.nan, near=near)
    return rows[near > 0].astype({"label": "str"})
