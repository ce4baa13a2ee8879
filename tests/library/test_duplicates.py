from collections.abc import Callable
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.library import duplicates
from tests.library.builders import flip, phash, sha


def brute_force(hashes: np.ndarray, distance: int) -> set[tuple[int, int]]:
    """All pairs, one by one."""
    numbers = [int(hash_) for hash_ in hashes]
    near = {(i, j) for j in range(len(numbers)) for i in range(j) if (numbers[i] ^ numbers[j]).bit_count() <= distance}
    return near


@st.composite
def clusters(draw) -> np.ndarray:
    """Hashes around a few centres, up to 20 bits away, so that pairs stand on both sides of every distance."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    hashes = []
    for _ in range(draw(st.integers(0, 25))):
        value = draw(st.sampled_from(centres))
        for bit in draw(st.sets(st.integers(0, 63), max_size=20)):
            value ^= 1 << bit
        hashes.append(value)
    return np.array(hashes, dtype=np.uint64)


@given(clusters(), st.integers(1, 8), st.sampled_from([2, 16, 256]), st.sampled_from([0, 1 << 18]))
@settings(deadline=None, max_examples=100)
def test_hashes_that_are_taken_apart_first_give_the_same_pairs(hashes, distance, parts, few):
    expected = duplicates.near_pairs(hashes, distance).tolist()
    links = duplicates.near_links(hashes, distance).tolist()
    with mock.patch.multiple(duplicates, LARGE=1, PARTS=parts, FEW=few):
        assert duplicates.near_pairs(hashes, distance).tolist() == expected
        assert duplicates.near_links(hashes, distance).tolist() == links


@given(clusters(), st.integers(0, 16))
@settings(deadline=None, max_examples=150)
def test_of_hashes_that_differ_every_near_pair_is_found_and_no_other(hashes, distance):
    hashes = np.unique(hashes)
    found = [tuple(pair) for pair in duplicates.near_pairs(hashes, distance).tolist()]
    assert len(found) == len(set(found))
    assert set(found) == brute_force(hashes, distance)


@given(clusters(), st.integers(1, 4), st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_many_bands_and_small_blocks_find_the_same_pairs(hashes, distance, block):
    expected = duplicates.near_pairs(hashes, distance).tolist()
    with mock.patch.multiple(duplicates, SORTING=-1, SAMPLE=8, BLOCK=block, BATCH=2):  # as if sorting were a gain
        assert duplicates.near_pairs(hashes, distance).tolist() == expected
        components = [
            duplicates.connected(len(hashes), search(hashes, distance)).tolist()
            for search in (duplicates.near_links, duplicates.near_pairs)
        ]
    assert components[0] == components[1]


@given(clusters(), st.integers(0, 16))
@settings(deadline=None, max_examples=60)
def test_equal_hashes_are_connected_like_all_their_pairs(hashes, distance):
    hashes = np.concatenate([hashes, hashes[::2]])
    found, links = duplicates.near_pairs(hashes, distance), duplicates.near_links(hashes, distance)
    every = np.array(sorted(brute_force(hashes, distance)), dtype=int).reshape(-1, 2)
    assert set(map(tuple, found.tolist())) <= set(map(tuple, every.tolist()))
    assert len(links) < max(len(hashes), 1)
    components = [duplicates.connected(len(hashes), pairs).tolist() for pairs in (found, links, every)]
    assert components[0] == components[1] == components[2]


CLUSTER = np.array([1 << i | 1 << j | 1 << k for i in range(18) for j in range(i) for k in range(j)], dtype=np.uint64)


def test_of_one_large_cluster_each_pair_is_found_once():
    with mock.patch.multiple(duplicates, SORTING=-1):
        found = [tuple(pair) for pair in duplicates.near_pairs(CLUSTER, 4).tolist()]
    assert len(found) == len(set(found))
    assert set(found) == brute_force(CLUSTER, 4)


def test_of_one_large_cluster_the_links_are_found_without_all_its_pairs():
    with mock.patch.multiple(duplicates, BATCH=1000):
        links = duplicates.near_links(CLUSTER, 6)
    assert len(links) == len(CLUSTER) - 1
    assert (duplicates.connected(len(CLUSTER), links) == 0).all()


@pytest.mark.parametrize("same", [range(24), range(40, 64), range(0, 64, 2)])
def test_hashes_that_share_many_bits_are_told_apart_all_the_same(same):
    """As of pictures on a plain background, whose fine frequencies are all nought."""
    hashes = np.random.default_rng(0).integers(0, 2**64, 300, dtype=np.uint64)
    hashes = np.unique(hashes & (2**64 - 1 - sum(1 << bit for bit in same)))
    found = duplicates.near_pairs(hashes, 8)
    assert set(map(tuple, found.tolist())) == brute_force(hashes, 8)


@pytest.mark.parametrize("distance", range(17))
def test_planted_pairs_at_the_distance_are_found_and_just_beyond_it_are_not(distance):
    random = np.random.default_rng(distance)
    hashes = random.integers(0, 2**64, 200, dtype=np.uint64)
    at = int(hashes[3]) ^ sum(1 << int(bit) for bit in random.permutation(64)[:distance])
    beyond = int(hashes[9]) ^ sum(1 << int(bit) for bit in random.permutation(64)[: distance + 1])
    pairs = duplicates.near_pairs(np.array([*hashes, at, beyond], dtype=np.uint64), distance).tolist()
    assert [3, 200] in pairs
    assert [9, 201] not in pairs


def test_no_hash_or_one_has_no_pairs():
    for number in (0, 1):
        for search in (duplicates.near_pairs, duplicates.near_links):
            assert search(np.arange(number, dtype=np.uint64), 4).shape == (0, 2)


def images(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["sha256", "phash"], dtype="str")


LION = phash("lion")


def plain(rows: pd.DataFrame, distance: int) -> pd.Series:
    """Groups without a guard against chains."""
    return duplicates.group(rows, distance, duplicates.BITS).name


def test_near_duplicates_of_near_duplicates_are_one_group():
    chain = images((sha(1), LION), (sha(2), flip(LION, 1, 2, 3)), (sha(3), flip(LION, 1, 2, 3, 4, 5, 6)))
    assert plain(chain, 3).nunique() == 1
    assert plain(chain.iloc[[0, 2]], 3).nunique() == 2


def test_a_group_is_named_by_its_smallest_content_whatever_the_order():
    rows = images((sha(1), LION), (sha(2), LION), (sha(3), phash("tapir")))
    named = plain(rows, 2)
    assert named.tolist() == [min(sha(1), sha(2))[:16]] * 2 + [sha(3)[:16]]
    assert plain(rows.iloc[::-1], 2).sort_index().tolist() == named.tolist()


def test_an_image_without_a_hash_is_near_to_nothing_but_its_copies():
    flat = images((sha(1), ""), (sha(2), ""), (sha(1), ""), (sha(3), "0" * 16))
    group = plain(flat, 16)
    assert group[0] == group[2]
    assert group.nunique() == 3
    assert len(duplicates.near_hash_pairs(flat["phash"].iloc[:3], 16)) == 0
    assert len(duplicates.near_hash_links(flat["phash"].iloc[:3], 16)) == 0


def test_no_images_have_no_groups():
    grouped = duplicates.group(images(), 4, 8)
    assert grouped.name.empty
    assert grouped.bridge.empty


def test_what_people_keep_together_joins_groups():
    keys = pd.DataFrame({"group": ["a", "a", "b", "c"], "keep_together": ["", "site 1", "site 1", ""]}, dtype="str")
    joined = duplicates.join(pd.Series([sha(i) for i in range(4)], dtype="str"), keys)
    assert joined.nunique() == 2
    assert joined[0] == joined[2] != joined[3]


def test_a_chain_of_small_steps_does_not_swallow_a_class():
    steps = images(*[(sha(i), flip(LION, *range(2 * i))) for i in range(30)])
    grouped = duplicates.group(steps, 2, 8)
    assert plain(steps, 2).nunique() == 1
    assert grouped.name.nunique() >= 10
    assert grouped.bridge.sum() < 15


def test_only_the_image_between_two_bursts_is_a_bridge():
    tiger = flip(LION, *range(10, 18))
    burst = [LION, flip(LION, 1), flip(LION, 2), flip(LION, 3)]
    other = [tiger, flip(tiger, 1), flip(tiger, 2), flip(tiger, 3)]
    rows = images(*[(sha(i), hash_) for i, hash_ in enumerate([*burst, *other, flip(LION, *range(10, 14))])])
    grouped = duplicates.group(rows, 4, 4)
    assert grouped.bridge.tolist() == [False] * 8 + [True]
    assert grouped.name[:4].nunique() == grouped.name[4:8].nunique() == 1
    assert grouped.name[0] != grouped.name[4]
    assert grouped.name[8] in {grouped.name[0], grouped.name[4]}
    assert not duplicates.group(rows, 4, 5).bridge.any()


def test_of_images_with_as_many_near_duplicates_the_smallest_hash_leads():
    path = {"0": 0b000, "1": 0b001, "2": 0b011, "3": 0b111, "4": 0b111, "5": 0b111}  # equal hashes count once
    rows = images(*[(content, f"{hash_:016x}") for content, hash_ in reversed(path.items())])
    grouped = duplicates.group(rows, 1, 1)
    assert grouped.name.tolist() == ["3", "3", "3", "0", "0", "0"]
    assert rows["sha256"][grouped.bridge].tolist() == ["2"]


def test_copies_with_two_hashes_are_bridges_together():
    """The hash of a copy may be of an older version of the code: content is what counts."""
    bursts = [flip(end, *bits) for end in (LION, phash("tapir")) for bits in ((), (1,), (2,), (3,))]
    copy = [(sha(9), flip(LION, 4, 5)), (sha(9), flip(phash("tapir"), 4, 5))]
    grouped = duplicates.group(images(*[(sha(i), hash_) for i, hash_ in enumerate(bursts)], *copy), 2, 4)
    assert grouped.bridge.tolist() == [False] * 8 + [True, True]
    assert grouped.name[8] == grouped.name[9]
    assert grouped.name[0] != grouped.name[4]


@st.composite
def drifting(draw) -> pd.DataFrame:
    """Images that drift away from each other by a few bits a step, with copies, equal hashes and missing ones."""
    looks = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=2))
    for _ in range(draw(st.integers(0, 10))):
        bits = draw(st.sets(st.integers(0, 11), max_size=4))
        looks.append(draw(st.sampled_from(looks)) ^ sum(1 << bit for bit in bits))
    rows = []
    for number, look in enumerate(looks):
        content = draw(st.sampled_from([number, number, number, 0]))
        rows.append((sha(content), draw(st.sampled_from([f"{look:016x}"] * 7 + [""]))))
    return images(*rows)


def partition(number: int, tied: Callable[[int, int], bool]) -> list[set[int]]:
    """What belongs together, transitively, one by one."""
    parts: list[set[int]] = []
    for item in range(number):
        joined = [part for part in parts if any(tied(item, other) for other in part)]
        parts = [part for part in parts if part not in joined] + [{item}.union(*joined)]
    return parts


def reach(hashes: set[int]) -> int:
    """The most bits between a hash and the majority of each bit."""
    ones = [sum(hash_ >> bit & 1 for hash_ in hashes) for bit in range(64)]
    centre = sum(1 << bit for bit in range(64) if 2 * ones[bit] > len(hashes))
    return max(((hash_ ^ centre).bit_count() for hash_ in hashes), default=0)


@given(drifting(), st.integers(0, 6), st.integers(0, 9))
@settings(deadline=None, max_examples=200)
def test_a_chain_is_cut_into_stars_that_nothing_holds_together(rows, distance, chain_distance):
    grouped = duplicates.group(rows, distance, chain_distance)
    contents, name, bridge = rows["sha256"].tolist(), grouped.name.tolist(), grouped.bridge.tolist()
    hashes = [int(text, 16) if text else None for text in rows["phash"]]

    def near(i: int, j: int) -> bool:
        return None not in (hashes[i], hashes[j]) and (hashes[i] ^ hashes[j]).bit_count() <= distance

    def copies(i: int, j: int) -> bool:
        return contents[i] == contents[j] or (hashes[i] is not None and hashes[i] == hashes[j])

    units = partition(len(rows), copies)
    for component in partition(len(rows), lambda i, j: near(i, j) or contents[i] == contents[j]):
        whole = reach({hashes[i] for i in component} - {None}) <= chain_distance
        inside = [unit for unit in units if unit <= component]
        tied = {
            (a, b): any(near(i, j) for i in inside[a] for j in inside[b])
            for a in range(len(inside))
            for b in range(len(inside))
        }
        names = [{name[i] for i in unit} for unit in inside]
        bridges = [{bridge[i] for i in unit} for unit in inside]
        assert all(len(values) == 1 for values in names + bridges)  # copies stay together
        kept = [a for a in range(len(inside)) if bridges[a] == {False}]
        if whole:
            assert len(kept) == len(inside)
            assert len(set.union(*names)) == 1
        for a in kept:
            assert not any(tied[a, b] and names[a] != names[b] for b in kept)
        for a in set(range(len(inside))) - set(kept):
            assert any(tied[a, b] and names[a] != names[b] for b in kept)  # none could be kept
        for star in set.union(*names):
            members = [a for a in range(len(inside)) if names[a] == {star}]
            assert whole or any(a in kept and all(a == b or tied[a, b] for b in members) for a in members)  # a leader
            assert star == min(contents[i] for a in members for i in inside[a])[:16]


@given(drifting(), st.integers(0, 6), st.integers(0, 9), st.randoms())
@settings(deadline=None, max_examples=50)
def test_groups_do_not_depend_on_the_order_of_the_images(rows, distance, chain_distance, random):
    grouped = duplicates.group(rows, distance, chain_distance)
    order = random.sample(range(len(rows)), len(rows))
    mixed = duplicates.group(rows.iloc[order], distance, chain_distance)
    assert mixed.name.equals(grouped.name.iloc[order])
    assert mixed.bridge.equals(grouped.bridge.iloc[order])


@given(drifting(), st.integers(0, 6))
@settings(deadline=None, max_examples=50)
def test_without_a_guard_groups_are_what_is_connected(rows, distance):
    pairs = [duplicates.same_pairs(rows["sha256"]), duplicates.near_hash_pairs(rows["phash"], distance)]
    component = duplicates.connected(len(rows), np.concatenate(pairs))
    grouped = duplicates.group(rows, distance, duplicates.BITS)
    assert not grouped.bridge.any()
    assert grouped.name.tolist() == rows["sha256"].groupby(component).transform("min").str[:16].tolist()


def test_hashes_are_told_apart_by_their_first_64_bits_wherever_they_are_cut_from():
    texts = pd.Series(["0" * 64, "f" * 16 + "0" * 48, "00000000000000ff" + "1" * 48])
    assert duplicates.numbers(texts[1:]).tolist() == [2**64 - 1, 255]
    assert duplicates.numbers(pd.concat([texts[:1], texts[2:]])).tolist() == [0, 255]
    assert duplicates.numbers(texts[:0]).tolist() == []
