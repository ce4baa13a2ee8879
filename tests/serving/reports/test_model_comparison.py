"""A candidate that ran as a shadow, beside the model that served: no verdict that the unknown answers do not carry."""

import numpy as np
import pandas as pd
import pytest

from pipeline.serving.reports import accuracy
from scripts.promises import serving as worlds


def played(*, gain: float, named: float, seed: int = 0) -> pd.Series:
    """The row of `shadowed` for a candidate better by `gain`, where reviewers name the class of some wrong answers."""
    row, true = worlds.shadowed(gain=gain, named=named, random=np.random.default_rng(seed))
    return pd.concat([row, pd.Series({"true": true})])


@pytest.mark.parametrize("named", [0.0, 0.5, 1.0])
def test_a_better_candidate_is_never_called_worse_because_reviewers_do_not_name_the_class(named):
    rows = pd.DataFrame([played(gain=0.05, named=named, seed=seed) for seed in range(20)])
    assert (rows["high"] > 0).all()
    assert ((rows["low"] <= rows["true"]) & (rows["true"] <= rows["high"])).mean() >= 0.9
    assert (rows["unknown"] > 0).all() == (named < 1)


def test_where_every_class_is_named_a_better_candidate_is_told():
    assert played(gain=0.1, named=1.0)["low"] > 0


def test_the_share_of_answers_that_an_audit_stands_for():
    design = pd.DataFrame({"population": [300.0, 100.0], "evaluated": [20, 0]})
    row = accuracy.coverage(1000, design).iloc[0]
    assert (row["answered"], row["covered"], row["share"]) == (1000, 300, 0.3)
