"""Recipe replace-staged: real images of classes that live on staged or synthetic ones."""

from dataclasses import dataclass

from pipeline.review.recipes import shares
from pipeline.review.recipes.inputs import Found, Material, two_best
from pipeline.review.recipes.settings import OfClasses


@dataclass(frozen=True, kw_only=True)
class ReplaceStaged(OfClasses):
    """What `replace_staged` takes."""

    replace_staged_share: float
    replace_staged_score: float


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
    order = (
        shares.by_nearness(material.board).sort_values("staged_share", ascending=False, kind="stable")["label"].tolist()
    )
    rows = shares.deal(material, rows, order=order, good=rows["score"].to_numpy(), number=asked.max_rows)
    rows = material.with_details(rows)
    staged = (board["images"] - board["real"]).astype(str) + " of " + board["images"].astype(str)
    reason = rows["label"] + ": " + rows["label"].map(staged).fillna("0 of 0") + " images are staged; the model sees "
    return Found(rows.assign(reason=(reason + two_best(rows)).astype("str")))
