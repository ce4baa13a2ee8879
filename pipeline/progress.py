"""Progress on stderr: a bar with rate and time left on a terminal, else a plain line every 30 seconds."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


class _Lines:
    """A log file's view of tqdm: each update is a line of its own."""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text:
            print(text, file=sys.stderr, flush=True)

    def flush(self) -> None:
        sys.stderr.flush()


def bar(what: str, total: int, unit: str = " images", *, done: int = 0) -> tqdm:
    """A bar to be advanced with `update(n)` and closed, or used in a `with` block.

    Args:
      done: what an earlier run has done; it counts neither for the rate nor for the time left.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=unit,
        file=sys.stderr if terminal else _Lines(),
        mininterval=0.1 if terminal else 30,
        miniters=1,
        delay=0.5 if terminal else 30,
        dynamic_ncols=terminal,
        leave=terminal,
        bar_format=None if terminal else "{desc}: {n_fmt} of {total_fmt}, {rate_fmt}, {remaining} left{postfix}",
    )


def track(what: str, items: Iterable[Item], total: int, unit: str = " images") -> Iterator[Item]:
    """Yields `items` while a bar follows."""
    with bar(what, total, unit) as progress:
        for item in items:
            yield item
            progress.update()
