import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import leakage
from tests.library.builders import flip, phash, sha


def sets(*, near: float, seed: int = 0, images: int = 60) -> tuple[pd.DataFrame, np.ndarray]:
    """A training set, a test set whose images look like one of its images by `near`, and a benchmark of others."""
    random = np.random.default_rng(seed)

    def unit(values: np.ndarray) -> np.ndarray:
        return values / np.linalg.norm(values, axis=-1, keepdims=True)

    trained = unit(random.normal(size=(images, 32)))
    test = unit(near * trained + np.sqrt(1 - near**2) * unit(random.normal(size=(images, 32))))
    field = unit(random.normal(size=(images, 32)))
    names = ["train"] * images + ["test"] * images + ["benchmark:field"] * images
    rows = pd.DataFrame({"set": names, "image": [f"{name}/{place:03d}" for place, name in enumerate(names)]})
    rows["sha256"] = rows["image"].map(sha)
    rows["phash"] = rows["image"].map(phash)
    rows["label"] = [["lion", "puma"][place % 2] for place in range(len(rows))]
    rows["cluster"], rows["torn"] = rows["sha256"], False
    return rows, np.concatenate([trained, test, field]).astype(np.float32)


def test_each_image_of_test_and_benchmarks_has_the_training_image_that_looks_most_alike():
    rows, vectors = sets(near=0.95)
    near = leakage.nearest(rows, vectors)
    assert list(near) == leakage.COLUMNS
    assert len(near) == 120
    test = near[near["set"] == "test"]
    mates = test["image"].str[-3:].astype(int) - 60 == test["other"].str[-3:].astype(int)
    assert mates.all()
    assert test["similarity"].between(0.8, 1).all()


def test_a_test_set_that_is_closer_to_training_than_the_benchmark_raises_an_alarm():
    rows, vectors = sets(near=0.9)
    assert [alarm.benchmark for alarm in leakage.alarms(leakage.nearest(rows, vectors))] == ["field"]


def test_alarms_are_rare_where_both_sets_are_as_near():
    wrong = sum(bool(leakage.alarms(leakage.nearest(*sets(near=0.0, seed=seed)))) for seed in range(60))
    assert wrong <= 4


def test_a_burst_of_the_test_set_counts_once_for_an_alarm():
    rows, vectors = sets(near=0.9)
    rows.loc[rows["set"] == "test", "cluster"] = "one"
    assert leakage.alarms(leakage.nearest(rows, vectors)) == []


def test_hashes_just_beyond_the_limit_are_counted():
    rows, vectors = sets(near=0.5)
    rows.loc[60, "phash"] = flip(rows.loc[3, "phash"], 1, 2, 3, 4, 5, 6)
    counted = leakage.summary(leakage.nearest(rows, vectors), near_duplicate_distance=4)
    assert (counted["test"]["within"], counted["test"]["beyond"]) == (0, 1)
    assert counted["benchmark:field"]["beyond"] == 0


def test_what_is_torn_is_left_out():
    rows, vectors = sets(near=0.9)
    rows.loc[60:69, "torn"] = True
    assert (leakage.nearest(rows, vectors)["set"] == "test").sum() == 50


@pytest.mark.parametrize("gone", ["train", "test"])
def test_without_a_training_or_a_test_set_nothing_is_compared(gone):
    rows, vectors = sets(near=0.9)
    kept = (rows["set"] != gone) & (rows["set"] != "benchmark:field")
    assert len(leakage.nearest(rows[kept], vectors[kept])) == 0
