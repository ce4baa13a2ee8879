"""Errors a user can mend, and the exit codes of every command and stage."""

import difflib
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from types import FrameType


class Exit(IntEnum):
    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    DATA = 3
    GATE_FAILED = 4
    LEAKAGE = 5
    SOME_FAILED = 6
    INVESTIGATE = 7
    RESUMABLE = 75
    STOPPED = 130


ERROR_FILE = "WALLABY_ERROR_FILE"  # environment: where a process leaves its error for the one that started it
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class WallabyError(Exception):
    """Says what is wrong, where, and how to mend it, each in one line.

    Args:
      what: the fault, with the offending value.
      where: file, row, class or key.
      mend: what the user can do about it.
    """

    code = Exit.UNEXPECTED

    def __init__(self, what: str, *, where: object = "", mend: str = ""):
        super().__init__(what)
        self.what, self.where, self.mend = what, str(where), mend

    def __str__(self) -> str:
        said = {"error": self.what, "   in": self.where, " mend": self.mend}
        return "\n".join(f"{name}: {' '.join(text.split())}" for name, text in said.items() if text)


def left_in(file: Path) -> WallabyError | None:
    """The error that a process started with `ERROR_FILE` has left in `file`, with its exit code; None if there is none.

    What it has printed is for people.
    """
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it ended otherwise, or the disk was too full for the file
        return None
    error = WallabyError(fields["what"], where=fields["where"], mend=fields["mend"])
    error.code = Exit(fields["code"])
    return error


def closest(word: str, known: Iterable[str]) -> str:
    """The advice for a mistyped name."""
    close = difflib.get_close_matches(str(word), sorted(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known)[:20])}"


class UsageError(WallabyError):
    code = Exit.USAGE


class DataError(WallabyError):
    code = Exit.DATA


class GateError(WallabyError):
    code = Exit.GATE_FAILED


class LeakageError(WallabyError):
    code = Exit.LEAKAGE


class ResumableError(WallabyError):
    """Interrupted by something outside; running the same command again continues."""

    code = Exit.RESUMABLE


_stop = threading.Event()


def run(main: Callable[[], int | None]) -> None:
    """Calls `main` and ends the process with the documented exit code; only a bug shows a stack trace."""
    signal.signal(signal.SIGINT, _ask_to_stop)
    try:
        code = main() or Exit.DONE
        sys.stdout.flush()  # here, where a closed pipe or a full disk still has an exit code
    except WallabyError as error:
        code = _end_with(error)
    except KeyboardInterrupt:
        print("stopped; nothing is lost, the same command continues", file=sys.stderr)
        code = Exit.STOPPED
    except BrokenPipeError:  # the reader, `head` for one, has what it wanted
        _drop_stdout()
        code = Exit.DONE
    except OSError as error:
        if error.errno not in FULL | FORBIDDEN:
            raise
        _drop_stdout()
        code = _end_with(from_os_error(error))
    sys.exit(int(code))


def _end_with(error: WallabyError) -> Exit:
    print(error, file=sys.stderr)
    if file := os.environ.get(ERROR_FILE):
        fields = {"what": error.what, "where": error.where, "mend": error.mend, "code": error.code}
        with suppress(OSError):
            Path(file).write_text(json.dumps(fields), encoding="utf-8")
    return error.code


def stop_if_asked() -> None:
    """Raises KeyboardInterrupt if the user has asked to stop.

    Python's own KeyboardInterrupt is lost where the signal meets a finaliser or a library's callback; a long loop calls
    this once a step.
    """
    if _stop.is_set():
        raise KeyboardInterrupt


def _ask_to_stop(number: int, frame: FrameType | None) -> None:
    _stop.set()
    signal.default_int_handler(number, frame)


def from_os_error(error: OSError) -> ResumableError:
    """What the system refused, as an error that can be mended."""
    if error.errno in FULL:
        what, mend = "the disk is full", "free some space and run the same command again: what was finished is kept"
    elif error.errno in FORBIDDEN:
        what, mend = f"no permission: {error.strerror}", "grant the permission and run the same command again"
    else:
        what, mend = f"the system refused: {error.strerror or error}", "mend that and run the same command again"
    return ResumableError(what, where=error.filename or "", mend=mend)


def _drop_stdout() -> None:
    """Lets what is left in the buffer go nowhere: flushing it at the end would fail again and change the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
