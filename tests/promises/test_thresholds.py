"""What a threshold promises, in small versions of the worlds of `scripts/bench_promises.py`."""

import numpy as np
import pytest

from scripts.promises import thresholds as worlds

RUNS = 25


@pytest.mark.parametrize(
    ("world", "number"), [("honest", 600), ("classes differ", 1500), ("too sure", 1500), ("bursts of 5", 1500)]
)
def test_an_assured_threshold_keeps_its_promise_though_it_was_searched(world, number):
    """Where estimated thresholds of classes replace the assured one, a third to all of these runs are below."""
    model, _ = worlds.MODELS[world]
    runs = worlds.played(model, number, RUNS, np.random.default_rng(0))
    assert runs["below"].sum() <= 4
    assert runs["class_below"].sum() <= 4


def test_an_honest_model_still_shows_most_of_what_it_may():
    runs = worlds.played(worlds.MODELS["honest"][0], 1500, RUNS, np.random.default_rng(0))
    assert runs["shown"].mean() > 0.4
    assert runs["assured"].mean() > 0.9


def test_where_scores_say_nothing_no_search_finds_a_threshold():
    runs = worlds.played(worlds.MODELS["scores say nothing"][0], 1500, RUNS, np.random.default_rng(0))
    assert runs["below"].sum() <= 4
