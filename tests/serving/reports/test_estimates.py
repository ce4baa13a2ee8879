import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import intervals
from pipeline.serving.reports import estimates

CONFIDENCE = 0.95


def drawn(**sizes: tuple[int, int]) -> pd.DataFrame:
    """Strata by name: how many were drawn, of how many."""
    return pd.concat(
        [
            pd.DataFrame({"stratum": name, "probability": few / many, "evaluated": [True] * few})
            for name, (few, many) in sizes.items()
        ],
        ignore_index=True,
    )


def test_an_evaluated_transaction_stands_for_its_share_of_the_stratum():
    design = estimates.strata(drawn(low=(10, 100), high=(10, 1000)).assign(evaluated=lambda t: t.index % 2 == 0))
    assert design["weight"].to_dict() == {"low": 20.0, "high": 200.0}


def test_a_stratum_that_nobody_has_looked_at_yet_has_no_weight():
    design = estimates.strata(drawn(low=(3, 30)).assign(evaluated=False))
    assert design["weight"].isna().all()


def test_a_stratum_that_was_drawn_more_often_does_not_count_for_more():
    units = drawn(low=(50, 100), high=(50, 900))
    units["right"] = units["stratum"] == "high"
    found = estimates.shares(units, estimates.strata(units), confidence=CONFIDENCE).iloc[0]
    assert found["share"] == pytest.approx(0.9)


def test_one_stratum_drawn_from_many_gives_the_interval_of_a_plain_sample():
    units = drawn(all=(200, 10_000_000))
    units["right"] = units.index < 150
    found = estimates.shares(units, estimates.strata(units), confidence=CONFIDENCE).iloc[0]
    low, high = intervals.wilson(150, 200, confidence=CONFIDENCE)
    assert (found["low"], found["high"]) == (pytest.approx(float(low), abs=1e-3), pytest.approx(float(high), abs=1e-3))


def test_where_all_are_right_the_interval_still_has_a_lower_end():
    units = drawn(low=(5, 50), high=(20, 1000)).assign(right=True)
    found = estimates.shares(units, estimates.strata(units), confidence=CONFIDENCE).iloc[0]
    assert 0.7 < found["low"] < 0.95
    assert found["high"] == 1


def test_a_stratum_with_a_single_evaluation_widens_the_interval():
    units = drawn(a=(50, 1000), b=(50, 1000))
    units["right"] = units.index % 5 > 0
    alone = pd.concat([units, drawn(c=(1, 500)).assign(right=False)], ignore_index=True)
    width = [
        float((found["high"] - found["low"]).iloc[0])
        for rows in (units, alone)
        for found in [estimates.shares(rows, estimates.strata(rows), confidence=CONFIDENCE)]
    ]
    assert width[1] > 2 * width[0]


def test_parts_are_estimated_each_on_its_own():
    units = drawn(low=(40, 400), high=(40, 4000)).assign(label=["lion", "tapir"] * 40)
    units["right"] = units["label"] == "lion"
    found = estimates.shares(units, estimates.strata(units), ["label"], confidence=CONFIDENCE).set_index("label")
    assert found["share"].to_dict() == {"lion": 1.0, "tapir": 0.0}
    assert found["weight"].to_dict() == {"lion": 2200.0, "tapir": 2200.0}


def test_intervals_hold_the_truth_as_often_as_they_say():
    """100 audits of one population whose sure answers are nearly always right, and drawn seldom."""
    random = np.random.default_rng(0)
    sizes, chances, numbers = [6000, 3000, 1000], [0.98, 0.85, 0.5], [60, 60, 80]
    strata = np.repeat(["sure", "so-so", "unsure"], sizes)
    right = random.random(10_000) < np.repeat(chances, sizes)
    label = random.choice(["lion", "tapir", "gnu"], 10_000, p=[0.6, 0.3, 0.1])
    truth = {"all": right.mean(), "gnu": right[label == "gnu"].mean()}
    starts = np.cumsum([0, *sizes[:2]])
    held = {"all": 0, "gnu": 0}
    for _ in range(100):
        rows = np.concatenate(
            [s + random.choice(size, n, replace=False) for s, size, n in zip(starts, sizes, numbers, strict=True)]
        )
        units = pd.DataFrame({"stratum": strata[rows], "right": right[rows], "label": label[rows], "evaluated": True})
        units["probability"] = units["stratum"].map({"sure": 0.01, "so-so": 0.02, "unsure": 0.08})
        design = estimates.strata(units)
        whole = estimates.shares(units, design, confidence=CONFIDENCE).iloc[0]
        part = estimates.shares(units, design, ["label"], confidence=CONFIDENCE).set_index("label").loc["gnu"]
        held["all"] += whole["low"] <= truth["all"] <= whole["high"]
        held["gnu"] += part["low"] <= truth["gnu"] <= part["high"]
    assert held["all"] >= 92
    assert held["gnu"] >= 92


def test_a_mean_difference_of_nought_has_nought_in_its_interval():
    units = drawn(a=(100, 1000)).assign(gain=[1, -1, 0, 0] * 25)
    found = estimates.mean(units, estimates.strata(units), "gain", confidence=CONFIDENCE)
    assert found["mean"] == 0
    assert found["low"] < 0 < found["high"]


def test_two_shares_far_apart_differ_for_certain():
    units = drawn(a=(200, 2000), b=(200, 2000))
    units["version"] = units["stratum"]
    units["right"] = (units["version"] == "b") | (units.index % 2 == 0)
    found = estimates.shares(units, estimates.strata(units), ["version"], confidence=CONFIDENCE).set_index("version")
    gain, low, high = estimates.difference(found.loc["a"], found.loc["b"])
    assert (gain, low > 0.4, high < 0.6) == (0.5, True, True)
