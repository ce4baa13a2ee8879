"""Calibration: one temperature that makes scores honest (Guo, Pleiss, Sun, Weinberger 2017, section 4.2)."""

import numpy as np
from scipy.optimize import minimize_scalar

TINY = 1e-12
BOUNDS = (0.05, 20.0)


def scale(probs: np.ndarray, temperature: float) -> np.ndarray:
    """Returns `probs` (N, C) as if the logits had been divided by `temperature`."""
    logits = np.log(np.maximum(probs, TINY)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    scaled = np.exp(logits)
    return scaled / scaled.sum(axis=1, keepdims=True)


def fit_temperature(probs: np.ndarray, targets: np.ndarray) -> float:
    """The temperature that makes the log loss of `probs` (N, C) for class indices `targets` (N,) least; 1 if N is 0."""
    if not len(targets):
        return 1.0
    rows = np.arange(len(targets))

    def log_loss(log_temperature: float) -> float:
        scaled = scale(probs, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(scaled[rows, targets], TINY)).mean())

    found = minimize_scalar(log_loss, bounds=tuple(np.log(BOUNDS)), method="bounded")
    return float(np.exp(found.x))
