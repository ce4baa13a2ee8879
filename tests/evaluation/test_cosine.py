"""Cosines of features, and the nearest by them, compared with a search over all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation import cosine


def brute_force(embeddings: np.ndarray, of: np.ndarray, among: np.ndarray, number: int) -> list[list[int]]:
    unit = embeddings.astype(float) / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    cosines = unit[of] @ unit[among].T
    return [[int(among[n]) for n in np.argsort(-row)[:number]] for row in cosines]


def test_the_nearest_are_those_of_a_whole_search_also_over_many_blocks(monkeypatch):
    monkeypatch.setattr(cosine, "BLOCK", 7)
    embeddings = np.random.default_rng(0).normal(size=(100, 5))
    of, among = np.arange(10), np.arange(10, 100)
    rows, cosines = cosine.nearest(embeddings, of, among, number=3)
    assert rows.tolist() == brute_force(embeddings, of, among, 3)
    assert (np.diff(cosines, axis=1) <= 0).all()


def test_an_image_is_no_neighbour_of_itself():
    embeddings = np.random.default_rng(0).normal(size=(20, 4))
    rows, _ = cosine.nearest(embeddings, np.arange(20), np.arange(20), number=2)
    assert not (rows == np.arange(20)[:, None]).any()


@given(st.integers(1, 30), st.integers(0, 99))
def test_the_highest_are_those_of_a_sort_and_the_lowest_of_them_is_the_last(number, seed):
    cosines = np.random.default_rng(seed).uniform(-1, 1, (4, 30)).astype(np.float32)
    found = cosine.highest(cosines, number)
    assert np.array_equal(np.sort(found, axis=1), np.sort(cosines, axis=1)[:, -number:])
    assert np.array_equal(found[:, -1], found.min(axis=1))


def test_features_without_length_stay_and_all_others_have_length_one():
    features = np.array([[3.0, 4.0], [0.0, 0.0]], np.float16)
    assert cosine.unit(features).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0]]
    assert cosine.unit(features[0]).tolist() == cosine.unit(features)[0].tolist()
    assert cosine.directions(features, np.array([0.6, 0.0], np.float32))[0].tolist() == [0, 1]
