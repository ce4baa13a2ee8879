"""Recipe label-conflict: near-duplicates with different labels."""

import numpy as np

from pipeline.review.recipes.inputs import Found, Material
from pipeline.review.recipes.settings import OfClasses


def label_conflict(material: Material, asked: OfClasses) -> Found:
    """Near-duplicates with different labels: they stay out of every set until a person has looked at each."""
    rows = asked.chosen(material.conflicts).sort_values(["group", "image"]).head(asked.max_rows)
    reason = rows["label"] + " here; the same picture is called " + rows["detail"]
    return Found(rows.assign(score=np.nan, reason=reason))
