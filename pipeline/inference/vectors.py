"""Nearest images among millions: a small code of each in memory finds a shortlist, and exact cosines rank it.

A scan of 2,000,000 x 1,280 float16 features reads 5 GB, which no disk does in a second. So the features are projected
on their first principal components and kept as int8, 64 bytes an image (128 MB). Of the features themselves, only the
shortlist's rows are read, from the store where they lie. The codes are a cache: made when the features are new, and
free to be deleted at any time.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import DataError
from pipeline.evaluation.cosine import merge_best, unit
from pipeline.files import atomic_folder, read_json, write_json
from pipeline.inference.shards import Stacked

CODES, PROJECTION, SOURCE = "codes.npy", "projection.npz", "source.json"
COMPONENTS = 64
SAMPLE = 20_000  # images from which the components are learnt
BLOCK = 1 << 16  # rows in memory at once
SHORTLIST = 1000  # images, for each query, whose cosine is computed
MIDDLE = 500  # images whose mean stands for that of all, which codes leave out
STEPS = 127  # of an int8
FEWEST = 3  # images that span components


@dataclass(frozen=True)
class Vectors:
    """`exact` (N, F) float16 and `codes` (N, K) int8, in files, with the projection (F, K) that the codes come from."""

    exact: Stacked
    codes: np.ndarray
    projection: np.ndarray

    def nearest(
        self, queries: np.ndarray, *, number: int, among: np.ndarray | None = None, shortlist: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nearest rows by cosine.

        Args:
          queries: features (M, F).
          among: row numbers (K,) to choose from; by default all.
          shortlist: images, for each query, whose cosine is computed; by default `SHORTLIST`.

        Returns:
          Row numbers and cosines (M, number), the nearest first; as many columns as there are rows.
        """
        wanted = unit(queries)
        places = self._shortlist(wanted @ self.projection, max(shortlist or SHORTLIST, number), among)
        number = min(number, places.shape[1])
        rows, cosines = np.empty((len(queries), number), np.int64), np.empty((len(queries), number), np.float32)
        for i, own in enumerate(places):
            own = np.sort(own)  # read in the file's order; of equal cosines the first row wins
            exact = unit(self.exact[own]) @ wanted[i]
            best = np.argsort(-exact, kind="stable")[:number]
            rows[i], cosines[i] = own[best], exact[best]
        return rows, cosines

    def roughly(self, queries: np.ndarray, of: np.ndarray, *, among: np.ndarray) -> np.ndarray:
        """About the cosine of each row to a query of its own, by the codes alone.

        Args:
          queries: features (M, F) of length 1.
          of: which of them each row is held against (K,).
          among: row numbers (K,).
        """
        middle = unit(self.exact[:: len(self.exact) // MIDDLE + 1]).mean(axis=0)
        wanted, common = queries @ self.projection, queries @ middle
        near = np.empty(len(among), np.float32)
        for start in range(0, len(among), BLOCK):
            some = slice(start, start + BLOCK)
            near[some] = np.einsum("ij,ij->i", self.codes[among[some]].astype(np.float32), wanted[of[some]])
        return near + common[of]

    def _shortlist(self, wanted: np.ndarray, number: int, among: np.ndarray | None) -> np.ndarray:
        total = len(self.codes) if among is None else len(among)
        best, rows = np.empty((len(wanted), 0), np.float32), np.empty((len(wanted), 0), np.int64)
        for start in range(0, total, BLOCK):
            some = np.arange(start, min(start + BLOCK, total)) if among is None else among[start : start + BLOCK]
            codes = self.codes[start : start + BLOCK] if among is None else self.codes[some]
            near = wanted @ codes.astype(np.float32).T
            if best.shape[1] == number:  # after the first blocks, hardly a row is among the best of any query
                promising = np.flatnonzero((near > best.min(axis=1, keepdims=True)).any(axis=0))
                near, some = near[:, promising], some[promising]
            best, rows = merge_best(best, rows, near, some, number=number)
        return rows


def of(features: Stacked | None, cache: Path) -> Vectors | None:
    """Makes features searchable, whose codes lie in the folder `cache`; None if there are none, or only a handful."""
    if features is None or len(features) < FEWEST:
        return None
    source = features.source()
    if not _is_of(cache, source):
        with atomic_folder(cache) as new:
            _write_codes(features, new)
            write_json(source, new / SOURCE)
    with np.load(cache / PROJECTION) as stored:
        return Vectors(features, np.load(cache / CODES, mmap_mode="r"), stored["projection"])


def _write_codes(exact: Stacked, folder: Path) -> None:
    """Principal components of evenly spaced rows, and the codes of all, each component in steps of its own."""
    from sklearn.decomposition import PCA

    sample = unit(exact[:: len(exact) // SAMPLE + 1])
    fitted = PCA(min(COMPONENTS, len(sample) - 1, sample.shape[1]), svd_solver="covariance_eigh").fit(sample)
    basis = fitted.components_.T.astype(np.float32)
    middle = fitted.mean_ @ basis  # what all rows have in common ranks none of them
    steps = np.abs(sample @ basis - middle).max(axis=0) / STEPS + 1e-12
    codes = np.lib.format.open_memmap(folder / CODES, "w+", np.int8, (len(exact), basis.shape[1]))
    for start in range(0, len(exact), BLOCK):
        some = slice(start, start + BLOCK)
        codes[some] = np.clip(np.rint((unit(exact[some]) @ basis - middle) / steps), -STEPS, STEPS)
    codes.flush()
    np.savez(folder / PROJECTION, projection=basis * steps)


def _is_of(cache: Path, source: dict) -> bool:
    try:
        return read_json(cache / SOURCE) == source
    except DataError:
        return False
