"""Queues as the page shows them: any row of millions at once, filtered and ordered, without holding them in memory.

A queue's table is unpacked once into a cache that is read where it lies on disk. What is decided together, a card, is
known by the number of its first row.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.files import SCHEMA_VERSION, VERSION_KEY, atomic

REQUIRED = ["image", "sha256", "group", "rank", "label", "score", "reason"]
BATCH = 1 << 16  # rows unpacked at once
TAIL = 1 << 16  # bytes at the end of a Parquet file that, with its size, name its content: the statistics lie there
VIEWS = 16  # filtered orders remembered
ORDERS = ["rank", "surest", "least sure", "file"]
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Filter:
    """What of a queue is asked for; every part may be left out.

    Attributes:
      label: what the model suggests.
      cluster: the look-alikes of one cluster.
      least, most: bounds of the score.
      folder: images whose name begins so.
      origin: of the image in the label table; `UNLABELLED`: it has no row there.
      since, until: the first and the last day on which the image's file may have been changed.
      text: a part of the file's name, the suggestion or the reason, whatever the case.
      order: one of `ORDERS`.
    """

    label: str = ""
    cluster: str = ""
    least: float = 0.0
    most: float = 1.0
    folder: str = ""
    origin: str = ""
    since: date | None = None
    until: date | None = None
    text: str = ""
    order: str = ORDERS[0]


class Known(Protocol):
    """What is known of images beyond a queue, for each of them (N,)."""

    def origins(self, images: pa.ChunkedArray) -> np.ndarray:
        """Returns the origin of each image as text; `UNLABELLED` without a row in the label table."""

    def days(self, images: pa.ChunkedArray) -> np.ndarray:
        """Returns the day of each file's last change, datetime64[D]; NaT where it is not known."""


class Queue:
    """One queue, open.

    Attributes:
      name: the recipe.
      version: names its content: a decision on rows of another version is refused.
      leader: for each row, the first row of its card, int32 (N,).
      columns: those that the table has; only `REQUIRED` are certain.
    """

    def __init__(self, name: str, path: Path, cache: Path, known: "Known | None" = None):
        """Opens a queue, and unpacks its table into `cache` if that has not been done yet.

        Args:
          known: what is known of the images beyond the queue; without it, nothing passes a filter that asks for it.
        """
        self.name, self.path, self._known = name, path, known
        self.version = version_of(path)
        unpacked = cache / f"{name}-{self.version}.arrow"
        leaders = unpacked.with_suffix(".cards.npy")
        if not leaders.exists():
            for old in cache.glob(f"{name}-*"):
                old.unlink(missing_ok=True)
            _unpack(path, unpacked)
            found = _leaders(_open(unpacked)["group"])
            order = np.argsort(found, kind="stable").astype(np.int32)
            with atomic(leaders) as temporary, temporary.open("wb") as file:
                np.save(file, np.stack([found, order, found[order]]))
        self._table = _open(unpacked)
        self.leader, self._by_card, self._cards = np.load(leaders, mmap_mode="r")
        self.columns = set(self._table.column_names)
        self._starts = np.cumsum([0, *(len(chunk) for chunk in self._table["image"].chunks)])
        self._batches = self._table.to_batches()
        self._views: OrderedDict[Filter, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._counts: dict[str, list[tuple[str, int]]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._table.num_rows

    def rows(self, numbers: list[int]) -> list[dict[str, Any]]:
        """The rows with these numbers, each with its number as `row`."""
        found = []
        for number in numbers:
            batch = int(np.searchsorted(self._starts, number, side="right")) - 1
            row = self._batches[batch].slice(number - int(self._starts[batch]), 1).to_pylist()[0]
            found.append({"row": int(number), **row})
        return found

    def members(self, leader: int) -> list[int]:
        """The rows of a card, the leader first."""
        wanted = np.array([leader, leader + 1], self._cards.dtype)  # of another type, all cards would be copied
        start, end = np.searchsorted(self._cards, wanted)
        return self._by_card[start:end].tolist()

    def column(self, name: str) -> pa.ChunkedArray:
        return self._table[name]

    def find(self, images: pa.Array) -> np.ndarray:
        """The rows (M,) of these images."""
        return np.flatnonzero(pc.is_in(self._table["image"], value_set=images).to_numpy())

    def view(self, filter: Filter) -> np.ndarray:
        """The cards that pass the filter, in its order, as the numbers of their first rows, int64 (M,)."""
        return self._viewed(filter)[0]

    def passing(self, filter: Filter) -> np.ndarray:
        """For each row whether it is the first of a card that passes the filter, bool (N,)."""
        return self._viewed(filter)[1]

    def _viewed(self, filter: Filter) -> tuple[np.ndarray, np.ndarray]:
        with self._lock:
            if filter not in self._views:
                keep = self._passing(filter)
                self._views[filter] = self._ordered(np.flatnonzero(keep), filter.order), keep
            self._views.move_to_end(filter)
            while len(self._views) > VIEWS:
                self._views.popitem(last=False)
            return self._views[filter]

    def counts(self, column: str) -> list[tuple[str, int]]:
        """The values of a column among all cards and how many cards have each, the most frequent first."""
        if column not in self._counts:
            values = self._table[column].filter(pa.array(self._is_leader()))
            counted = pc.value_counts(values).to_pylist()
            found = [(str(row["values"]), int(row["counts"])) for row in counted if row["values"] not in (None, "")]
            self._counts[column] = sorted(found, key=lambda pair: (-pair[1], pair[0]))
        return self._counts[column]

    def expected(self) -> float:
        """How many cards' suggestions are right, if the scores are; NaN where the recipe has no scores."""
        scores = self._scores()[self._is_leader()]
        return float(np.nansum(scores)) if np.isfinite(scores).any() else float("nan")

    def _is_leader(self) -> np.ndarray:
        return self.leader == np.arange(len(self), dtype=self.leader.dtype)

    def _scores(self) -> np.ndarray:
        return np.asarray(self._table["score"].to_numpy(), float)

    def _passing(self, filter: Filter) -> np.ndarray:
        keep = self._is_leader()
        if filter.label:
            keep &= self._equal("label", filter.label)
        if filter.cluster and "cluster" in self.columns:
            keep &= self._equal("cluster", filter.cluster)
        if filter.folder:
            keep &= _mask(pc.starts_with(self._table["image"], filter.folder))
        if filter.text:
            parts = [
                _mask(pc.match_substring(self._table[name], filter.text, ignore_case=True))
                for name in ("image", "label", "reason")
            ]
            keep &= np.logical_or.reduce(parts)
        if filter.least > 0 or filter.most < 1:
            scores = self._scores()
            keep &= (scores >= filter.least) & (scores <= filter.most)
        if filter.origin:
            keep &= self._origin == filter.origin
        if filter.since:
            keep &= self._day >= np.datetime64(filter.since)
        if filter.until:
            keep &= self._day <= np.datetime64(filter.until)
        return keep

    def _ordered(self, rows: np.ndarray, order: str) -> np.ndarray:
        if order == "file":
            return rows[np.argsort(self._table["image"].take(rows).to_numpy(zero_copy_only=False), kind="stable")]
        if order in ORDERS[1:3]:
            sign = -1 if order == "surest" else 1
            return rows[np.argsort(sign * self._scores()[rows], kind="stable")]
        ranks = np.asarray(self._table["rank"].to_numpy())[rows]
        return rows[np.argsort(ranks, kind="stable")]

    @cached_property
    def _origin(self) -> np.ndarray:
        return self._known.origins(self._table["image"]) if self._known else np.full(len(self), "")

    @cached_property
    def _day(self) -> np.ndarray:
        return self._known.days(self._table["image"]) if self._known else np.full(len(self), "NaT", "datetime64[D]")

    def _equal(self, name: str, value: str) -> np.ndarray:
        return _mask(pc.equal(pc.cast(self._table[name], pa.string()), value))


def version_of(path: Path) -> str:
    """Names the content of a Parquet file, at the cost of reading its end.

    Raises:
      DataError: if there is no such file.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            return hashlib.sha256(b"%d " % size + file.read()).hexdigest()[:16]
    except FileNotFoundError:
        raise DataError("there is no such queue", where=path, mend="run `dvc repro`") from None


def _unpack(path: Path, unpacked: Path) -> None:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"not a readable table: {reason}", where=path, mend="delete it and run `dvc repro`") from None
    with file:
        schema = file.schema_arrow
        missing = [name for name in REQUIRED if name not in schema.names]
        version = (schema.metadata or {}).get(VERSION_KEY, b"none").decode()
        if missing or version != SCHEMA_VERSION:
            what = f"columns {', '.join(missing)} are missing" if missing else f"schema version {version}"
            raise DataError(f"not a queue of this program: {what}", where=path, mend="run `dvc repro --force queue`")
        with atomic(unpacked) as temporary, pa.OSFile(str(temporary), "wb") as sink:  # noqa: SIM117
            with pa.ipc.new_file(sink, schema) as writer:
                for batch in file.iter_batches(batch_size=BATCH):
                    writer.write_batch(batch)


def _open(unpacked: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(unpacked))).read_all()


def _leaders(groups: pa.ChunkedArray) -> np.ndarray:
    """For each row the first row of its group; an image without a group is alone."""
    if not len(groups):
        return np.empty(0, np.int32)
    encoded = pc.dictionary_encode(pc.fill_null(pc.cast(groups, pa.string()), "")).combine_chunks()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    codes = encoded.indices.to_numpy()
    rows = np.arange(len(codes), dtype=np.int32)
    first = np.empty(len(encoded.dictionary), np.int32)
    first[codes[::-1]] = rows[::-1]
    alone = encoded.dictionary.index("").as_py()
    leader = first[codes]
    return np.where(codes == alone, rows, leader) if alone >= 0 else leader


def _mask(values: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(values, False).to_numpy()
