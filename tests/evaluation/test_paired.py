import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation import paired


def scores(right, *, name: str = "test", label: str = "cat") -> pd.DataFrame:
    """A row an image; `right` says whether the model names it."""
    images = [f"{label}{number}" for number in range(len(right))]
    ranks = np.where(np.asarray(right, bool), 1, 2)
    return pd.DataFrame({"sha256": images, "set": name, "label": label, "label_rank": ranks})


def difference(trials: list[pd.DataFrame], baselines: list[pd.DataFrame]) -> dict[str, dict]:
    return paired.by_set(trials, baselines, confidence=0.95)


def test_the_difference_and_its_interval_can_be_counted_by_hand():
    found = difference([scores([1] * 40 + [0] * 10)], [scores([1] * 35 + [0] * 6 + [1] * 9)])["test"]
    assert (found["paired"], found["gained"], found["lost"], found["difference"]) == (50, 5, 9, -0.08)
    half = 1.959964 * np.sqrt(14 - 16 / 50) / 50
    assert (found["low"], found["high"]) == pytest.approx((-0.08 - half, -0.08 + half), abs=1e-5)


def test_the_same_images_right_is_no_difference_whatever_the_order_of_the_rows():
    table = scores([1, 0, 1, 1])
    found = difference([table.iloc[::-1]], [table])["test"]
    assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)


def test_each_set_has_a_difference_of_its_own():
    trial = pd.concat([scores([1, 1]), scores([0, 0], name="benchmark:field")])
    baseline = pd.concat([scores([0, 1]), scores([1, 1], name="benchmark:field")])
    found = difference([trial], [baseline])
    assert {name: row["difference"] for name, row in found.items()} == {"test": 0.5, "benchmark:field": -1.0}


def test_seeds_are_paired_with_their_own_and_an_image_counts_once():
    trials, baselines = [scores([1, 1, 0, 0]), scores([0, 1, 0, 0])], [scores([0, 1, 0, 1]), scores([0, 1, 0, 0])]
    found = difference(trials, baselines)["test"]
    assert (found["paired"], found["gained"], found["lost"], found["difference"]) == (4, 1, 1, 0)
    swapped = difference(trials, baselines[::-1])["test"]
    assert swapped["lost"] == 1
    assert swapped["gained"] == 1


def test_a_second_seed_that_says_the_same_makes_nothing_surer():
    once = difference([scores([1, 1, 1, 0])], [scores([0, 1, 1, 1])])["test"]
    twice = difference([scores([1, 1, 1, 0])] * 2, [scores([0, 1, 1, 1])] * 2)["test"]
    assert (once["low"], once["high"]) == (twice["low"], twice["high"])


def test_only_images_and_classes_that_both_know_are_paired():
    unknown = scores([1, 1]).assign(label_rank=-1)
    assert len(paired.pair(scores([1, 0, 1]), scores([1, 1]))) == 2
    assert paired.pair(scores([1, 0]), unknown).empty
    twice = pd.concat([scores([1, 0]), scores([1, 0])])
    assert len(paired.pair(twice, scores([1, 1]))) == 2


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=300), st.floats(0.5, 0.999))
def test_the_interval_is_that_of_two_paired_proportions(change, confidence):
    """Agresti 2013, 11.1.3, in counts."""
    n, gained, lost = len(change), change.count(1), change.count(-1)
    mean, low, high = paired.mean_difference(np.array(change), confidence=confidence)
    assert mean == pytest.approx((gained - lost) / n)
    z = paired.NormalDist().inv_cdf(0.5 + confidence / 2)
    half = z * np.sqrt(max(gained + lost - (gained - lost) ** 2 / n, 0)) / n
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.data())
def test_who_is_the_baseline_changes_the_sign_alone(first, data):
    second = data.draw(st.lists(st.booleans(), min_size=len(first), max_size=len(first)))
    there, back = difference([scores(first)], [scores(second)]), difference([scores(second)], [scores(first)])
    assert there["test"]["difference"] == -back["test"]["difference"]
    assert there["test"]["low"] == pytest.approx(-back["test"]["high"])
