"""The geometry of plots: scales, ticks and lines."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pages.plots import Scale, band, path, percents, round_numbers, round_shares


def test_a_scale_goes_from_one_edge_to_the_other_and_a_lone_value_lies_in_the_middle():
    assert [Scale(0, 10, 200, 100)(value) for value in (0, 5, 10)] == [200, 150, 100]
    assert Scale(3, 3, 100, 200)(3) == 150


def test_a_scale_places_times_too():
    first, last = pd.Timestamp("2026-03-01"), pd.Timestamp("2026-03-03")
    assert Scale(first, last, 0, 100)(pd.Timestamp("2026-03-02")) == 50


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_round_numbers_enclose_what_they_are_asked_for(low, size):
    ticks = round_numbers(low, low + size)
    slack = 1e-6 * max(1, abs(low), size)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + size - slack
    assert 2 <= len(ticks) <= 8


def test_ticks_of_shares_are_percents_that_stay_within_0_and_1():
    assert round_shares(0.93, 1.0)[-1] == 1.0
    assert round_shares(1.0, 1.0) == [0.95, 0.975, 1.0] or max(round_shares(1.0, 1.0)) <= 1.0
    assert percents([0.5, 0.975], Scale(0, 1, 0, 100)) == [(50, "50%"), (97.5, "97.5%")]


def test_a_line_breaks_where_a_value_is_missing_and_a_lone_point_is_a_dot():
    assert path([(0, 1.0), (1, 2.0), (2, math.nan), (3, 4.0)]) == "M0 1.0h0L1 2.0M3 4.0h0"
    assert path([]) == ""


def test_a_band_goes_there_along_its_upper_edge_and_back_along_its_lower_one():
    assert band([(0, 1), (5, 2)], [(0, 3), (5, 4)]) == "M0 1L5 2L5 4L0 3Z"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_interval_at_the_end_of_the_scale_still_has_two_ticks(share):
    assert len(round_shares(share, share)) > 1
