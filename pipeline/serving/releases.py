"""The models of a service: the champion, picked up anew whenever it changes, and a candidate that answers nobody."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pipeline import bundle
from pipeline.errors import DataError, WallabyError
from pipeline.serving.served import Served

Load = Callable[[Path], Served]
Stamp = tuple[int, int, int] | None
UNUSABLE = (WallabyError, OSError, ValueError)  # a bundle that is replaced while it is read has files of two


class Releases:
    """Looks at folders of bundles, and loads what is new while the old one goes on answering.

    Args:
      released: the champion's folder.
      shadow: the candidate's; None for no candidate.
      load: reads a bundle and prepares it.
      tell: is called with each model before it serves.

    Attributes:
      served: the model that answers.
      candidate: the one that does not; None if there is none, or it is the one that answers.
      trouble: why the newest release does not serve; empty if it does.
    """

    def __init__(self, released: Path, shadow: Path | None, load: Load, tell: Callable[[Served], None]):
        if not (released / bundle.CARD).exists():
            raise DataError(
                "no model has been released yet", where=released, mend="`wallaby release`, or `dvc checkout`"
            )
        self._released, self._shadow, self._load, self._tell = released, shadow, load, tell
        self._stamps: dict[Path, Stamp] = {released: stamp(released)}
        self.trouble = ""
        self.served = load(released)
        tell(self.served)
        self._candidate: Served | None = None
        self._look_at_candidate()
        self._stop = threading.Event()

    @property
    def candidate(self) -> Served | None:
        found = self._candidate
        return None if found is None or found.model == self.served.model else found

    def watch(self, seconds: float) -> None:
        """Looks at the folders that often, in a thread."""

        def look() -> None:
            while not self._stop.wait(seconds):
                self.look()

        threading.Thread(target=look, name="releases", daemon=True).start()

    def look(self) -> None:
        """Takes up what is new in the folders."""
        self._look_at_released()
        self._look_at_candidate()

    def close(self) -> None:
        self._stop.set()

    def _look_at_released(self) -> None:
        now = stamp(self._released)
        if now is None or now == self._stamps[self._released]:  # None: another takes its place at this moment
            return
        try:
            found = self._load(self._released)
            self._tell(found)
        except UNUSABLE as error:
            self.trouble = "the newest release cannot be loaded; the one before it answers"
            print(f"serve: the new release cannot serve; {self.served.version} goes on\n{error}", file=sys.stderr)
        else:
            self.served, self.trouble = found, ""  # in one step: a batch has the one or the other
            print(f"serve: {found.version} answers now, by {found.runtime}", flush=True)
        self._stamps[self._released] = now

    def _look_at_candidate(self) -> None:
        if self._shadow is None:
            return
        now = stamp(self._shadow)
        if now == self._stamps.get(self._shadow):
            return
        try:
            self._candidate = None if now is None else self._load(self._shadow)
        except UNUSABLE as error:
            print(f"serve: the candidate cannot be asked\n{error}", file=sys.stderr)
        self._stamps[self._shadow] = now


def stamp(folder: Path) -> Stamp:
    """Changes whenever another bundle takes the folder; None if there is none at the moment."""
    try:
        status = (folder / bundle.CARD).stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
