"""Recipes for what does not agree: labels with each other, with the model, and the model with the champion."""

import numpy as np
import pandas as pd

from pipeline.review.recipes.material import Found, Material, first, two_best

DIGITS = 16  # of a content hash, in hexadecimal: a 64-bit key
_VALUES = np.zeros(256, np.uint64)
for _digit in range(16):
    _VALUES[ord("0123456789abcdef"[_digit])] = _digit


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
    sure = material.candidates(material.rows["score"] >= disagree_score)
    champion = champion[(champion["score"] >= disagree_score).to_numpy()]
    place = pd.Index(content_keys(champion["sha256"])).get_indexer(content_keys(sure["sha256"]))
    both = sure[place >= 0].assign(place=place[place >= 0])
    names = champion["label"].astype("category").cat
    was = np.asarray(names.categories, object)[names.codes.to_numpy()[both["place"]]]
    both = both.assign(was=was, was_score=champion["score"].to_numpy()[both["place"]]).astype({"label": "str"})
    both = both[both["label"] != both["was"]]
    both = both[both["label"].isin(classes) | both["was"].isin(classes)] if classes else both
    rows = first(both, [-both[["score", "was_score"]].min(axis=1).to_numpy()], number)
    rows = material.pool.with_details(rows)
    said = rows["was"] + " (" + rows["was_score"].map("{:.0%}".format).astype("str") + ")"
    reason = "the champion says " + said + ", this model " + two_best(rows)
    return Found(rows.assign(reason=reason.astype("str")))


def content_keys(sha256: pd.Series) -> np.ndarray:
    """The first 64 bits (N,) of content hashes: compared 20 times as fast as the text."""
    if not len(sha256):
        return np.empty(0, np.uint64)
    text = "".join(sha256.str.slice(0, DIGITS)).encode()
    digits = _VALUES[np.frombuffer(text, np.uint8).reshape(-1, DIGITS)]
    return (digits << np.arange(4 * DIGITS - 4, -1, -4, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)


def _of(rows: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    return rows[rows["label"].isin(classes)] if classes else rows
