"""The prediction store: Parquet shards, each written whole, so that an interrupted run continues at the last one.

A row says what one model makes of one image. The metadata of a shard name the model with all that its probabilities
depend on (`model`), and whatever else its rows depend on; shards that differ in any of it are never mixed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.files import SCHEMA_VERSION, VERSION_KEY, read_arrow, read_table, write_table
from pipeline.library import failures

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
    """The shards `part-*.parquet` of one model in a folder. Those of another, or cut short, are removed.

    Args:
      model: names all that the probabilities depend on.
      embeddings: whether rows have one. Shards without are removed if so; if not, those with one lose it.
      metadata: what else the rows depend on, or say of themselves.
    """

    def __init__(self, folder: Path, model: str, *, embeddings: bool = False, **metadata: str):
        self._folder, self._metadata = folder, {"model": model} | metadata
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(".part-*.tmp"):  # of a killed run; DVC would take them for products
            unfinished.unlink()
        for shard in self.shards():
            columns = self._columns_of_ours(shard)
            if columns is None or (embeddings and EMBEDDING not in columns):
                shard.unlink()
            elif not embeddings and EMBEDDING in columns:
                self._write(read_arrow(shard, [name for name in columns if name != EMBEDDING]), shard)

    def shards(self) -> list[Path]:
        return shards(self._folder)

    def done(self) -> np.ndarray:
        """Sorted keys (`keys`) of the images that are predicted already; 8 bytes an image."""
        return gather(read_table(shard, ["image", "sha256"]) for shard in self.shards())

    def contents(self) -> Iterator[tuple[Path, np.ndarray]]:
        """Yields each shard, and the keys of the contents (`content_keys`) that are identified in it."""
        for shard in self.shards():
            rows = read_table(shard, ["sha256", "failure"])
            yield shard, content_keys(rows[rows["failure"] == ""])

    def append(self, rows: pd.DataFrame) -> Path:
        """Commits one shard."""
        last = max((int(shard.stem.removeprefix("part-")) for shard in self.shards()), default=-1)
        shard = self._folder / f"part-{last + 1:05d}.parquet"
        self._write(pa.Table.from_pandas(typed(rows), preserve_index=False), shard)
        return shard

    def keep_only(self, wanted: np.ndarray) -> int:
        """Drops rows whose key is not among the sorted keys `wanted`; returns how many."""
        return self._keep(["image", "sha256"], lambda rows: among(keys(rows), wanted))

    def forget_skipped(self) -> int:
        """Drops rows of pictures that were not there or not the indexed ones: they shall be read again."""
        return self._keep(["sha256", "failure"], lambda rows: ~skipped(rows) | (rows["sha256"] == "").to_numpy())

    def count(self) -> dict[str, int]:
        """The images that are `identified`, `failed` and `skipped`."""
        counts = Counter({"identified": 0, "failed": 0, "skipped": 0})
        for shard in self.shards():
            counts.update(count(read_table(shard, ["failure"])))
        return dict(counts)

    def _keep(self, columns: list[str], wanted: Callable[[pd.DataFrame], np.ndarray]) -> int:
        """Rewrites the shards that hold other rows than the wanted ones."""
        dropped = 0
        for shard in self.shards():
            keep = wanted(read_table(shard, columns))
            dropped += int((~keep).sum())
            if not keep.any():
                shard.unlink()
            elif not keep.all():
                self._write(read_arrow(shard).filter(pa.array(keep)), shard)
        return dropped

    def _write(self, table: pa.Table, shard: Path) -> None:
        write_table(table, shard, plain=EMBEDDING, **self._metadata)

    def _columns_of_ours(self, shard: Path) -> list[str] | None:
        try:
            schema = pq.read_schema(shard)
        except (pa.ArrowInvalid, OSError):
            return None
        found = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
        expected = {VERSION_KEY.decode(): SCHEMA_VERSION} | self._metadata
        return schema.names if expected.items() <= found.items() else None


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of a shard, in their order and types, whatever failed; `embedding` where there is one."""
    rows = rows[[column for column in (*COLUMNS, EMBEDDING) if column in rows]]
    plain = [column for column in LISTS if column in rows and not isinstance(rows[column].dtype, pd.ArrowDtype)]
    lists = {column: dtype for column, dtype in LISTS.items() if column in rows}
    return rows.astype(dict.fromkeys(plain, "object")).astype({"label": "str"} | lists)


def skipped(rows: pd.DataFrame) -> np.ndarray:
    """Where a row says nothing of the picture: it was not there, not readable, or not the indexed one; (N,) bool."""
    return failures.are(rows["failure"], failures.UNSEEN).to_numpy(bool)


def count(rows: pd.DataFrame) -> dict[str, int]:
    """How many of the rows are `identified`, `failed` and `skipped`."""
    left = int(skipped(rows).sum())
    failed = int((rows["failure"] != "").sum()) - left
    return {"identified": len(rows) - failed - left, "failed": failed, "skipped": left}


def keys(rows: pd.DataFrame) -> np.ndarray:
    """A 64-bit key of each row's image and content (N,) uint64."""
    return pd.util.hash_pandas_object(rows["image"] + " " + rows["sha256"], index=False).to_numpy()


def content_keys(rows: pd.DataFrame) -> np.ndarray:
    """A 64-bit key of each row's content (N,) uint64."""
    return pd.util.hash_pandas_object(rows["sha256"], index=False).to_numpy()


def gather(tables: Iterable[pd.DataFrame], key: Callable[[pd.DataFrame], np.ndarray] = keys) -> np.ndarray:
    """The sorted keys of all rows of all tables."""
    found = [key(table) for table in tables]
    together = np.concatenate(found) if found else np.empty(0, np.uint64)
    together.sort()
    return together


def missing(table: pd.DataFrame, done: np.ndarray) -> pd.DataFrame:
    """The rows of `table` whose key is not among the sorted keys `done`."""
    return table[~among(keys(table), done)]


def among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Which of `values` are among the sorted values `ordered`."""
    return place(values, ordered) >= 0


def place(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Where each of `values` stands among the sorted values `ordered`, or -1."""
    if not len(ordered):
        return np.full(len(values), -1)
    found = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.where(ordered[found] == values, found, -1)


def read(folder: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Reads all shards, sorted by image: all columns but `embedding`, or those named.

    Raises:
      DataError: if there are none, or they come from different models.
    """
    tables = [read_arrow(shard, columns or COLUMNS) for shard in of_one_model(folder)]
    rows = pa.concat_tables(tables).to_pandas()
    return rows.sort_values("image", ignore_index=True) if "image" in rows else rows


def read_embeddings(folder: Path, images: pd.Series) -> np.ndarray:
    """The embeddings of `images`, float16 (N, F), shard by shard: no others are in memory.

    Raises:
      DataError: if there are no predictions, they come from different models, or one of the images has no embedding.
    """
    wanted = pa.array(images, pa.large_string())
    found = []
    for shard in of_one_model(folder):
        names = read_arrow(shard, ["image"])["image"]
        keep = pc.is_in(names, wanted)
        if pc.any(keep).as_py():
            found.append(read_arrow(shard, ["image", EMBEDDING]).filter(keep))
    rows = pa.concat_tables(found) if found else pa.table({"image": wanted[:0], EMBEDDING: pa.array([])})
    rows = rows.filter(rows[EMBEDDING].is_valid())
    at = pd.Index(rows["image"].to_pandas()).get_indexer(pd.Index(images))
    if (at < 0).any():
        raise DataError(
            f"{(at < 0).sum()} of {len(images)} images have no embedding",
            where=f"{folder}, {images.to_numpy()[at < 0][0]} for one",
            mend="set identify.embeddings to true, and run `dvc repro identify`",
        )
    if not len(rows):
        return np.empty((0, 0), np.float16)
    values = rows[EMBEDDING].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(rows), -1)[at]


def stream(table: Path, columns: list[str], rows: int) -> Iterator[pd.DataFrame]:
    """Reads a table piece by piece."""
    with pq.ParquetFile(table) as file:
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            yield batch.to_pandas()


def of_one_model(folder: Path) -> list[Path]:
    """The shards of a store that is to be read.

    Raises:
      DataError: if there are none, or they come from different models.
    """
    found = shards(folder)
    if not found:
        raise DataError("there are no predictions yet", where=folder, mend="run `dvc repro`")
    models = {shard: _model(shard) for shard in found}
    other = next((shard for shard in found if models[shard] != models[found[0]]), None)
    if other:
        raise DataError(
            "predictions of two models are mixed", where=f"{found[0]} and {other.name}", mend="run `dvc repro identify`"
        )
    return found


def _model(shard: Path) -> str:
    try:
        return (pq.read_schema(shard).metadata or {}).get(MODEL_KEY, b"").decode()
    except (pa.ArrowInvalid, OSError):
        return ""  # reading it tells what is wrong
