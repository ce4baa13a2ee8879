import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.library import quality

GOOD = {"width": 640, "height": 480, "brightness": 0.9, "contrast": 0.2, "sharpness": 900.0}
RULES = {"min_side": 24, "min_contrast": 0.02, "min_brightness": 0.15, "min_sharpness": 4, "max_aspect_ratio": 5}


def said(**changes) -> tuple[str, str]:
    """The verdict on a good picture with these changes, and its detail."""
    rows = pd.DataFrame([GOOD, GOOD | changes], index=[7, 3])
    reasons = quality.verdicts(rows, **RULES)
    details = quality.details(rows, reasons)
    assert (reasons[7], details[7]) == ("", "")
    return reasons[3], details[3]


def grain(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"width": 24, "height": 18}, "too small", "24 x 18 pixels"),
        ({"contrast": 0.0042}, "near-blank", "contrast 0.004"),
        ({"brightness": 0.05}, "too dark", "brightness 0.050"),
        ({"sharpness": 1.2}, "blurred", "sharpness 1.2"),
        ({"width": 100, "height": 640}, "odd aspect ratio", "100 x 640 pixels"),
        ({}, "", ""),
    ],
)
def test_each_rule_has_its_reason_and_says_what_was_measured(changes, reason, detail):
    assert said(**changes) == (reason, detail)


def test_a_picture_just_at_every_limit_is_good():
    limits = {"width": 24, "height": 120, "contrast": 0.02, "brightness": 0.15, "sharpness": 4.0}
    assert said(**limits) == ("", "")


def test_the_first_rule_that_holds_is_the_reason():
    wrong = {"width": 100, "height": 9, "contrast": 0.0, "brightness": 0.0, "sharpness": 0.0}
    for reason, good in zip(quality.DETAILS, ["height", "contrast", "brightness", "sharpness"], strict=False):
        assert said(**wrong)[0] == reason
        wrong[good] = GOOD[good] if good != "height" else 30
    assert said(**wrong | {"height": 10, "width": 640})[0] == "too small"


def test_what_was_not_measured_is_not_judged():
    assert said(contrast=np.nan, brightness=np.nan, sharpness=np.nan) == ("", "")


def test_no_rows_have_no_verdicts():
    rows = pd.DataFrame([GOOD]).iloc[:0]
    reasons = quality.verdicts(rows, **RULES)
    assert reasons.empty
    assert quality.details(rows, reasons).empty


def test_brightness_is_that_of_the_lightest_hundredth():
    grey = np.full((64, 64), 51, np.uint8)
    grey[0, :40] = 255  # 40 of 4096 pixels
    assert quality.measure(grey)["brightness"] == 0.2
    grey[0, :42] = 255
    assert quality.measure(grey)["brightness"] == 1.0


def test_contrast_is_the_deviation_of_grey():
    halves = np.repeat(np.array([[0, 255]], np.uint8), 32, axis=1).repeat(64, axis=0)
    assert quality.measure(halves)["contrast"] == 0.5
    assert quality.measure(np.full((64, 64), 200, np.uint8)) == {"brightness": 0.784, "contrast": 0, "sharpness": 0}


@pytest.mark.parametrize("sigma", [1, 2, 4])
def test_a_blurred_picture_is_less_sharp_whatever_its_brightness(sigma):
    grey = grain() // 2
    blurred = cv2.GaussianBlur(grey, (0, 0), sigma)
    assert quality.measure(blurred)["sharpness"] < quality.measure(grey)["sharpness"] / 4
    assert quality.measure(grey + 100)["sharpness"] == quality.measure(grey)["sharpness"]


@given(st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 255))
def test_measures_stay_in_their_range(seed, low, high):
    grey = np.random.default_rng(seed).integers(min(low, high), max(low, high) + 1, (64, 64), dtype=np.uint8)
    measured = quality.measure(grey)
    assert 0 <= measured["brightness"] <= 1
    assert 0 <= measured["contrast"] <= 0.5
    assert measured["sharpness"] >= 0
