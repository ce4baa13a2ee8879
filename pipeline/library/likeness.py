"""How alike images look, and how alike independent images of one class look: the measure of all ties."""

from typing import Protocol

import numpy as np
import pandas as pd

from pipeline.library import duplicates, screening

LAGS = 5  # neighbours of an image that it may be tied to: some frame between two may be spoilt
LONG_RUN = 100  # names: a longer run is counted through, until the images say something else
SEVERAL = 3  # runs, or folders, of a class in one place, from which on each may be one event
FAR = 50  # places in a run of names from which on two images count as independent
HOUR = 3600.0  # seconds from which on two images of one camera count as independent
NULL_PAIRS = 200_000  # independent pairs, at most
PER_CLASS = 50  # pairs that the mean and deviation over all classes weigh beside those of one class
LOOK_CHANCE = 0.03  # of images that nothing but a second look ties
BLOCK = 8192  # rows of vectors in memory at once


class Vectors(Protocol):
    """Unit vectors (N, F), one per image, whose product says how alike two images look; zeros where nobody knows."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


def hash_vectors(phashes: pd.Series, layouts: pd.Series) -> np.ndarray:
    """Vectors (N, 112) float32 of what the index knows, for images without features: pHash bits and layout, evenly.

    Args:
      phashes: 16 hexadecimal digits, or empty.
      layouts: 48 hexadecimal digits, or empty (`screening.layout`).
    """
    known = ((phashes != "") & (layouts != "")).to_numpy()
    vectors = np.zeros((len(phashes), 112), np.float32)
    if known.any():
        bits = np.unpackbits(duplicates.numbers(phashes[known]).astype(">u8").view(np.uint8)).reshape(-1, 64)
        values = screening.cells(layouts[known]).reshape(-1, 3, screening.CELLS**2)
        values -= values.mean(axis=2, keepdims=True)
        layout = values.reshape(len(values), -1)
        layout /= np.maximum(np.linalg.norm(layout, axis=1, keepdims=True), 1e-6)
        vectors[known] = np.hstack([(2.0 * bits - 1) / 8, layout]) / np.sqrt(2)
    return vectors


class Independent:
    """How alike two independent images of one class and place look."""

    def __init__(self, rows: pd.DataFrame, vectors: Vectors) -> None:
        self.vectors = vectors
        self.label = pd.factorize(rows["label"])[0]
        self.home = pd.factorize(rows["label"] + "\n" + _places(rows))[0]
        first, second = self._draw(rows)
        similarity = similarities(vectors, first, second)
        home = self.home[first]
        number = np.bincount(home, minlength=self.home.max() + 1)
        mean, deviation = (float(similarity.mean()), float(similarity.std())) if len(similarity) else (1.0, 0.0)
        sums = np.bincount(home, similarity, minlength=len(number))
        self.mean = (sums + PER_CLASS * mean) / (number + PER_CLASS)
        squares = np.bincount(home, (similarity - self.mean[home]) ** 2, minlength=len(number))
        self.deviation = np.sqrt((squares + PER_CLASS * deviation**2) / (number + PER_CLASS)) + 1e-6
        self.scores = np.sort(self._score(similarity, home))

    def _draw(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of one class and place that neither names nor times bring near; if there are few, any pairs.

        Where a class has several runs of names in a place, each may be one event, and pairs are of two runs. Where it
        has one or two, these are counted through, and pairs lie far apart in them.
        """
        random = np.random.default_rng(0)
        first = random.integers(0, len(rows), min(NULL_PAIRS, 20 * len(rows)))
        order = np.argsort(self.home, kind="stable")
        starts = np.searchsorted(self.home[order], np.arange(self.home.max() + 2))
        low, high = starts[self.home[first]], starts[self.home[first] + 1]
        second = order[(low + random.random(len(first)) * (high - low)).astype(np.intp)]
        place = np.empty(len(rows), np.intp)
        run, seconds, clock = (rows[name].to_numpy() for name in ("run", "seconds", "clock"))
        place[np.lexsort((np.arange(len(rows)), rows["number"], run))] = np.arange(len(rows))
        length = np.bincount(run[run >= 0], minlength=1)[np.maximum(run[first], 0)]
        runs = pd.DataFrame({"home": self.home, "run": run})[run >= 0].drop_duplicates()
        several = np.bincount(runs["home"], minlength=len(starts))[self.home[first]] >= SEVERAL
        far = np.where(several & (length <= LONG_RUN), len(rows), np.clip(length // 4, 2 * LAGS, FAR))
        near = (run[first] == run[second]) & (run[first] >= 0) & (np.abs(place[first] - place[second]) <= far)
        near |= (clock[first] == clock[second]) & (np.abs(seconds[first] - seconds[second]) <= HOUR)
        contents = rows["sha256"].to_numpy(dtype=object)
        apart = ~near & (contents[first] != contents[second])
        if apart.sum() >= PER_CLASS:
            return first[apart], second[apart]
        second = random.integers(0, len(rows), len(first))
        apart = contents[first] != contents[second]
        return first[apart], second[apart]

    def _score(self, similarity: np.ndarray, home: np.ndarray) -> np.ndarray:
        return (similarity - self.mean[home]) / self.deviation[home]

    def chances(self, first: np.ndarray, second: np.ndarray, similarity: np.ndarray) -> np.ndarray:
        """The chance (M,) that two independent images look as alike; of two classes, in the one that is more alike."""
        score = np.minimum(*(self._score(similarity, self.home[places]) for places in (first, second)))
        above = len(self.scores) - np.searchsorted(self.scores, score)
        return (1 + above) / (1 + len(self.scores))

    def rarely_so_alike(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether two images (M,) are more alike than all but few independent pairs."""
        chances = self.chances(first, second, similarities(self.vectors, first, second))
        return chances <= LOOK_CHANCE

    def judged(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """Adds `similarity` and `chance` to each pair."""
        first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
        similarity = similarities(self.vectors, first, second)
        return pairs.assign(similarity=similarity, chance=self.chances(first, second, similarity))


def _places(rows: pd.DataFrame) -> pd.Series:
    """The folder of each image; of a class that has several folders side by side, one event each, the one above."""
    above = rows["folder"].str.rpartition("/")[0]
    beside = rows.assign(above=above).groupby(["label", "above"])["folder"].transform("nunique")
    return rows["folder"].where(beside < SEVERAL, above)


def similarities(vectors: Vectors, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The products (M,) of the vectors of two images; each block reads its rows once."""
    order = np.argsort(first, kind="stable")
    similarity = np.empty(len(first), np.float32)
    for start in range(0, len(first), BLOCK):
        some = order[start : start + BLOCK]
        needed, places = np.unique(np.concatenate([first[some], second[some]]), return_inverse=True)
        values = np.asarray(vectors[needed], np.float32)
        left, right = places[: len(some)], places[len(some) :]
        similarity[some] = np.einsum("ij,ij->i", values[left], values[right])
    return similarity
