"""The connection to a store: where it is, whether it answers, and what is logged later if it does not."""

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock
import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import UsageError, WallabyError
from pipeline.tracking import moved
from pipeline.tracking.later import Later
from pipeline.tracking.writer import Writer

VARIABLE, SQLITE = "MLFLOW_TRACKING_URI", "sqlite:///"
DATABASE, ARTIFACTS = "mlflow.db", "mlruns"
CACHE = Path(".wallaby") / "mlflow"  # below the repository
TRAINS = Path(".wallaby") / "train.lock"  # held by the process that trains
SPAN = 300.0  # seconds until a store that did not answer is asked again
FAULTS = (MlflowException, OSError, sqlite3.Error, SQLAlchemyError, WallabyError)
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}


class SilentError(Exception):
    """The store does not answer."""


class RefusedError(Exception):
    """The store takes no such call; it says why in one line."""


class Connection:
    """A store that may not answer: calls of its writer, made now or later.

    Args:
      home: the repository.

    Attributes:
      uri: the store's address: that of MLFLOW_TRACKING_URI, else `mlflow.db` in `home`, with its files in `mlruns`.
      is_here: whether it is the repository's own.
    """

    def __init__(self, home: Path):
        here = f"{SQLITE}{home / DATABASE}"
        self._home = home
        self.uri = os.environ.get(VARIABLE) or here
        self.is_here = self.uri == here
        self._artifacts = home / ARTIFACTS if self.is_here else None
        self._later = Later(home / CACHE / "later" / hashlib.sha256(self.address.encode()).hexdigest()[:12])
        self._silent_until = 0.0  # by the monotonic clock
        self._opened = False

    @property
    def artifacts_uri(self) -> str:
        """Where the repository's own store has its files; "" for another store."""
        return self._artifacts.as_uri() if self._artifacts else ""

    @property
    def address(self) -> str:
        """The store's address without what may be secret."""
        scheme, _, rest = self.uri.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"

    def _now_or_later(self, name: str, arguments: dict[str, Any], files: list[Path] | None = None) -> Any:
        try:
            return self._call(name, arguments, files)
        except SilentError:
            self._later.keep(name, arguments, files or [])
        except RefusedError as refused:
            print(f"warning: MLflow refuses what was to be logged ({name}): {refused}", file=sys.stderr)
        return None

    def _call(self, name: str, arguments: dict[str, Any], files: list[Path] | None = None) -> Any:
        """Makes a call of the writer.

        Raises:
          SilentError: if the store does not answer.
          RefusedError: if it takes no such call.
        """
        if not self._answers():
            raise SilentError
        return self._try(name, arguments, files or [])

    def _try(self, name: str, arguments: dict[str, Any], files: list[Path]) -> Any:
        try:
            with self._selected():
                return getattr(self._writer, name)(files, **arguments)
        except FAULTS as error:
            if isinstance(error, MlflowException) and error.error_code in REFUSALS:
                raise RefusedError(_first_line(error)) from error
            self._fall_silent(error)
            raise SilentError from error

    def _answers(self, *, new: bool = True) -> bool:
        """Whether the store answers; if so, what waited has been logged.

        Args:
          new: whether a store that is not there is made.
        """
        if not new and not self._is_there():
            return False
        if time.monotonic() < self._silent_until:
            return False
        if self._opened:
            return True
        try:
            with self._selected():
                if self._artifacts:
                    self._adopt()
                self._client.search_experiments(max_results=1)
                self._writer.renew()
                self._writer.mark_stopped(nobody_trains=self._nobody_trains())
                self._opened = True
                waited = self._later.work_off(self._catch_up)
        except (*FAULTS, SilentError) as error:
            if isinstance(error, MlflowException) and error.error_code in REFUSALS:
                raise unusable(self.address, _first_line(error)) from error
            self._fall_silent(error)
            return False
        if waited:
            print(f"MLflow answers again: {waited} entries that waited are logged", file=sys.stderr)
        return True

    def _catch_up(self, name: str, arguments: dict[str, Any], files: list[Path]) -> None:
        with suppress(RefusedError):  # it would be refused for ever, and keep what follows from being logged
            self._try(name, arguments, files)

    def _fall_silent(self, error: BaseException) -> None:
        self._opened = False
        if time.monotonic() >= self._silent_until and not isinstance(error, SilentError):
            print(
                f"warning: MLflow at {self.address} does not answer: {_first_line(error)}\n"
                "warning: nothing stops; what is not logged now is logged by the next command",
                file=sys.stderr,
                flush=True,
            )
        self._silent_until = time.monotonic() + SPAN

    def _adopt(self) -> None:
        assert self._artifacts
        database = self._home / DATABASE
        if database.exists():
            moved.adopt(database, self._artifacts)

    def _nobody_trains(self) -> bool:
        lock = self._home / TRAINS
        if not self._artifacts:
            return False  # others may train, elsewhere
        if not lock.exists():
            return True
        try:
            with filelock.FileLock(lock, timeout=0):
                return True
        except (filelock.Timeout, OSError):
            return False

    @cached_property
    def _client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    @cached_property
    def _writer(self) -> Writer:
        return Writer(self._client, self.artifacts_uri or None)

    def _quietly(self, read: Callable[[], Any]) -> Any:
        try:
            with self._selected():
                return read()
        except FAULTS:
            return None

    def _is_there(self) -> bool:
        """Whether there is a store to read: MLflow would make an empty one of SQLite."""
        file = self.uri.removeprefix(SQLITE)
        return file == self.uri or Path(file).exists()

    @contextmanager
    def _selected(self) -> Iterator[None]:
        """Makes this the store of MLflow's functions that take none; what they change in the environment is undone."""
        before = os.environ.get(VARIABLE)
        mlflow.set_tracking_uri(self.uri)
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(VARIABLE, None)
            else:
                os.environ[VARIABLE] = before


def unusable(address: str, reason: str) -> UsageError:
    """The error of an address that MLflow refuses."""
    return UsageError(
        f"MLflow refuses: {reason}", where=f"{VARIABLE}={address}", mend="correct the address, or unset it"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
