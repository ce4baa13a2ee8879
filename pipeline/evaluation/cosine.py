"""Which images are alike: the cosines of their features, and the nearest by them."""

import numpy as np

from pipeline.evaluation.scores import Matrix

BLOCK = 16384  # rows of features in memory at once


def unit(features: np.ndarray) -> np.ndarray:
    """Features (..., F) float32 of length 1; those of length 0 stay."""
    wide = np.asarray(features, np.float32)
    return wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)


def directions(features: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Features (N, F) as seen from the centre (F,) of all, of length 1: what tells classes apart."""
    return unit(unit(features) - centre)


def nearest(embeddings: Matrix, of: np.ndarray, among: np.ndarray, *, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows by cosine, all of them compared.

    Args:
      embeddings: features (N, F), perhaps in files.
      of, among: row numbers (M,) and (K,); a row is no neighbour of itself.

    Returns:
      Row numbers and cosines (M, number), the nearest first; as many columns as there are neighbours.
    """
    queries = unit(embeddings[of])
    best, rows = np.full((len(of), 0), -np.inf, np.float32), np.empty((len(of), 0), among.dtype)
    for start in range(0, len(among), BLOCK):
        some = among[start : start + BLOCK]
        cosines = queries @ unit(embeddings[some]).T
        cosines[of[:, None] == some] = -np.inf
        best, rows = merge_best(best, rows, cosines, some, number=number)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(rows, order, 1), np.take_along_axis(best, order, 1)


def merge_best(
    best: np.ndarray, rows: np.ndarray, more: np.ndarray, more_rows: np.ndarray, *, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """The `number` best of what a search has so far and of a further block, in no order.

    Args:
      best, rows: cosines and row numbers (M, at most number) of each query.
      more: cosines (M, K) of each query to the block.
      more_rows: the block's row numbers (K,).
    """
    best, rows = np.hstack([best, more]), np.hstack([rows, np.broadcast_to(more_rows, more.shape)])
    if best.shape[1] > number:
        chosen = np.argpartition(-best, number - 1, axis=1)[:, :number]
        best, rows = np.take_along_axis(best, chosen, 1), np.take_along_axis(rows, chosen, 1)
    return best, rows


def highest(cosines: np.ndarray, number: int) -> np.ndarray:
    """Of each row (N, M) the `number` highest, in no order but that the lowest of them is the last."""
    return -np.partition(-cosines, number - 1, axis=1)[:, :number]
