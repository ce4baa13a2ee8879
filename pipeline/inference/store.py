"""The store of what a model says, of the pool and of evaluated sets: shards, each written whole (see `shards`).

A row says what one model makes of one image, or of one content. The metadata of a shard name the model with all that
its probabilities depend on (`model`), and whatever else its rows depend on; shards that differ in any of it are never
mixed. An interrupted run continues after the last shard.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.files import SCHEMA_VERSION, VERSION_KEY, read_arrow, read_table, write_table
from pipeline.inference import migration, shards
from pipeline.inference.shards import ARRAYS, NEXT
from pipeline.library import failures

COLUMNS = [
    "image", "sha256", "label", "score", "margin", "entropy", "top_labels", "top_scores", "failure", "model",
]  # fmt: skip
LISTS = {  # named, since a shard of failures alone would not tell them
    "top_labels": pd.ArrowDtype(pa.list_(pa.string())),
    "top_scores": pd.ArrowDtype(pa.list_(pa.float64())),
}
VALUES = pd.ArrowDtype(pa.list_(pa.float16()))  # of arrays, until a shard is written; failures have none
BY_IMAGE, BY_CONTENT = ("image", "sha256"), ("sha256",)


class Store:
    """The shards of one model in a folder. Those of another, or cut short, are removed; older layouts are migrated.

    Args:
      model: names all that the probabilities depend on.
      by: the columns that a row is known by.
      arrays: which of `ARRAYS` each shard has. Shards without are removed; further arrays are.
      metadata: what else the rows depend on.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        *,
        by: tuple[str, ...] = BY_IMAGE,
        arrays: Sequence[str] = (),
        **metadata: str,
    ):
        self._folder, self._by, self._arrays, self._metadata = folder, by, arrays, {"model": model} | metadata
        self._notes: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(".part-*.tmp"):  # of a killed run; DVC would take them for products
            unfinished.unlink()
        migration.migrate(folder, model)
        for shard in self.shards():
            if not self._is_ours(shard):
                shards.remove(shard)
        wanted = {shards.array_file(shard, name) for shard in self.shards() for name in arrays}
        for file in set(folder.glob("part-*.npy")) - wanted:
            file.unlink()

    def shards(self) -> list[Path]:
        return shards.listed(self._folder)

    def done(self) -> np.ndarray:
        """Sorted keys of the rows that are there already; 8 bytes each."""
        return self.gather(read_table(shard, list(self._by)) for shard in self.shards())

    def gather(self, tables: Iterable[pd.DataFrame]) -> np.ndarray:
        """The sorted keys of all rows of all tables."""
        return gather(tables, self._keys)

    def contents(self) -> Iterator[tuple[Path, np.ndarray]]:
        """Yields each shard, and the keys of the contents (`content_keys`) that are identified in it."""
        for shard in self.shards():
            rows = read_table(shard, ["sha256", "failure"])
            yield shard, content_keys(rows[rows["failure"] == ""])

    def note(self, **notes: str) -> None:
        """Has the shards that follow say more of themselves, in which shards of a store may differ."""
        self._notes |= notes

    def missing(self, rows: pd.DataFrame, done: np.ndarray) -> pd.DataFrame:
        """The `rows` that it lacks; `done` as of before."""
        return missing(rows, done, self._by)

    def append(self, rows: pd.DataFrame) -> Path:
        """Commits one shard: its arrays, then the rows that make them count.

        Args:
          rows: a column for each of the store's arrays among them, with a list of values each (`as_lists`).
        """
        last = max((int(shard.stem.removeprefix("part-")) for shard in self.shards()), default=-1)
        shard = self._folder / f"part-{last + 1:05d}.parquet"
        table = pa.Table.from_pandas(typed(rows), preserve_index=False)
        for name in self._arrays:
            shards.write_array(shards.as_array(table[name]), shards.array_file(shard, name))
        self._write(table.drop_columns([name for name in ARRAYS if name in table.column_names]), shard)
        return shard

    def keep_only(self, wanted: np.ndarray) -> int:
        """Drops rows whose key is not among the sorted keys `wanted`; returns how many."""
        return self._keep(list(self._by), lambda rows: among(self._keys(rows), wanted))

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
                shards.remove(shard)
            elif not keep.all():
                self._rewrite(shard, keep)
        return dropped

    def _rewrite(self, shard: Path, keep: np.ndarray) -> None:
        """Leaves out rows; killed in between, the number of rows tells which array is theirs (`_settled`)."""
        for name in self._arrays:
            rest = shards.read_array(shards.array_file(shard, name))[keep]
            shards.write_array(rest, shards.array_file(shard, f"{name}.{NEXT}"))
        self._write(read_arrow(shard).filter(pa.array(keep)), shard)
        for name in self._arrays:
            shards.array_file(shard, f"{name}.{NEXT}").replace(shards.array_file(shard, name))

    def _write(self, table: pa.Table, shard: Path) -> None:
        write_table(table, shard, **self._notes | self._metadata)

    def _keys(self, rows: pd.DataFrame) -> np.ndarray:
        return keys(rows, self._by)

    def _is_ours(self, shard: Path) -> bool:
        try:
            footer = pq.read_metadata(shard)
        except (pa.ArrowInvalid, OSError):
            return False
        metadata = {key.decode(): value.decode() for key, value in (footer.metadata or {}).items()}
        expected = {VERSION_KEY.decode(): SCHEMA_VERSION} | self._metadata
        return expected.items() <= metadata.items() and all(
            self._settled(shard, name, footer.num_rows) for name in self._arrays
        )

    def _settled(self, shard: Path, name: str, rows: int) -> bool:
        """Whether the shard has an array of so many rows, perhaps one that a killed run was about to put there."""
        file, rewritten = shards.array_file(shard, name), shards.array_file(shard, f"{name}.{NEXT}")
        if shards.rows_of(rewritten) == rows:
            rewritten.replace(file)
        return shards.rows_of(file) == rows


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of a shard, in their order and types, whatever failed; arrays as lists where there are any."""
    rows = rows[[column for column in (*COLUMNS, *ARRAYS) if column in rows]]
    lists = {name: dtype for name, dtype in (LISTS | dict.fromkeys(ARRAYS, VALUES)).items() if name in rows}
    plain = [name for name in lists if not isinstance(rows[name].dtype, pd.ArrowDtype)]
    texts = dict.fromkeys(rows.columns.intersection(["label"]), "str")
    return rows.astype(dict.fromkeys(plain, "object")).astype(texts | lists)


def skipped(rows: pd.DataFrame) -> np.ndarray:
    """Where a row says nothing of the picture: it was not there, not readable, or not the indexed one; (N,) bool."""
    return failures.are(rows["failure"], failures.UNSEEN).to_numpy(bool)


def count(rows: pd.DataFrame) -> dict[str, int]:
    """How many of the rows are `identified`, `failed` and `skipped`."""
    left = int(skipped(rows).sum())
    failed = int((rows["failure"] != "").sum()) - left
    return {"identified": len(rows) - failed - left, "failed": failed, "skipped": left}


def keys(rows: pd.DataFrame, by: tuple[str, ...] = BY_IMAGE) -> np.ndarray:
    """A 64-bit key of each row's image and content, or of what else it is known by (N,) uint64."""
    texts = reduce(lambda joined, name: joined + " " + rows[name], by[1:], rows[by[0]])
    return pd.util.hash_pandas_object(texts, index=False).to_numpy()


def content_keys(rows: pd.DataFrame) -> np.ndarray:
    """A 64-bit key of each row's content (N,) uint64."""
    return keys(rows, BY_CONTENT)


def gather(tables: Iterable[pd.DataFrame], key: Callable[[pd.DataFrame], np.ndarray] = keys) -> np.ndarray:
    """The sorted keys of all rows of all tables."""
    found = [key(table) for table in tables]
    together = np.concatenate(found) if found else np.empty(0, np.uint64)
    together.sort()
    return together


def missing(table: pd.DataFrame, done: np.ndarray, by: tuple[str, ...] = BY_IMAGE) -> pd.DataFrame:
    """The rows of `table` whose key is not among the sorted keys `done`."""
    return table[~among(keys(table, by), done)]


def among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Which of `values` are among the sorted values `ordered`."""
    return place(values, ordered) >= 0


def place(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Where each of `values` stands among the sorted values `ordered`, or -1."""
    if not len(ordered):
        return np.full(len(values), -1)
    found = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.where(ordered[found] == values, found, -1)


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
    parts = migration.opened(folder)
    if not parts:
        raise DataError("there are no predictions yet", where=folder, mend="run `dvc repro`")
    models = {shard: shards.model_of(shard) for shard in parts}
    other = next((shard for shard in parts if models[shard] != models[parts[0]]), None)
    if other:
        raise DataError(
            "predictions of two models are mixed", where=f"{parts[0]} and {other.name}", mend="run `dvc repro identify`"
        )
    return parts
