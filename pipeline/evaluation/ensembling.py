"""Ensembling: one opinion out of several models' calibrated probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from pipeline.evaluation import calibration, scores

TINY = 1e-12
AND = "+"  # between the digests of the models that made a score


def average(probs: Sequence[np.ndarray], classes: Sequence[Sequence[str]]) -> np.ndarray:
    """The mean of several models' probabilities, over the classes of the first.

    Where all know the same classes it is the plain mean, whatever the order of their outputs. Else a model has a say
    only among the classes it shares with the first: it shares out anew what the first gives to these together, and
    leaves the others as the first has them. What it gives to classes that the first does not know is dropped.

    Args:
      probs: of each model (N, its classes).
      classes: of each model, in the order of its outputs.

    Returns:
      Probabilities (N, C) in the order of the first model's classes; rows sum to 1.
    """
    first, names = probs[0], list(classes[0])
    opinions = [first]
    for others, known in zip(probs[1:], classes[1:], strict=True):
        shared = [name for name in names if name in set(known)]
        ours, theirs = [names.index(name) for name in shared], [list(known).index(name) for name in shared]
        among = others[:, theirs]
        total = among.sum(axis=1, keepdims=True)
        # Of a model that is sure of a class which the first does not know, nothing is left to share out.
        among = np.where(total > TINY, among / np.maximum(total, TINY), 0.0)
        opinion = first.copy()
        opinion[:, ours] = np.where(total > TINY, among * first[:, ours].sum(axis=1, keepdims=True), first[:, ours])
        opinions.append(opinion)
    return np.mean(opinions, axis=0)


def temperature(rows: pd.DataFrame, log_probs: scores.Matrix, classes: list[str]) -> float:
    """The temperature of an ensemble, fitted to what it says together of the validation images.

    The mean of calibrated members is not calibrated: where they disagree it is less sure than it is right (Rahaman,
    Thiery 2021, "Uncertainty quantification and deep ensembles"; Wu, Gales 2021, "Should ensemble members be
    calibrated?", section 4).

    Args:
      rows: the images of all sets, columns `set` and `label`, in the order of `log_probs` (N, C).
    """
    targets = pd.Index(classes).get_indexer(rows["label"])
    places = np.flatnonzero((rows["set"] == "val").to_numpy() & (targets >= 0))
    if not len(places):
        return 1.0
    return round(calibration.fit_temperature(scores.probs_of(log_probs[places]), targets[places]), 4)


class Tempered:
    """Log probabilities (N, C) at a temperature; rows are read when they are asked for."""

    def __init__(self, log_probs: scores.Matrix, temperature: float):
        self._log_probs, self._temperature = log_probs, temperature
        self.shape = log_probs.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        values = np.asarray(self._log_probs[rows], np.float32) / self._temperature
        return values - special.logsumexp(values, axis=-1, keepdims=True)


def is_ensemble(model: str) -> bool:
    """Whether what a table's column `model` says names several models."""
    return AND in model


def short(model: str) -> str:
    """The column `model` for people: twelve digits of each digest."""
    return AND.join(digest[:12] for digest in model.split(AND))
