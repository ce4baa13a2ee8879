"""Images of test and benchmarks with a mate in training, by kind of evidence: tied ones, and those just beyond a limit.

What is tied is torn, and leaves every figure. What lies just beyond a limit stays in the figures; many such images say
that a limit is too strict for this library, or that its names and times say too little.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pandas as pd

from pipeline.evaluation.leakage import BEYOND, least_bits
from pipeline.library import bursts, duplicates, looks
from pipeline.library.benchmarks import PREFIX
from pipeline.library.likeness import Vectors, similarities
from pipeline.library.second_look import TIE_DISTANCE

BEYOND_VIEWS = 2  # bits beyond the limit of another view: there are many views, and a near hash by chance is frequent
ALIKE = 0.003  # chance that independent images look as alike, up to which a neighbour is just beyond the limit
TIES = 20_000  # pairs of one burst whose likeness is measured, at most
FEWEST_TIES = 20  # of these, below which nothing says how alike tied images are
FACTS = ["image", "views", "taken", "camera"]  # of the index, beside the rows of the sets


class Kind(StrEnum):
    """What may speak for two images being of one event."""

    HASH = "near hash"
    VIEW = "near hash of another view"
    NAMES = bursts.Evidence.NAMES
    TIME = bursts.Evidence.TIME
    LIKENESS = "as alike as tied images"


@dataclass(frozen=True)
class Counts:
    """Of one set: how many images have a mate in training.

    Attributes:
      images: compared with training; torn ones are not.
      torn: images with a mate in training that a tie names.
      tied: of these, how many by each kind of evidence; one image may have several.
      beyond: of the images compared, how many have a training image just beyond the limits of each kind.
    """

    images: int
    torn: int
    tied: dict[str, int] = field(default_factory=dict)
    beyond: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class NearMisses:
    """What `find` returns: `counts` by set, the `evidence` of each nearest pair (in words), and the median likeness of
    tied images, `typical` (NaN where too few are tied)."""

    counts: dict[str, Counts]
    evidence: pd.Series
    typical: float


def find(
    rows: pd.DataFrame,
    near: pd.DataFrame,
    vectors: Vectors,
    *,
    near_duplicate_distance: int,
    settings: bursts.Settings,
) -> NearMisses:
    """Counts the near misses of test and each benchmark.

    Args:
      rows: of all sets, `splits.COLUMNS` and `FACTS`.
      near: the nearest training image of each image compared (`leakage.nearest` of these rows).
      vectors: of `rows`, in the same order.
      settings: what ties images in bursts.
    """
    rows = rows.reset_index(drop=True)
    places = pd.MultiIndex.from_frame(rows[["set", "image"]])
    asked = places.get_indexer(pd.MultiIndex.from_frame(near[["set", "image"]]))
    trained = np.flatnonzero(rows["set"] == "train")
    typical = typical_tie(rows, vectors)
    view_bits = _view_bits(rows, asked, trained)
    pairs = _neighbours(rows, vectors, settings, asked)
    bits, limit = near["bits"].to_numpy(int), near_duplicate_distance
    beyond = {
        Kind.HASH: (bits > limit) & (bits <= limit + BEYOND),
        Kind.VIEW: (view_bits <= TIE_DISTANCE + BEYOND_VIEWS).any(axis=0),
        Kind.NAMES: np.isin(asked, pairs.loc[pairs["evidence"] == Kind.NAMES, "first"]),
        Kind.TIME: np.isin(asked, pairs.loc[pairs["evidence"] == Kind.TIME, "first"]),
        Kind.LIKENESS: near["similarity"].to_numpy(float) >= typical,
    }
    names = sorted({name for name in rows["set"] if name == "test" or name.startswith(PREFIX)})
    counts = {name: _counted(rows[rows["set"] == name], (near["set"] == name).to_numpy(), beyond) for name in names}
    return NearMisses(counts, _in_words(rows, near, asked, pairs, typical, limit + BEYOND), typical)


def typical_tie(rows: pd.DataFrame, vectors: Vectors) -> float:
    """The median likeness of two images of one burst that follow each other by name; NaN of too few.

    Neighbourhoods, which hold several events, are left out.

    Args:
      rows: columns `image`, `sha256`, `burst` and `evidence`.
      vectors: of the same images, in the same order.
    """
    order = rows[~bursts.of_several_events(rows["evidence"])].sort_values(["burst", "image"]).index.to_numpy()
    burst, content = (rows[name].to_numpy(dtype=object)[order] for name in ("burst", "sha256"))
    follows = np.flatnonzero((burst[:-1] == burst[1:]) & (burst[:-1] != "") & (content[:-1] != content[1:]))
    if len(follows) < FEWEST_TIES:
        return float("nan")
    some = follows[np.unique(np.linspace(0, len(follows) - 1, TIES).astype(int))]
    return round(float(np.median(similarities(vectors, order[some], order[some + 1]))), 4)


def _counted(rows: pd.DataFrame, compared: np.ndarray, beyond: dict[Kind, np.ndarray]) -> Counts:
    torn = rows[rows["torn"]]
    without = np.where(torn["together"] != "", "kept together", "duplicate or earlier round")
    kinds = torn["evidence"].where(torn["evidence"] != "", without).str.split(", ").explode().value_counts()
    return Counts(
        images=int(compared.sum()),
        torn=len(torn),
        tied={str(kind): int(number) for kind, number in sorted(kinds.items())},
        beyond={str(kind): int((found & compared).sum()) for kind, found in beyond.items()},
    )


def _neighbours(rows: pd.DataFrame, vectors: Vectors, settings: bursts.Settings, asked: np.ndarray) -> pd.DataFrame:
    """The neighbours of the images `asked` in training that look alike and are not tied; `first` is the one asked."""
    side = np.full(len(rows), -1)
    side[(rows["set"] == "train").to_numpy()] = 1
    side[asked] = 0
    pairs = bursts.between(rows, vectors, settings, side=side)
    cluster = rows["cluster"].to_numpy(dtype=object)
    first, second = (pairs[name].to_numpy(dtype=np.intp) for name in ("first", "second"))
    apart = cluster[first] != cluster[second]
    return pairs[apart & (pairs["chance"].to_numpy(float) <= ALIKE)]


def _view_bits(rows: pd.DataFrame, asked: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """In how many bits (V, N) the hash of each view of the images asked differs from the nearest training hash."""
    views = [looks.of_view(rows["views"], number) for number in range(len(looks.VIEWS))]
    found = [least_bits(rows["phash"].mask(rows.index.isin(asked), view), asked, trained) for view in views]
    return np.stack(found)


def _in_words(
    rows: pd.DataFrame, near: pd.DataFrame, asked: np.ndarray, pairs: pd.DataFrame, typical: float, most_bits: int
) -> pd.Series:
    """What speaks for each nearest pair, kinds joined by commas; "" where it is likeness alone."""
    trained = rows.index[rows["set"] == "train"]
    place = pd.Series(trained, index=rows.loc[trained, "image"].to_numpy())
    mates = place[near["other"]].to_numpy(dtype=np.intp) if len(near) else np.empty(0, np.intp)
    known = {kind: set(zip(some["first"], some["second"], strict=True)) for kind, some in pairs.groupby("evidence")}
    hashes = rows["phash"].to_numpy(dtype=object)
    views = [
        looks.of_view(rows["views"].iloc[asked], number).to_numpy(dtype=object) for number in range(len(looks.VIEWS))
    ]
    found = []
    for number, (image, mate, similarity) in enumerate(zip(asked, mates, near["similarity"], strict=True)):
        words = []
        own = _bits(hashes[image], hashes[mate])
        seen = [_bits(view[number], hashes[mate]) for view in views]
        best = int(np.argmin(seen))
        if own <= most_bits:
            words.append(f"{Kind.HASH} ({own} bits)")
        elif seen[best] <= TIE_DISTANCE + BEYOND_VIEWS:
            words.append(f"near hash of the view '{looks.VIEWS[best]}' ({seen[best]} bits)")
        words += [kind for kind in (Kind.NAMES, Kind.TIME) if (image, mate) in known.get(kind, set())]
        words += [Kind.LIKENESS] if similarity >= typical else []
        found.append(", ".join(words))
    return pd.Series(found, index=near.index, dtype="str")


def _bits(one: str, other: str) -> int:
    """In how many bits two hexadecimal hashes differ; all where one is unknown."""
    if not one or not other or one == looks.NONE:
        return duplicates.BITS
    return (int(one, 16) ^ int(other, 16)).bit_count()
