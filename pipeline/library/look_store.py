"""The looks of many contents, in one Parquet file sorted by content, of which a reader takes only what it needs."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import files
from pipeline.library.looks import SIDE

ROWS = 4096  # of a row group
PIXELS = SIDE * SIDE
SCHEMA = pa.schema([("sha256", pa.string()), ("look", pa.binary(PIXELS))])
READ = 4096  # images read before their looks are put away


class Looks(Protocol):
    """Gives the looks of contents."""

    def of(self, contents: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns which of the contents have a look, bool (N,), and the looks, uint8 (N, SIDE, SIDE)."""


class Stored:
    """The looks in a file; none if there is no file, or one of another version."""

    def __init__(self, path: Path):
        self._path = path

    def of(self, contents: list[str]) -> tuple[np.ndarray, np.ndarray]:
        wanted = pa.array(contents, pa.string())
        known, looks = np.zeros(len(contents), bool), np.zeros((len(contents), SIDE, SIDE), np.uint8)
        for group in _groups(self._path):
            places = pc.index_in(wanted, value_set=group["sha256"].combine_chunks())
            here = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
            if len(here):
                known[here] = True
                rows = places.drop_null().to_numpy()
                looks[here] = pixels(group["look"].combine_chunks())[rows]
        return known, looks


class Known:
    """Looks in memory."""

    def __init__(self, looks: dict[str, np.ndarray]):
        self._looks = looks

    def of(self, contents: list[str]) -> tuple[np.ndarray, np.ndarray]:
        nothing = np.zeros((SIDE, SIDE), np.uint8)
        looks = np.array([self._looks.get(content, nothing) for content in contents], np.uint8)
        return np.array([content in self._looks for content in contents], bool), looks.reshape(-1, SIDE, SIDE)


class Completed:
    """Looks of a store, and of images that it lacks: these are read once they are asked for.

    Args:
      images: an image of each content, by content.
      read: gives an image's content and look, as `index.look_of`.
    """

    def __init__(self, stored: Looks, images: pd.Series, read: Callable[[str], tuple[str, bytes]]):
        self._stored, self._images, self._read = stored, images, read
        self._seen: dict[str, bytes] = {}

    def of(self, contents: list[str]) -> tuple[np.ndarray, np.ndarray]:
        known, looks = self._stored.of(contents)
        lacking = [content for content in np.asarray(contents, object)[~known] if content in self._images.index]
        unread = sorted(set(lacking) - self._seen.keys())
        with ThreadPoolExecutor(os.cpu_count()) as workers:
            for content, (now, look) in zip(unread, workers.map(self._read, self._images[unread]), strict=True):
                self._seen[content] = look if now == content else b""
        for place, content in enumerate(contents):
            if not known[place] and (seen := self._seen.get(content)):
                known[place], looks[place] = True, np.frombuffer(seen, np.uint8).reshape(SIDE, SIDE)
        return known, looks


def contents(path: Path) -> pa.ChunkedArray:
    """The contents whose looks the file holds, sorted."""
    if not _readable(path):
        return pa.chunked_array([[]], pa.string())
    return pq.read_table(path, columns=["sha256"])["sha256"]


def write(tables: Iterable[pa.Table], path: Path, *, version: str) -> None:
    """Writes tables that follow each other in the order of their contents; equal rows give equal bytes."""
    files.write_pieces(tables, SCHEMA, path, row_group_size=ROWS, looks=version)


def merged(sources: list[Path], wanted: pa.Array) -> Iterator[pa.Table]:
    """Yields the rows of the wanted contents (sorted, each once), sorted, in parts; the first source that has it."""
    for digit in "0123456789abcdef":
        here = wanted.filter(pc.starts_with(wanted, digit))
        parts = []
        for source in sources:
            for group in _groups(source, digit):
                parts.append(group.filter(pc.is_in(group["sha256"], value_set=here)))
                here = here.filter(pc.invert(pc.is_in(here, value_set=group["sha256"].combine_chunks())))
        if parts:
            yield pa.concat_tables(parts).sort_by("sha256")


class Spool:
    """Looks of one scan, in sorted files of a folder, until they are merged."""

    def __init__(self, folder: Path, wanted: Callable[[pd.Series], pd.Series]):
        self._folder, self._wanted = folder, wanted
        self.files: list[Path] = []

    def add(self, images: pd.Series, contents: pd.Series, looks: pd.Series) -> None:
        """Keeps the looks of the wanted images that have one."""
        kept = self._wanted(images) & (looks != b"")
        self.put(dict(zip(contents[kept], looks[kept], strict=True)))

    def put(self, looks: dict[str, bytes]) -> None:
        if looks:
            self.files.append(self._folder / f"{len(self.files)}.parquet")
            write([table(looks)], self.files[-1], version="")


@contextmanager
def spool(wanted: Callable[[pd.Series], pd.Series]) -> Iterator[Spool]:
    """A spool for the images that `wanted` says are so, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Spool(Path(folder), wanted)


def update(
    path: Path,
    wanted: pd.Series,
    spooled: Spool,
    read: Callable[[str], tuple[str, bytes]],
    *,
    version: str,
) -> None:
    """Makes `path` hold the looks of the wanted contents, and no others.

    What neither the file nor the spool has is read from its image: the label table has taken it out of the pool.

    Args:
      wanted: an image of each content, by content.
      read: gives an image's content and look.
      version: with which looks are made; a file of another version counts for nothing.
    """
    old = [path] if written_with(path) == version else []
    names = pa.array(sorted(wanted.index), pa.string())
    if old and not spooled.files and contents(path).combine_chunks().equals(names):
        return
    known = [contents(source).combine_chunks() for source in [*old, *spooled.files]]
    missing = names.filter(pc.invert(pc.is_in(names, value_set=pa.concat_arrays(known)))) if known else names
    absent = missing.to_pylist()
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for start in range(0, len(absent), READ):
            some = absent[start : start + READ]
            found = zip(some, workers.map(read, wanted[some]), strict=True)
            spooled.put({content: look for content, (now, look) in found if now == content})
    write(merged([*old, *spooled.files], names), path, version=version)


def table(looks: dict[str, bytes]) -> pa.Table:
    """A table of looks by content, sorted."""
    names = sorted(looks)
    return pa.table(
        [pa.array(names, pa.string()), pa.array([looks[name] for name in names], pa.binary(PIXELS))], SCHEMA
    )


def pixels(looks: pa.FixedSizeBinaryArray) -> np.ndarray:
    """Looks as uint8 (N, SIDE, SIDE)."""
    buffer = looks.buffers()[1]
    whole = np.frombuffer(buffer, np.uint8)[looks.offset * PIXELS : (looks.offset + len(looks)) * PIXELS]
    return whole.reshape(-1, SIDE, SIDE)


def written_with(path: Path) -> str:
    """The version with which the file was written; "" if it cannot be read."""
    return (pq.read_schema(path).metadata or {}).get(b"looks", b"").decode() if _readable(path) else ""


def _readable(path: Path) -> bool:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return schema.names == SCHEMA.names and schema.field("look").type == SCHEMA.field("look").type


def _groups(path: Path, digit: str = "") -> Iterator[pa.Table]:
    """The row groups, one after the other; of those, the rows whose content begins with `digit`."""
    if not _readable(path):
        return
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            bounds = file.metadata.row_group(number).column(0).statistics
            if bounds and bounds.has_min_max and digit and not bounds.min[:1] <= digit <= bounds.max[:1]:
                continue
            group = file.read_row_group(number)
            yield group.filter(pc.starts_with(group["sha256"], digit)) if digit else group
