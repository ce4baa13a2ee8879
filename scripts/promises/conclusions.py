"""Worlds of the report's conclusions: models whose loss of accuracy has one known cause, or none."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from pipeline.evaluation import diagnosis

from .lines import Line, at_least, at_most, promise

CLASSES, ALLOWED = 20, 0.05
SIZES = {"train": 4000, "test": 800, "benchmark:field": 800}
NOTHING = {"train": 0.97, "test": 0.97, "benchmark:field": 0.97}
CAUSES = {
    diagnosis.UNDERFITS: {"train": 0.8, "test": 0.8, "benchmark:field": 0.8},
    diagnosis.OVERFITS: {"train": 0.99, "test": 0.9, "benchmark:field": 0.9},
    diagnosis.SHIFT: {"train": 0.97, "test": 0.97, "benchmark:field": 0.88},
}


def scored(
    right: dict[str, float],
    random: np.random.Generator,
    *,
    spread: float = 0.5,
    mix: float = 0.0,
    burst: int = 1,
    rare: float = 1.0,
) -> pd.DataFrame:
    """Images of `CLASSES` classes, whose difficulty differs by `spread` in log-odds; a burst is right as a whole.

    Args:
      mix: how much more often the benchmark shows the most difficult classes than the easiest, in log.
      rare: share of the training images that two classes have; the most difficult one learns nothing of the rest.
    """
    difficulty = np.linspace(-1, 1, CLASSES) * np.sqrt(3) * spread
    parts = []
    for name, size in SIZES.items():
        chances = np.exp(-mix * np.linspace(-1, 1, CLASSES)) if name.startswith("benchmark") else np.ones(CLASSES)
        label = random.choice(CLASSES, size // burst, p=chances / chances.sum())
        chance = 1 / (1 + np.exp(-np.log(right[name] / (1 - right[name])) - difficulty[label]))
        if rare < 1:
            seen = random.random(len(label)) < rare
            keep = (name != "train") | (label % (CLASSES - 1) > 0) | seen
            chance = np.where((label == 0) & (name != "train"), 0.4, chance)
            label, chance = label[keep], chance[keep]
        hit = random.random(len(label)) < chance
        table = pd.DataFrame({"label": label, "label_rank": np.where(hit, 1, 2)})
        table["cluster"] = [f"{name} {number}" for number in range(len(label))]
        table = table.loc[table.index.repeat(burst)].assign(set=name)
        parts.append(table.assign(sha256=[f"{name} {number}" for number in range(len(table))]))
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(label=rows["label"].map("class {:02d}".format))


def concluded(table: pd.DataFrame) -> diagnosis.Diagnosis:
    return diagnosis.diagnose(table, allowed=ALLOWED, confidence=0.95)


def share(holds: Iterable[bool]) -> float:
    return float(np.mean(list(holds)))


@promise
def conclusions(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """what the report concludes of bias, variance and shift: never a cause that is not there, mostly the one that is"""
    for world, options in (
        ("every image alone", {}),
        ("bursts of 5", {"burst": 5}),
        ("a benchmark of difficult classes", {"mix": 1.0, "spread": 1.0}),
    ):
        what = f"conclusions, nothing is wrong, {world}: "
        found = [concluded(scored(NOTHING, random, **options)) for _ in range(runs)]
        yield at_most(what + "a cause is named", share(bool(one.conclusions) for one in found), runs, 0.05)
        yield at_most(what + "too few images", share(bool(one.few) for one in found), runs, 0.05)
    for cause, right in CAUSES.items():
        what = f"conclusions, planted {cause}: "
        causes = [{gap.kind for gap in concluded(scored(right, random)).conclusions} for _ in range(runs)]
        yield at_least(what + "it is named", share(cause in one for one in causes), 0.9)
        yield at_most(what + "another cause is named", share(bool(one - {cause}) for one in causes), runs, 0.05)
    what = "conclusions, of two rare classes one is weak: "
    rare = [{row.label for row in concluded(scored(NOTHING, random, rare=0.2)).few} for _ in range(runs)]
    yield at_least(what + "it is named", share("class 00" in few for few in rare), 0.9)
    yield at_most(what + "another one is named", share(bool(few - {"class 00"}) for few in rare), runs, 0.05)
