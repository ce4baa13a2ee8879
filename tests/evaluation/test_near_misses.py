import numpy as np
import pandas as pd

from pipeline.evaluation import leakage, near_misses
from pipeline.evaluation.near_misses import Kind, NearMisses
from pipeline.library import bursts, looks
from tests.evaluation.test_leakage import sets
from tests.library.builders import flip, phash


def facts(*, near: float = 0.0) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of sets whose images know nothing of each other by names, times or other views."""
    rows, vectors = sets(near=near)
    rows["image"] = [f"library/{phash(image)}x.jpg" for image in rows["image"]]
    return rows.assign(burst=rows["sha256"], evidence="", together="", views="", taken="", camera=""), vectors


def found(rows: pd.DataFrame, vectors: np.ndarray) -> NearMisses:
    near = leakage.nearest(rows, vectors)
    settings = bursts.Settings()
    return near_misses.find(rows, near, vectors, near_duplicate_distance=4, settings=settings)


def test_nothing_is_beyond_a_limit_where_images_are_strangers():
    counts = found(*facts()).counts
    assert set(counts) == {"test", "benchmark:field"}
    assert all(set(of.beyond.values()) == {0} and of.torn == 0 and of.images == 60 for of in counts.values())


def test_a_hash_just_beyond_the_limit_is_counted():
    rows, vectors = facts()
    rows.loc[60, "phash"] = flip(rows.loc[3, "phash"], *range(6))
    assert found(rows, vectors).counts["test"].beyond[Kind.HASH] == 1


def test_a_mirrored_copy_is_counted_by_the_hash_of_its_mirror():
    rows, vectors = facts()
    rows.loc[60, "views"] = rows.loc[3, "phash"] + looks.NONE * (len(looks.VIEWS) - 1)
    counts = found(rows, vectors).counts["test"]
    assert (counts.beyond[Kind.VIEW], counts.beyond[Kind.HASH]) == (1, 0)


def test_a_neighbour_by_name_counts_where_it_looks_alike():
    rows, vectors = facts()
    rows.loc[[3, 60, 7, 61], "image"] = [f"library/event/{name}.jpg" for name in ("a_1", "a_2", "b_1", "b_2")]
    vectors[60] = vectors[3]
    counts = found(rows, vectors).counts
    assert counts["test"].beyond[Kind.NAMES] == 1
    assert counts["benchmark:field"].beyond[Kind.NAMES] == 0


def test_a_neighbour_by_time_counts_where_it_looks_alike():
    rows, vectors = facts()
    rows.loc[[3, 60], ["taken", "camera"]] = [["2026-03-01T12:00:00", "one"], ["2026-03-01T12:00:20", "one"]]
    vectors[60] = vectors[3]
    assert found(rows, vectors).counts["test"].beyond[Kind.TIME] == 1


def test_what_is_tied_is_no_near_miss():
    rows, vectors = facts()
    rows.loc[[3, 60], "image"] = ["library/event/a_1.jpg", "library/event/a_2.jpg"]
    rows.loc[[3, 60], "cluster"] = "one"
    vectors[60] = vectors[3]
    assert found(rows, vectors).counts["test"].beyond[Kind.NAMES] == 0


def test_torn_images_are_counted_by_what_ties_them():
    rows, vectors = facts()
    rows.loc[60:63, "torn"] = True
    rows.loc[60:62, "evidence"] = ["names in sequence", "names in sequence, second look", ""]
    rows.loc[63, "together"] = "site 4"
    counts = found(rows, vectors).counts["test"]
    assert (counts.images, counts.torn) == (56, 4)
    assert counts.tied == {
        "duplicate or earlier round": 1,
        "kept together": 1,
        "names in sequence": 2,
        "second look": 1,
    }


def test_images_as_alike_as_tied_ones_are_counted_where_enough_are_tied():
    rows, vectors = facts(near=0.95)
    assert np.isnan(near_misses.typical_tie(rows, vectors))
    rows["burst"] = [f"{place // 2 % 30}" if place < 60 else row for place, row in enumerate(rows["sha256"])]
    vectors[1:60:2] = vectors[0:60:2]
    vectors[60:120] = 0.9 * vectors[:60] + 0.1 * vectors[60:120]
    misses = found(rows, vectors)
    assert misses.typical == 1.0
    assert np.isnan(near_misses.typical_tie(rows.assign(evidence="close neighbours"), vectors))
    assert misses.counts["test"].beyond[Kind.LIKENESS] == 0
    vectors[60] = vectors[0]
    assert found(rows, vectors).counts["test"].beyond[Kind.LIKENESS] == 1


def test_each_nearest_pair_says_what_speaks_for_it():
    rows, vectors = facts()
    rows.loc[[3, 60], "image"] = ["library/event/a_1.jpg", "library/event/a_2.jpg"]
    rows.loc[60, "phash"] = flip(rows.loc[3, "phash"], *range(6))
    vectors[60] = vectors[3]
    near = leakage.nearest(rows, vectors)
    assert near.loc[0, "image"] == "library/event/a_2.jpg"
    evidence = found(rows, vectors).evidence
    assert evidence[0] == "near hash (6 bits), names in sequence"
    assert set(evidence[1:]) == {""}


def test_nothing_is_asked_where_nothing_is_tested():
    rows, vectors = facts()
    kept = (rows["set"] == "train").to_numpy()
    assert found(rows[kept], vectors[kept]).counts == {}
