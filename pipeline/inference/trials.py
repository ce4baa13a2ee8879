"""Runtimes on trial: how fast one is on this machine, and whether it says what Keras says."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.errors import DataError
from pipeline.evaluation import paired_statistics
from pipeline.evaluation.thresholds import Thresholds
from pipeline.inference import reading
from pipeline.inference.runtimes import Runtime

FEWEST = 50  # answers compared: fewer tell nothing of agreement
Pixels = list[list[np.ndarray]]  # batches, each at the sizes of the runtime


@dataclass(frozen=True)
class Limits:
    """What a runtime must keep to be chosen.

    Attributes:
      min_agreement: share of the answers that Keras shows to a user which it must give alike.
      confidence: with which a loss of accuracy on the validation set counts as one.
      images: on trial, at most: half of the validation set, half of the pool.
    """

    min_agreement: float
    confidence: float
    images: int


@dataclass(frozen=True)
class Trial:
    """What was measured of one runtime.

    Attributes:
      refused: why it cannot be chosen; empty if it can.
      prepared_in: seconds from its conversion, if that is not in the cache, to the first answer.
      images_per_second: of the network alone.
      agreement: share given alike of the `compared` answers.
      gained, lost: of the `val` images of the validation set, those that it alone names, and that Keras alone names.
    """

    refused: str = ""
    prepared_in: float = 0.0
    images_per_second: float = 0.0
    agreement: float = 0.0
    compared: int = 0
    val: int = 0
    gained: int = 0
    lost: int = 0

    def __str__(self) -> str:
        speed = f"{self.images_per_second:.1f} images a second" if self.images_per_second else ""
        alike = f"{self.agreement:.2%} of {self.compared} answers alike" if self.compared else ""
        named = f"{self.gained} more and {self.lost} fewer of {self.val} of val named" if self.compared else ""
        return ", ".join(part for part in (speed, alike, named, self.refused) if part)


def read(rows: pd.DataFrame, image_sizes: tuple[int, ...], batch_size: int) -> tuple[pd.DataFrame, Pixels]:
    """Reads the pictures of `rows`, column `path`; returns the rows that can be read, and their pixels in batches."""
    readable, pixels = [], []
    for batch, failures in reading.read_batches(list(rows["path"]), image_sizes, batch_size):
        readable += [not failure for failure in failures]
        if len(batch[0]):
            pixels.append(batch)
    return rows[np.array(readable, bool)].reset_index(drop=True), pixels


def measure(runtime: Runtime, pixels: Pixels) -> tuple[np.ndarray, float]:
    """Returns the probabilities (N, C) of all batches, and images a second: the median of the batches."""
    runtime.predict(*pixels[0])  # the first call prepares
    probs, rates = [], []
    for batch in pixels:
        started = time.perf_counter()
        probs.append(runtime.predict(*batch))
        rates.append(len(batch[0]) / (time.perf_counter() - started))
    return np.concatenate(probs), float(np.median(rates))


def run(
    load: Callable[[], Runtime],
    pixels: Pixels,
    rows: pd.DataFrame,
    expected: np.ndarray,
    *,
    thresholds: Thresholds | None,
    limits: Limits,
) -> Trial:
    """Makes a runtime, measures it on `pixels`, and judges what it says; a conversion that fails refuses it."""
    started = time.perf_counter()
    try:
        runtime = load()
        runtime.predict(*pixels[0])
    except DataError as error:
        return Trial(refused=error.what)
    prepared = time.perf_counter() - started
    probs, rate = measure(runtime, pixels)
    verdict = judge(rows, expected, probs, runtime.classes, thresholds=thresholds, limits=limits)
    return replace(verdict, prepared_in=round(prepared, 1), images_per_second=round(rate, 1))


def judge(
    rows: pd.DataFrame,
    expected: np.ndarray,
    probs: np.ndarray,
    classes: list[str],
    *,
    thresholds: Thresholds | None,
    limits: Limits,
) -> Trial:
    """Holds what a runtime says, `probs` (N, C), against what Keras says, `expected` (N, C).

    A loss of accuracy counts by McNemar's exact test, one-sided (`paired_statistics.judge`).

    Args:
      rows: column `label`: of an image of the validation set its class, else empty.
      thresholds: from which score on Keras' answer is shown; without, all are.
    """
    if not np.isfinite(probs).all():
        return Trial(refused="it gives no numbers (NaN)")
    names = np.asarray(classes, dtype=object)
    said, keras_said = names[probs.argmax(axis=1)], names[expected.argmax(axis=1)]
    shown = np.ones(len(rows), bool)
    if thresholds is not None:
        shown = thresholds.shown(pd.Series(keras_said, dtype=str), pd.Series(expected.max(axis=1)))
    compared, alike = int(shown.sum()), int((said == keras_said)[shown].sum())
    label = rows["label"].to_numpy()
    val = label != ""
    right, keras_right = (said == label) & val, (keras_said == label) & val
    gained, lost = int((right & ~keras_right).sum()), int((~right & keras_right).sum())
    trial = Trial(
        agreement=alike / compared if compared else 0.0, compared=compared, val=int(val.sum()), gained=gained, lost=lost
    )
    return replace(trial, refused=_refused(trial, int(keras_right.sum()), limits))


def _refused(trial: Trial, keras_right: int, limits: Limits) -> str:
    if trial.compared < FEWEST:
        return f"{trial.compared} answers to compare, at least {FEWEST} would tell something"
    if trial.agreement < limits.min_agreement:
        return f"at least {limits.min_agreement:.2%} shall be alike"
    if trial.val:
        counts = {"n": trial.val, "champion": keras_right / trial.val, "gained": trial.gained, "lost": trial.lost}
        judged = paired_statistics.judge(pd.DataFrame([counts]), confidence=limits.confidence, min_images=1).iloc[0]
        if judged["lost_for_sure"]:
            return f"it names fewer images than Keras, which is no chance (p = {judged['p']:.2g})"
    return ""
