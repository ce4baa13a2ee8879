"""Near-duplicates: perceptual hashes a few bits apart, and what belongs together because of them."""

import binascii
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

BITS = 64
DIGITS = BITS // 4  # of a hash, in hexadecimal
SORTING = 16  # what it costs to order a hash by a key, in comparisons of two hashes
SAMPLE = 1 << 16  # hashes from which the search tells how often keys agree
LARGE = 1 << 21  # hashes that are taken apart first
PARTS = 1 << 8  # of these, at most, so that a byte numbers them
FEW = 1 << 18  # hashes that are ordered faster by the digits of a short key
BLOCK = 1 << 15  # hashes compared at once: they stay in the processor's cache
BATCH = 1 << 20  # pairs found before they are handed on
STREAM = 1 << 16  # pairs of a part: what a caller reads of both of them takes about 130 MB


@dataclass(frozen=True)
class Grouped:
    """For each image the `name` of its near-duplicate group, and whether it is a `bridge` between two groups.

    `candidate` names the group that hashes alone would make, `confirmed` what a second look has left of it, before
    chains are cut.
    """

    name: pd.Series
    bridge: pd.Series
    candidate: pd.Series
    confirmed: pd.Series


Confirm = Callable[[pd.Series, np.ndarray, np.ndarray, int], np.ndarray]  # `second_look.confirmed`, with its looks


def group(images: pd.DataFrame, distance: int, chain_distance: int, confirm: Confirm | None = None) -> Grouped:
    """Groups near-duplicates: images of equal content or near perceptual hashes, transitively.

    A near hash makes a candidate only: with `confirm`, images of one group look the same, too.

    A chain of small steps could tie a whole class together. So, where a hash is more than `chain_distance` bits from
    the centre of its group (the majority of each bit), the group is cut into stars: the image with most near-duplicates
    leads and takes them, and so on with the rest. Images that still hold two stars together are bridges: without them
    no two images of different groups are near. A leader is never one; of the others, those with fewest ties are kept.

    Args:
      images: columns `sha256` and `phash` (16 hexadecimal digits, or empty).
      distance: largest number of differing bits between near-duplicates.
      chain_distance: largest number of bits between a hash and the centre of its group.
      confirm: says which of the contents of candidate groups look the same; None: all do.

    Returns:
      As `name`, the smallest content hash in the group, shortened to 16 digits; in any order of rows the same.
    """
    same = same_pairs(images["sha256"])
    component = connected(len(images), np.concatenate([same, near_hash_links(images["phash"], distance)]))
    candidate = component
    if confirm:
        hashed, hashes = _numbers(images["phash"])
        first = ~images["sha256"].iloc[hashed].duplicated().to_numpy()
        place = hashed[first]
        links = confirm(images["sha256"].iloc[place], hashes[first], component[place], distance)
        component = connected(len(images), np.concatenate([same, place[links]]))
    part, bridge = _cut_chains(images, component, distance, chain_distance)
    names, candidates, confirmed = (name(images["sha256"], numbers) for numbers in (part, candidate, component))
    return Grouped(names, pd.Series(bridge, index=images.index), candidates, confirmed)


def join(sha256: pd.Series, keys: pd.DataFrame) -> pd.Series:
    """Names, as `group` does, the groups of images that share a non-empty value in a column of `keys`, transitively."""
    pairs = np.concatenate([same_pairs(keys[column]) for column in keys])
    return name(sha256, connected(len(sha256), pairs))


def connected(size: int, pairs: np.ndarray) -> np.ndarray:
    """Returns for each of `size` items the number of its component under `pairs` (M, 2)."""
    from scipy.sparse import coo_array  # here: a command that only reads a lineage starts sooner
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return connected_components(edges, directed=False)[1]


def same_pairs(values: pd.Series) -> np.ndarray:
    """Positions (M, 2) that chain the places of each non-empty value to its first."""
    positions = pd.Series(np.arange(len(values)), index=values.to_numpy())
    positions = positions[values.to_numpy() != ""]
    first = positions.groupby(level=0).transform("min")
    return np.stack([first.to_numpy(), positions.to_numpy()], axis=1)


def near_hash_pairs(phashes: pd.Series, distance: int) -> np.ndarray:
    """Positions (M, 2) of near pairs among hexadecimal hashes; an empty hash is near to nothing."""
    known, hashes = _numbers(phashes)
    return known[near_pairs(hashes, distance)]


def near_hash_links(phashes: pd.Series, distance: int) -> np.ndarray:
    """Positions (M, 2), fewer than hashes, that connect what `near_hash_pairs` connects."""
    known, hashes = _numbers(phashes)
    return known[near_links(hashes, distance)]


def near_any(phashes: pd.Series, others: pd.Series, distance: int) -> pd.Series:
    """Whether each hexadecimal hash is near to one of a few others; an empty hash is near to nothing."""
    known, hashes = _numbers(phashes)
    near = np.zeros(len(phashes), dtype=bool)
    for other in _numbers(others)[1]:
        near[known] |= np.bitwise_count(hashes ^ other) <= distance
    return pd.Series(near, index=phashes.index)


def near_pairs(hashes: np.ndarray, distance: int) -> np.ndarray:
    """Returns the pairs of `hashes` (N,) uint64 that differ in at most `distance` bits, as sorted indices (M, 2).

    Exact. Only the first of equal hashes is paired with others, and its duplicates with it. There may be n x n pairs:
    where it is enough to know what is connected, use `near_links`.
    """
    unique, first, equal = _distinct(hashes)
    codes = [equal[0] * len(hashes) + equal[1]]  # one number a pair: quickly sorted
    for pairs in _search(unique, distance, np.arange(len(unique))):
        left, right = np.sort(first[pairs], axis=0)
        codes.append(left * len(hashes) + right)
    return np.stack(np.divmod(np.sort(np.concatenate(codes)), max(len(hashes), 1)), axis=1)


def near_links(hashes: np.ndarray, distance: int) -> np.ndarray:
    """Returns pairs (M, 2), fewer than N, that connect what the near pairs of `hashes` (N,) uint64 connect."""
    unique, first, equal = _distinct(hashes)
    component = np.arange(len(unique))
    for pairs in _batched(_search(unique, distance, component), BATCH):
        component[:] = connected(len(unique), component[pairs].T)[component]
    head = np.empty_like(component)
    head[component[::-1]] = np.arange(len(unique))[::-1]  # of several values the last one stays: the first member
    links = np.stack([first[head[component]], first])
    return np.concatenate([equal, links[:, links[0] != links[1]]], axis=1).T


def near_stream(hashes: np.ndarray, distance: int, component: Callable[[], np.ndarray]) -> Iterator[np.ndarray]:
    """Yields near pairs (M, 2) of `hashes` (N,) uint64, in parts; of equal hashes, each with the first only.

    Args:
      component: called before each part; pairs within one of its components (N,) are left out, so that a caller who
        joins components from one part to the next is spared the n x n pairs of a dense group.
    """
    unique, first, equal = _distinct(hashes)
    for start in range(0, equal.shape[1], STREAM):
        yield equal[:, start : start + STREAM].T
    number = component()[first]
    for pairs in _batched(_search(unique, distance, number), STREAM):
        for start in range(0, pairs.shape[1], STREAM):
            yield first[pairs[:, start : start + STREAM]].T
        number[:] = component()[first]


def _distinct(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct hashes, where each stands first, and that place with each later one (2, M)."""
    unique, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    pairs = np.stack([first[inverse], np.arange(len(hashes))])
    return unique, first, pairs[:, pairs[0] != pairs[1]]


def _search(hashes: np.ndarray, distance: int, component: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the near pairs of distinct `hashes` (N,), each once, in parts: indices (2, M), M within bounds.

    Pairs within one `component` (N,) are left out; the caller may join components from one part to the next.

    Exact, by the pigeonhole principle (Norouzi, Punjani, Fleet 2012, "Fast Search in Hamming Space with Multi-Index
    Hashing"): of k bands of bits, two hashes that differ in `distance` bits agree in at least k - `distance`. For each
    choice of as many bands, hashes are ordered by them, and those that agree in all of them are compared. A pair that
    agrees in more bands counts in the first choice only.
    """
    if distance == 0 or len(hashes) < 2:
        return
    hashes = _spread(hashes)
    bands = _bands(hashes, distance)
    for members, alike, choices in _parts(hashes, bands, len(bands) - distance):
        part = hashes[members]
        for agreeing in choices:
            differing = [band for band in bands if band not in agreeing and band < agreeing[-1]]
            for run, longest in _runs(part, tuple(band for band in agreeing if band != alike)):
                for near in _batched(_near(part.take(run), longest, distance), BLOCK):
                    left, right = run[near]
                    bits = part[left] ^ part[right]
                    new = (bits & sum(agreeing)) == 0
                    for band in differing:
                        new &= (bits & band) != 0
                    pairs = members[np.stack([left[new], right[new]])]
                    yield pairs[:, component[pairs[0]] != component[pairs[1]]]


def _parts(
    hashes: np.ndarray, bands: list[int], number: int
) -> Iterator[tuple[np.ndarray, int, list[tuple[int, ...]]]]:
    """Yields indices of hashes, a band in which all of these agree (0: none), and the choices of `number` bands in
    which those to be compared agree.

    Many hashes are taken apart by the first band of a choice, so that each part is ordered within the processor's
    cache: to order all of them for each choice would be to wait for the memory.
    """
    choices = list(combinations(bands, number))
    if len(hashes) <= LARGE:
        yield np.arange(len(hashes)), 0, choices
        return
    for first in bands[: len(bands) - number + 1]:
        with_first = [choice for choice in choices if choice[0] == first]
        part = (_key(hashes, [first]) & PARTS - 1).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            yield members, first if first.bit_count() <= PARTS.bit_length() - 1 else 0, with_first


def _batched(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Joins arrays (2, M) to fewer of at least `size` columns."""
    batch: list[np.ndarray] = []
    number = 0
    for part in parts:
        batch.append(part)
        number += part.shape[1]
        if number >= size:
            yield np.concatenate(batch, axis=1)
            batch, number = [], 0
    if batch:
        yield np.concatenate(batch, axis=1)


def _spread(hashes: np.ndarray) -> np.ndarray:
    """Moves the bits apart: neighbours often go together, and a band of such bits would tell few hashes apart."""
    spread = np.zeros_like(hashes)
    for start in range(0, len(hashes), BLOCK):
        block = hashes[start : start + BLOCK]
        for bit in range(BITS):
            spread[start : start + BLOCK] |= (block >> bit & 1) << bit * 37 % BITS
    return spread


def _bands(hashes: np.ndarray, distance: int) -> list[int]:
    """The bands, as masks from low to high bits, whose search costs least: many small keys or few large ones."""

    def cut(number: int) -> list[int]:
        edges = [BITS * i // number for i in range(number + 1)]
        return [(1 << high) - (1 << low) for low, high in pairwise(edges)]

    def cost(bands: list[int]) -> float:
        counts = np.unique(_key(sample, bands[distance:]), return_counts=True)[1]
        agreeing = (counts * (counts - 1)).sum() / len(sample) / (len(sample) - 1)
        return comb(len(bands), distance) * (SORTING + agreeing * len(hashes))

    sample = hashes[:: len(hashes) // SAMPLE + 1]
    return min((cut(number) for number in range(distance + 1, 2 * distance + 1)), key=cost)


def _key(hashes: np.ndarray, bands: "list[int] | tuple[int, ...]") -> np.ndarray:
    """The bits of `hashes` in these bands, side by side."""
    key = np.zeros_like(hashes)
    for band in bands:
        key <<= band.bit_count()
        key |= (hashes & band) >> (band & -band).bit_length() - 1
    return key


def _runs(hashes: np.ndarray, bands: tuple[int, ...]) -> Iterator[tuple[np.ndarray, int]]:
    """Yields indices of hashes, those that agree in `bands` next to each other, and the most that agree.

    Runs of 2, of 3 or 4, of 5 to 8 ... come together, so that a few long ones do not hold up all the others.
    """
    key = _key(hashes, bands)
    if len(hashes) <= FEW and sum(band.bit_count() for band in bands) <= 16:
        key = key.astype(np.uint16)
        index = np.argsort(key, kind="stable")  # by its digits
        key = key.take(index)
    else:
        shift = len(hashes).bit_length()
        packed = key << shift | np.arange(len(hashes), dtype=np.uint64)
        packed.sort()  # of key and index in one number: several times as fast as argsort
        key, index = packed >> shift, (packed & (1 << shift) - 1).astype(np.intp)
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    lengths = np.diff(starts, append=len(hashes))
    doublings = np.frexp(lengths - 1)[1].astype(np.uint8)  # 0 for 1, 1 for 2, 2 for 3 and 4, 3 for 5 to 8 ...
    of_each = np.repeat(doublings, lengths)
    for number in range(1, int(doublings.max()) + 1):
        yield index[of_each == number], 1 << number


def _near(hashes: np.ndarray, longest: int, distance: int) -> Iterator[np.ndarray]:
    """Yields the near pairs of `hashes` less than `longest` places apart, as indices (2, M)."""
    for start in range(0, len(hashes), BLOCK):
        for step in range(1, longest):
            there = hashes[start + step : start + step + BLOCK]
            places = np.flatnonzero(np.bitwise_count(hashes[start : start + len(there)] ^ there) <= distance)
            if len(places):
                yield places + np.array([[start], [start + step]])


def _cut_chains(
    images: pd.DataFrame, component: np.ndarray, distance: int, chain_distance: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each image the number of its component, or of its star where that is a chain, and who is a bridge."""
    part, bridge = component.copy(), np.zeros(len(images), dtype=bool)
    known, hashes = _numbers(images["phash"])
    rows = np.flatnonzero(np.isin(component, _chains(component[known], hashes, chain_distance)))
    if not len(rows):
        return part, bridge
    # What is cut are units: equal contents stay together whatever their hashes, and equal hashes are near.
    chained = images.iloc[rows]
    unit = connected(len(rows), np.concatenate([same_pairs(chained["sha256"]), same_pairs(chained["phash"])]))
    star, cut = np.empty_like(unit), np.empty(len(unit), dtype=bool)
    place, hashes = _numbers(chained["phash"])
    looks = pd.DataFrame({"hash": hashes, "unit": unit[place], "component": component[rows][place]})
    for _, chain in looks.drop_duplicates("hash").sort_values("hash").groupby("component"):
        own, units = pd.factorize(chain["unit"])  # numbered by their smallest hash
        leader, cut[units] = _stars(chain["hash"].to_numpy(), own, distance)
        star[units] = units[leader]
    part[rows], bridge[rows] = len(images) + star[unit], cut[unit]
    return part, bridge


def _chains(component: np.ndarray, hashes: np.ndarray, chain_distance: int) -> np.ndarray:
    """The components with a hash more than `chain_distance` bits from the majority of each bit of its hashes."""
    unique, first = np.unique(hashes, return_index=True)
    order = np.argsort(component[first], kind="stable")
    numbers, starts, sizes = np.unique(component[first][order], return_index=True, return_counts=True)
    centre = np.zeros(len(numbers), dtype=np.uint64)
    for bit in range(BITS if len(numbers) else 0):
        ones = np.add.reduceat(unique[order] >> bit & 1, starts)
        centre |= (2 * ones > sizes).astype(np.uint64) << bit
    far = np.bitwise_count(unique[order] ^ np.repeat(centre, sizes)) > chain_distance
    return np.unique(component[first][order][far])


def _stars(hashes: np.ndarray, unit: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts one chain into stars.

    Args:
      hashes: (N,), sorted.
      unit: (N,) the number of the unit that each hash belongs to.

    Returns:
      For each unit the unit that leads its star, and whether it is a bridge.
    """

    def near(one: int) -> np.ndarray:  # not kept: a cluster of 20,000 hashes may have 200,000,000 near pairs
        return unit[(np.bitwise_count(hashes[unit == one][:, None] ^ hashes) <= distance).any(axis=0)]

    units = np.arange(unit.max() + 1)
    leader = np.full(len(units), -1)
    for one in np.argsort([-len(near(one)) for one in units], kind="stable"):
        if leader[one] < 0:
            taken = near(one)
            leader[taken[leader[taken] < 0]] = one
    ties = np.array([np.count_nonzero(leader[near(one)] != leader[one]) for one in units])
    ties[leader == units] = -1
    kept = np.zeros(len(units), dtype=bool)
    for one in np.argsort(ties, kind="stable"):
        others = near(one)
        kept[one] = not (kept[others] & (leader[others] != leader[one])).any()
    return leader, ~kept


def numbers(hashes: pd.Series) -> np.ndarray:
    """Hexadecimal hashes as numbers (N,) uint64; of longer ones, a content's say, their first 16 digits."""
    if not len(hashes):
        return np.empty(0, np.uint64)
    texts = pa.table({"hash": hashes})["hash"].combine_chunks()
    digits = pc.utf8_slice_codeunits(texts, 0, DIGITS).buffers()[2]
    return np.frombuffer(binascii.unhexlify(digits), ">u8").astype(np.uint64)


def _numbers(phashes: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the hexadecimal hashes that are not empty, and these as numbers."""
    known = np.flatnonzero((phashes != "").to_numpy(bool))
    return known, numbers(phashes.iloc[known])


def name(sha256: pd.Series, component: np.ndarray) -> pd.Series:
    """Names each component by its smallest content hash, shortened to 16 digits."""
    return sha256.groupby(component).transform("min").str[:16]
