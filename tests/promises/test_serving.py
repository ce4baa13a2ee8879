"""What a report on served traffic promises, in small versions of the worlds of `scripts/bench_promises.py`."""

import numpy as np
import pytest

from scripts.promises import serving as worlds


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_images_of_the_library_which_are_easier_do_not_stand_for_new_ones(share):
    """Unweighted, the accuracy told lies 10 points above the true one."""
    random = np.random.default_rng(1)
    played = [worlds.audited(share, random) for _ in range(3)]
    assert sum(one.right for one in played) >= 2
    assert all(one.uncovered < 0.01 for one in played)


def test_where_no_new_image_is_kept_the_share_that_nothing_stands_for_is_told():
    played = worlds.audited(0.0, np.random.default_rng(1))
    assert played.uncovered == pytest.approx(played.truly_uncovered, abs=0.01)
    assert played.uncovered > 0.5
