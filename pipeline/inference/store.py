"""The prediction store: Parquet shards, each written whole, so that an interrupted run continues at the last one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.files import read_table, write_table

COLUMNS = [
    "image", "sha256", "label", "score", "margin", "entropy", "top_labels", "top_scores", "failure", "model",
]  # fmt: skip
EMBEDDING = "embedding"
LISTS = {  # named, since a shard of failures alone would not tell them
    "top_labels": pd.ArrowDtype(pa.list_(pa.string())),
    "top_scores": pd.ArrowDtype(pa.list_(pa.float64())),
    EMBEDDING: pd.ArrowDtype(pa.list_(pa.float16())),  # of a fixed size, Arrow could not read back those of failures
}
MODEL_KEY = b"model"


class Store:
    """The shards `part-*.parquet` of one model in a folder. Shards of another model, or cut short, are removed."""

    def __init__(self, folder: Path, model_digest: str):
        self._folder, self._model = folder, model_digest
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(".part-*.tmp"):  # of a killed run; DVC would take them for products
            unfinished.unlink()
        for shard in self.shards():
            if not self._is_ours(shard):
                shard.unlink()

    def shards(self) -> list[Path]:
        return sorted(self._folder.glob("part-*.parquet"))

    def done(self) -> np.ndarray:
        """Sorted keys (`keys`) of the images that are predicted already; 8 bytes an image."""
        found = [keys(read_table(shard, ["image", "sha256"])) for shard in self.shards()]
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.uint64)

    def append(self, rows: pd.DataFrame) -> None:
        """Commits one shard."""
        last = max((int(shard.stem.removeprefix("part-")) for shard in self.shards()), default=-1)
        self._write(rows, self._folder / f"part-{last + 1:05d}.parquet")

    def keep_only(self, wanted: np.ndarray) -> int:
        """Drops rows whose key is not among the sorted keys `wanted`; returns how many."""
        dropped = 0
        for shard in self.shards():
            rows = read_table(shard)
            keep = _among(keys(rows), wanted)
            if not keep.all():
                dropped += int((~keep).sum())
                if keep.any():
                    self._write(rows[keep], shard)
                else:
                    shard.unlink()
        return dropped

    def _write(self, rows: pd.DataFrame, shard: Path) -> None:
        write_table(typed(rows), shard, model=self._model)

    def _is_ours(self, shard: Path) -> bool:
        try:
            metadata = pq.read_schema(shard).metadata or {}
        except (pa.ArrowInvalid, OSError):
            return False
        return metadata.get(MODEL_KEY, b"").decode() == self._model


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of a shard, in their order and types, whatever failed; `embedding` where there is one."""
    rows = rows[[column for column in (*COLUMNS, EMBEDDING) if column in rows]]
    lists = {column: dtype for column, dtype in LISTS.items() if column in rows and rows[column].dtype != dtype}
    return rows.astype(dict.fromkeys(lists, "object")).astype({"label": "str"} | lists)


def keys(rows: pd.DataFrame) -> np.ndarray:
    """A 64-bit key of each row's image and content (N,) uint64."""
    return pd.util.hash_pandas_object(rows["image"] + " " + rows["sha256"], index=False).to_numpy()


def missing(table: pd.DataFrame, done: np.ndarray) -> pd.DataFrame:
    """The rows of `table` whose key is not among the sorted keys `done`."""
    return table[~_among(keys(table), done)]


def read(folder: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Reads all shards, sorted by image.

    Raises:
      DataError: if there are none, or they come from different models.
    """
    shards = sorted(folder.glob("part-*.parquet"))
    if not shards:
        raise DataError("there are no predictions yet", where=folder, mend="run `dvc repro`")
    rows = pd.concat([read_table(shard, columns) for shard in shards], ignore_index=True)
    return rows.sort_values("image", ignore_index=True)


def stream(table: Path, columns: list[str], rows: int) -> Iterator[pd.DataFrame]:
    """Reads a table piece by piece."""
    with pq.ParquetFile(table) as file:
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            yield batch.to_pandas()


def _among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    if not len(ordered):
        return np.zeros(len(values), bool)
    return ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values
