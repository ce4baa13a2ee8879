"""Worlds of the label audit: planted wrong labels, a network that has overfit them, and features that have not."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation import audit, scores

from .lines import Line, at_least, compared, promise

CLASSES, SMALL = 20, 4  # above the cutoff, and below
IMAGES, FEW, WIDTH = 60, 10, 64
WRONG = 0.05


@dataclass(frozen=True)
class World:
    """A library with wrong labels.

    Attributes:
      overfit: how far the network's scores and features follow the labels it was trained on, 0 to 1.
      apart: distance of the classes' centres in frozen features, whose noise is 1 in each direction.
      burst: images that belong together, and look alike.
    """

    overfit: float
    apart: float = 5.0
    burst: int = 1

    def audited(self, random: np.random.Generator, *, frozen: bool = True) -> pd.DataFrame:
        """One row per image: `set`, whether its label is `wrong`, and whether the audit has `found` it."""
        truth = np.concatenate([np.repeat(np.arange(CLASSES), IMAGES), CLASSES + np.repeat(np.arange(SMALL), FEW)])
        burst = np.arange(len(truth)) // self.burst
        centres = random.normal(size=(CLASSES + SMALL, WIDTH))
        centres *= self.apart / np.sqrt(2) / np.linalg.norm(centres, axis=1, keepdims=True)
        noise = random.normal(size=(len(truth), WIDTH)) / 2
        noise += np.sqrt(3) / 2 * random.normal(size=(burst.max() + 1, WIDTH))[burst] if self.burst > 1 else noise
        features = centres[truth] + noise
        wrong = (random.random(burst.max() + 1) < WRONG)[burst]
        further = random.integers(1, CLASSES, burst.max() + 1)[burst]
        other = np.where(truth < CLASSES, (truth + further) % CLASSES, CLASSES + (truth - CLASSES + 1) % SMALL)
        label = np.where(wrong, other, truth)
        place = random.random(burst.max() + 1)[burst]
        chosen = np.where(place < 0.7, "train", np.where(place < 0.85, "val", "benchmark:field"))
        names = np.array([f"class {code:02d}" for code in range(CLASSES + SMALL)], object)
        small = label >= CLASSES
        rows = pd.DataFrame({"set": np.where(small, "open:below-cutoff", chosen), "label": names[label]})
        rows["image"] = rows["sha256"] = rows["group"] = [f"{number:05d}" for number in range(len(rows))]
        rows = rows.assign(cluster=[f"burst {number}" for number in burst], wrong=wrong)
        seen = np.eye(CLASSES + SMALL)[truth] + 0.3 * random.normal(size=(len(truth), CLASSES + SMALL))
        taught = np.where((rows["set"] == "train").to_numpy()[:, None], np.eye(CLASSES + SMALL)[label], seen)
        own = (1 - self.overfit) * seen + self.overfit * taught
        log_probs = np.log(scores.probs_of(8 * own[:, :CLASSES]))
        scored = scores.from_log_probs(rows, log_probs, list(names[:CLASSES]), top_k=2).assign(model="m")
        verdicts = pd.DataFrame(columns=["image", "at", "model", "label"])
        more = {"frozen_features": features.astype(np.float32)} if frozen else {}
        found = audit.find(
            scored,
            log_probs,
            own,
            list(names[:CLASSES]),
            verdicts,
            audit.nothing(),
            max_share=0.1,
            ask_again_after=2,
            **more,
        )
        asked = found.loc[found["asked"].astype(bool), "image"]
        return rows.assign(found=rows["image"].isin(asked))


def shares(rows: pd.DataFrame) -> tuple[float, float]:
    """Recall and precision."""
    hits = float((rows["found"] & rows["wrong"]).sum())
    return hits / max(rows["wrong"].sum(), 1), hits / max(rows["found"].sum(), 1)


@promise
def label_audit(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 11: wrong labels of training images and of classes below the cutoff are found, whatever was overfitted"""
    runs = max(runs // 20, 4)
    for overfit in (0.0, 0.7, 1.0):
        for burst in (1, 5):
            played = pd.concat([World(overfit, burst=burst).audited(random) for _ in range(runs)])
            what = f"label audit, overfitted {overfit:g}, bursts of {burst}: "
            recall, precision = shares(played[played["set"] == "train"])
            yield at_least(what + "recall, training images", recall, 0.6)
            yield at_least(what + "precision, training images", precision, 0.6)
            recall, precision = shares(played[played["set"] == "val"])
            yield compared(what + "recall, validation images", recall)
            yield compared(what + "precision, validation images", precision)
            if burst > 1:
                continue  # a small class has too few bursts
            recall, precision = shares(played[played["set"] == "open:below-cutoff"])
            yield at_least(what + "recall, below the cutoff", recall, 0.6)
            yield compared(what + "precision, below the cutoff", precision)
        without = pd.concat([World(overfit).audited(random, frozen=False) for _ in range(runs)])
        recall, precision = shares(without[without["set"] == "train"])
        yield compared(f"label audit, overfitted {overfit:g}, without frozen features: recall", recall)
        recall, precision = shares(without[without["set"] == "val"])
        yield compared("... validation images, by the network alone: recall", recall)
        yield compared("... precision", precision)
