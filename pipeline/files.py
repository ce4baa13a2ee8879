"""Files of the project: written whole or not at all, tables with a schema version.

Nothing here is ever written in place: DVC may have linked a file into its cache, and a process may be killed at any
moment. A temporary file in the same folder is flushed to disk, then renamed over the old one.
"""

import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError, ResumableError, from_os_error
from pipeline.progress import track

SCHEMA_VERSION = "1"
VERSION_KEY = b"wallaby_schema"
UNFINISHED = re.compile(r"\..+\.(?P<host>[\w-]+)-(?P<process>\d+)\.tmp")  # what `_unfinished` calls a file
_tidied: set[Path] = set()  # folders in which this process has looked for what killed ones left


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, renamed over it on success and removed on failure.

    Raises:
      ResumableError: if the disk is full or the folder may not be written.
    """
    temporary = _unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise from_os_error(error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path` that takes its place, as a whole, on success."""
    temporary = _unfinished(path)
    old = path.with_name(f".{path.name}.old")  # without the process's number: the next one finds what a killed one left
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise from_os_error(error) from error
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    """A name for `path` while it is written; what killed processes left in its folder under such names is removed."""
    folder = path.parent.absolute()
    if folder not in _tidied and folder.is_dir():
        _tidied.add(folder)  # once per process: a folder may hold very many files
        with suppress(OSError):
            for entry in folder.iterdir():
                left = UNFINISHED.fullmatch(entry.name)
                if left and left["host"] == _host() and not is_running(int(left["process"])):
                    shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{_host()}-{os.getpid()}.tmp")


def _host() -> str:
    return re.sub(r"[^\w-]", "-", platform.node())


def is_running(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


@contextmanager
def alone(lock: Path, what: str) -> Iterator[None]:
    """Holds `lock`: of processes that would spoil each other's work, one runs.

    Args:
      what: what runs, "training" say.

    Raises:
      ResumableError: if another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    taken = filelock.FileLock(lock)
    try:
        taken.acquire(timeout=0)
    except filelock.Timeout:
        raise ResumableError(
            f"another {what} runs in this workspace", where=lock, mend="wait for it, or stop it"
        ) from None
    try:
        yield
    finally:
        taken.release()


@contextmanager
def in_turn(lock: Path, what: str, *, seconds: float = 60) -> Iterator[None]:
    """Holds `lock` once other processes have given it back: for short changes of a table that several commands write.

    Args:
      what: the table, for the message.
      seconds: how long to wait.

    Raises:
      ResumableError: if another process still holds it after that.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(lock, timeout=seconds):
            yield
    except filelock.Timeout:
        raise ResumableError(
            f"another command is writing {what}", where=lock, mend="wait for it, or stop it, and try again"
        ) from None


def write_text(text: str, path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(value: Any, path: Path) -> None:
    """Writes sorted, indented JSON, so that git diffs of it read like a report."""
    write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", path)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("a file is missing", where=path, mend="run `dvc repro`, or `dvc checkout`") from None
    except RecursionError:
        raise DataError("not readable as JSON: nested too deep", where=path, mend="run `dvc checkout`") from None
    except ValueError as error:
        raise DataError(f"not readable as JSON: {error}", where=path, mend="run `dvc checkout`") from None


def plain(values: Any) -> Any:
    """Values as JSON holds them, and gives them back; what it has no form for becomes text."""
    return json.loads(json.dumps(values, default=str))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def write_table(frame: pd.DataFrame | pa.Table, path: Path, **metadata: str) -> None:
    """Writes a Parquet table with its schema version; equal rows give equal bytes."""
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
    extra = {key.encode(): value.encode() for key, value in metadata.items()}
    table = table.replace_schema_metadata({VERSION_KEY: SCHEMA_VERSION.encode(), **extra})
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_pieces(
    pieces: Iterable[pa.Table], schema: pa.Schema, path: Path, *, row_group_size: int | None = None, **metadata: str
) -> int:
    """As `write_table`, of pieces of which one is in memory at a time; returns how many rows they have.

    Args:
      row_group_size: rows that a reader gets at once, at most; by default all of a piece.
    """
    extra = {key.encode(): value.encode() for key, value in metadata.items()}
    schema = schema.with_metadata({VERSION_KEY: SCHEMA_VERSION.encode(), **extra})
    rows = 0
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for piece in pieces:
            writer.write_table(piece.cast(schema), row_group_size=row_group_size)
            rows += len(piece)
    return rows


def read_table(path: Path, columns: list[str] | None = None, *, optional: Sequence[str] = ()) -> pd.DataFrame:
    """Reads a table that `write_table` wrote.

    Args:
      columns: those to read; without, all.
      optional: more of them, which tables of earlier versions lack.

    Raises:
      DataError: if it is missing, cut short, or of another schema version.
    """
    if columns and optional and path.exists():
        there = set(pq.read_schema(path).names)
        columns = [*columns, *(name for name in optional if name in there)]
    return read_arrow(path, columns).to_pandas()


def read_arrow(path: Path, columns: list[str] | None = None) -> pa.Table:
    """As `read_table`, but as Arrow has it: where a frame of lists would cost too much."""
    try:
        table = pq.read_table(path, columns=columns)
    except FileNotFoundError:
        raise DataError("a table is missing", where=path, mend="run `dvc repro`, or `dvc checkout`") from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = _missing(path, columns) or f"not a readable table: {str(error).partition(chr(10))[0]}"
        raise DataError(reason, where=path, mend="delete it and run `dvc repro`") from None
    version = (table.schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if version != SCHEMA_VERSION:
        raise DataError(
            f"schema version {version}, this program reads {SCHEMA_VERSION}", where=path, mend="run `dvc repro --force`"
        )
    return table


def _missing(path: Path, columns: list[str] | None) -> str:
    """Which of the columns a table lacks; empty if none, or if it is no table."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError):
        return ""
    lacking = [name for name in columns or [] if name not in names]
    return f"the table lacks the column {', '.join(lacking)}" if lacking else ""


def digests(paths: list[Path]) -> list[str]:
    """SHA-256 of each file's bytes, read by as many threads as there are processors; "" for one that cannot be read."""

    def of(path: Path) -> str:
        try:
            return digest(path)
        except OSError:
            return ""

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return list(track("hash", workers.map(of, paths), len(paths)))


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
