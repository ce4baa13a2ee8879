"""A candidate that ran as a shadow, beside the model that served: no verdict that the unknown answers do not carry."""

import numpy as np
import pandas as pd
import pytest

from pipeline.serving.reports import accuracy, estimates, model_comparison
from pipeline.serving.verdicts import RIGHT, WRONG

CLASSES = [f"class_{number}" for number in range(20)]


def played(*, before: float, after: float, named: float, number: int = 1200, seed: int = 0) -> pd.Series:
    """The row of `shadowed` for two models right so often, where reviewers name the class of some wrong answers."""
    random = np.random.default_rng(seed)
    truth = random.choice(CLASSES, number)
    luck = random.random(number)  # what is hard for one is hard for the other
    answers = [np.where(0.5 * luck + 0.5 * random.random(number) < share, truth, "other") for share in (before, after)]
    right = answers[0] == truth
    units = pd.DataFrame(
        {
            "request_id": [f"{place:05d}" for place in range(number)],
            "position": 0,
            "version": "old",
            "label": answers[0],
            "truth": np.where(right | (random.random(number) < named), truth, ""),
            "verdict": np.where(right, RIGHT, WRONG),
            "right": right,
            "in_classes": True,
            "usable": True,
            "cluster": [f"{place:05d}" for place in range(number)],
            "stratum": "all",
            "evaluated": True,
            "probability": 0.1,
        }
    )
    shadows = units[["request_id", "position"]].assign(shadow_version="new", shadow_label=answers[1])
    table = model_comparison.shadowed(units, shadows, estimates.strata(units), confidence=0.95)
    return table.assign(true=(answers[1] == truth).mean() - right.mean()).iloc[0]


@pytest.mark.parametrize("named", [0.0, 0.5, 1.0])
def test_a_better_candidate_is_never_called_worse_because_reviewers_do_not_name_the_class(named):
    rows = pd.DataFrame([played(before=0.75, after=0.8, named=named, seed=seed) for seed in range(20)])
    assert (rows["high"] > 0).all()
    assert ((rows["low"] <= rows["true"]) & (rows["true"] <= rows["high"])).mean() >= 0.9
    assert (rows["unknown"] > 0).all() == (named < 1)


def test_where_every_class_is_named_a_better_candidate_is_told():
    assert played(before=0.7, after=0.8, named=1.0)["low"] > 0


def test_the_share_of_answers_that_an_audit_stands_for():
    design = pd.DataFrame({"population": [300.0, 100.0], "evaluated": [20, 0]})
    row = accuracy.coverage(1000, design).iloc[0]
    assert (row["answered"], row["covered"], row["share"]) == (1000, 300, 0.3)
