"""Which network fits: what is not beaten, what the images cannot tell apart, and what is then said."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation import networks
from pipeline.evaluation.networks import pareto

compare, fitting, advice = (
    partial(function, confidence=0.95) for function in (networks.compare, networks.fitting, networks.advice)
)


def network(name: str, right: int, *, of: int = 100, rate: float = 100.0) -> dict:
    """Right on the first `right` images."""
    found = [1] * right + [0] * (of - right)
    return {"name": name, "accuracy": right / of, "images_per_second": rate, "right": found}


def test_the_front_holds_the_networks_that_none_beats_in_both():
    rows = compare([network("slow", 90, rate=10), network("fast", 70, rate=100), network("poor", 60, rate=50)])
    assert rows.set_index("name")["pareto"].to_dict() == {"slow": True, "fast": True, "poor": False}


def test_two_equal_networks_are_both_on_the_front():
    assert compare([network("a", 80), network("b", 80)])["pareto"].tolist() == [True, True]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=12))
def test_whatever_is_off_the_front_is_beaten_by_one_that_is_on_it(points):
    rows = compare([network(str(place), right, of=20, rate=rate) for place, (right, rate) in enumerate(points)])
    front = rows[rows["pareto"]]
    for row in rows[~rows["pareto"]].itertuples():
        assert ((front["accuracy"] >= row.accuracy) & (front["images_per_second"] >= row.images_per_second)).any()
    assert rows["pareto"].tolist() == pareto(rows)


def test_the_most_accurate_comes_first_with_its_interval():
    rows = compare([network("b", 70), network("a", 90)])
    assert rows["name"].tolist() == ["a", "b"]
    assert (rows["low"] < rows["accuracy"]).all()
    assert (rows["high"] > rows["accuracy"]).all()
    assert "right" not in rows


def test_of_networks_that_the_images_cannot_tell_apart_the_fastest_fits():
    rows = compare([network("best", 82, rate=5), network("quick", 80, rate=50), network("quickest", 60, rate=500)])
    assert fitting(rows)["name"] == "quick"
    assert "quick fits (80.0% of 100, 50 images/s)" in advice(rows, 62)
    assert "10.0 times faster" in advice(rows, 62)


def test_a_network_that_is_truly_better_fits_although_it_is_slow():
    rows = compare([network("best", 95, rate=5), network("quick", 60, rate=50)])
    assert fitting(rows)["name"] == "best"
    assert "it is the most accurate" in advice(rows, 62)


@pytest.mark.parametrize(("images", "said"), [(20, "handful"), (62, "some"), (2000, "a lot")])
def test_the_amount_of_data_says_what_to_expect(images, said):
    assert f"you have {said}" in advice(compare([network("a", 90)]), images).replace("a handful", "handful")
