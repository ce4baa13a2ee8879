"""The transaction log: what is recorded is on this machine's disk before anybody is answered, and soon in the store.

A thread moves records from the spool into the store, many at once, which costs the requests least; at once where
somebody waits for a record. While the store is down, locked or full it tries again, less and less often; requests are
answered all the while.
"""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from pipeline.errors import ResumableError, from_os_error
from pipeline.serving.store import opening, records
from pipeline.serving.store.spool import Record, Spool

PIECE = 500  # records stored at once
PAUSE = 1.0  # seconds between two looks at the spool
FIRST_TRY, LAST_TRY = 0.2, 10.0  # seconds until the next try, at first and at last, while the store is down
ITS_OWN_FAULT = (sa.exc.DataError, sa.exc.IntegrityError, sa.exc.StatementError)  # of a record: no later try would help
THE_STORES = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)


class Log:
    """Records what was asked and said. Args:
    url: of the store; see `opening.connect`.
    spool: a folder of this machine.
    patience: seconds to wait for a lock or for a server.

    Attributes:
      trouble: why the store cannot be used at the moment; empty if it can.
    """

    def __init__(self, url: str, spool: Path, *, patience: float = opening.PATIENCE):
        self._engine, self._url = opening.connect(url, patience=patience), url
        self._spool = Spool(spool)
        self._wanted, self._moved = threading.Event(), threading.Condition()
        self._begun, self._done = 0, 0  # moves; what was recorded before one began is in the store once it is done
        self._stop, self._migrated = False, False
        self.trouble = ""
        self._mover = threading.Thread(target=self._move, name="transaction log", daemon=True)
        self._mover.start()

    def record(self, *said: Record) -> None:
        """Returns when nothing of it can be lost any more by the end of this process.

        Raises:
          ResumableError: if neither the disk nor the store can take it.
        """
        try:
            self._spool.append(list(said))
        except OSError as error:
            try:
                with self._engine.begin() as connection:
                    records.add(connection, said)
            except sa.exc.SQLAlchemyError:
                raise from_os_error(error) from error

    def client_of(self, request_id: str, position: int, *, patience: float) -> str | None:
        """Who asked; None if there is no such transaction.

        Args:
          patience: seconds to wait for a record that is not in the store yet.

        Raises:
          ResumableError: while the store cannot tell.
        """
        for seconds in (0.0, patience):
            whole = self.wait_until_stored(seconds)
            try:
                with opening.reading(self._engine).connect() as connection:
                    found = records.client_of(connection, request_id, position)
                if found is not None or whole:
                    return found
                behind = ResumableError("the transaction log is behind", mend="ask later")
            except sa.exc.SQLAlchemyError as error:
                behind = opening.unreachable(error, self._url)
        raise behind

    def bytes_waiting(self) -> int:
        """Of records that the store does not have yet."""
        return self._spool.bytes_waiting()

    def wait_until_stored(self, seconds: float) -> bool:
        """Whether the store has its tables by then, and all that was recorded before this call."""
        with self._moved:
            move = self._begun + 1
            if not self.trouble:  # a store that is down is not asked more often because somebody waits
                self._wanted.set()
            return self._moved.wait_for(lambda: self._done >= move or self._has_all(), seconds)

    def prune(self, before: int) -> records.Deleted:
        """As `records.prune`.

        Raises:
          ResumableError: while the store cannot be used.
        """
        return self._change(lambda connection: records.prune(connection, before))

    def close(self, seconds: float = 5.0) -> None:
        """Gives the store so long to take what waits; the rest stays on disk for the next process."""
        if self.bytes_waiting():
            self.wait_until_stored(seconds)
        self._stop = True
        self._wanted.set()
        self._mover.join()
        self._spool.close()
        self._engine.dispose()

    def _change(self, change: Callable[[sa.Connection], records.Deleted]) -> records.Deleted:
        try:
            with self._engine.begin() as connection:
                return change(connection)
        except sa.exc.SQLAlchemyError as error:
            raise opening.unreachable(error, self._url) from error

    def _has_all(self) -> bool:
        return self._migrated and not self.bytes_waiting()

    def _move(self) -> None:
        pause, following = 0.0, FIRST_TRY
        while True:
            self._wanted.wait(pause)
            self._wanted.clear()  # before the looks at what it stands for: none is missed
            if self._stop:
                return
            with self._moved:
                self._begun += 1
            try:
                self._move_all()
                pause, following = PAUSE, FIRST_TRY
                self.trouble, self._done = "", self._begun
            except (*THE_STORES, ResumableError, OSError) as error:
                self._tell(error)
                pause, following = following, min(2 * following, LAST_TRY)
            with self._moved:
                self._moved.notify_all()

    def _move_all(self) -> None:
        if not self._migrated:
            opening.migrate(self._engine)
            self._migrated = True
        for piece in self._spool.pieces(PIECE):
            try:
                with self._engine.begin() as connection:
                    records.add(connection, piece.records)
            except THE_STORES:
                raise
            except ITS_OWN_FAULT:
                self._one_by_one(piece.records)
            self._spool.done(piece)
            if self._stop:
                return

    def _one_by_one(self, piece: list[Record]) -> None:
        for record in piece:
            try:
                with self._engine.begin() as connection:
                    records.add(connection, [record])
            except THE_STORES:
                raise
            except ITS_OWN_FAULT as error:
                self._spool.refuse(record, str(getattr(error, "orig", None) or error))
                print(f"serve: the store refuses a record, which is put aside: {error}", file=sys.stderr)

    def _tell(self, error: Exception) -> None:
        said = opening.unreachable(error, self._url) if isinstance(error, sa.exc.SQLAlchemyError) else error
        if not self.trouble:
            print(f"serve: records wait on disk\n{said}", file=sys.stderr)
        self.trouble = str(said.what if isinstance(said, ResumableError) else said)
        self._spool.sync()
