"""Worlds of the threshold: models whose answers are right with a known chance at each score."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from pipeline.evaluation import thresholds
from pipeline.evaluation.thresholds import ASSURED, NEVER, Thresholds

from .lines import Line, at_least, at_most, compared, promise

PRECISION, CONFIDENCE, MIN_IMAGES = 0.95, 0.95, 50
SHOWN = {600: 0.30, 5000: 0.48}  # of so many images, the share that an honest model must show
FRESH = 30_000


@dataclass(frozen=True)
class Model:
    """A model that is right in about 85 % and names `classes` equally often.

    Attributes:
      slope: of the log-odds of being right over those of the score: below 1 it is too sure.
      spread: between classes, in log-odds of being right.
      easy: of so many classes, every answer has this much higher log-odds (None: of none).
      constant: the chance of being right at every score; scores then say nothing.
      burst: images that share one fate.
    """

    slope: float = 1.0
    spread: float = 0.0
    easy: int = 0
    constant: float | None = None
    burst: int = 1
    classes: int = 10

    def answers(self, number: int, random: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
        """A table of answers as stage evaluate has it, and the chance of each that it is right."""
        said = random.integers(0, self.classes, number)
        score = random.beta(4.25, 0.75, number)
        odds = self.slope * logit(np.clip(score, 1e-9, 1 - 1e-9))
        odds += np.random.default_rng(7).normal(0, self.spread, self.classes)[said] + 3.0 * (said < self.easy)
        chance = expit(odds) if self.constant is None else np.full(number, self.constant)
        cluster = np.arange(number) // self.burst
        fate = random.random(number)[cluster]  # those of a burst are right together, as far as their scores differ
        table = pd.DataFrame(
            {
                "set": "benchmark:field",
                "predicted": np.array([f"class {code}" for code in range(self.classes)], dtype=object)[said],
                "score": score,
                "label_rank": np.where(fate < chance, 1, 2),
                "model": "m",
                "sha256": np.arange(number),
                "cluster": cluster,
            }
        )
        return table, chance


MODELS: dict[str, tuple[Model, list[int]]] = {
    "honest": (Model(), list(SHOWN)),
    "too sure": (Model(slope=0.7), [5000]),
    "classes differ": (Model(spread=0.8), [1500]),
    "three easy classes": (Model(easy=3, slope=0.8), [1500]),
    "40 classes": (Model(spread=0.5, classes=40), [5000]),
    "scores say nothing": (Model(constant=0.949), [1500]),
    "bursts of 5": (Model(burst=5), [5000]),
}


def choose(table: pd.DataFrame) -> Thresholds:
    return thresholds.choose(table, precision=PRECISION, confidence=CONFIDENCE, min_images=MIN_IMAGES, temperature=1.0)


@dataclass(frozen=True)
class Outcome:
    """What a threshold is worth on fresh images: broken promises, share shown, classes with thresholds of their own."""

    below: bool
    class_below: bool
    assured: bool
    shown: float
    own: int


def outcome(chosen: Thresholds, fresh: pd.DataFrame, chance: np.ndarray) -> Outcome:
    shown = chosen.shown(fresh["predicted"], fresh["score"])
    named = fresh["predicted"].to_numpy()
    own = [name for name, value in chosen.classes.items() if value < NEVER]
    assured = chosen.rule == ASSURED
    return Outcome(
        bool(assured and shown.any() and chance[shown].mean() < PRECISION),
        any(chance[shown & (named == name)].mean() < PRECISION for name in own if (shown & (named == name)).any()),
        assured,
        float(shown.mean()),
        len(own),
    )


def played(model: Model, number: int, runs: int, random: np.random.Generator) -> pd.DataFrame:
    """One row per run: the fields of its `Outcome`."""
    fresh, chance = model.answers(FRESH, np.random.default_rng(10**6))
    return pd.DataFrame([outcome(choose(model.answers(number, random)[0]), fresh, chance) for _ in range(runs)])


@promise
def threshold(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 1: of the answers shown, 95 % are right (assured), also of each class with a threshold of its own"""
    for name, (model, sizes) in MODELS.items():
        for number in sizes:
            table = played(model, number, runs, random)
            what, shown = f"threshold, {name}, {number:,} images: ", table["shown"].mean()
            yield at_most(what + "assured, but below", table["below"].mean(), runs, 0.05)
            yield at_most(what + "a class's own, but below", table["class_below"].mean(), runs, 0.05)
            if name == "honest":
                yield at_least(what + "share shown", shown, SHOWN[number], 2 * float(table["shown"].std() / runs**0.5))
            else:
                yield compared(what + f"share shown ({table['assured'].mean():.0%} assured)", shown)
