"""An opinion on labels that no network has learnt: the likest images of each class, by features of a frozen network.

A network that is trained on wrong labels agrees with them, and so do its features. A frozen network has seen no label
of the library. An image is compared with the `MANY` likest images of each class, of which no two belong together, and
none belongs together with itself: frames of one burst share their label's mistake (Zhu, Dong, Liu 2022, "Detecting
corrupted labels without training a model to predict", ICML; class by class, so that small classes are heard: Mitani,
Hamamoto 2006, Pattern Recognition Letters 27: 1151-1159, "A local mean-based nonparametric classifier").
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from pipeline.evaluation import calibration, cosine, independence
from pipeline.evaluation.scores import Matrix

BLOCK = 2048  # rows of features in memory at once
MANY = 5
NEAREST = 0.6  # weight of the likest images; the rest is that of the mean of all, which many images make reliable
NEAR_CLASSES = 12  # whose images are looked at, by the classes' means
SHARPNESS = 10.0  # of the softmax over cosines, from where its temperature is fitted
FITTED_ON = 5000  # images
SHORTEST = 0.2  # length of the mean of a class's features of length 1, at least
NOTHING = -1.0  # likeness to a class that an image is not compared with


class Neighbours:
    """Probabilities of images by the likest ones of each class, their own cluster left out.

    Args:
      features: of the frozen network (N, F), perhaps in files; zeros where an image has none.
      rows: the images, as row numbers (K,).
      targets: their class indices (K,).
      cluster: of each (K,), what belongs together; without, every image is alone.
      votes: whose label counts (K,), bool; without, that of all.

    Attributes:
      judged: which images can be judged (K,): they have features, and their class has them in another cluster.
    """

    def __init__(
        self,
        features: Matrix,
        rows: np.ndarray,
        targets: np.ndarray,
        *,
        num_classes: int,
        cluster: ArrayLike | None = None,
        votes: np.ndarray | None = None,
    ):
        self._features, self._rows, self._classes = features, rows, num_classes
        self._codes = independence.numbered(cluster, len(rows))
        self._centre, self._temperature = np.zeros(features.shape[1], np.float32), 1.0
        sums, number = np.zeros((num_classes, features.shape[1]), np.float32), np.zeros(num_classes)
        there, votes = np.zeros(len(rows), bool), np.ones(len(rows), bool) if votes is None else votes
        for some in _blocks(len(rows)):
            units = self._units(some)
            there[some] = (units != 0).any(axis=1)
            members = sparse.csr_array((votes[some].astype(np.float32), (targets[some], np.arange(len(units)))),
                                       (num_classes, len(units)))  # fmt: skip
            sums += members @ units
            number += np.bincount(targets[some][(there & votes)[some]], minlength=num_classes)
        self._centre = sums.sum(axis=0) / max(number.sum(), 1)
        means = cosine.unit(sums - number[:, None].astype(np.float32) * self._centre)
        self._near = self._nearest(means, targets, present=number > 0)
        self._likeness = np.full(self._near.shape, NOTHING, np.float32)
        order = np.argsort(self._near, axis=None, kind="stable")
        starts = np.searchsorted(self._near.ravel()[order], np.arange(num_classes + 1))
        for code in range(num_classes):
            image, place = np.divmod(order[starts[code] : starts[code + 1]], self._near.shape[1])
            with_features = there[image]
            members = np.flatnonzero((targets == code) & there & votes)
            if len(members) and with_features.any():
                image, place = image[with_features], place[with_features]
                self._likeness[image, place] = self._likest(image, members)
        self.judged = there & (self._likeness[:, 0] > NOTHING)
        sample = np.random.default_rng(0).permutation(np.flatnonzero(self.judged & votes))[:FITTED_ON]
        self._temperature = calibration.fit_temperature(self.probs(sample), targets[sample]) if len(sample) else 1.0

    def probs(self, some: "slice | np.ndarray") -> np.ndarray:
        """Probabilities (M, C) of `some` of the images."""
        likeness = np.full((len(self._near[some]), self._classes), NOTHING, np.float32)
        np.put_along_axis(likeness, self._near[some], self._likeness[some], axis=1)
        odds = np.exp(SHARPNESS * likeness)
        return calibration.scale(odds / odds.sum(axis=1, keepdims=True), self._temperature)

    def _nearest(self, means: np.ndarray, targets: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Which classes each image is compared with (K, at most `NEAR_CLASSES`): its own first, then the nearest."""
        number = min(NEAR_CLASSES, len(means))
        near = np.empty((len(targets), number), np.int32)
        for some in _blocks(len(targets)):
            cosines = np.where(present, self._units(some) @ means.T, -2.0)
            np.put_along_axis(cosines, targets[some][:, None], 2.0, axis=1)
            best = np.argpartition(-cosines, number - 1, axis=1)[:, :number]
            own_first = np.argsort(best != targets[some][:, None], axis=1, kind="stable")
            near[some] = np.take_along_axis(best, own_first, axis=1)
        return near

    def _likest(self, asked: np.ndarray, members: np.ndarray) -> np.ndarray:
        """How like images (A,) are to a class, by those of other clusters alone.

        The mean cosine to the `MANY` likest, each of another cluster, and that to the mean of all (Snell, Swersky,
        Zemel 2017, "Prototypical networks"), weighted by `NEAREST`.
        """
        members = members[np.argsort(self._codes[members], kind="stable")]
        clusters, first = np.unique(self._codes[members], return_index=True)
        units, found = self._units(members), np.empty(len(asked), np.float32)
        together, number_of = float(np.square(units.sum(axis=0)).sum()), len(units)
        pairs = (together - number_of) / max(number_of * (number_of - 1), 1)  # mean cosine of two, without chance
        length = max(pairs, SHORTEST**2) ** 0.5
        for some in _blocks(len(asked)):
            cosines = np.maximum.reduceat(self._units(asked[some]) @ units.T, first, axis=1)
            cosines[self._codes[asked[some]][:, None] == clusters] = -np.inf
            best = cosine.highest(cosines, min(MANY, len(clusters)))
            number = np.isfinite(best).sum(axis=1)
            mean = np.where(np.isfinite(best), best, 0).sum(axis=1) / np.maximum(number, 1)
            there = np.isfinite(cosines)
            whole = np.where(there, cosines, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1) / length
            found[some] = np.where(number > 0, NEAREST * mean + (1 - NEAREST) * whole, NOTHING)
        return found

    def _units(self, some: "slice | np.ndarray") -> np.ndarray:
        raw = cosine.unit(self._features[self._rows[some]])
        there = (raw != 0).any(axis=1, keepdims=True)
        return np.where(there, cosine.unit(raw - self._centre), np.float32(0))


def _blocks(number: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, number)) for start in range(0, number, BLOCK)]
