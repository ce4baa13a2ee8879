"""Runtimes on trial: how fast one is on this machine, and whether it gives what Keras gives."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from pipeline.errors import DataError
from pipeline.evaluation import cosine, independence, paired_statistics
from pipeline.evaluation.scores import clusters_of
from pipeline.evaluation.thresholds import Thresholds
from pipeline.inference import reading
from pipeline.inference.runtimes import Runtime

FEWEST = 50  # independent answers compared: fewer tell nothing of agreement
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
    """What was measured of one runtime; agreement of answers, or of features.

    Attributes:
      refused: why it cannot be chosen; empty if it can.
      prepared_in: seconds from its conversion, if that is not in the cache, to the first answer.
      images_per_second: of the network alone.
      agreement: share given alike of the `compared` answers, of which so many are `independent`.
      gained, lost: of the `val` images of the validation set, those that it alone names, and that Keras alone names.
      cosine: of the features of an image to those by Keras: all but one in a hundred have more; 0 where answers count.
    """

    refused: str = ""
    prepared_in: float = 0.0
    images_per_second: float = 0.0
    agreement: float = 0.0
    compared: int = 0
    independent: int | None = None
    val: int = 0
    gained: int = 0
    lost: int = 0
    cosine: float = 0.0

    def __str__(self) -> str:
        speed = f"{self.images_per_second:.1f} images a second" if self.images_per_second else ""
        answers = self.compared and not self.cosine
        number = independence.images(self.compared, self.independent, word=" answers")
        alike = f"{self.agreement:.2%} of {number}{',' if ',' in number else ''} alike" if answers else ""
        named = f"{self.gained} more and {self.lost} fewer of {self.val} of val named" if answers else ""
        near = f"cosine to Keras {self.cosine:.4f} or more" if self.cosine else ""
        return ", ".join(part for part in (speed, alike, named, near, self.refused) if part)


class Comparison(Protocol):
    """What a runtime must give as Keras gives it.

    Attributes:
      images: on trial, at most: half of the validation set, half of the pool.
    """

    @property
    def images(self) -> int: ...

    def of(self, runtime: Runtime, *pixels: np.ndarray) -> np.ndarray:
        """What is compared (N, M), of pictures at each of the runtime's sizes, uint8 (N, S, S, 3)."""
        ...

    def judge(self, rows: pd.DataFrame, expected: np.ndarray, given: np.ndarray, classes: list[str]) -> Trial:
        """Compares what a runtime gives (N, M) with what Keras gives (N, M); `rows` as in `read`."""
        ...

    def facts(self) -> dict[str, Any]:
        """All that a verdict depends on."""
        ...


@dataclass(frozen=True)
class Answers:
    """Compares the answers of a classifier.

    Attributes:
      thresholds: from which score on Keras' answer is shown; without, all are.
    """

    limits: Limits
    thresholds: Thresholds | None = None

    @property
    def images(self) -> int:
        return self.limits.images

    def of(self, runtime: Runtime, *pixels: np.ndarray) -> np.ndarray:
        """The probabilities (N, C)."""
        return runtime.predict(*pixels)

    def judge(self, rows: pd.DataFrame, expected: np.ndarray, given: np.ndarray, classes: list[str]) -> Trial:
        return judge(rows, expected, given, classes, thresholds=self.thresholds, limits=self.limits)

    def facts(self) -> dict[str, Any]:
        return {
            "thresholds": None if self.thresholds is None else asdict(self.thresholds),
            "limits": asdict(self.limits),
        }


@dataclass(frozen=True)
class Features:
    """Compares the features of a frozen network.

    Attributes:
      min_cosine: of the features of an image to those by Keras; one image in a hundred may have less.
    """

    images: int
    min_cosine: float

    def of(self, runtime: Runtime, *pixels: np.ndarray) -> np.ndarray:
        """The features (N, F)."""
        return runtime.predict_with_features(*pixels)[1]

    def judge(self, rows: pd.DataFrame, expected: np.ndarray, given: np.ndarray, classes: list[str]) -> Trial:
        if not np.isfinite(given).all():
            return Trial(refused="it gives no numbers (NaN)")
        cosines = (cosine.unit(expected) * cosine.unit(given)).sum(axis=1)
        trial = Trial(compared=len(rows), cosine=float(np.quantile(cosines, 0.01)))
        refused = trial.cosine < self.min_cosine
        return replace(trial, refused=f"its cosine shall be {self.min_cosine:g} or more" if refused else "")

    def facts(self) -> dict[str, Any]:
        return {"features": asdict(self)}


def read(rows: pd.DataFrame, image_sizes: tuple[int, ...], batch_size: int) -> tuple[pd.DataFrame, Pixels]:
    """Reads the pictures of `rows`, column `path`; returns the rows that can be read, and their pixels in batches."""
    readable, pixels = [], []
    for batch, failures in reading.read_batches(list(rows["path"]), image_sizes, batch_size):
        readable += [not failure for failure in failures]
        if len(batch[0]):
            pixels.append(batch)
    return rows[np.array(readable, bool)].reset_index(drop=True), pixels


def measure(runtime: Runtime, pixels: Pixels, comparison: Comparison) -> tuple[np.ndarray, float]:
    """Returns what is compared (N, M), of all batches, and images a second: the median of the batches."""
    comparison.of(runtime, *pixels[0])  # the first call prepares
    given, rates = [], []
    for batch in pixels:
        started = time.perf_counter()
        given.append(comparison.of(runtime, *batch))
        rates.append(len(batch[0]) / (time.perf_counter() - started))
    return np.concatenate(given), float(np.median(rates))


def run(
    load: Callable[[], Runtime],
    pixels: Pixels,
    rows: pd.DataFrame,
    expected: np.ndarray,
    comparison: Comparison,
) -> Trial:
    """Makes a runtime, measures it on `pixels`, and judges what it gives; a conversion that fails refuses it."""
    started = time.perf_counter()
    try:
        runtime = load()
        comparison.of(runtime, *pixels[0])
    except DataError as error:
        return Trial(refused=error.what)
    prepared = time.perf_counter() - started
    given, rate = measure(runtime, pixels, comparison)
    verdict = comparison.judge(rows, expected, given, runtime.classes)
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
    """Compares what a runtime says, `probs` (N, C), with what Keras says, `expected` (N, C).

    A loss of accuracy counts by the exact one-sided test of clusters (`paired_statistics.sign_flip`), which is
    McNemar's where every image is alone.

    Args:
      rows: column `label`: of an image of the validation set its class, else empty; and `cluster` or `sha256`, if they
        are known.
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
    label, cluster = rows["label"].to_numpy(), clusters_of(rows).to_numpy()
    val = label != ""
    right, keras_right = (said == label) & val, (keras_said == label) & val
    change = right.astype(int) - keras_right.astype(int)
    trial = Trial(
        agreement=alike / compared if compared else 0.0,
        compared=compared,
        independent=len(set(cluster[shown])),
        val=int(val.sum()),
        gained=int((change > 0).sum()),
        lost=int((change < 0).sum()),
    )
    return replace(trial, refused=_refused(trial, change[val], cluster[val], limits))


def _refused(trial: Trial, change: np.ndarray, cluster: np.ndarray, limits: Limits) -> str:
    independent = trial.independent or 0
    if independent < FEWEST:
        return f"{independent} answers to compare, at least {FEWEST} would tell something"
    if trial.agreement < limits.min_agreement:
        return f"at least {limits.min_agreement:.2%} shall be alike"
    if trial.val:
        p = paired_statistics.sign_flip(change, cluster)
        if p < 1 - limits.confidence:
            return f"it names fewer images than Keras, which is no chance (p = {p:.2g})"
    return ""
