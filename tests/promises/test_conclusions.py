"""What the report concludes, in a small version of the worlds of `scripts/bench_promises.py`."""

import numpy as np
import pytest

from scripts.promises.conclusions import CAUSES, NOTHING, concluded, scored

RUNS = 8


@pytest.mark.parametrize("options", [{}, {"burst": 5}, {"mix": 1.0, "spread": 1.0}])
def test_where_nothing_is_wrong_no_cause_is_named(options):
    random = np.random.default_rng(3)
    found = [concluded(scored(NOTHING, random, **options)) for _ in range(RUNS)]
    assert sum(bool(one.conclusions or one.few) for one in found) <= 1
    assert all(one.margin > 0.01 for one in found)


@pytest.mark.parametrize("cause", CAUSES)
def test_the_planted_cause_is_named_and_no_other(cause):
    random = np.random.default_rng(4)
    found = [{gap.kind for gap in concluded(scored(CAUSES[cause], random)).conclusions} for _ in range(RUNS)]
    assert sum(one == {cause} for one in found) >= RUNS - 1


def test_of_two_rare_classes_the_weak_one_is_named():
    random = np.random.default_rng(5)
    found = [concluded(scored(NOTHING, random, rare=0.2)).few for _ in range(RUNS)]
    assert sum([row.label for row in few] == ["class 00"] for few in found) >= RUNS - 1
