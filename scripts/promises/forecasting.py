"""Worlds of forecasts: suggestions for a pool that is dirtier than the measured sets, and rounds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from pipeline.evaluation import over_rounds, reliability

from .lines import Line, at_most, between, promise

CONFIDENCE = 0.95
CLASSES = [f"class {code:02d}" for code in range(20)]


@dataclass(frozen=True)
class World:
    """Suggestions, and how often they are right.

    Attributes:
      spread: standard deviation, over classes, of how far scores hold, in log-odds.
      strange: share of measured images that are of no class; their scores are lower, and never right.
      dirt: the same of the pool.
      measured, pool: images.
      reviewer_error: share of the pool's suggestions on which people decide wrongly.
    """

    spread: float = 0.7
    strange: float = 0.1
    dirt: float = 0.1
    measured: int = 800
    pool: int = 2000
    reviewer_error: float = 0.0

    def drawn(self, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The scores of the measured sets, as stage evaluate has them, and `score`, `label`, `right` of the pool."""
        of_class = random.normal(0, self.spread, len(CLASSES))
        measured = self._images(self.measured, self.strange, of_class, random)
        other = np.roll(CLASSES, 1)[measured["code"]]
        label = np.where(measured["right"], measured["label"], np.where(measured["strange"], "", other))
        scores = pd.DataFrame({"set": np.where(measured["strange"], "benchmark:field", "test"), "label": label})
        scores["top_labels"] = [[first, "nothing"] for first in measured["label"]]
        scores["top_scores"] = [[score, 1 - score] for score in measured["score"]]
        pool = self._images(self.pool, self.dirt, of_class, random)
        errs = random.random(self.pool) < self.reviewer_error
        return scores, pool.assign(right=pool["right"] ^ errs)

    @staticmethod
    def _images(number: int, strange: float, of_class: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
        code, odd = random.integers(0, len(CLASSES), number), random.random(number) < strange
        odds = random.normal(np.where(odd, 0.5, 2.0), 1.5)
        right = ~odd & (random.random(number) < expit(odds + of_class[code]))
        names = np.array(CLASSES, object)[code]
        return pd.DataFrame({"code": code, "label": names, "score": expit(odds), "right": right, "strange": odd})


WORLDS = {
    "as measured": World(),
    "a pool 30 % dirtier": World(dirt=0.4),
    "classes spread by 1.5": World(spread=1.5),
    "both, and reviewers who err in 4 %": World(spread=1.5, dirt=0.4, reviewer_error=0.04),
}


def counts(world: World, random: np.random.Generator) -> tuple[list[bool], bool]:
    """Whether the intervals of the right suggestions of each of five classes are right, and of all queued ones."""
    scores, pool = world.drawn(random)
    held = reliability.held(scores, places=1, pool=pool["score"].to_numpy())
    twice = 1 - (1 - world.reviewer_error) ** 2
    checks = (int(random.binomial(100, twice)), 100) if world.reviewer_error else (0, 0)

    def right(rows: pd.DataFrame) -> bool:
        told = reliability.expect(
            held,
            rows["score"].to_numpy(),
            short_by=1,
            confidence=CONFIDENCE,
            label=rows["label"].to_numpy(object),
            reviewer_error=checks,
        )
        return bool(told.low <= rows["right"].sum() <= told.high)

    return [right(pool[pool["label"] == name]) for name in CLASSES[:5]], right(pool.head(150))


@promise
def suggestions(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 14: how many suggestions are right, of a class and of a queue: the interval has the truth in 90 to 98 %"""
    runs = max(runs // 2, 20)
    for name, world in WORLDS.items():
        played = [counts(world, random) for _ in range(runs)]
        of_classes = float(np.mean([of for each, _ in played for of in each]))
        yield between(f"suggestions of a class, {name}: coverage", of_classes, runs, 0.9, 0.98)
        yield between(f"150 suggestions, {name}: coverage", float(np.mean([of for _, of in played])), runs, 0.9, 0.98)


def class_of(before: float, now: float, images: int, random: np.random.Generator) -> str:
    """The hint on a class whose true recall went from `before` to `now` while it grew."""
    rows = [
        (number, "test", "gnu", images, random.binomial(images, recall) / images)
        for number, recall in enumerate((before, (before + now) / 2, now), 1)
    ]
    rows += [(number, "train", "gnu", 100 + 20 * number, 1.0) for number in (1, 2, 3)]
    table = pd.DataFrame(rows, columns=["round", "set", "label", "n", "recall"])
    found = over_rounds.worth_labelling(table, confidence=CONFIDENCE)
    return "" if found.empty else str(found["hint"].iloc[0])


def priced(gain: float, images: int, random: np.random.Generator) -> bool:
    """Whether a round that truly gained so much has a price per point."""
    top1 = [random.binomial(images, share) / images for share in (0.85, 0.85 + gain)]
    sets = pd.DataFrame({"round": [1, 2], "set": "test", "n": images, "top1": top1, "version": "v"})
    rounds = pd.DataFrame({"round": [1, 2], "images": [1000, 1300]})
    spent = pd.DataFrame({"round": [1, 2], "minutes": [np.nan, 60.0]})
    last = over_rounds.ledger(rounds, sets, spent).set_index("round").loc[2]
    return bool(pd.notna(last["per_hour"]))


@promise
def hints(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 14: no gain is not said of a class that rose, and no price of a gain that is not shown"""
    for images in (25, 100, 400):
        said = [class_of(0.75, 0.85, images, random) for _ in range(runs)]
        what = f"hints, {images} images of a class that rose 10 points: 'no gain'"
        yield at_most(what, float(np.mean([hint == over_rounds.NO_GAIN for hint in said])), runs, 0.05)
    for images in (300, 2000):
        share = float(np.mean([priced(0.0, images, random) for _ in range(runs)]))
        yield at_most(f"costs, {images:,} images, nothing gained: a price per point", share, runs, 0.05)
