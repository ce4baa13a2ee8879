"""Reading ahead: threads that read pictures while others are in the network."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
