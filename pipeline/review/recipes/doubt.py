"""Recipes for what does not agree: labels with each other, with the model, and the model with the champion."""

import numpy as np
import pandas as pd

from pipeline.library import duplicates
from pipeline.review.recipes.material import Found, Material, two_best


def label_conflict(material: Material, *, number: int, classes: list[str], **_) -> Found:
    """Near-duplicates with different labels: they stay out of every set until a person has looked at each."""
    rows = _of(material.conflicts, classes).sort_values(["group", "image"]).head(number)
    reason = rows["label"] + " here; the same picture is called " + rows["detail"]
    return Found(rows.assign(score=np.nan, reason=reason))


def suspect_label(material: Material, *, number: int, classes: list[str], **_) -> Found:
    """Images whose label the model contradicts, first those it was not trained on (`evaluation.audit`)."""
    return Found(_of(material.suspects, classes).sort_values(["trained", "rank", "image"]).head(number))


def disagree(material: Material, *, number: int, classes: list[str], disagree_score: float, **_) -> Found:
    """Pool images that the champion and this model name differently, both at `disagree_score` or more.

    Those first where the less sure of the two is surest: one of them is confidently wrong.
    """
    champion = material.champion()
    if isinstance(champion, str):
        return Found(material.rows.head(0).assign(reason=""), f"Nothing to compare: {champion}.")
    said = champion["label"].astype("category").cat
    sure = (champion["score"] >= disagree_score).to_numpy()
    opinions = pd.DataFrame({"was": said.codes.to_numpy()[sure], "was_score": champion["score"].to_numpy()[sure]})
    here = material.candidates(material.rows["score"] >= disagree_score)
    contents = pd.Index(duplicates.numbers(champion["sha256"][sure]))  # by numbers, 20 times as fast as by the text
    place = contents.get_indexer(duplicates.numbers(material.rows.loc[here.index, "sha256"]))
    both = here[place >= 0]
    both = both.join(opinions.iloc[place[place >= 0]].set_axis(both.index))
    names = both["label"].cat.categories
    own = said.categories.get_indexer(names)[both["label"].cat.codes]  # this model's label as the champion's number
    asked = (said.categories.isin(classes)[both["was"]] | both["label"].isin(classes)) if classes else True
    both = both[(own != both["was"]) & asked]
    rows = material.first(both, [-np.minimum(both["score"], both["was_score"]).to_numpy()], number)
    rows = rows.assign(label=rows["label"].astype("str"), was=said.categories.to_numpy(object)[rows["was"]])
    rows = material.pool.with_details(rows)
    before = rows["was"] + " (" + rows["was_score"].map("{:.0%}".format).astype("str") + ")"
    reason = "the champion says " + before + ", this model " + two_best(rows)
    return Found(rows.assign(reason=reason.astype("str")))


def _of(rows: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    return rows[rows["label"].isin(classes)] if classes else rows
