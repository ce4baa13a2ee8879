"""A second opinion on images that a model was trained on: the mean features of each class, without the image itself.

What a head has overfit, the class mean has not: an image is compared with the others of its class that do not belong
together with it, since frames of one burst would confirm each other's label. The layers below the head have seen the
label, so that the opinion is not quite out of sample; it is as near to that as one gets without several trainings.
(A class mean as classifier: Snell, Swersky, Zemel 2017, "Prototypical networks".)
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from pipeline.evaluation import calibration, cosine, independence
from pipeline.evaluation.scores import Matrix

BLOCK = 8192  # rows of features in memory at once
SHARPNESS = 10.0  # of the softmax over cosines, from where its temperature is fitted
FITTED_ON = 5000  # images


class Prototypes:
    """Probabilities of images by the cosine of their features to each class's mean, their own cluster left out.

    Args:
      embeddings: features (N, F), perhaps in files.
      rows: the images, as row numbers (K,).
      targets: their class indices (K,).
      cluster: of each (K,), what belongs together; without, every image is alone.
    """

    def __init__(
        self,
        embeddings: Matrix,
        rows: np.ndarray,
        targets: np.ndarray,
        *,
        num_classes: int,
        cluster: ArrayLike | None = None,
    ):
        self._embeddings, self._rows, self._targets = embeddings, rows, targets
        codes = independence.numbered(cluster, len(rows))
        self._together = np.unique(codes * num_classes + targets, return_inverse=True)[1]  # clusters within a class
        self._order = np.argsort(self._together, kind="stable")
        self._sizes = np.bincount(self._together, minlength=1)
        self._starts = np.cumsum(self._sizes) - self._sizes
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
        cosines[np.arange(len(units)), targets] = (
            units * cosine.unit(self._sums[targets] - self._mates(some, units))
        ).sum(axis=1)
        cosines[:, ~self._present] = -1.0
        odds = np.exp(SHARPNESS * cosines)
        return calibration.scale(odds / odds.sum(axis=1, keepdims=True), self._temperature)

    def _mates(self, some: "slice | np.ndarray", units: np.ndarray) -> np.ndarray:
        """The sums (M, F) of the features of each image and of those of its class that belong together with it."""
        groups, of = np.unique(self._together[some], return_inverse=True)
        several = self._sizes[groups] > 1
        if not several.any():
            return units
        summed = np.zeros((len(groups), units.shape[1]), np.float32)
        part_of = np.cumsum(self._sizes[groups]) // BLOCK
        for part in np.unique(part_of[several]):
            chosen = np.flatnonzero(several & (part_of == part))
            sizes, starts = self._sizes[groups[chosen]], self._starts[groups[chosen]]
            first = np.cumsum(sizes) - sizes
            mates = self._order[np.repeat(starts - first, sizes) + np.arange(sizes.sum())]
            summed[chosen] = np.add.reduceat(self._units(mates), first)
        return np.where(several[of][:, None], summed[of], units)

    def _units(self, some: "slice | np.ndarray") -> np.ndarray:
        return cosine.directions(self._embeddings[self._rows[some]], self._centre)
