import numpy as np
import pandas as pd
import pytest
from builders import flip, phash, sha
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.library import duplicates


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


@given(clusters(), st.integers(0, 16))
@settings(deadline=None, max_examples=150)
def test_of_hashes_that_differ_every_near_pair_is_found_and_no_other(hashes, distance):
    hashes = np.unique(hashes)
    found = [tuple(pair) for pair in duplicates.near_pairs(hashes, distance).tolist()]
    assert len(found) == len(set(found))
    assert set(found) == brute_force(hashes, distance)


@given(clusters(), st.integers(0, 16))
@settings(deadline=None, max_examples=60)
def test_equal_hashes_are_connected_like_all_their_pairs(hashes, distance):
    hashes = np.concatenate([hashes, hashes[::2]])
    found = duplicates.near_pairs(hashes, distance)
    every = np.array(sorted(brute_force(hashes, distance)), dtype=int).reshape(-1, 2)
    assert set(map(tuple, found.tolist())) <= set(map(tuple, every.tolist()))
    components = [duplicates.connected(len(hashes), pairs) for pairs in (found, every)]
    assert (components[0] == components[1]).all()


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
        assert duplicates.near_pairs(np.arange(number, dtype=np.uint64), 4).shape == (0, 2)


def images(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["sha256", "phash"], dtype="str")


LION = phash("lion")


def test_near_duplicates_of_near_duplicates_are_one_group():
    chain = images((sha(1), LION), (sha(2), flip(LION, 1, 2, 3)), (sha(3), flip(LION, 1, 2, 3, 4, 5, 6)))
    assert duplicates.group(chain, 3).nunique() == 1
    assert duplicates.group(chain.iloc[[0, 2]], 3).nunique() == 2


def test_a_group_is_named_by_its_smallest_content_whatever_the_order():
    rows = images((sha(1), LION), (sha(2), LION), (sha(3), phash("tapir")))
    named = duplicates.group(rows, 2)
    assert named.tolist() == [min(sha(1), sha(2))[:16]] * 2 + [sha(3)[:16]]
    assert duplicates.group(rows.iloc[::-1], 2).sort_index().tolist() == named.tolist()


def test_an_image_without_a_hash_is_near_to_nothing_but_its_copies():
    flat = images((sha(1), ""), (sha(2), ""), (sha(1), ""), (sha(3), "0" * 16))
    group = duplicates.group(flat, 16)
    assert group[0] == group[2]
    assert group.nunique() == 3
    assert len(duplicates.near_hash_pairs(flat["phash"].iloc[:3], 16)) == 0


def test_no_images_have_no_groups():
    assert duplicates.group(images(), 4).empty


def test_what_people_keep_together_joins_groups():
    keys = pd.DataFrame({"group": ["a", "a", "b", "c"], "keep_together": ["", "site 1", "site 1", ""]}, dtype="str")
    joined = duplicates.join(pd.Series([sha(i) for i in range(4)], dtype="str"), keys)
    assert joined.nunique() == 2
    assert joined[0] == joined[2] != joined[3]
