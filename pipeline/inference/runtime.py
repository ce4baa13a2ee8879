"""What turns pixels into probabilities; and the reading that keeps it busy."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline.bundle import Bundle
from pipeline.evaluation import calibration
from pipeline.library import pictures

AHEAD = 4  # batches decoded while one is in the network


class KerasRuntime:
    """Runs a bundle's model with Keras, a constant batch at a time."""

    def __init__(self, bundle: Bundle, batch_size: int):
        self._model, self._batch_size, self._temperature = bundle.model, batch_size, bundle.card.temperature

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities (N, C) for `pixels`, uint8 (N, S, S, 3), N at most the batch size."""
        number = len(pixels)
        if number < self._batch_size:  # one shape only: another would be compiled anew
            pixels = np.concatenate([pixels, np.zeros((self._batch_size - number, *pixels.shape[1:]), pixels.dtype)])
        probs = np.asarray(self._model.predict_on_batch(pixels.astype(np.float32)))
        return calibration.scale(probs[:number], self._temperature)


def read_batches(paths: list[Path], image_size: int, batch_size: int) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Reads pictures in order, a few batches ahead of the one yielded.

    Yields:
      Pixels of the readable pictures of the batch, uint8 (M, S, S, 3), and for each of its pictures the reason why it
      could not be read, or "".
    """

    def read(path: Path) -> "np.ndarray | str":
        try:
            return pictures.read(path, image_size)
        except pictures.PictureError as reason:
            return str(reason)

    batches = (paths[first : first + batch_size] for first in range(0, len(paths), batch_size))
    waiting: deque[list[Future]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for batch in batches:
            waiting.append([workers.submit(read, path) for path in batch])
            if len(waiting) > AHEAD:
                yield _collect(waiting.popleft(), image_size)
        while waiting:
            yield _collect(waiting.popleft(), image_size)


def predict_all(
    runtime: KerasRuntime, paths: list[Path], image_size: int, batch_size: int
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """As `read_batches`, with probabilities (M, C) in the place of pixels."""
    for pixels, failures in read_batches(paths, image_size, batch_size):
        yield (runtime.predict(pixels) if len(pixels) else np.empty((0, 0))), failures


def _collect(futures: list[Future], image_size: int) -> tuple[np.ndarray, list[str]]:
    results = [future.result() for future in futures]
    pixels = [result for result in results if not isinstance(result, str)]
    failures = [result if isinstance(result, str) else "" for result in results]
    return np.stack(pixels) if pixels else np.empty((0, image_size, image_size, 3), np.uint8), failures
