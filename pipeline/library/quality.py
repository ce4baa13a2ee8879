"""Picture quality: what the index measures of it, and the rules for pictures that nothing can be learnt from.

The measures follow cleanvision 0.3 (its "dark", "low information", "blurry" and "odd aspect ratio"), taken from the
small grey picture that the perceptual hash is taken from.
"""

import cv2
import numpy as np
import pandas as pd

from pipeline.library.exclusion import Reason

DETAILS = {  # of each reason, in the order in which they are tried
    Reason.TOO_SMALL: "{width} x {height} pixels",
    Reason.NEAR_BLANK: "contrast {contrast:.3f}",
    Reason.TOO_DARK: "brightness {brightness:.3f}",
    Reason.BLURRED: "sharpness {sharpness:.1f}",
    Reason.ODD_ASPECT_RATIO: "{width} x {height} pixels",
}
MEASURED = ["width", "height", "brightness", "contrast", "sharpness"]  # columns of the index that the rules look at


def measure(grey: np.ndarray) -> dict[str, float]:
    """Measures the small grey picture, uint8 (64, 64), rounded so that equal pictures give equal tables.

    Returns:
      brightness: the 99th percentile of grey, 0 to 1: how light its lightest parts are (cleanvision's "dark").
      contrast: the standard deviation of grey, 0 to 0.5.
      sharpness: the variance of the Laplacian, in squared grey levels of 255 (Pech-Pacheco et al. 2000, "Diatom
        autofocusing in brightfield microscopy"). At 64 pixels, as in cleanvision's "blurry": a picture that is blurred
        here shows a network no detail either.
    """
    counts = np.cumsum(cv2.calcHist([grey], [0], None, [256], [0, 256]))
    sharpness = _deviation(cv2.Laplacian(grey, cv2.CV_32F)) ** 2
    return {
        "brightness": round(int(np.searchsorted(counts, 0.99 * grey.size)) / 255, 3),
        "contrast": round(_deviation(grey) / 255, 4),
        "sharpness": round(sharpness, 1),
    }


def verdicts(
    rows: pd.DataFrame,
    *,
    min_side: int,
    min_contrast: float,
    min_brightness: float,
    min_sharpness: float,
    max_aspect_ratio: float,
) -> pd.Series:
    """Returns for each row the first rule, in the order of `DETAILS`, that holds; empty for a good picture.

    Args:
      rows: rows of the index that can be read.
      min_side: pixels of the shorter side.
      max_aspect_ratio: longer side by shorter side.
    """
    measured = {name: rows[name].to_numpy() for name in MEASURED}
    shorter = np.minimum(measured["width"], measured["height"])
    longer = np.maximum(measured["width"], measured["height"])
    rules = {
        Reason.TOO_SMALL: shorter < min_side,
        Reason.NEAR_BLANK: measured["contrast"] < min_contrast,
        Reason.TOO_DARK: measured["brightness"] < min_brightness,
        Reason.BLURRED: measured["sharpness"] < min_sharpness,
        Reason.ODD_ASPECT_RATIO: longer > max_aspect_ratio * shorter,
    }
    failed = np.stack([rules[reason] for reason in DETAILS])
    found = np.flatnonzero(failed.any(axis=0))  # of millions, texts are made for the few that fail
    told = np.array(list(DETAILS), object)[failed[:, found].argmax(axis=0)]
    return pd.Series(told, index=rows.index[found], dtype="str").reindex(rows.index, fill_value="")


def details(rows: pd.DataFrame, reasons: pd.Series) -> pd.Series:
    """What was measured of each row that has one of the verdicts, such as `24 x 18 pixels`; empty for the others."""
    bad = reasons[reasons != ""]
    named = zip(bad, rows.loc[bad.index].to_dict("records"), strict=True)
    told = pd.Series([DETAILS[reason].format_map(row) for reason, row in named], index=bad.index, dtype="str")
    return told.reindex(rows.index, fill_value="")


def _deviation(values: np.ndarray) -> float:
    return float(cv2.meanStdDev(values)[1][0, 0])
