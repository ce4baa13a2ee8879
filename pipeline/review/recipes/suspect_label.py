"""Recipe suspect-label: labels that the model contradicts."""

from pipeline.review.recipes.inputs import Found, Material
from pipeline.review.recipes.settings import OfClasses


def suspect_label(material: Material, asked: OfClasses) -> Found:
    """Images whose label the model contradicts, first those it was not trained on (`evaluation.audit`)."""
    rows = asked.chosen(material.suspects).sort_values(["trained", "rank", "image"])
    return Found(rows.head(asked.max_rows))
