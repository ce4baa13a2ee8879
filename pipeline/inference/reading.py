"""Reading ahead: threads that read pictures while others are in the network."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from pipeline.inference.runtimes import Runtime
from pipeline.library import pictures

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4  # batches read while one is in the network


def ahead(read: Callable[[Item], Result], batches: Iterable[list[Item]]) -> Iterator[tuple[list[Item], list[Result]]]:
    """Yields each batch with what `read` made of its items, in order, while threads read the next few batches.

    An error of `read` is raised when its batch is due; nothing that waits is read then.
    """
    waiting: deque[tuple[list[Item], list[Future]]] = deque()

    def due() -> tuple[list[Item], list[Result]]:
        batch, futures = waiting.popleft()
        return batch, [future.result() for future in futures]

    workers = ThreadPoolExecutor(os.cpu_count())
    try:
        for batch in batches:
            waiting.append((batch, [workers.submit(read, item) for item in batch]))
            if len(waiting) > AHEAD:
                yield due()
        while waiting:
            yield due()
    finally:
        workers.shutdown(cancel_futures=True)


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
    for _, results in ahead(read, batches):
        readable = [result for result in results if not isinstance(result, str)]
        failures = [result if isinstance(result, str) else "" for result in results]
        if readable:
            yield [np.stack(at_one_size) for at_one_size in zip(*readable, strict=True)], failures
        else:
            yield [np.empty((0, size, size, 3), np.uint8) for size in image_sizes], failures


def predict_all(runtime: Runtime, paths: list[Path], batch_size: int) -> Iterator[tuple[np.ndarray, list[str]]]:
    """As `read_batches`, with probabilities (M, C) in the place of pixels."""
    for pixels, failures in read_batches(paths, runtime.image_sizes, batch_size):
        yield (runtime.predict(*pixels) if len(pixels[0]) else np.empty((0, 0))), failures
