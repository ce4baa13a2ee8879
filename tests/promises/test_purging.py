"""What the bound of a purge list promises, in small versions of the worlds of `scripts/bench_promises.py`."""

import numpy as np
import pytest

from pipeline.evaluation import intervals
from scripts.promises.purging import one_list, several_lists, worst_exact


def test_the_bound_is_exact_for_every_list_and_share():
    """By Wilson's interval it is too low in up to 6.9 %."""
    exact, wilson = worst_exact(60)
    assert 0.045 < exact <= 0.05
    assert wilson > 0.06


@pytest.mark.parametrize("burst", [10, -2])
def test_the_bound_holds_though_images_belong_together(burst):
    """Copies that are drawn together, as by their content alone, would count as two images."""
    assert one_list(600, 0.055, burst, 25, np.random.default_rng(1)) <= 0.12


@pytest.mark.parametrize("share", [0.055, 0.08, 0.12])
def test_several_lists_tried_are_paid_for(share):
    """Where each has the whole level, one of five is better than the truth in 8 to 17 %, by Wilson in 14 to 25 %."""
    assert several_lists(1000, share, 4000, np.random.default_rng(0)) <= 0.05


def test_a_list_that_was_judged_as_a_whole_has_what_was_found():
    assert intervals.most_of_finite(3, 40, 40, level=0.05) == 3
    assert intervals.most_of_finite(0, 0, 40, level=0.05) == 40


def test_a_long_list_has_the_bound_of_clopper_and_pearson():
    """1 - 0.05^(1/60), of sixty without a good one."""
    assert intervals.most_of_finite(0, 60, 10**6, level=0.05) / 10**6 == pytest.approx(1 - 0.05 ** (1 / 60), abs=1e-4)
