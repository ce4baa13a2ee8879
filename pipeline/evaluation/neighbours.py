"""What a model saw in an image: the training images whose features are nearest to it."""

import numpy as np

BLOCK = 16384  # rows of features in memory at once


def nearest(embeddings: np.ndarray, of: np.ndarray, among: np.ndarray, *, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest rows by cosine.

    Args:
      embeddings: features (N, F), perhaps in a file.
      of, among: row numbers (M,) and (K,); a row is no neighbour of itself.

    Returns:
      Row numbers and cosines (M, number), the nearest first; as many columns as there are neighbours.
    """
    queries = _unit(embeddings[of])
    best = np.full((len(of), 0), -np.inf, np.float32)
    rows = np.empty((len(of), 0), among.dtype)
    for start in range(0, len(among), BLOCK):
        some = among[start : start + BLOCK]
        cosines = queries @ _unit(embeddings[some]).T
        cosines[of[:, None] == some] = -np.inf
        best, rows = np.hstack([best, cosines]), np.hstack([rows, np.broadcast_to(some, cosines.shape)])
        if best.shape[1] > number:
            chosen = np.argpartition(-best, number - 1, axis=1)[:, :number]
            best, rows = np.take_along_axis(best, chosen, 1), np.take_along_axis(rows, chosen, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(rows, order, 1), np.take_along_axis(best, order, 1)


def _unit(features: np.ndarray) -> np.ndarray:
    wide = np.asarray(features, np.float32)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
