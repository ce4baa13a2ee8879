"""The transaction log: what is recorded is on this machine's disk before anybody is answered, and soon in the store.

A thread moves records from the spool into the store, many at once, which costs the requests least; at once where
somebody waits for a record. While the store is down, locked, full or damaged it tries again, less and less often;
requests are answered all the while. Only what no store could ever take is set aside, and can be replayed.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Condition

import sqlalchemy as sa

from pipeline.errors import ResumableError, WallabyError, from_os_error
from pipeline.serving.health import Health, Worker, complain
from pipeline.serving.store import opening, records
from pipeline.serving.store.opening import DamagedError, Identity, UnreachableError
from pipeline.serving.store.spool import Record, Refused, Spool

PIECE = 500  # records stored at once
PAUSE = 1.0  # seconds between two looks at the spool
FIRST_TRY, LAST_TRY = 0.2, 10.0  # seconds until the next try, at first and at last, while the store is down
OF_THE_RECORD = (sa.exc.DataError, sa.exc.IntegrityError)
NO_FILE = Identity(0, 0)  # of a store that is not a file

STORE, SPOOL, ASIDE = "store", "spool", "records set aside"  # the problems' names
WAITS = "the transaction log waits for its store"
DAMAGED = "the store of the transaction log is damaged, and records wait on disk: see docs/serving.md"
FOLLOWS = "records wait on disk, and follow by themselves once the store can be used again"
NOT_MOVED = "records wait on disk, because they cannot be brought to the store"
NO_DISK = "the disk takes no records: they go to the store at once"
NOTHING = "no request is answered: neither the disk nor the store takes a record"


class Log:
    """Records what clients asked and what the model answered.

    Args:
      url: of the store; see `opening.connect`.
      spool: a folder of this machine.
      patience: seconds to wait for a lock or for a server.
      health: where problems are reported.

    Attributes:
      trouble: why the store cannot be used at the moment; empty if it can.
    """

    def __init__(self, url: str, spool: Path, *, patience: float = opening.PATIENCE, health: Health | None = None):
        self._engine, self._url = opening.connect(url, patience=patience), url
        self._file = opening.file_of(url)
        self._health = health or Health()
        self._spool = Spool(spool)
        self._moved = Condition()
        self._begun, self._done = 0, 0  # moves; what was recorded before one began is in the store once it is done
        self._opened: Identity | None = None  # the store, as long as it can be used
        self._no_room, self._following = False, FIRST_TRY
        self.trouble = ""
        self._mover = Worker("transaction log", self._move, problem=NOT_MOVED, health=self._health)
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
                self._add(said)
            except (sa.exc.SQLAlchemyError, ResumableError):
                self._report_disk(NOTHING, error)
                raise from_os_error(error) from error
            self._report_disk(NO_DISK, error)
        else:
            if self._no_room:
                self._withdraw_disk()

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
                self._mover.wake()
            return self._moved.wait_for(lambda: self._done >= move or self._has_all(), seconds)

    def replay(self) -> tuple[int, list[Refused]]:
        """Puts the records that are set aside into the queue again.

        Returns:
          How many wait again, and those that no store can take, which stay aside.
        """
        return self._spool.replay(records.fault)

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
        self._mover.stop()
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
        return self._opened is not None and not self.bytes_waiting()

    def _move(self) -> float:
        with self._moved:
            self._begun += 1
        try:
            self._move_all()
            if self._no_room and self._spool.has_room():
                self._withdraw_disk()
            pause, self._following = PAUSE, FIRST_TRY
            self.trouble, self._done = "", self._begun
            self._health.withdraw(STORE)
        except (sa.exc.SQLAlchemyError, WallabyError, OSError) as error:
            self._report(error)
            pause, self._following = self._following, min(2 * self._following, LAST_TRY)
        except BaseException as error:
            self.trouble = type(error).__name__
            raise
        finally:
            self._count_aside()
            with self._moved:
                self._moved.notify_all()
        return pause

    def _move_all(self) -> None:
        self._open()
        for piece in self._spool.pieces(PIECE):
            good, refused = list[Record](), list[Refused]()
            for record in piece.records:
                reason = records.fault(record)
                if reason:
                    refused.append(Refused(record, reason))
                else:
                    good.append(record)
            refused += self._store(good)
            self._spool.done(piece, refused)
            if refused or piece.refused:
                reasons = sorted({one.reason for one in [*piece.refused, *refused]})
                complain(f"serve: records that no store can take are set aside: {'; '.join(reasons)}")
            if self._mover.closed:
                return

    def _store(self, good: list[Record]) -> list[Refused]:
        """Stores records, and returns those that the database takes none of although it takes others."""
        try:
            if good:
                self._add(good)
            return []
        except Exception as error:
            if not _may_be_of_a_record(error):
                raise
        refused, failure = list[Refused](), Exception()
        for record in good:
            try:
                self._add([record])
            except Exception as error:
                if not _may_be_of_a_record(error):
                    raise
                failure = error
                refused.append(Refused(record, str(getattr(error, "orig", None) or f"{type(error).__name__}: {error}")))
        if len(refused) == len(good):  # more likely the tables are not ours: nothing that waits is given up for that
            raise failure
        return refused

    def _add(self, said: list[Record] | tuple[Record, ...]) -> None:
        """Adds records to the store, which is the one that was opened, before and after."""
        with self._engine.begin() as connection:
            records.add(connection, said)
        if self._opened is None or self._identity() != self._opened:
            raise ResumableError("another file has taken the store's place", mend="it is opened again")

    def _identity(self) -> Identity:
        return NO_FILE if self._file is None else opening.identity(self._file)

    def _open(self) -> None:
        """Opens the store, if that was not done or it is another file by now; what is damaged is not written to."""
        if self._opened is not None and self._file is not None and not self._file.exists():
            self._shut()
        if self._opened is not None and self._identity() != self._opened:
            self._shut()
        if self._opened is None:
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            opening.migrate(self._engine)
            if self._file is not None:
                opening.refuse_damaged(self._engine)
            self._opened = self._identity()

    def _shut(self) -> None:
        """Its connections know pages that may not be on the disk any more, and what it had may be lost."""
        self._opened = None
        self._engine.dispose()
        self._spool.rewind()

    def _report(self, error: Exception) -> None:
        known = opening.unreachable(error, self._url) if isinstance(error, sa.exc.SQLAlchemyError) else error
        details: object = known
        if isinstance(known, UnreachableError):  # no error: nothing is lost
            details = f"   why: {known.reason}\n    in: {known.where}\n  hint: {FOLLOWS}"
        if isinstance(known, WallabyError):
            self.trouble = known.what
            problem = DAMAGED if isinstance(known, DamagedError) else WAITS
            if not isinstance(known, ResumableError):
                problem = f"{WAITS}: {known.what}"
        else:
            self.trouble, problem = str(known), NOT_MOVED
        self._health.report(STORE, problem, details=details)
        if isinstance(known, DamagedError):
            self._shut()
        try:
            self._spool.sync()
        except OSError as unwritten:
            complain(f"serve: records that wait would not outlive a power cut: {unwritten}")

    def _count_aside(self) -> None:
        try:
            number = self._spool.count_refused()
        except OSError as error:
            self._health.report(ASIDE, "the records that are set aside cannot be read", details=error)
            return
        if number:
            what = "1 record is" if number == 1 else f"{number} records are"
            self._health.report(ASIDE, f"{what} set aside: `wallaby serve --replay` tries again")
        else:
            self._health.withdraw(ASIDE)

    def _report_disk(self, problem: str, error: OSError) -> None:
        self._no_room = True
        self._health.report(SPOOL, problem, details=error)

    def _withdraw_disk(self) -> None:
        self._no_room = False
        self._health.withdraw(SPOOL)


def _may_be_of_a_record(error: Exception) -> bool:
    """Whether the database refuses a value, or its driver stumbles over one; else the fault is the store's."""
    if isinstance(error, sa.exc.DBAPIError):
        return isinstance(error, OF_THE_RECORD)
    return not isinstance(error, WallabyError | OSError | MemoryError)
