"""The files of a store: Parquet shards of rows, and beside each its arrays, one row for each of its rows.

    part-00000.parquet         the rows
    part-00000.features.npy    float16 (N, F): what the head gets; zeros where an image could not be read
    part-00000.log_probs.npy   float16 (N, C): calibrated log probabilities (`scores.to_log_probs`), of evaluated sets

Arrays are read where they lie, memory-mapped, without a copy and without an open file: ten million images are 5,000
shards, and a process may have 1,024 files open.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.files import atomic

FEATURES, LOG_PROBS = ARRAYS = ("features", "log_probs")
NEXT = "next"  # part of an array's name until the rows of its shard are rewritten, too
MODEL_KEY = b"model"


class Stacked:
    """The rows of many `.npy` files as one array (N, F) float16: a file is mapped when one of its rows is first read.

    Args:
      files: with (M, F) values each; those with (M, 0) count as zeros.
      starts: where the rows of each file begin, and where the last ones end (len(files) + 1,).
      places: which rows are wanted, in which order (N,); by default all of them.
    """

    def __init__(self, files: list[Path], starts: np.ndarray, places: np.ndarray | None = None):
        self._files, self._starts, self._places = files, starts, places
        self._mapped: list[np.ndarray | None] = [None] * len(files)
        widths = (self._part(number).shape[1] for number in range(len(files)))
        self.shape = (int(starts[-1]) if places is None else len(places), next(filter(None, widths), 0))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """One row (F,) by its number, or many (K, F) by a slice or by numbers that are not negative (K,)."""
        if isinstance(key, slice):
            return self._read(np.arange(*key.indices(len(self))))
        rows = np.asarray(key)
        return self._read(rows) if rows.ndim else self._read(rows[None])[0]

    def source(self) -> dict[str, Any]:
        """What the values come from: of equal sources, they are equal."""
        stamps = [[path.name, status.st_size, status.st_mtime_ns] for path in self._files for status in [path.stat()]]
        order = b"" if self._places is None else self._places.tobytes()
        return {"files": stamps, "order": hashlib.sha256(order).hexdigest()}

    def _read(self, rows: np.ndarray) -> np.ndarray:
        places = rows if self._places is None else self._places[rows]
        lies_in = np.searchsorted(self._starts, places, side="right") - 1
        by_file = np.argsort(lies_in, kind="stable")
        values = np.zeros((len(places), self.shape[1]), np.float16)
        for some in np.split(by_file, np.flatnonzero(np.diff(lies_in[by_file])) + 1) if len(places) else []:
            number = lies_in[some[0]]
            part = self._part(number)
            if part.shape[1]:
                values[_span(some)] = part[_span(places[some] - self._starts[number])]
        return values

    def _part(self, number: int) -> np.ndarray:
        part = self._mapped[number]
        if part is None:
            part = self._mapped[number] = read_array(self._files[number])
            rows = self._starts[number + 1] - self._starts[number]
            if len(part) != rows:
                raise _damaged(self._files[number], f"{len(part)} rows for {rows} images")
        return part


def listed(folder: Path) -> list[Path]:
    """The shards of a store, in the order in which they were written."""
    return sorted(folder.glob("part-*.parquet"))


def array_file(shard: Path, name: str) -> Path:
    """Where an array of a shard lies."""
    return shard.with_name(f"{shard.stem}.{name}.npy")


def stacked(parts: list[Path], starts: np.ndarray, name: str, places: np.ndarray | None = None) -> Stacked | None:
    """An array of the shards `parts`, see `Stacked`; None if one of them lacks it, or no image has values."""
    files = [array_file(shard, name) for shard in parts]
    if not all(file.exists() for file in files):
        return None
    values = Stacked(files, starts, places)
    return values if values.shape[1] else None


def starts_of(parts: list[Path]) -> np.ndarray:
    """Where the rows of each of the shards begin, and where the last ones end (S + 1,)."""
    return np.cumsum([0, *(pq.read_metadata(shard).num_rows for shard in parts)])


def model_of(shard: Path) -> str:
    """The key of the model whose rows these are; "" if the file cannot be read: reading it tells what is wrong."""
    try:
        return (pq.read_schema(shard).metadata or {}).get(MODEL_KEY, b"").decode()
    except (pa.ArrowInvalid, OSError):
        return ""


def remove(shard: Path) -> None:
    """Takes a shard away, its arrays last: without its rows, an array counts for nothing."""
    shard.unlink()
    for array in shard.parent.glob(f"{shard.stem}.*.npy"):
        array.unlink()


def write_array(values: np.ndarray, path: Path) -> None:
    """Writes an array (N, F) as float16, whole or not at all."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.ascontiguousarray(values, np.float16))


def read_array(path: Path) -> np.ndarray:
    """An array (N, F), memory-mapped and read-only.

    Raises:
      DataError: if it is missing or cut short.
    """
    try:
        with pa.memory_map(str(path)) as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            return np.ndarray(shape, dtype, file.read_buffer())
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path, f"stored values cannot be read: {str(error).partition(chr(10))[0]}") from None


def rows_of(path: Path) -> int:
    """How many rows an array has; -1 if it is missing or cut short."""
    try:
        return len(read_array(path))
    except DataError:
        return -1


def as_lists(values: np.ndarray, index: pd.Index | None = None) -> pd.Series:
    """An array (N, F) as a column with a list of float16 for each row; a view, where they are float16 already."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    lists = pa.ListArray.from_arrays(offsets, pa.array(values.astype(np.float16, copy=False).ravel()))
    return pd.Series(pd.arrays.ArrowExtensionArray(lists), index=index)


def as_array(lists: pa.ChunkedArray) -> np.ndarray:
    """The array (N, F) float16 that a column of lists holds: zeros where there is none, F = 0 where all have none."""
    together = lists.combine_chunks()
    present = together.is_valid().to_numpy(zero_copy_only=False)
    number = int(present.sum())
    flat = together.flatten().to_numpy(zero_copy_only=False).astype(np.float16, copy=False)
    given = flat.reshape(number, -1) if number else flat.reshape(0, 0)
    if number == len(lists):
        return given
    values = np.zeros((len(lists), given.shape[1]), np.float16)
    values[present] = given
    return values


def _span(rows: np.ndarray) -> np.ndarray | slice:
    """Rows that follow one another as a slice, which is copied at once."""
    together = rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all()
    return slice(rows[0], rows[-1] + 1) if together else rows


def _damaged(path: Path, what: str) -> DataError:
    return DataError(what, where=path, mend="run `dvc repro`")
