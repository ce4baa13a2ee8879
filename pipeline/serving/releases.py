"""The models of a service: the champion, picked up anew whenever it changes, and a candidate that answers nobody."""

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from pipeline import bundle
from pipeline.errors import DataError, WallabyError
from pipeline.serving.health import Health, Worker, complain
from pipeline.serving.served import Served

Load = Callable[[Path], Served]
Stamp = tuple[int, int, int] | None
FIRST_TRY, LAST_TRY = 30.0, 3600.0  # seconds until a bundle that could not be loaded is tried again, at first and last
REASON = 200  # characters of it that are told
RELEASE, CANDIDATE = "release", "candidate"  # the problems' names


class Releases:
    """Looks at folders of bundles, and loads what is new while the old one goes on answering.

    Args:
      released: the champion's folder.
      shadow: the candidate's; None for no candidate.
      load: reads a bundle and prepares it.
      tell: is called with each model before it serves.
      health: where a bundle that cannot be loaded is reported.

    Attributes:
      served: the model that answers.
      candidate: the one that does not; None if there is none, or it is the one that answers.
    """

    def __init__(
        self, released: Path, shadow: Path | None, load: Load, tell: Callable[[Served], None], *, health: Health
    ):
        if not (released / bundle.CARD).exists():
            raise DataError(
                "no model has been released yet", where=released, mend="`wallaby release`, or `dvc checkout`"
            )
        self._released, self._shadow, self._load, self._tell = released, shadow, load, tell
        self._health = health
        self._changing = Lock()  # a model is replaced by another one, or by itself with another runtime
        self._stamps: dict[Path, Stamp] = {released: stamp(released)}
        self._failed: dict[Path, tuple[float, float]] = {}  # when to try again, and how long to wait then
        self._gone = False
        self.served = load(released)
        tell(self.served)
        self._candidate: Served | None = None
        self._look_at_candidate()
        self._watcher: Worker | None = None
        self._trier: Worker | None = None

    @property
    def candidate(self) -> Served | None:
        found = self._candidate
        return None if found is None or found.model == self.served.model else found

    def watch(self, seconds: float) -> None:
        """Looks at the folders that often, and tries runtimes, each in a thread."""

        def look() -> float:
            self.look()
            return seconds

        def settle() -> float:
            self.settle()
            return seconds

        self._trier = Worker("runtimes", settle, problem="other runtimes are not tried", health=self._health)
        self._trier.start()
        self._watcher = Worker("releases", look, problem="new releases are not looked for", health=self._health)
        self._watcher.start()

    def look(self) -> None:
        """Takes up what is new in the folders."""
        self._look_at_released()
        self._look_at_candidate()

    def settle(self) -> None:
        """Tries the runtimes of models that serve by the first one at hand, and changes over to the fastest."""
        served, candidate = self.served, self._candidate
        if served.chosen.try_others is not None:
            complain(f"serve: {served.version} answers by {served.runtime} while the other runtimes are tried")
            settled = self._settled(served)
            with self._changing:
                if self.served is not served:  # a new release has come meanwhile: it is tried next
                    return
                self._tell(settled)
                self.served = settled
            if settled.runtime != served.runtime:
                complain(f"serve: {settled.version} answers by {settled.runtime} from now on")
        elif candidate is not None and candidate.chosen.try_others is not None:
            settled = self._settled(candidate)
            with self._changing:
                if self._candidate is candidate:
                    self._candidate = settled

    def close(self) -> None:
        for worker in (self._watcher, self._trier):
            if worker is not None:
                worker.stop()
        if self._trier is not None:
            self._trier.join()  # the end of the process must not find it inside a runtime

    def _settled(self, model: Served) -> Served:
        try:
            return model.settled()
        except Exception as error:  # of whatever kind: it answers as it is
            details = error if isinstance(error, WallabyError) else traceback.format_exc().rstrip()
            complain(f"serve: {model.version} goes on by {model.runtime}: another runtime cannot be loaded\n{details}")
            return model.as_it_is()

    def _look_at_released(self) -> None:
        now = stamp(self._released)
        if now is None:
            if self._gone:  # at one look, another takes its place at this moment
                self._health.report(RELEASE, f"there is no release any more; {self.served.version} answers")
            self._gone = True
            return
        if self._gone and now == self._stamps[self._released]:
            self._health.withdraw(RELEASE)
        self._gone = False
        if not self._is_due(self._released, now):
            return
        try:
            found = self._load(self._released)
            with self._changing:
                self._tell(found)
                self.served = found  # in one step: a batch has the one or the other
        except Exception as error:  # of whatever kind: a bundle is data that comes from elsewhere
            self._report(RELEASE, self._released, f"the newest release cannot be loaded ({_reason(error)})", error)
        else:
            self._failed.pop(self._released, None)
            self._health.withdraw(RELEASE)
            with suppress(OSError, ValueError):  # the model answers, also where nobody can be told
                print(f"serve: {found.version} answers now, by {found.runtime}", flush=True)
        self._stamps[self._released] = now

    def _look_at_candidate(self) -> None:
        if self._shadow is None:
            return
        now = stamp(self._shadow)
        if not self._is_due(self._shadow, now):
            return
        try:
            found = None if now is None else self._load(self._shadow)
        except Exception as error:
            self._report(CANDIDATE, self._shadow, f"the candidate cannot be loaded ({_reason(error)})", error)
        else:
            with self._changing:
                self._candidate = found
            self._failed.pop(self._shadow, None)
            self._health.withdraw(CANDIDATE)
        self._stamps[self._shadow] = now

    def _is_due(self, folder: Path, now: Stamp) -> bool:
        """Whether a bundle is new, or could not be loaded a while ago: a disk that was full may have room again."""
        if now != self._stamps.get(folder):
            self._failed.pop(folder, None)
            return True
        return folder in self._failed and time.monotonic() >= self._failed[folder][0]

    def _report(self, part: str, folder: Path, problem: str, error: Exception) -> None:
        _, pause = self._failed.get(folder, (0.0, FIRST_TRY))
        self._failed[folder] = (time.monotonic() + pause, min(2 * pause, LAST_TRY))
        known = isinstance(error, WallabyError)
        self._health.report(
            part,
            f"{problem}; {self.served.version} answers",
            details=error if known else "".join(traceback.format_exception(error)).rstrip(),
        )


def _reason(error: Exception) -> str:
    """What is wrong with a bundle, for everybody: no path beyond the file's name, and in one line."""
    if not isinstance(error, WallabyError):
        return type(error).__name__
    file = Path(error.where)
    return " ".join(f"{file.name + ': ' if file.suffix else ''}{error.what}".split())[:REASON]


def stamp(folder: Path) -> Stamp:
    """Changes whenever another bundle takes the folder; None if there is none at the moment."""
    try:
        status = (folder / bundle.CARD).stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
