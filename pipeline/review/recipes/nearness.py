"""How near pictures are to what is labelled and to what people called bad: what tells a new class from junk."""

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.cosine import highest, unit
from pipeline.inference.vectors import Vectors
from pipeline.review.recipes.inputs import Library, Material

NEIGHBOURS = 5  # the labelled image, by nearness, that tells how far from all a picture is
HELD_AGAINST = 5_000  # labelled images, of each class as many
BAD = 20  # images that people called bad, whose like is looked for


@dataclass(frozen=True)
class Known:
    """Features (K, F) of labelled images but those of validation, of length 1, and from where on a picture is far.

    Attributes:
      neighbour: of the nearest labelled images, the cosine to which one is looked at.
      limit: the cosine that all but a share of the validation images have (Sun et al. 2022, "Out-of-distribution
        detection with deep nearest neighbors").
    """

    features: np.ndarray
    neighbour: int
    limit: float


def known(library: Library, *, far: float) -> Known | None:
    """What is labelled; None where no validation image tells what is far.

    Args:
      far: share of the validation images that are farther than the limit.
    """
    some = library.sample(HELD_AGAINST, least=3)
    held = (library.rows["set"] == "val").to_numpy()[some]
    features = unit(library.embeddings[some[~held]])
    neighbour = min(NEIGHBOURS, len(features))
    if not held.any() or not neighbour:
        return None
    usual = highest(unit(library.embeddings[some[held]]) @ features.T, neighbour)[:, -1]
    return Known(features, neighbour, float(np.quantile(usual, far)))


def called_bad(material: Material) -> tuple[np.ndarray, np.ndarray]:
    """The places of all images that people called bad, and those of `BAD` to twice as many of them, evenly spaced."""
    rows = material.pool.rows
    said = rows.index.to_numpy()[rows["sha256"].isin(material.bad).to_numpy()]
    return said, said[:: len(said) // BAD + 1]


def to_bad(units: np.ndarray, places: np.ndarray, vectors: Vectors) -> np.ndarray:
    """The cosine (N,) of each image (N, F) to the nearest of some places, -1 where there are none."""
    return (units @ unit(vectors.exact[places]).T).max(axis=1, initial=-1)
