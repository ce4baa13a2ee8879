"""The spool: records on this machine's disk, from before the answer until the store has them.

A folder of segments, `NUMBER.jsonl`, a record a line. Each process appends to segments of its own, which it holds by
`NUMBER.lock`; what a killed one has left is taken over by whoever finds its lock free. Segments are read in the order
of their numbers. Records that no store will ever take are put aside in `refused.jsonl`.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

ROLL = 4_000_000  # bytes of a segment after which the next one is begun
TAKE_OVER_EVERY = 5.0  # seconds between two looks at what others have left: a look costs as much as moving 50 records
FOLDER_LOCK, REFUSED = "folder.lock", "refused.jsonl"


@dataclass(frozen=True)
class Record:
    """A row of the table that is named so in the schema."""

    table: str
    row: dict[str, Any]


@dataclass
class Piece:
    """Records that follow each other in a segment; they end at byte `end`."""

    segment: Path
    records: list[Record]
    end: int


class Spool:
    """Appends records, and hands them out for the store. Args:
    folder: of this machine; several processes may share it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._append, self._locks = threading.Lock(), dict[Path, FileLock]()
        self._folder_lock = FileLock(folder / FOLDER_LOCK)
        self._read: dict[Path, int] = {}  # bytes of each segment that the store has
        self._current = self._begin()
        self._file = os.open(self._current, os.O_WRONLY | os.O_APPEND)
        self._size = 0
        self._take_over()

    def append(self, records: list[Record]) -> None:
        """Writes all records, or none: when this returns, the end of the process loses nothing of them.

        Raises:
          OSError: if the disk is full, say.
        """
        lines = [json.dumps([record.table, record.row], separators=(",", ":")) + "\n" for record in records]
        data = "".join(lines).encode()
        with self._append:
            if self._size > ROLL:
                self._roll()
            try:
                if os.write(self._file, data) < len(data):
                    raise OSError("the disk is full")
            except OSError:
                os.ftruncate(self._file, self._size)  # half a record would spoil the next one
                raise
            self._size += len(data)

    def pieces(self, most: int) -> Iterator[Piece]:
        """Yields what the store does not have yet, the oldest first, at most so many records at once.

        Whoever has stored a piece says so by `done`; the next iteration begins behind it.
        """
        if time.monotonic() - self._looked >= TAKE_OVER_EVERY:
            self._take_over()
        for segment in sorted(self._locks.copy()):
            finished = segment != self._current  # asked before: what is appended meanwhile would be dropped unread
            while piece := self._next(segment, most):
                yield piece
            if finished:
                self._drop(segment)

    def done(self, piece: Piece) -> None:
        self._read[piece.segment] = piece.end

    def refuse(self, record: Record, reason: str) -> None:
        """Puts a record aside that the store will never take: nothing is lost, and what follows need not wait."""
        with (self._folder / REFUSED).open("a", encoding="utf-8") as file:
            file.write(json.dumps([record.table, record.row, reason]) + "\n")

    def bytes_waiting(self) -> int:
        """How much the store does not have yet, of this process's segments."""
        return sum(_size(segment) - self._read.get(segment, 0) for segment in list(self._locks))

    def sync(self) -> None:
        """Has the disk keep what was appended, also through a power cut."""
        os.fsync(self._file)

    def close(self) -> None:
        """What is not stored yet stays for the next process."""
        with self._append:
            os.close(self._file)
            for segment in list(self._locks):
                if self._read.get(segment, 0) >= _size(segment):
                    self._drop(segment)
                else:
                    self._locks.pop(segment).release()

    def _begin(self) -> Path:
        """Claims the next number."""
        with self._folder_lock:
            numbers = [int(path.stem) for path in self._folder.glob("*.jsonl") if path.stem.isdigit()]
            segment = self._folder / f"{max(numbers, default=0) + 1:012d}.jsonl"
            self._hold(segment)
            segment.touch()
        return segment

    def _roll(self) -> None:
        following = self._begin()
        os.close(self._file)
        self._current, self._size = following, 0
        self._file = os.open(following, os.O_WRONLY | os.O_APPEND)

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
        with self._folder_lock:
            for segment in sorted(self._folder.glob("*.jsonl")):
                if segment.stem.isdigit() and segment not in self._locks:
                    self._hold(segment)

    def _drop(self, segment: Path) -> None:
        with self._folder_lock:  # nobody takes over what is about to go
            segment.unlink(missing_ok=True)
            self._read.pop(segment, None)
            lock = self._locks.pop(segment)
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def _next(self, segment: Path, most: int) -> Piece | None:
        records, start = list[Record](), self._read.get(segment, 0)
        end = start
        with segment.open("rb") as file:
            file.seek(start)
            for line in file:
                if len(records) == most or not line.endswith(
                    b"\n"
                ):  # cut short by the end of a process that answered not
                    break
                end += len(line)
                record = self._parsed(line)
                if record is not None:
                    records.append(record)
        return Piece(segment, records, end) if end > start else None

    def _parsed(self, line: bytes) -> Record | None:
        try:
            table, row = json.loads(line)
            return Record(table, dict(row))
        except (ValueError, TypeError):
            self.refuse(Record("", {"line": line.decode(errors="replace")}), "not a record")
            return None


def _size(segment: Path) -> int:
    try:
        return segment.stat().st_size
    except FileNotFoundError:
        return 0
