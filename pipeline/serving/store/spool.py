"""The spool: records on this machine's disk, from before the answer until the store has them.

A folder of segments, `NUMBER.jsonl`, one record per line. Each process appends to segments of its own, which it holds
by `NUMBER.lock`; what a killed one has left is taken over by whoever finds its lock free. Segments are read in the
order of their numbers. Records that no store will ever take are set aside in `refused.jsonl`, each with the reason.
"""

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.files import atomic

ROLL = 4_000_000  # bytes of a segment after which the next one is begun
MANY = 32  # segments
TAKE_OVER_EVERY = 5.0  # seconds between two looks at what others have left: a look costs as much as moving 50 records
FOLDER_LOCK, REFUSED = "folder.lock", "refused.jsonl"
NO_RECORD = "not a record"
DEEPEST = 20  # lists and objects in each other; a record has three
PROBE = 65_536  # bytes that a disk with room takes


@dataclass(frozen=True)
class Record:
    """A row of the table that is named so in the schema."""

    table: str
    row: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """A record that no store takes, or a line that is none: `table` is empty and `row` has the `line` then."""

    record: Record
    reason: str


@dataclass
class Piece:
    """Records that follow each other in a segment; they end at byte `end`. `refused`: the lines that are none."""

    segment: Path
    records: list[Record]
    end: int
    refused: list[Refused] = field(default_factory=list)


class Spool:
    """Appends records, and hands them out for the store.

    Args:
      folder: of this machine; several processes may share it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._append, self._locks = threading.RLock(), dict[Path, FileLock]()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder_lock = FileLock(folder / FOLDER_LOCK)
        self._read: dict[Path, int] = {}  # bytes of each segment that the store has
        self._counted: tuple[tuple[int, int], int] = ((0, 0), 0)  # `refused.jsonl` as it was, and its records
        self._current = self._begin()
        self._file = os.open(self._current, os.O_RDWR | os.O_APPEND)
        self._size = 0
        self._take_over()

    def append(self, records: list[Record]) -> None:
        """Writes all records, or none: when this returns, the end of the process loses nothing of them.

        Raises:
          OSError: for example if the disk is full.
        """
        lines = [json.dumps([record.table, record.row], separators=(",", ":")) + "\n" for record in records]
        data = "".join(lines).encode()
        with self._append:
            self._move_from_deleted()
            # Each segment costs an open file: while the store is down for long, they become longer and not too many.
            if self._size > ROLL * (1 + len(self._locks) // MANY):
                with suppress(OSError):  # a longer segment is better than none
                    self._roll()
            self._write(data)

    def pieces(self, most: int) -> Iterator[Piece]:
        """Yields what the store does not have yet, the oldest first, at most so many records at once.

        Whoever has stored a piece says so by `done`; the next iteration begins behind it.

        Raises:
          OSError: at the end, if a segment cannot be read; the others are read all the same.
        """
        self._move_from_deleted()
        if time.monotonic() - self._looked >= TAKE_OVER_EVERY:
            self._take_over()
        unreadable: OSError | None = None
        for segment in sorted(self._locks.copy()):
            finished = segment != self._current  # asked before: what is appended meanwhile would be dropped unread
            try:
                while piece := self._next(segment, most):
                    yield piece
                if finished:
                    self._drop(segment)
            except OSError as error:
                unreadable = error
        if unreadable is not None:
            raise unreadable

    def done(self, piece: Piece, refused: list[Refused] | None = None) -> None:
        """Says that the store has the records of a piece, but those that it will never take, which are set aside."""
        aside = [*piece.refused, *(refused or [])]
        if aside:
            with self._alone():
                _append_durably(self._folder / REFUSED, [_aside(one) for one in aside])
        self._read[piece.segment] = piece.end

    def count_refused(self) -> int:
        """How many records are set aside; the file is read only when it has changed."""
        try:
            status = (self._folder / REFUSED).stat()
        except FileNotFoundError:
            return 0
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._counted[0]:
            self._counted = stamp, len(refused(self._folder))
        return self._counted[1]

    def rewind(self) -> None:
        """Hands out again all that is still on disk: the store that had it is another one now."""
        self._read.clear()

    def replay(self, fault: Callable[[Record], str]) -> tuple[int, list[Refused]]:
        """Puts what is set aside into the queue again.

        Args:
          fault: why no store can take a record; empty if one can.

        Returns:
          How many records wait again, and what stays aside.
        """
        again, stay = list[Record](), list[Refused]()
        with self._append, self._alone():
            for one in refused(self._folder):
                record = _parsed(one.record.row["line"]) if _is_line(one) else one.record
                reason = NO_RECORD if record is None else fault(record)
                if record is None or reason:
                    stay.append(Refused(one.record, reason))
                else:
                    again.append(record)
            if again:
                self.append(again)
                self.sync()
                with atomic(self._folder / REFUSED) as temporary:
                    temporary.write_bytes(b"".join(map(_aside, stay)))
        return len(again), stay

    def bytes_waiting(self) -> int:
        """How much the store does not have yet, of this process's segments, also where somebody has deleted them."""
        with self._append:
            sizes = {segment: _size(segment) for segment in self._locks} | {self._current: self._size}
        return sum(max(0, size - self._read.get(segment, 0)) for segment, size in sizes.items())

    def has_room(self) -> bool:
        """Whether the disk takes records, as far as a file beside them can tell."""
        probe = self._folder / f"probe.{os.getpid()}"
        try:
            probe.write_bytes(bytes(PROBE))
            return True
        except OSError:
            return False
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)

    def sync(self) -> None:
        """Has the disk keep what was appended, also through a power cut."""
        os.fsync(self._file)

    def close(self) -> None:
        """What is not stored yet stays for the next process."""
        with self._append:
            with suppress(OSError):
                self._move_from_deleted()
            os.close(self._file)
            for segment in list(self._locks):
                if self._read.get(segment, 0) >= _size(segment):
                    self._drop(segment)
                else:
                    self._locks.pop(segment).release()

    def _write(self, data: bytes) -> None:
        try:
            if os.write(self._file, data) < len(data):
                raise OSError("the disk is full")
        except OSError:
            os.ftruncate(self._file, self._size)  # half a record would spoil the next one
            raise
        self._size += len(data)

    def _alone(self) -> FileLock:
        """The lock of the folder, which is made again if somebody has deleted it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder_lock

    def _begin(self) -> Path:
        """Claims the next number."""
        with self._alone():
            paths = [path for path in self._folder.glob("*.jsonl") if path.stem.isdigit()]
            last = max((int(path.stem) for path in [*paths, *self._locks]), default=0)
            for number in itertools.count(last + 1):
                segment = self._folder / f"{number:012d}.jsonl"
                if self._hold(segment):
                    break
            try:
                segment.touch()
            except OSError:
                self._drop(segment)
                raise
        return segment

    def _roll(self, data: bytes = b"") -> None:
        following = self._begin()
        file = os.open(following, os.O_RDWR | os.O_APPEND)
        try:
            if os.write(file, data) < len(data):
                raise OSError("the disk is full")
        except OSError:
            os.close(file)
            self._drop(following)
            raise
        os.close(self._file)
        self._current, self._size, self._file = following, len(data), file

    def _move_from_deleted(self) -> None:
        """Where somebody has deleted the segment that is appended to, its records go on in a new one."""
        with self._append:
            if os.fstat(self._file).st_nlink:
                return
            deleted, start = self._current, self._read.get(self._current, 0)
            self._roll(os.pread(self._file, self._size - start, start))
            self._drop(deleted)

    def _hold(self, segment: Path) -> bool:
        lock = FileLock(segment.with_suffix(".lock"), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        self._locks[segment] = lock
        return True

    def _take_over(self) -> None:
        self._looked = time.monotonic()
        with self._alone():
            for segment in sorted(self._folder.glob("*.jsonl")):
                if segment.stem.isdigit() and segment not in self._locks:
                    self._hold(segment)

    def _drop(self, segment: Path) -> None:
        with self._alone():  # nobody takes over what is about to go
            segment.unlink(missing_ok=True)
            self._read.pop(segment, None)
            lock = self._locks.pop(segment, None)
            if lock is not None:
                Path(lock.lock_file).unlink(missing_ok=True)
                lock.release()

    def _next(self, segment: Path, most: int) -> Piece | None:
        start = self._read.get(segment, 0)
        piece = Piece(segment, [], start)
        try:
            file = segment.open("rb")
        except FileNotFoundError:  # deleted by somebody
            return None
        with file:
            file.seek(start)
            for line in file:
                if len(piece.records) == most or not line.endswith(
                    b"\n"
                ):  # cut short by the end of a process that answered not
                    break
                piece.end += len(line)
                text = line.decode(errors="surrogateescape")
                record = _parsed(text)
                if record is not None:
                    piece.records.append(record)
                else:
                    piece.refused.append(Refused(Record("", {"line": text}), NO_RECORD))
        return piece if piece.end > start else None


def refused(folder: Path) -> list[Refused]:
    """What is set aside in a spool, each record once."""
    try:
        lines = (folder / REFUSED).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [_from_aside(line) for line in dict.fromkeys(lines) if line.strip()]


def _parsed(line: str) -> Record | None:
    try:
        table, row = json.loads(line)
        record = Record(str(table), dict(row))
    except (ValueError, TypeError, RecursionError):
        return None
    deep = line.count("[") + line.count("{") > DEEPEST and _is_deep(record.row)
    return None if deep else record


def _is_deep(value: Any) -> bool:
    """Whether it is nested so deep that writing it again may fail although reading it did not."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def _is_line(one: Refused) -> bool:
    return not one.record.table and "line" in one.record.row


def _aside(one: Refused) -> bytes:
    return json.dumps([one.record.table, one.record.row, one.reason]).encode() + b"\n"


def _from_aside(line: bytes) -> Refused:
    """A line that somebody has edited by hand, or that a later record has spoilt, is kept as it is."""
    try:
        table, row, reason = json.loads(line)
        return Refused(Record(str(table), dict(row)), str(reason))
    except (ValueError, TypeError, RecursionError):
        return Refused(Record("", {"line": line.decode(errors="surrogateescape")}), NO_RECORD)


def _append_durably(path: Path, lines: list[bytes]) -> None:
    """Appends all lines or none."""
    with path.open("ab") as file:
        end = file.tell()
        try:
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), end)
            raise


def _size(segment: Path) -> int:
    try:
        return segment.stat().st_size
    except FileNotFoundError:
        return 0
