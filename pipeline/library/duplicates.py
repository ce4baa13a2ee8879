"""Near-duplicates: perceptual hashes a few bits apart, and what belongs together because of them."""

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BITS = 64


def near_pairs(hashes: np.ndarray, distance: int) -> np.ndarray:
    """Returns the pairs of `hashes` (N,) uint64 that differ in at most `distance` bits, as indices (M, 2).

    Exact, by the pigeonhole principle (Norouzi, Punjani, Fleet 2012, "Fast Search in Hamming Space with Multi-Index
    Hashing"): cut into `distance` + 1 bands, two such hashes agree in at least one band. Only the first of equal hashes
    is paired with others, and its duplicates with it: enough to tell what is connected, without n x n pairs.
    """
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    others = np.setdiff1d(np.arange(len(hashes)), first)
    found = [np.stack([first[inverse[others]], others], axis=1)]
    edges = np.linspace(0, BITS, distance + 2).astype(int)
    for low, high in pairwise(edges):
        band = (unique >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        found.append(first[_close_within_runs(unique, band, order, distance)])
    pairs = np.sort(np.concatenate(found), axis=1)
    return np.unique(pairs, axis=0)


def _close_within_runs(hashes: np.ndarray, band: np.ndarray, order: np.ndarray, distance: int) -> np.ndarray:
    """Compares each hash with those after it that share its band; one pass a step of the way, until all runs end."""
    band, hashes = band[order], hashes[order]
    found = [np.empty((0, 2), dtype=np.int64)]
    here = np.arange(len(order))
    step = 0
    while True:
        step += 1
        here = here[here + step < len(order)]
        here = here[band[here] == band[here + step]]
        if not len(here):
            return np.concatenate(found)
        close = here[np.bitwise_count(hashes[here] ^ hashes[here + step]) <= distance]
        found.append(np.stack([order[close], order[close + step]], axis=1))


def connected(size: int, pairs: np.ndarray) -> np.ndarray:
    """Returns for each of `size` items the number of its component under `pairs` (M, 2)."""
    edges = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return connected_components(edges, directed=False)[1]


def group(images: pd.DataFrame, distance: int) -> pd.Series:
    """Names the near-duplicate group of each image: images of equal content or near perceptual hashes, transitively.

    Args:
      images: columns `sha256` and `phash` (16 hexadecimal digits, or empty).
      distance: largest number of differing bits between near-duplicates.

    Returns:
      The smallest content hash in the group, shortened to 16 digits.
    """
    pairs = [same_pairs(images["sha256"]), near_hash_pairs(images["phash"], distance)]
    return _name(images["sha256"], pairs)


def join(sha256: pd.Series, keys: pd.DataFrame) -> pd.Series:
    """Names, as `group` does, the groups of images that share a non-empty value in a column of `keys`, transitively."""
    return _name(sha256, [same_pairs(keys[column]) for column in keys])


def near_hash_pairs(phashes: pd.Series, distance: int) -> np.ndarray:
    """Positions (M, 2) of near pairs among hexadecimal hashes; an empty hash is near to nothing."""
    known = np.flatnonzero(phashes.to_numpy() != "")
    hashes = np.array([int(text, 16) for text in phashes.to_numpy()[known]], dtype=np.uint64)
    return known[near_pairs(hashes, distance)] if len(known) else np.empty((0, 2), dtype=np.int64)


def same_pairs(values: pd.Series) -> np.ndarray:
    """Positions (M, 2) that chain the places of each non-empty value to its first."""
    positions = pd.Series(np.arange(len(values)), index=values.to_numpy())
    positions = positions[values.to_numpy() != ""]
    first = positions.groupby(level=0).transform("min")
    return np.stack([first.to_numpy(), positions.to_numpy()], axis=1)


def _name(sha256: pd.Series, pairs: list[np.ndarray]) -> pd.Series:
    component = connected(len(sha256), np.concatenate(pairs))
    return sha256.groupby(component).transform("min").str[:16]
