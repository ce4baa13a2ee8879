"""Worlds of the figures on few images: honest models, whose calibration error is 0, and whose F1 is known."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.evaluation import metrics

from .lines import Line, between, compared, promise

FRESH = 300_000
# accuracy, classes, images; a world with fewer images of a class than intervals need has none
WORLDS = [(0.98, 10, 245), (0.9, 10, 245), (0.9, 40, 245), (0.8, 10, 245), (0.9, 40, 2000)]


def honest(accuracy: float, classes: int, number: int, random: np.random.Generator) -> pd.DataFrame:
    """Scores as stage evaluate has them, of a model that is right as often as its scores say."""
    label = random.integers(0, classes, number)
    score = np.maximum(random.beta(8 * accuracy, 8 * (1 - accuracy), number), 1 / classes)
    right = random.random(number) < score
    said = np.where(right, label, (label + random.integers(1, classes, number)) % classes)
    others = (1 - score) * random.beta(1, classes - 2, number)
    names = np.array([f"class {code:02d}" for code in range(classes)])
    table = pd.DataFrame({"set": "test", "label": names[label], "predicted": names[said], "score": score})
    return table.assign(
        label_score=np.where(right, score, others), label_rank=np.where(right, 1, 2), sha256=np.arange(number)
    )


def measured(table: pd.DataFrame) -> dict[str, float]:
    return metrics.by_set(table, confidence=0.95)["test"]


@promise
def few_images(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 15: what a perfect model is told of its calibration, and intervals of F1 and log loss that are right"""
    for accuracy, classes, number in WORLDS:
        truth = measured(honest(accuracy, classes, FRESH, random))
        table = pd.DataFrame([measured(honest(accuracy, classes, number, random)) for _ in range(runs)])
        what = f"figures, {accuracy:.0%} right, {classes} classes, {number:,} images: "
        beside = table["ece_perfect"] if "ece_perfect" in table else 0 * table["ece"]
        yield Line(
            what + "ECE above that of a perfect model beside it",
            "<= 0.005",
            float((table["ece"] - beside).mean()),
            2 * float((table["ece"] - beside).std() / runs**0.5),
            most=0.005,
        )
        yield compared(what + "a perfect model's ECE", table["ece"].mean())
        for name in ("macro_f1", "weighted_f1", "log_loss"):
            known = table[table[f"{name}_low"].notna()] if f"{name}_low" in table else table.head(0)
            if len(known) < max(runs // 4, 5):
                yield compared(what + f"{name} has an interval", len(known) / runs)
                continue
            inside = (known[f"{name}_low"] <= truth[name]) & (truth[name] <= known[f"{name}_high"])
            yield between(what + f"{name}, coverage", inside.mean(), len(known), 0.93, 0.98)
