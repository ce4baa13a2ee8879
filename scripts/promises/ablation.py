"""Worlds of an ablation: trainings whose settings change nothing, or what is planted, and that have luck."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from pipeline.commands import ablate
from pipeline.commands.ablate import BASELINE, Trial
from pipeline.files import write_json, write_table

from .lines import Line, at_least, at_most, compared, promise

CONFIDENCE = 0.95
SETS = {"test": 600, "benchmark:field": 300}


@dataclass(frozen=True)
class Training:
    """What is true of all trainings of an ablation.

    Attributes:
      right: share of all images that the baseline names.
      noise: standard deviation of what a training sees in an image beside what all see, of which it is 1.
      luck: standard deviation of the accuracy of a training on all images there are.
      burst: images that belong together.
    """

    right: float = 0.9
    noise: float = 0.3
    luck: float = 0.0
    burst: int = 1

    def scores(self, images: np.ndarray, effect: float, random: np.random.Generator, luck: float) -> np.ndarray:
        """Which of the images (N,), each as hard as its value says, a training names that is better by `effect`."""
        accuracy = np.clip(self.right + effect + luck, 0.001, 0.999)
        seen = images + self.noise * random.normal(size=len(images))
        return seen < ndtri(accuracy) * np.sqrt(1 + self.noise**2)


def ablation(
    world: Training, effects: list[float], seeds: int, random: np.random.Generator, sets: dict[str, int] | None = None
) -> pd.DataFrame:
    """The table of one ablation: the baseline and a setting for each effect, each trained with each seed."""
    tables = {}
    for name, number in (sets or SETS).items():
        hard = np.repeat(random.normal(size=number // world.burst), world.burst)
        of = [f"{name}{burst}" for burst in np.repeat(np.arange(number // world.burst), world.burst)]
        tables[name] = (
            hard,
            pd.DataFrame(
                {"sha256": [f"{name}{k}" for k in range(len(hard))], "set": name, "label": "a", "cluster": of}
            ),
        )
    trials = []
    with tempfile.TemporaryDirectory() as folder:
        for setting, effect in [(BASELINE, 0.0), *((f"s{k}=1", effect) for k, effect in enumerate(effects))]:
            for seed in range(seeds):
                trial, parts, metrics = Trial(setting, seed, {}, f"{setting}-{seed}", Path(folder)), [], {}
                luck = random.normal(0, world.luck) if world.luck else 0.0
                for name, (hard, rows) in tables.items():
                    right = world.scores(hard, effect, random, luck)
                    parts.append(rows.assign(label_rank=np.where(right, 1, 2)))
                    metrics[name] = {"n": len(rows), "top1": float(right.mean())}
                write_table(pd.concat(parts, ignore_index=True), trial.scores)
                write_json({"epochs": 1, "best_epoch": 1, "minutes": 1.0, "metrics": metrics}, trial.result)
                trials.append(trial)
        table = ablate.table(trials, confidence=CONFIDENCE)
    return table[table["setting"] != BASELINE].reset_index(drop=True)


def found(table: pd.DataFrame) -> bool:
    """Whether some interval leaves out no difference."""
    return bool(((table["low"] > 0) | (table["high"] < 0)).any())


def covered(table: pd.DataFrame, effects: list[float]) -> np.ndarray:
    """Which rows have the true effect in their interval."""
    truth = table["setting"].map({f"s{k}=1": effect for k, effect in enumerate(effects)}).astype(float)
    return ((table["low"] <= truth) & (truth <= table["high"])).to_numpy()


WORLDS = {
    "no luck, one seed": (Training(), 1),
    "luck of 1 point, one seed": (Training(luck=0.01), 1),
    "luck of 1 point, 2 seeds": (Training(luck=0.01), 2),
    "luck of 1 point, 3 seeds, bursts of 5": (Training(luck=0.01, burst=5), 3),
    "nothing differs between trainings": (Training(noise=0.0), 1),
}


@promise
def ablate_nothing(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 13: of 14 settings without an effect, some seems to have one in at most 5 % of all ablations"""
    runs = max(runs // 4, 10)
    for name, (world, seeds) in WORLDS.items():
        share = float(np.mean([found(ablation(world, [0.0] * 14, seeds, random)) for _ in range(runs)]))
        yield at_most(f"ablate, {name}: some finding", share, runs, 0.05)
    for seeds in (1, 3):
        seen = [ablation(Training(luck=0.01), [-0.1, *[0.0] * 13], seeds, random) for _ in range(max(runs // 4, 5))]
        share = float(np.mean([found(table[table["setting"] == "s0=1"]) for table in seen]))
        yield compared(f"ablate, one of 14 settings loses 10 points, {seeds} seeds: is found", share)


@promise
def ablate_one(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 13: the interval of one setting, trained as often as it was"""
    for luck, seeds, effect in ((0.0, 1, 0.0), (0.0, 3, -0.02), (0.01, 1, -0.02), (0.01, 2, -0.02), (0.01, 3, -0.02)):
        tables = [ablation(Training(luck=luck), [effect], seeds, random, {"test": 600}) for _ in range(runs)]
        what = f"ablate, one setting, luck {luck:g}, {seeds} seeds, effect {effect:g}: "
        right = float(np.mean([covered(table, [effect]).all() for table in tables]))
        yield at_least(what + "coverage", right, 0.95, 2 * (0.05 * 0.95 / runs) ** 0.5)
        yield compared(what + "median width", float(pd.concat(tables).eval("high - low").median()))
