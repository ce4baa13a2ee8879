"""Recipe low-count: pool images of classes that are short of images."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.review.recipes import shares
from pipeline.review.recipes.inputs import Found, Material, two_best
from pipeline.review.recipes.settings import OfClasses

LOOKED_AT = 10_000  # pool images, the most hesitant, that are compared with classes the model does not know
FEWEST = 3  # images of a class that make a mean


@dataclass(frozen=True, kw_only=True)
class LowCount(OfClasses):
    """What `low_count` takes."""

    low_count_below: float
    low_count_score: float


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
    order = shares.by_nearness(material.board)["label"].tolist()
    good = rows["score"].fillna(rows["near"]).to_numpy(float)
    rows = shares.deal(material, rows, order=order, good=good, number=asked.max_rows)
    rows = material.with_details(rows)
    many = rows["label"].map(groups).fillna(0).astype(int).astype("str")
    reason = rows["label"] + " has only " + many + " images; the model sees " + two_best(rows)
    unknown = rows["near"].notna()
    nearer = " but does not know this class, and the picture is nearer to it"
    rows["reason"] = reason.where(~unknown, reason + nearer).astype("str")
    absent = len(short) and material.vectors() is None
    note = "The predictions hold no embeddings: of classes that the model does not know, nothing is found."
    return Found(rows, note if absent else "")


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
