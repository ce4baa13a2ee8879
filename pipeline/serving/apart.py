"""Work that would hold up answers, done in a process of its own, of low priority, which ends with the service."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

PRIORITY = 5  # of nice: whoever waits for an answer goes first, and on a busy machine it still ends


class Apart:
    """Runs one function at a time in another process. Any thread may call; `stop` ends the process at once."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._lock, self._stopped = threading.Lock(), False
        self._process: Any = None

    def run(self, function: Callable[..., None], *arguments: Any) -> bool:
        """Returns whether the function has ended well; False at once if this was stopped.

        Args:
          function: of a module; what it prints on stdout goes nowhere.
          arguments: can be pickled.
        """
        with self._lock:
            if self._stopped:
                return False
            self._process = self._context.Process(target=_run, args=(function, arguments), daemon=True)
            self._process.start()
        self._process.join()
        return bool(self._process.exitcode == 0)

    @property
    def stopped(self) -> bool:
        return self._stopped

    def stop(self) -> None:
        """Ends what runs, and begins nothing any more; may be called again."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()


def _run(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal, it is meant for the service, which ends this
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(PRIORITY)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    function(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
