"""What does not work while requests are answered: each part reports its problem by name, and withdraws it.

A `Worker` is a thread that repeats a step for as long as the service runs. No error ends it: the step is tried again,
and the problem is reported meanwhile.
"""

import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress

FIRST_PAUSE, LAST_PAUSE = 0.2, 10.0  # seconds until a step that failed is tried again, at first and at last


class Health:
    """The problems of a service. Any thread may report one; `/health` lists them."""

    def __init__(self) -> None:
        self._lock, self._problems = threading.Lock(), dict[str, str]()

    def report(self, part: str, problem: str, *, details: object = "") -> None:
        """Says what does not work.

        Args:
          part: names the problem; a later report by the same name replaces it.
          problem: one sentence for everybody who can reach the service: no address, no name of a client, no secret.
          details: for the operator, on stderr; they are printed when the problem is new or another one.
        """
        with self._lock:
            known = self._problems.get(part) == problem
            self._problems[part] = problem
        if not known:
            complain(f"serve: {problem}\n{details}".rstrip())

    def withdraw(self, part: str) -> None:
        """Says that the part works; nothing happens if it has reported no problem."""
        with self._lock:
            gone = self._problems.pop(part, None)
        if gone is not None:
            complain(f"serve: no longer: {gone}")

    @property
    def problems(self) -> list[str]:
        """One sentence per problem, the oldest first."""
        with self._lock:
            return list(self._problems.values())


class Worker:
    """A thread that repeats a step, from `start` until it is stopped.

    An error of the step, of whatever kind, is reported as "PURPOSE: KIND"; the step is tried again, less and less
    often. The report is withdrawn once the step succeeds. A thread that ends all the same is replaced.

    Args:
      name: of the thread, and of its problem.
      step: does one round, and returns the seconds until the next one.
      problem: what it means for the user that the step fails.

    Attributes:
      closed: whether it was stopped: the present round is the last one.
    """

    def __init__(self, name: str, step: Callable[[], float], *, problem: str, health: Health):
        self._name, self._step, self._problem, self._health = name, step, problem, health
        self._wanted, self.closed = threading.Event(), False
        self._following = FIRST_PAUSE

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Begins the next round at once, or as soon as the present one is done."""
        self._wanted.set()

    def stop(self) -> None:
        """Ends the thread after the present round."""
        self.closed = True
        self._wanted.set()

    def join(self) -> None:
        while self._thread.is_alive():  # another one may have taken its place
            self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        try:
            while not self.closed:
                self._wanted.wait(pause)
                self._wanted.clear()  # before the round that it asks for: no request is missed
                if not self.closed:
                    pause = self._round()
        finally:
            if not self.closed:
                self.start()

    def _round(self) -> float:
        try:
            pause = self._step()
        except BaseException as error:  # of whatever kind: without this thread the service would fail in silence
            self._health.report(
                self._name, f"{self._problem}: {type(error).__name__}", details=traceback.format_exc().rstrip()
            )
            pause, self._following = self._following, min(2 * self._following, LAST_PAUSE)
            return pause
        self._following = FIRST_PAUSE
        self._health.withdraw(self._name)
        return pause


def complain(text: str) -> None:
    """Prints for the operator; a log that is full or closed must not end the thread that writes it."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
