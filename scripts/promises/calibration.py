"""Worlds of calibration: networks whose temperature is planted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax

from pipeline.evaluation import calibration, ensembling, scores, thresholds
from pipeline.evaluation.calibration import TINY, scale

from .lines import Line, at_least, at_most, compared, promise

FRESH = 4000
CLASSES = 8


@dataclass(frozen=True)
class Network:
    """A network whose classes have logits of its own certainty: `margin` and its standard deviation, one per image."""

    margin: float
    spread: float
    temperature: float = 1.0  # planted: with it, scores are honest

    def draw(self, number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities as the network gives them (N, C), and the true classes (N,)."""
        logits = random.normal(size=(number, CLASSES))
        logits[np.arange(number), random.integers(0, CLASSES, number)] += np.maximum(
            random.normal(self.margin, self.spread, number), 0
        )
        honest = np.exp(logits - logits.max(axis=1, keepdims=True))
        honest /= honest.sum(axis=1, keepdims=True)
        targets = (honest.cumsum(axis=1) > random.random((number, 1))).argmax(axis=1)
        return scale(honest, 1 / self.temperature), targets


SURE = {"99 % right": (11.0, 2.5), "77 % right": (4.2, 2.0), "64 % right": (2.9, 1.8)}
SIZES = [20, 50, 300]


def log_loss(probs: np.ndarray, targets: np.ndarray, temperature: float) -> float:
    scaled = scale(probs, temperature)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(scaled, TINY)).mean())


def fitted(network: Network, number: int, runs: int, random: np.random.Generator) -> np.ndarray:
    """The temperature of each run (R,)."""
    return np.array([calibration.fit_temperature(*network.draw(number, random)) for _ in range(runs)])


def excess(network: Network, temperatures: np.ndarray) -> np.ndarray:
    """By what share (R,) the log loss on fresh images is above that of temperature 1."""
    fresh = network.draw(FRESH, np.random.default_rng(10**6))
    values, of = np.unique(np.round(temperatures, 3), return_inverse=True)
    losses = np.array([log_loss(*fresh, value) for value in values])[of]
    return losses / log_loss(*fresh, 1.0) - 1


def share_shown(network: Network, temperature: float, random: np.random.Generator, number: int = 1500) -> float:
    probs, targets = network.draw(number, random)
    scaled = scale(probs, temperature)
    right = scaled.argmax(axis=1) == targets
    table = pd.DataFrame({"set": "benchmark:field", "score": scaled.max(axis=1), "model": "m"})
    table = table.assign(predicted="a", label_rank=np.where(right, 1, 2))
    chosen = thresholds.choose(table, precision=0.95, confidence=0.95, min_images=10**9, temperature=temperature)
    return float(chosen.shown(table["predicted"], table["score"]).mean())


@promise
def temperature(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 5: a fitted temperature never makes scores worse than none, and is found where it matters"""
    for name, (margin, spread) in SURE.items():
        for number in SIZES:
            network = Network(margin, spread)
            temperatures = fitted(network, number, runs, random)
            worse = excess(network, temperatures)
            what = f"temperature, {name}, {number} images: "
            yield at_most(what + "log loss more than 2 % above T = 1", (worse > 0.02).mean(), runs, 0.001)
            yield compared(what + "the worst, as a share", worse.max())
    for planted in (0.5, 2.0):
        for number in (50, 100, 300):
            network = Network(*SURE["77 % right"], planted)
            temperatures = fitted(network, number, runs, random)
            what, found = f"temperature {planted:g} planted, {number} images: ", np.log(temperatures) / np.log(planted)
            if number > SIZES[1]:
                error = 2 * float(found.std() / runs**0.5)
                yield Line(what + "found, of its logarithm", "0.9 to 1.1", found.mean(), error, 0.9, 1.1)
            else:
                yield compared(what + "found, median of its logarithm", float(np.median(found)))
            worse = excess(network, temperatures) > 0.02
            yield at_most(what + "log loss more than 2 % above T = 1", worse.mean(), runs, 0.001)
    network = Network(*SURE["99 % right"], 0.6)
    lowest = float(fitted(network, 300, runs, random).min())
    seed = int(random.integers(10**6))
    shown = [share_shown(network, value, np.random.default_rng(seed)) for value in (lowest, 1.0)]
    yield at_least(f"share shown with the lowest temperature ({lowest:.2f}), beside T = 1", shown[0] / shown[1], 0.95)


def members(
    number: int, together: int, noise: float, random: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray]:
    """Calibrated probabilities (N, C) of `together` networks that see the same images with noise of their own."""
    targets = random.integers(0, CLASSES, number)
    seen = random.normal(size=(number, CLASSES))
    seen[np.arange(number), targets] += 2.5
    logits = [2.5 * (seen + noise * random.normal(size=seen.shape)) / (1 + noise**2) for _ in range(together)]
    return [softmax(each, axis=1) for each in logits], targets


def gap(together: int, noise: float, number: int, random: np.random.Generator) -> tuple[float, float]:
    """By how much the score of an ensemble is above its accuracy on fresh images, as evaluated, and as averaged."""
    classes = [f"class {code}" for code in range(CLASSES)]
    measured = []
    for images, seen_before in ((number, True), (FRESH * 5, False)):
        probs, targets = members(images, together, noise, random)
        log_probs = scores.to_log_probs(ensembling.average(probs, [classes] * together))
        if seen_before:
            rows = pd.DataFrame({"set": "val", "label": np.array(classes, dtype=object)[targets]})
            fitted_temperature = ensembling.temperature(rows, log_probs, classes)
            continue
        for matrix in (ensembling.Tempered(log_probs, fitted_temperature), log_probs):
            scaled = scores.probs_of(np.asarray(matrix[:]))
            measured.append(float((scaled.max(axis=1) - (scaled.argmax(axis=1) == targets)).mean()))
    return measured[0], measured[1]


@promise
def ensemble(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 10: the scores of an ensemble are calibrated"""
    for together, noise in ((2, 1.0), (5, 1.0), (5, 2.0)):
        gaps = np.array([gap(together, noise, 1000, random) for _ in range(max(runs // 20, 4))])
        what = f"ensemble of {together}, noise {noise:g}: score above accuracy, absolute, "
        error = 2 * float(gaps[:, 0].std() / len(gaps) ** 0.5)
        yield Line(what + "mean", "<= 0.02", float(abs(gaps[:, 0].mean())), error, most=0.02)
        yield compared(what + "as averaged", float(abs(gaps[:, 1].mean())))
