"""What an ablation promises, in small versions of the worlds of `scripts/bench_promises.py`."""

import numpy as np
import pytest

from scripts.promises.ablation import WORLDS, Training, ablation, covered, found

SMALL = {"test": 300}


@pytest.mark.parametrize("name", WORLDS)
def test_of_settings_without_an_effect_none_seems_to_have_one(name):
    """Where intervals ignore the luck of trainings and their own number, half of all such tables and more have one."""
    world, seeds = WORLDS[name]
    random = np.random.default_rng(0)
    assert sum(found(ablation(world, [0.0] * 6, seeds, random, SMALL)) for _ in range(3)) <= 1


def test_where_no_image_differs_the_interval_is_no_point():
    table = ablation(Training(noise=0.0), [0.0], 1, np.random.default_rng(0), SMALL)
    assert (table["difference"] == 0).all()
    assert (table["high"] - table["low"] > 0.02).all()


def test_the_luck_of_trainings_is_part_of_the_interval():
    """Over images alone, an interval is right in 59 to 86 %."""
    random = np.random.default_rng(0)
    world = Training(luck=0.03)
    right = [covered(ablation(world, [-0.02], 3, random, SMALL), [-0.02]).all() for _ in range(16)]
    assert np.mean(right) >= 0.87


def test_a_great_loss_among_settings_without_effect_is_found_with_several_seeds():
    table = ablation(Training(luck=0.01), [-0.1, 0.0, 0.0, 0.0], 3, np.random.default_rng(0), SMALL)
    assert found(table[table["setting"] == "s0=1"])
    assert not found(table[table["setting"] != "s0=1"])
