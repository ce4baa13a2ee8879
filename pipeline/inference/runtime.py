"""What turns pixels into probabilities; and the reading that keeps it busy."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.bundle import Bundle
from pipeline.evaluation import calibration
from pipeline.library import pictures
from pipeline.models import keras
from pipeline.models.head import FEATURES

AHEAD = 4  # batches decoded while one is in the network


class Runtime(Protocol):
    """One model, or several that speak with one voice.

    Attributes:
      classes: in the order of the probabilities.
      image_sizes: the sizes at which a picture is read, in pixels.
      model: what the column `model` of a table says: the digest of the model, or of all.
      key: names all that the probabilities depend on; predictions of different keys are never mixed.
    """

    classes: list[str]
    image_sizes: tuple[int, ...]
    model: str
    key: str

    def predict(self, *pixels: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities (N, C) for the pictures at each of `image_sizes`, uint8 (N, S, S, 3)."""
        ...

    def predict_with_features(self, *pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `predict`, and beside them what the (first) head gets, float16 (N, F), from the same forward pass."""
        ...


class KerasRuntime:
    """Runs a bundle's model with Keras, a constant batch at a time."""

    def __init__(self, bundle: Bundle, batch_size: int):
        self._model, self._batch_size, self._temperature = bundle.model, batch_size, bundle.card.temperature
        self.classes = bundle.classes
        self.image_sizes: tuple[int, ...] = (bundle.card.image_size,)
        self.model = bundle.card.model_digest
        self.key = f"{self.model} at {self._temperature}"

    def predict(self, *pixels: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities (N, C) for one array of pixels, uint8 (N, S, S, 3), at most a batch."""
        (batch,) = pixels
        probs = np.asarray(self._model.predict_on_batch(self._whole_batch(batch)))
        return calibration.scale(probs[: len(batch)], self._temperature)

    def predict_with_features(self, *pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (batch,) = pixels
        probs, features = self._with_features.predict_on_batch(self._whole_batch(batch))
        scaled = calibration.scale(np.asarray(probs)[: len(batch)], self._temperature)
        return scaled, np.asarray(features)[: len(batch)].astype(np.float16)

    @cached_property
    def _with_features(self):
        return keras.Model(self._model.input, [self._model.output, self._model.get_layer(FEATURES).output])

    def _whole_batch(self, pixels: np.ndarray) -> np.ndarray:
        missing = self._batch_size - len(pixels)
        if missing:  # one shape only: another would be compiled anew
            pixels = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), pixels.dtype)])
        return pixels.astype(np.float32)


def read_batches(
    paths: list[Path], image_sizes: tuple[int, ...], batch_size: int
) -> Iterator[tuple[list[np.ndarray], list[str]]]:
    """Reads pictures in order, a few batches ahead of the one yielded.

    Yields:
      At each of `image_sizes` the pixels of the readable pictures of the batch, uint8 (M, S, S, 3); and for each of its
      pictures the reason why it could not be read, or "".
    """

    def read(path: Path) -> "list[np.ndarray] | str":
        try:
            return [pictures.read(path, size) for size in image_sizes]
        except pictures.PictureError as reason:
            return str(reason)

    batches = (paths[first : first + batch_size] for first in range(0, len(paths), batch_size))
    waiting: deque[list[Future]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for batch in batches:
            waiting.append([workers.submit(read, path) for path in batch])
            if len(waiting) > AHEAD:
                yield _collect(waiting.popleft(), image_sizes)
        while waiting:
            yield _collect(waiting.popleft(), image_sizes)


def predict_all(runtime: Runtime, paths: list[Path], batch_size: int) -> Iterator[tuple[np.ndarray, list[str]]]:
    """As `read_batches`, with probabilities (M, C) in the place of pixels."""
    for pixels, failures in read_batches(paths, runtime.image_sizes, batch_size):
        yield (runtime.predict(*pixels) if len(pixels[0]) else np.empty((0, 0))), failures


def _collect(futures: list[Future], image_sizes: tuple[int, ...]) -> tuple[list[np.ndarray], list[str]]:
    results = [future.result() for future in futures]
    readable = [result for result in results if not isinstance(result, str)]
    failures = [result if isinstance(result, str) else "" for result in results]
    if not readable:
        return [np.empty((0, size, size, 3), np.uint8) for size in image_sizes], failures
    return [np.stack(at_one_size) for at_one_size in zip(*readable, strict=True)], failures
