"""Worlds of the gate: a champion and candidates whose true differences are planted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation import gate, paired_metrics
from pipeline.evaluation.gate import PASS, Comparison, Limits, Needs, Verdict

from .lines import Line, at_most, promise

TOLERANCE, CONFIDENCE, MIN_IMAGES, MIN_CLASS_IMAGES = 0.02, 0.95, 30, 10
RIGHT, CHURN, CLASSES = 0.9, 0.04, 10
SHOWN = 0.75  # of the images, by the champion


@dataclass(frozen=True)
class World:
    """Benchmarks, and what is true of the candidate.

    Attributes:
      images: of classes that both models know, by benchmark.
      loss: share of the images that the candidate names right less often, by benchmark.
      churn: share of the images that change otherwise, half of them gained.
      no_class: further images of the first benchmark that show no known class.
      new: further images of the first benchmark, of classes that the candidate alone knows.
      new_right: share of these that it names.
      shown, refused: share of the known images whose answer the candidate shows, and of the others that it does not;
        the champion shows `SHOWN` and refuses 95 %.
    """

    images: dict[str, int]
    loss: float | dict[str, float] = 0.0
    churn: float = CHURN
    no_class: int = 0
    new: int = 0
    new_right: float = 0.8
    shown: float = SHOWN
    refused: float = 0.95

    def drawn(self, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The scores of candidate and champion on one draw of all images."""
        parts = []
        for name, number in self.images.items():
            loss = self.loss.get(name, 0.0) if isinstance(self.loss, dict) else self.loss
            before = random.random(number) < RIGHT
            gained, lost = self.churn / 2 / (1 - RIGHT), (self.churn / 2 + loss) / RIGHT
            now = np.where(before, random.random(number) >= lost, random.random(number) < gained)
            label = np.array([f"class {code}" for code in range(CLASSES)], object)[random.integers(0, CLASSES, number)]
            shown = [random.random(number) < SHOWN, np.zeros(0, bool)]
            shown[1] = _churned(shown[0], SHOWN, self.shown, random)
            parts.append(_part(name, label, (now, before), (shown[1], shown[0]), (True, True)))
        first = next(iter(self.images))
        if self.no_class:
            before = random.random(self.no_class) < 0.05
            now = ~_churned(~before, 0.95, self.refused, random)
            nothing = np.zeros(self.no_class, bool)
            parts.append(_part(first, np.full(self.no_class, ""), (nothing, nothing), (now, before), (False, False)))
        if self.new:
            label = np.array([f"new {code}" for code in range(max(self.new // 20, 1))], object)
            right, nothing = random.random(self.new) < self.new_right, np.zeros(self.new, bool)
            parts.append(_part(first, np.resize(label, self.new), (right, nothing), (right, nothing), (True, False)))
        both = [pd.concat([part[side] for part in parts], ignore_index=True) for side in (0, 1)]
        contents = [f"{number:07d}" for number in range(len(both[0]))]
        candidate, champion = (table.assign(sha256=contents, image=contents) for table in both)
        return candidate, champion


def _churned(before: np.ndarray, share: float, wanted: float, random: np.random.Generator) -> np.ndarray:
    """Flags that hold in `wanted` of all, and differ from `before`, which hold in `share`, in 4 % more than needed."""
    off = (CHURN / 2 + max(share - wanted, 0.0)) / share
    on = (CHURN / 2 + max(wanted - share, 0.0)) / (1 - share)
    return np.where(before, random.random(len(before)) >= off, random.random(len(before)) < on)


def _part(
    name: str, label: np.ndarray, right: tuple[np.ndarray, ...], shown: tuple[np.ndarray, ...], knows: tuple[bool, ...]
) -> list[pd.DataFrame]:
    return [
        pd.DataFrame(
            {
                "set": f"benchmark:{name}",
                "label": label,
                "predicted": np.where(right[side], label, "another"),
                "score": 0.9,
                "label_rank": np.where(right[side], 1, 2) if knows[side] else -1,
                "shown": shown[side],
                "model": ("candidate", "champion")[side],
            }
        )
        for side in (0, 1)
    ]


def compare(candidate: pd.DataFrame, champion: pd.DataFrame, **more) -> Comparison:
    return gate.compare(
        candidate,
        champion,
        confidence=CONFIDENCE,
        min_images=MIN_IMAGES,
        min_class_images=MIN_CLASS_IMAGES,
        **more,
    )


def decide(comparison: Comparison, metric: str = paired_metrics.TOP1) -> Verdict:
    return gate.decide(
        comparison,
        Needs(size_mb=10),
        Limits(),
        tolerance=TOLERANCE,
        confidence=CONFIDENCE,
        min_images=MIN_IMAGES,
        metric=metric,
    )


def passing(world: World, runs: int, random: np.random.Generator) -> float:
    """How often the candidate of a world passes."""
    return float(np.mean([decide(compare(*world.drawn(random))).verdict == PASS for _ in range(runs)]))


WORSE = {
    "names fewer images": World({"field": 2000}, loss=TOLERANCE),
    "shows 2 % of the answers, sure of all no-class images": World(
        {"field": 2000}, no_class=400, shown=0.02, refused=0.999
    ),
    "shows fewer right answers": World({"field": 2000}, shown=SHOWN - 0.1 / RIGHT),
    "answers no-class images": World({"field": 2000}, no_class=400, refused=0.85),
    "50 new classes, 0 of 1,000 right": World({"field": 2000}, new=1000, new_right=0.0),
    "new classes, half right": World({"field": 2000}, new=1000, new_right=0.5),
    "300 images beside 5,000 lose 5 points": World({"field": 5000, "night": 300}, loss={"night": 0.05}),
}


@promise
def gate_users(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 6: a model that is worse in anything that users get does not pass"""
    for name, world in WORSE.items():
        yield at_most(f"gate, {name}: passes", passing(world, runs, random), runs, 0.05)


EQUAL = {
    (number, name): world
    for number in (2000, 5000)
    for name, world in {
        "known classes": World({"field": number}),
        "all kinds of images": World(
            {"field": number * 6 // 10, "night": number * 2 // 10}, no_class=number // 10, new=number // 10
        ),
    }.items()
}


@promise
def gate_power(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 8: an equal model passes"""
    for (number, name), world in EQUAL.items():
        yield at_most(
            f"gate, equal, {number:,} images, {name}: does not pass",
            1 - passing(world, runs, random),
            runs,
            {2000: 0.2, 5000: 0.05}[number],
        )
