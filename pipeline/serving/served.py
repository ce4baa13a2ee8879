"""A model that serves: its network in memory, today's names of its classes, and when its answers are shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.bundle import Stored
from pipeline.evaluation import independence, scores, thresholds
from pipeline.evaluation.thresholds import Thresholds
from pipeline.files import read_table
from pipeline.inference.runtimes import Runtime
from pipeline.library.classes import Classes
from pipeline.serving import champions

SCORED = ["set", "label", "predicted", "score", "label_rank", "sha256"]  # what a promise is made of
CONFIDENCE = 0.95  # of reports, as is usual: Student's part of what images are worth hardly depends on it

Runtimes = Mapping[int, Runtime]  # by the number of pictures that they take at once


@dataclass(frozen=True)
class Chosen:
    """What runs a model.

    Attributes:
      runtime: its name.
      runtimes: by the number of images at once.
      try_others: tries the other runtimes, which takes minutes, and returns what is to run the model from then on, or
        None if this is it; None if there is nothing to try.
    """

    runtime: str
    runtimes: Runtimes
    try_others: "Callable[[], Chosen | None] | None" = None


Choose = Callable[[Stored, Thresholds | None], Chosen]


@dataclass(frozen=True)
class Said:
    """What a model says of a picture.

    Attributes:
      threshold: of this answer; None if it is never shown.
      shown: whether it is; else the answer is `unknown`.
    """

    label: str
    score: float
    threshold: float | None
    shown: bool
    top_labels: list[str]
    top_scores: list[float]


@dataclass(frozen=True)
class Served:
    """A model that serves.

    Attributes:
      model: digest of the bundle's model.
      version: its name among champions.
      chosen: what runs the network.
      classes: today's names.
      image_size: of the pixels that it takes.
    """

    model: str
    version: str
    chosen: Chosen
    classes: list[str]
    image_size: int
    thresholds: Thresholds | None
    expected: dict[str, Any]
    _codes: np.ndarray
    _top_k: int

    @property
    def runtime(self) -> str:
        """The name of what runs the network."""
        return self.chosen.runtime

    @property
    def most(self) -> int:
        """Pictures at once."""
        return max(self.chosen.runtimes)

    def settled(self) -> "Served":
        """The model as it is to serve once the other runtimes have been tried: by the fastest, or as it is.

        Raises:
          WallabyError: if what is to run it cannot be loaded.
        """
        chosen = self.chosen.try_others() if self.chosen.try_others else None
        if chosen is None:
            return self.as_it_is()
        served = replace(self, chosen=chosen)
        served.warm_up()
        return served

    def as_it_is(self) -> "Served":
        """The model with nothing left to try."""
        return replace(self, chosen=replace(self.chosen, try_others=None))

    def say(self, pixels: np.ndarray) -> list[Said]:
        """What it makes of pictures, uint8 (N, S, S, 3), N at most `most`."""
        size = min(size for size in self.chosen.runtimes if size >= len(pixels))
        own = self.chosen.runtimes[size].predict(pixels)
        probs = own
        if len(self.classes) < own.shape[1]:  # classes that were merged since are one
            probs = np.zeros((len(own), len(self.classes)), own.dtype)
            np.add.at(probs.T, self._codes, own.T)
        table = scores.describe(np.nan_to_num(probs), self.classes, top_k=self._top_k)
        limits = np.full(len(table), np.inf) if self.thresholds is None else self.thresholds.of(table["label"])
        return [
            Said(label, float(score), float(limit) if np.isfinite(limit) else None, bool(score >= limit), top, best)
            for label, score, limit, top, best in zip(
                table["label"],
                table["score"],
                limits,
                map(list, table["top_labels"]),
                map(np.ndarray.tolist, table["top_scores"]),
                strict=True,
            )
        ]

    def release(self, at: int) -> dict[str, Any]:
        """Describes the model as a row of the table `releases`.

        Args:
          at: microseconds since 1970 at which it begins to serve.
        """
        return {
            "model": self.model,
            "version": self.version,
            "at": at,
            "classes": self.classes,
            "threshold": None if self.thresholds is None else or_none(self.thresholds.threshold),
            "expected": self.expected,
        }

    def warm_up(self) -> None:
        """The first call of a runtime prepares it."""
        for size in self.chosen.runtimes:
            self.say(np.zeros((size, self.image_size, self.image_size, 3), np.uint8))


def or_none(threshold: float) -> float | None:
    """A threshold as it is told: null where no answer is ever shown."""
    return None if threshold == thresholds.NEVER else threshold


def load(folder: Path, *, choose: Choose, events: Classes, top_k: int) -> Served:
    """Reads a bundle and prepares it to serve.

    Args:
      folder: the bundle's; thresholds and scores lie beside it, if it was released.
      choose: which runtimes run it.
      events: the class events.

    Raises:
      DataError: if the bundle is incomplete or changed, or its thresholds are those of another model.
    """
    stored = Stored(folder)
    digest, limits = stored.card.model_digest, None
    if (folder / thresholds.FILE).exists():
        limits = thresholds.read(folder / thresholds.FILE, digest)
    chosen = choose(stored, limits)
    codes, names = pd.factorize(events.names(pd.Series(stored.classes, dtype=str)))
    stored_scores = folder / champions.SCORES
    served = Served(
        model=digest,
        version=champions.name(stored.card),
        chosen=chosen,
        classes=[str(name) for name in names],
        image_size=stored.card.image_size,
        thresholds=limits,
        expected=expectation(read_table(stored_scores, SCORED, optional=["cluster"]), limits)
        if stored_scores.exists()
        else {},
        _codes=codes,
        _top_k=top_k,
    )
    served.warm_up()
    return served


def expectation(scored: pd.DataFrame, limits: Thresholds | None) -> dict[str, Any]:
    """What evaluation promised: for the test set and each benchmark `n` and `top1` (of images whose class the model
    knows), `shown` (share of all images with an answer), `shown_precision` (share right of these), and per class `n`
    and `top1`; where images belong together also `independent` (clusters among the `n`) and `effective` (their worth).

    Args:
      scored: columns `SCORED` and, if it is known, `cluster`.
    """
    found: dict[str, Any] = {}
    wanted = scored[(scored["set"] == "test") | scored["set"].str.startswith("benchmark:")]
    for name, rows in wanted.groupby("set"):
        known = scores.known(rows)
        right = known["label_rank"] == 1
        shown = np.zeros(len(rows), bool) if limits is None else limits.shown(rows["predicted"], rows["score"])
        codes, labels = pd.factorize(known["label"], sort=True)
        cluster = scores.clusters_of(known)
        whole = independence.gather(right, cluster)
        of_classes = independence.gather(right, cluster, codes, parts=len(labels))
        found[str(name)] = {
            "n": len(known),
            **_worth(whole, 0),
            "top1": float(right.mean()) if len(known) else None,
            "shown": float(shown.mean()),
            "shown_precision": float((rows["label_rank"] == 1)[shown].mean()) if shown.any() else None,
            "classes": {
                str(label): {
                    "n": int(of_classes.n[row]),
                    "top1": float(of_classes.mean[row]),
                    **_worth(of_classes, row),
                }
                for row, label in enumerate(labels)
            },
        }
    return found


def _worth(sums: independence.Sums, row: int) -> dict[str, float]:
    """What is known of how independent the images are; nothing where all are alone."""
    if sums.clusters[row] == sums.n[row]:
        return {}
    worth = independence.effective(sums, confidence=CONFIDENCE)[row]
    return {"independent": int(sums.clusters[row]), "effective": round(float(worth), 3)}
