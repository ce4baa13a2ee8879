"""What is seen of an epoch while it lasts."""

import time

import pytest

from pipeline.training.reporting import Within


def test_before_its_first_step_an_epoch_says_that_the_step_is_prepared():
    within = Within("epoch 1 of at most 60", 300, 32.0)
    assert "the first of 300 steps is prepared, 0 s so far" in within.line()
    within.close()


def test_between_steps_an_epoch_says_how_far_it_is_how_fast_and_how_long_it_takes():
    within = Within("epoch 1 of at most 60", 101, 32.0)
    within.step()
    within._first -= 10.0  # as if ten seconds had passed
    for _ in range(50):
        within.step()
    assert within.line() == "epoch 1 of at most 60: 51 of 101 steps, 160 images/s, about 10 s left before validation"
    for _ in range(50):
        within.step()
    assert "all 101 steps are done" in within.line()
    within.close()


def test_lines_come_also_while_no_step_ends_and_stop_with_the_epoch(capsys):
    within = Within("epoch 1 of at most 60", 300, 32.0, every=0.01)
    until = time.monotonic() + 10
    lines: list[str] = []
    while len(lines) < 2 and time.monotonic() < until:
        time.sleep(0.01)
        lines += capsys.readouterr().err.splitlines()
    within.close()
    time.sleep(0.05)
    capsys.readouterr()
    time.sleep(0.05)
    assert len(lines) >= 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("times", [1, 2])
def test_an_epoch_can_be_ended_twice(times):
    within = Within("epoch 1 of at most 60", 3, 32.0)
    for _ in range(times):
        within.close()
