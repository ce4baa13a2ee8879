import math

import numpy as np
import pytest

from pipeline.evaluation import intervals
from pipeline.review import reviewers
from tests.review.made_up_decisions import said, table


def measure(*rows: dict) -> dict[str, dict]:
    found = reviewers.measure(table(*rows), confidence=0.95)
    return {row["by"]: row for row in found.to_dict("records")}


def checked(images: int, wrong: int) -> list[dict]:
    """Images decided by ann, and again blind, some of them otherwise."""
    first = [said(f"pool/{n}.jpg", "cat") for n in range(images)]
    again = [said(f"pool/{n}.jpg", "owl" if n < wrong else "cat", blind="yes", day=2) for n in range(images)]
    return first + again


def test_the_error_is_what_makes_two_answers_differ_so_often():
    found = measure(*checked(100, 6))["ann"]
    assert (found["decisions"], found["checked"], found["differing"]) == (200, 100, 6)
    assert math.isclose(found["error"], 1 - math.sqrt(0.94))
    low, high = intervals.wilson([6], [100], confidence=0.95)
    assert (found["low"], found["high"]) == pytest.approx((1 - math.sqrt(1 - low[0]), 1 - math.sqrt(1 - high[0])))


def test_a_planted_error_is_found():
    rng = np.random.default_rng(0)
    rows = []
    for n in range(3000):
        for day, blind in ((1, "no"), (2, "yes")):
            slip = rng.random() < 0.03
            rows.append(said(f"pool/{n}.jpg", str(rng.integers(100)) if slip else "right", blind=blind, day=day))
    found = measure(*rows)["ann"]
    assert found["low"] < 0.03 < found["high"]
    assert found["high"] - found["low"] < 0.02


def test_without_a_check_nobody_knows_the_error():
    found = measure(said("pool/1.jpg", "cat"))["ann"]
    assert found["checked"] == 0
    assert math.isnan(found["error"])


def test_a_check_of_what_somebody_else_decided_says_nothing_of_oneself():
    rows = said("pool/1.jpg", "cat", by="bob"), said("pool/1.jpg", "owl", blind="yes", day=2)
    assert measure(*rows)["ann"]["checked"] == 0


def test_a_decision_taken_back_is_not_held_against_its_check():
    rows = [said("pool/1.jpg", "owl"), said("pool/1.jpg", "cat", day=2), said("pool/1.jpg", "cat", blind="yes", day=3)]
    name = table(*rows)["id"].iloc[0]
    found = measure(*rows, said("pool/1.jpg", decision="undo", undoes=name, day=4))["ann"]
    assert (found["checked"], found["differing"], found["decisions"]) == (1, 0, 3)


def test_who_is_overruled_is_counted():
    rows = [said("pool/1.jpg", "cat"), said("pool/1.jpg", "owl", by="bob"), said("pool/2.jpg", "cat")]
    rows += [said("pool/2.jpg", "cat", by="bob"), said("pool/1.jpg", "owl", by="eve", recipe="settle", day=2)]
    found = measure(*rows)
    counts = {by: [found[by][name] for name in ("shared", "disputed", "overruled")] for by in ("ann", "bob")}
    assert counts == {"ann": [2, 1, 1], "bob": [2, 1, 0]}


def test_minutes_are_those_that_were_measured():
    found = measure(said("pool/1.jpg", "cat", seconds="30"), said("pool/2.jpg", "cat", seconds="6.0", day=2))["ann"]
    assert (found["minutes"], found["minutes_per_label"]) == pytest.approx((0.6, 0.3))
