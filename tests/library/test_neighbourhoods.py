"""Where a library is full of near neighbours that nothing explains, whole neighbourhoods stay together."""

import numpy as np
import pandas as pd
import pytest

from pipeline.library import duplicates, neighbourhoods

FRAMES, TRACKS = 12, 15


def world(tracks: int = TRACKS, frames: int = FRAMES, *, classes: int = 2, size: int = 32, seed: int = 0):
    """Rows, their track, and unit vectors: each track is a short walk from a place of its own."""
    random = np.random.default_rng(seed)
    start = random.normal(0, 1, (classes * tracks, 1, size))
    walk = np.cumsum(random.normal(0, 0.15, (classes * tracks, frames, size)), axis=1)
    vectors = (start + walk).reshape(-1, size)
    track = np.repeat(np.arange(classes * tracks), frames)
    order = random.permutation(len(track))
    rows = pd.DataFrame({"label": (track // tracks).astype(str), "sha256": [f"{n:064x}" for n in range(len(track))]})
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return rows.iloc[order].reset_index(drop=True), track[order], vectors[order].astype(np.float32)


def found(rows, vectors, *, known=None, part=None, component=None) -> tuple[pd.DataFrame, np.ndarray]:
    pairs = neighbourhoods.ties(
        vectors,
        np.arange(len(rows)) if component is None else component,
        known=np.zeros(len(rows), bool) if known is None else known,
        part=rows["label"] if part is None else part,
    )
    return pairs, duplicates.connected(len(rows), pairs[["first", "second"]].to_numpy(dtype=np.intp))


def leak(track: np.ndarray, unit: np.ndarray) -> float:
    """Images of test that have a frame of their own track in train, if units go to sides at random."""
    leaks = []
    for seed in range(20):
        side = np.random.default_rng(seed).random(unit.max() + 1)[unit]
        leaks.append(np.isin(track[side < 0.15], track[side > 0.3]).mean() if (side < 0.15).any() else 0.0)
    return float(np.mean(leaks))


def test_frames_without_names_and_times_mostly_stay_with_their_track():
    rows, track, vectors = world()
    pairs, unit = found(rows, vectors)
    assert leak(track, np.arange(len(rows))) > 0.95
    assert leak(track, unit) < 0.3
    assert (rows["label"].to_numpy()[pairs["first"]] == rows["label"].to_numpy()[pairs["second"]]).all()


def test_no_neighbourhood_holds_more_than_its_share_of_a_class():
    rows, _, vectors = world()
    _, unit = found(rows, vectors)
    of_class = rows.groupby("label")["label"].transform("size").to_numpy()
    assert (np.bincount(unit)[unit] <= neighbourhoods.SHARE * of_class).all()


@pytest.mark.parametrize("size", [16, 32, 256])
def test_independent_images_are_not_tied(size):
    rows, _, vectors = world(tracks=150, frames=1, size=size)
    assert found(rows, vectors)[0].empty


def test_what_names_and_times_explain_needs_no_neighbourhoods():
    rows, track, vectors = world()
    assert found(rows, vectors, component=track)[0].empty


def test_what_is_tied_already_stays_together():
    rows, track, vectors = world(tracks=20)
    halves = track * 2 + np.random.default_rng(1).integers(0, 2, len(track))
    pairs, _ = found(rows, vectors, component=halves)
    both = duplicates.connected(
        len(rows),
        np.concatenate(
            [pairs[["first", "second"]].to_numpy(dtype=np.intp), duplicates.same_pairs(pd.Series(halves.astype(str)))]
        ),
    )
    assert len(pairs)
    assert leak(track, both) < leak(track, halves)


def test_images_that_a_model_has_seen_are_never_tied_to_each_other():
    rows, _, vectors = world()
    known = np.random.default_rng(2).random(len(rows)) < 0.7
    pairs, unit = found(rows, vectors, known=known)
    assert pd.Series(unit[known]).is_unique
    assert len(pairs)


def test_a_new_image_joins_the_known_one_that_is_nearest():
    rows, track, vectors = world()
    known = np.random.default_rng(2).random(len(rows)) < 0.7
    pairs, _ = found(rows, vectors, known=known)
    one, other = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    assert (track[one] == track[other]).mean() > 0.9


def test_images_on_two_sides_of_a_benchmark_are_never_tied_and_on_each_side_some_are():
    rows, _, vectors = world()
    side = np.where(np.random.default_rng(3).random(len(rows)) < 0.6, " library", " benchmark")
    part = (rows["label"] + side).mask(rows.index < 20, "")
    pairs, _ = found(rows, vectors, part=part)
    one, other = part.to_numpy()[pairs["first"]], part.to_numpy()[pairs["second"]]
    assert (one == other).all()
    assert set(one) == set(part) - {""}


def test_an_image_without_features_is_left_alone():
    rows, _, vectors = world()
    vectors[::5] = 0
    pairs, _ = found(rows, vectors)
    assert len(pairs)
    assert not np.isin(np.arange(0, len(rows), 5), pairs[["first", "second"]]).any()
