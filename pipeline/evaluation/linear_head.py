"""A linear classifier on stored features: what a network's last layer can make of them, without reading an image."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from pipeline.evaluation import calibration

ALPHA = 0.1  # of features of length 1
MOST = 300  # images of a class that the head is fit to
SHARPNESS = 10.0  # of the softmax over the answers, from where the temperature is fitted
NEIGHBOURS = 5


def fit(features: np.ndarray, labels: np.ndarray) -> Pipeline:
    """A head fit to features (N, F) and their labels (N,).

    Ridge regression on the classes, in closed form: it foresees as well as logistic regression and is quicker by far
    where there are many classes. Unless all classes weigh the same, it hardly ever names a new one (docs/throwaway.md).
    """
    some = _first(labels)
    head = make_pipeline(
        Normalizer(), StandardScaler(with_std=False), RidgeClassifier(alpha=ALPHA, class_weight="balanced")
    )
    return head.fit(features[some], labels[some])


def nearest(features: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """What the `NEIGHBOURS` likest of features (N, F) with labels (N,) say of others (M, F): classes (M,)."""
    some = _first(labels)
    likest = KNeighborsClassifier(min(NEIGHBOURS, int(some.sum())), metric="cosine", weights="distance")
    return likest.fit(features[some], labels[some]).predict(asked)


@dataclass(frozen=True)
class Head:
    """A head whose answers are probabilities.

    Attributes:
      classes: in the order of the probabilities.
      temperature: of a softmax over `SHARPNESS` times what the head says.
    """

    fitted: Pipeline
    temperature: float

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.fitted.classes_]

    @property
    def digest(self) -> str:
        """Names the head: SHA-256 of its weights and classes."""
        ridge = self.fitted[-1]
        parts = [ridge.coef_, ridge.intercept_, self.fitted[1].mean_]
        content = b"".join(np.ascontiguousarray(part, np.float64).tobytes() for part in parts)
        return hashlib.sha256(content + "\n".join(self.classes).encode()).hexdigest()

    def probs(self, features: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, C) of features (N, F)."""
        return calibration.scale(_softmax(self.fitted, features), self.temperature)


def calibrated(features: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> Head:
    """A head fit to `features`, whose temperature is fitted to the validation images (`calibration.fit_temperature`).

    Raises:
      ValueError: for fewer than two classes.
    """
    fitted = fit(features, labels)
    targets = pd.Index(fitted.classes_).get_indexer(val_labels)
    known = targets >= 0
    temperature = calibration.fit_temperature(_softmax(fitted, val[known]), targets[known]) if known.any() else 1.0
    return Head(fitted, temperature)


def _softmax(fitted: Pipeline, features: np.ndarray) -> np.ndarray:
    decision = fitted.decision_function(features)
    if decision.ndim == 1:  # of two classes, how far it is the second
        decision = np.stack([-decision, decision], axis=1)
    return special.softmax(SHARPNESS * decision, axis=1)


def _first(labels: np.ndarray) -> np.ndarray:
    return pd.Series(labels).groupby(labels).cumcount().to_numpy() < MOST
