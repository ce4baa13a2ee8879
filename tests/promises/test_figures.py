"""What figures on few images promise, in small versions of the worlds of `scripts/bench_promises.py`."""

import numpy as np
import pandas as pd
import pytest

from scripts.promises.figures import FRESH, honest, measured

RUNS = 40


def figures(accuracy: float, classes: int, number: int) -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame([measured(honest(accuracy, classes, number, random)) for _ in range(RUNS)])


def test_the_calibration_error_of_a_perfect_model_stands_beside_that_which_chance_gives_it():
    table = figures(0.8, 10, 245)
    assert table["ece"].mean() > 0.04
    assert table["ece_perfect"].mean() == pytest.approx(table["ece"].mean(), abs=0.008)
    assert (table["ece"] > table["ece_perfect_high"]).mean() <= 0.15


def test_intervals_of_f1_are_right_though_classes_are_small():
    """Without the bias and the degrees of freedom of 40 classes taken into account, about 75 % are."""
    truth = measured(honest(0.9, 40, FRESH, np.random.default_rng(0)))
    table = figures(0.9, 40, 245)
    assert table["macro_f1_low"].notna().all()
    assert table["macro_f1"].mean() > truth["macro_f1"] - 0.02
    assert ((table["macro_f1_low"] <= truth["macro_f1"]) & (truth["macro_f1"] <= table["macro_f1_high"])).mean() >= 0.82


def test_where_hardly_an_image_is_wrong_f1_and_log_loss_have_no_interval():
    table = figures(0.98, 10, 100)
    assert "log_loss_low" not in table or table["log_loss_low"].notna().mean() < 0.1
    assert "macro_f1_low" not in table or table["macro_f1_low"].notna().mean() < 0.3
