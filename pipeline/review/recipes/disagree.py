"""Recipe disagree: pool images that the champion and the model name differently."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.library import duplicates
from pipeline.review.recipes.inputs import Found, Material, two_best
from pipeline.review.recipes.settings import OfClasses


@dataclass(frozen=True, kw_only=True)
class Disagree(OfClasses):
    """What `disagree` takes."""

    disagree_score: float


def disagree(material: Material, asked: Disagree) -> Found:
    """Pool images that the champion and this model name differently, both at `disagree_score` or more.

    Those first where the less sure of the two is surest: one of them is confidently wrong.
    """
    champion = material.champion()
    if isinstance(champion, str):
        return Found(material.rows.head(0).assign(reason=""), f"Nothing to compare: {champion}.")
    said = champion["label"].astype("category").cat
    sure = (champion["score"] >= asked.disagree_score).to_numpy()
    opinions = pd.DataFrame({"was": said.codes.to_numpy()[sure], "was_score": champion["score"].to_numpy()[sure]})
    here = material.candidates(material.rows["score"] >= asked.disagree_score)
    contents = pd.Index(duplicates.numbers(champion["sha256"][sure]))  # by numbers, 20 times as fast as by the text
    place = contents.get_indexer(duplicates.numbers(material.rows.loc[here.index, "sha256"]))
    both = here[place >= 0]
    both = both.join(opinions.iloc[place[place >= 0]].set_axis(both.index))
    names = both["label"].cat.categories
    own = said.categories.get_indexer(names)[both["label"].cat.codes]  # this model's label as the champion's number
    either = said.categories.isin(asked.classes)[both["was"]] | both["label"].isin(asked.classes)
    both = both[(own != both["was"]) & (either if asked.classes else True)]
    rows = material.first(both, [-np.minimum(both["score"], both["was_score"]).to_numpy()], asked.max_rows)
    rows = rows.assign(label=rows["label"].astype("str"), was=said.categories.to_numpy(object)[rows["was"]])
    rows = material.pool.with_details(rows)
    before = rows["was"] + " (" + rows["was_score"].map("{:.0%}".format).astype("str") + ")"
    reason = "the champion says " + before + ", this model " + two_best(rows)
    return Found(rows.assign(reason=reason.astype("str")))
