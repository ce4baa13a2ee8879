"""Made-up models for tests of the evaluation: what they say of images, and how often it is right."""

import numpy as np
import pandas as pd

from pipeline.evaluation import scores

CLASSES = ["cat", "dog", "owl"]


def scored(*rows: tuple) -> pd.DataFrame:
    """Rows (label, probabilities) or (label, probabilities, set)."""
    sets = [row[2] if len(row) > 2 else "test" for row in rows]
    table = images([row[0] for row in rows], sets)
    return scores.score(table, np.array([row[1] for row in rows]), CLASSES, top_k=2).assign(model="m")


def images(labels: list[str], sets: "list[str] | str" = "test") -> pd.DataFrame:
    names = [f"library/{number}.jpg" for number in range(len(labels))]
    table = pd.DataFrame({"image": names, "sha256": names, "group": names, "label": labels, "set": sets})
    return table.assign(subclass="", origin="real")


def guesses(number: int, *, classes: int = 6, skill: float = 1.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities (N, C), and targets (N,) drawn from them: classes of uneven size."""
    random = np.random.default_rng(seed)
    frequent = np.linspace(1, 0, classes)
    logits = skill * random.normal(size=(number, classes)) + frequent
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    targets = (probs.cumsum(axis=1) > random.random((number, 1))).argmax(axis=1)
    return probs, targets


def made_up(number: int = 400, **how) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Scores of `number` images in two sets, the probabilities, and the classes."""
    probs, targets = guesses(number, **how)
    classes = [f"class {n}" for n in range(probs.shape[1])]
    sets = np.random.default_rng(1).choice(["test", "benchmark:field"], number)
    table = images([classes[target] for target in targets], list(sets))
    return scores.score(table, probs, classes, top_k=3).assign(model="m"), probs, classes
