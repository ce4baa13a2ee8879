"""What the label audit promises, in small versions of the worlds of `scripts/bench_promises.py`."""

import numpy as np
import pandas as pd
import pytest

from scripts.promises.label_audit import World, shares


def audited(world: World, runs: int = 2, *, frozen: bool = True) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.concat([world.audited(random, frozen=frozen) for _ in range(runs)])


@pytest.mark.parametrize("overfit", [0.0, 1.0])
def test_wrong_labels_of_training_images_are_found_whatever_was_overfitted(overfit):
    rows = audited(World(overfit))
    recall, precision = shares(rows[rows["set"] == "train"])
    assert recall >= 0.6
    assert precision >= 0.6


def test_without_frozen_features_what_was_overfitted_is_not_found():
    rows = audited(World(1.0), frozen=False)
    assert shares(rows[rows["set"] == "train"])[0] < 0.1


def test_wrong_labels_of_classes_below_the_cutoff_are_found():
    rows = audited(World(1.0), 4)
    recall, precision = shares(rows[rows["set"] == "open:below-cutoff"])
    assert recall >= 0.6
    assert precision >= 0.4


def test_a_burst_that_is_labelled_wrongly_as_a_whole_does_not_confirm_itself():
    rows = audited(World(1.0, apart=6.0, burst=5))
    recall, precision = shares(rows[rows["set"] == "train"])
    assert recall >= 0.6
    assert precision >= 0.6


def test_images_that_the_model_was_not_trained_on_are_judged_by_both():
    rows = audited(World(0.7))
    recall, precision = shares(rows[rows["set"] == "val"])
    assert recall >= 0.6
    assert precision >= 0.8
