"""Made-up animals in the place of the demo's silhouettes."""

import numpy as np

from pipeline.demo import silhouettes


def blobs() -> dict[str, np.ndarray]:
    """Made-up animals: for each 1000 blots, white on black, no two alike."""
    random = np.random.default_rng(0)
    coarse = random.random((10, 1000, 7, 7)) > 0.5
    drawn = coarse.repeat(4, axis=2).repeat(4, axis=3).astype(np.uint8) * 255
    return dict(zip(silhouettes.ANIMALS, drawn, strict=True))
