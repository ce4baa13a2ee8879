"""What the gate promises, in small versions of the worlds of `scripts/bench_promises.py`."""

import numpy as np
import pytest

from pipeline.evaluation import rules
from scripts.promises import gate as worlds
from scripts.promises import gate_metric as metrics
from scripts.promises import gate_years as years


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", [name for name in worlds.WORSE if name != "names fewer images"])
def test_a_model_that_is_worse_in_anything_that_users_get_does_not_pass(name, random):
    """Where top-1 of known classes alone counts, nearly all of these pass."""
    assert worlds.passing(worlds.WORSE[name], 3, random) <= 1 / 3


def test_an_equal_model_passes_all_rules_together(random):
    assert worlds.passing(worlds.EQUAL[5000, "all kinds of images"], 3, random) >= 2 / 3


def test_rounds_that_are_each_a_little_worse_do_not_add_up(random):
    losses = [years.fallen(random) for _ in range(4)]
    assert max(losses) <= years.TOLERANCE
    assert years.fallen(random, remembers=False) > years.TOLERANCE


def test_the_best_of_many_tries_does_not_pass(random):
    assert sum(years.lucky(random) for _ in range(5)) <= 1


def test_corrections_where_the_candidate_alone_objects_make_no_worse_model_pass(random):
    """Under today's labels alone, it gains 1.5 points, and passes in a quarter of all draws."""
    judged = [years.corrected(random, loss=years.TOLERANCE) for _ in range(15)]
    assert sum(years.passed(found) for found in judged) <= 1
    assert {rule.rule for rule in judged[0]} >= {rules.RIGHT, rules.BEFORE}


def test_on_as_many_images_as_would_tell_an_equal_model_mostly_passes(random):
    lines = list(years.gate_images(15, random))
    assert all(line.measured >= 0.75 for line in lines)


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_a_model_that_is_worse_in_the_metric_that_is_chosen_does_not_pass(metric, random):
    assert metrics.passing(metric, 10, random, worse=True, number=500, burst=1) <= 0.1
    assert metrics.passing(metric, 4, random, worse=False, number=5000, burst=1) >= 0.75
