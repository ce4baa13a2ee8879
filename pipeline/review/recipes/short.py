"""Recipes for classes that are short of images, or of real ones."""

import numpy as np
import pandas as pd

from pipeline.review.recipes.material import Found, Material, two_best

LOOKED_AT = 10_000  # pool images, the most hesitant, that are held against classes the model does not know
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
    kin = _kin(material, list(groups.index.intersection(short).difference(material.classes, sort=False)))
    kin = kin[~kin.index.isin(seen.index)]
    both = pd.api.types.union_categoricals([seen["label"], kin["label"]])
    rows = pd.concat([seen.assign(near=np.nan), kin]).assign(label=both)
    rows = _fair(material, rows, order=groups, good=rows["score"].fillna(rows["near"]).to_numpy(float), number=number)
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
    rows = _fair(material, rows, order=-share, good=rows["score"].to_numpy(), number=number)
    rows = material.pool.with_details(rows)
    staged = (board["images"] - board["real"]).astype(str) + " of " + board["images"].astype(str)
    reason = rows["label"] + ": " + rows["label"].map(staged).fillna("0 of 0") + " images are staged; the model sees "
    return Found(rows.assign(reason=(reason + two_best(rows)).astype("str")))


def _fair(material: Material, rows: pd.DataFrame, *, order: pd.Series, good: np.ndarray, number: int) -> pd.DataFrame:
    """The first `number` candidates: each class's best in turn, then class by class.

    Args:
      order: of the classes, by label, the lowest first.
      good: of the images (N,), the highest first.
    """
    names = rows["label"].cat.categories
    alphabetical = np.empty(len(names), np.int32)
    alphabetical[names.argsort()] = np.arange(len(names))
    place = order.reindex(names).fillna(0).to_numpy(float)
    codes = rows["label"].cat.codes.to_numpy()
    ranked = np.lexsort([-good, codes])
    of, value, at = codes[ranked], good[ranked], np.arange(len(rows))
    begins = np.append(True, of[1:] != of[:-1])[: len(of)]
    differs = begins | np.append(True, value[1:] != value[:-1])[: len(of)]  # equal ones have the same turn
    turn = np.empty(len(rows), int)
    turn[ranked] = np.maximum.accumulate(at * differs) - np.maximum.accumulate(at * begins)
    chosen = material.first(rows.assign(good=good), [turn, place[codes], alphabetical[codes]], number)
    codes = chosen["label"].cat.codes.to_numpy()
    chosen = chosen.iloc[np.lexsort([-chosen["good"], alphabetical[codes], place[codes]])]
    return chosen.drop(columns="good").astype({"label": "str"})


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
