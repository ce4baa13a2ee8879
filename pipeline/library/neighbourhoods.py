"""Neighbourhoods: images of a class that lie closer together than independent images do, where nothing says why.

Frames whose names are shuffled and whose capture times are gone still look alike. No threshold on likeness tells the
frames of one track from those of the next, but whole neighbourhoods can stay on one side of every split: an image's
nearest neighbours then are mostly where it is. They are looked for only where a library is visibly full of near
neighbours, and they are coarse: a neighbourhood holds several events, so it counts fewer independent images than there
are, never more.
"""

from typing import cast

import numpy as np
import pandas as pd

from pipeline.library.likeness import Vectors

NEIGHBOURS = 8  # whom an image and another must name in common
CLOSE = 0.55  # distance to the nearest image beside the median distance: of independent photographs it is 0.60 to 0.79
CLOSE_CLASS = 0.59  # the same of one class, in a library that is close
SHARE = 0.16  # of a class that one neighbourhood may hold
FEWEST, MOST = 40, 5_000  # images of a class in which neighbourhoods are looked for


def ties(vectors: Vectors, component: np.ndarray, *, known: np.ndarray, part: pd.Series) -> pd.DataFrame:
    """Ties each image to the one that is in the middle of its neighbourhood.

    Two images are as near as they have reciprocal nearest neighbours in common (Jaccard; Zhong et al. 2017, "Re-ranking
    person re-identification with k-reciprocal encoding"), and are joined by average linkage. What is tied already stays
    together. Images that a model has been trained, validated or tested on are never tied to each other: a new one
    joins the known image that is nearest, or is joined with other new ones.

    Args:
      vectors: one per image.
      component: number (N,) of what is tied already.
      known: whether a model has seen the image.
      part: within which images may be tied: a class, on one side of the benchmarks; "" of an image that may not.

    Returns:
      `first`, `second` (positions) and `similarity`.
    """
    classes = []
    for name, members in part.reset_index(drop=True).groupby(part.to_numpy()).indices.items():
        if name and FEWEST <= len(members) <= MOST:
            values = np.asarray(vectors[members], np.float32)
            seen = values.any(axis=1)
            members, similarity = members[seen], values[seen] @ values[seen].T
            if len(members) >= FEWEST:
                classes.append((members, _closeness(similarity, component[members])))
    nothing = _pairs([], [], [])
    if not classes or np.median(np.repeat([close for _, close in classes], [len(m) for m, _ in classes])) > CLOSE:
        return nothing
    found = [nothing]
    for members, closeness in classes:
        if closeness > CLOSE_CLASS:
            continue
        values = np.asarray(vectors[members], np.float32)
        similarity = values @ values.T
        shared = _shared_neighbours(similarity)
        unit = component[members]
        joined = _joined(shared, unit, np.isin(unit, unit[known[members]]))
        found.append(_to_the_middle(members, joined, unit, similarity))
    return pd.concat(found, ignore_index=True)


def _closeness(similarity: np.ndarray, component: np.ndarray) -> float:
    """The median distance to the nearest image that is not tied already, beside the median distance of all."""
    distance = np.sqrt(np.maximum(2 - 2 * similarity, 0))
    other = component[:, None] != component[None, :]
    if not other.any(axis=1).all():
        return 1.0
    nearest = np.where(other, distance, np.inf).min(axis=1)
    return float(np.median(nearest) / max(np.median(distance[other]), 1e-6))


def _shared_neighbours(similarity: np.ndarray) -> np.ndarray:
    """The share (N, N) of reciprocal neighbours that two images have in common, each its own neighbour, too."""
    np.fill_diagonal(similarity, -1.0)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
    named = np.zeros(similarity.shape, np.float32)
    np.put_along_axis(named, order, 1, axis=1)
    reciprocal = named * named.T
    np.fill_diagonal(reciprocal, 1)
    both, number = reciprocal @ reciprocal.T, reciprocal.sum(axis=1)
    return both / (number[:, None] + number[None, :] - both)


def _joined(shared: np.ndarray, unit: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The neighbourhood (N,) of each image: of known ones their unit, of new ones the nearest's, or a new one."""
    joined, size = unit.copy(), len(unit)
    new = np.flatnonzero(~known)
    if known.any():
        for number in np.unique(unit[new]):
            members = np.flatnonzero(unit == number)
            nearest = shared[np.ix_(members, np.flatnonzero(known))].mean(axis=0)
            if nearest.max() > 0:
                joined[members] = unit[np.flatnonzero(known)[nearest.argmax()]]
        new = np.flatnonzero(~known & (joined == unit))
    if len(new) > 1:
        distance = 1 - shared[np.ix_(new, new)].astype(np.float64)
        distance[unit[new][:, None] == unit[new][None, :]] = 0
        joined[new] = unit.max() + 1 + _linked(distance, SHARE * size)
    return joined


def _linked(distance: np.ndarray, most: float) -> np.ndarray:
    """Average linkage, cut from above until no cluster has more than `most` members, or is apart altogether."""
    from scipy.cluster.hierarchy import ClusterNode, linkage, to_tree
    from scipy.spatial.distance import squareform

    number, count = np.zeros(len(distance), np.intp), 0
    left = [cast(ClusterNode, to_tree(linkage(squareform(distance, checks=False), "average")))]
    while left:
        node = left.pop()
        if not node.is_leaf() and (node.count > most or node.dist >= 1):
            left += [cast(ClusterNode, node.left), cast(ClusterNode, node.right)]
        else:
            number[node.pre_order()] = count
            count += 1
    return number


def _to_the_middle(members: np.ndarray, joined: np.ndarray, unit: np.ndarray, similarity: np.ndarray) -> pd.DataFrame:
    """One pair for each unit: the image in the middle of its neighbourhood, and its own first image."""
    first, second, alike = [], [], []
    for places in pd.Series(np.arange(len(members))).groupby(joined).indices.values():
        units, starts = np.unique(unit[places], return_index=True)
        if len(units) > 1:
            middle = places[similarity[np.ix_(places, places)].sum(axis=1).argmax()]
            others = places[starts][units != unit[middle]]
            first.append(members[np.full(len(others), middle)])
            second.append(members[others])
            alike.append(similarity[middle, others])
    return _pairs(first, second, alike)


def _pairs(first: list[np.ndarray], second: list[np.ndarray], similarity: list[np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "first": np.concatenate([np.empty(0, np.intp), *first]),
            "second": np.concatenate([np.empty(0, np.intp), *second]),
            "similarity": np.concatenate([np.empty(0), *similarity]),
        }
    )
