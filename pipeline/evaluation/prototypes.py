"""A second opinion on images that a model was trained on: the mean features of each class, without the image itself.

What a head has learnt by heart, the class mean has not: an image is held against the others of its class. The layers
below the head have seen the label, so that the opinion is not quite out of sample; it is as near to that as one gets
without training several models. (A class mean as classifier: Snell, Swersky, Zemel 2017, "Prototypical networks".)
"""

import numpy as np
from scipy import sparse

from pipeline.evaluation import calibration, cosine
from pipeline.evaluation.scores import Matrix

BLOCK = 8192  # rows of features in memory at once
SHARPNESS = 10.0  # of the softmax over cosines, from where its temperature is fitted
FITTED_ON = 5000  # images


class Prototypes:
    """Probabilities of images by the cosine of their features to each class's mean, themselves left out.

    Args:
      embeddings: features (N, F), perhaps in files.
      rows: the images, as row numbers (K,).
      targets: their class indices (K,).
    """

    def __init__(self, embeddings: Matrix, rows: np.ndarray, targets: np.ndarray, *, num_classes: int):
        self._embeddings, self._rows, self._targets = embeddings, rows, targets
        self._centre = np.zeros(embeddings.shape[1], np.float32)
        blocks = [slice(start, start + BLOCK) for start in range(0, len(rows), BLOCK)]
        self._centre = sum(self._units(some).sum(axis=0) for some in blocks) / max(len(rows), 1)
        self._sums = np.zeros((num_classes, embeddings.shape[1]), np.float32)
        for some in blocks:
            of = targets[some]
            members = sparse.csr_array((np.ones(len(of), np.float32), (of, np.arange(len(of)))), (num_classes, len(of)))
            self._sums += members @ self._units(some)
        self._present = np.bincount(targets, minlength=num_classes) > 0
        self._temperature = 1.0
        sample = np.random.default_rng(0).permutation(len(rows))[:FITTED_ON]
        self._temperature = calibration.fit_temperature(self.probs(sample), targets[sample])

    def probs(self, some: "slice | np.ndarray") -> np.ndarray:
        """Probabilities (M, C) of `some` of the images."""
        units, targets = self._units(some), self._targets[some]
        cosines = units @ cosine.unit(self._sums).T
        cosines[np.arange(len(units)), targets] = (units * cosine.unit(self._sums[targets] - units)).sum(axis=1)
        cosines[:, ~self._present] = -1.0
        odds = np.exp(SHARPNESS * cosines)
        return calibration.scale(odds / odds.sum(axis=1, keepdims=True), self._temperature)

    def _units(self, some: "slice | np.ndarray") -> np.ndarray:
        return cosine.directions(self._embeddings[self._rows[some]], self._centre)
