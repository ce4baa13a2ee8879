"""Exact copies: a content that many images have, or had in an earlier run, goes through the network once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.files import read_arrow
from pipeline.inference import shards, store
from pipeline.inference.shards import FEATURES


class Copies:
    """The contents that need no pass through the network for each of their images: 20 bytes each, in memory.

    Args:
      asked: the sorted keys (`store.content_keys`) of the contents of all images that are to be predicted.
      stored: what is predicted already, and where what will be is written.
    """

    def __init__(self, asked: np.ndarray, stored: store.Store):
        contents, numbers = np.unique_counts(asked)
        lies_in = np.full(len(contents), -1, np.int32)
        self._shards: list[Path] = []
        for shard, keys in stored.contents():
            at = store.place(keys, contents)
            lies_in[at[at >= 0]] = len(self._shards)
            self._shards.append(shard)
        repeated = (numbers > 1) | (lies_in >= 0)
        self._contents, self._lies_in = contents[repeated], lies_in[repeated]
        self._first = np.zeros(len(self._contents), np.uint64)  # the image that is read for all of its content

    def __len__(self) -> int:
        return len(self._contents)

    def to_read(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Those of `rows` that are read themselves; the others are copies. Asked again, the same."""
        at, images = self._place(rows), store.keys(rows)
        repeated = np.flatnonzero(at >= 0)
        _, earliest = np.unique(at[repeated], return_index=True)
        chosen = repeated[earliest]
        chosen = chosen[(self._first[at[chosen]] == 0) & (self._lies_in[at[chosen]] < 0)]
        self._first[at[chosen]] = images[chosen]
        read = at < 0
        read[repeated] = images[repeated] == self._first[at[repeated]]
        return rows[read]

    def note(self, shard: Path, rows: pd.DataFrame) -> None:
        """Remembers that the predictions `rows` lie in `shard`."""
        at = self._place(rows)
        self._lies_in[at[at >= 0]] = len(self._shards)
        self._shards.append(shard)

    def of(self, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """Yields predictions of `rows`, taken from images of the same contents; none where those could not be read."""
        at = self._place(rows)
        lies_in = np.full(len(rows), -1)
        lies_in[at >= 0] = self._lies_in[at[at >= 0]]
        for number in np.unique(lies_in[lies_in >= 0]):
            wanted = rows.loc[lies_in == number, ["image", "sha256"]]
            yield store.typed(wanted.merge(self._predicted(self._shards[number], wanted["sha256"]), on="sha256"))

    def _predicted(self, shard: Path, contents: pd.Series) -> pd.DataFrame:
        """What a shard says of contents, once of each."""
        table = read_arrow(shard)
        table = table.append_column("place", pa.array(np.arange(len(table))))
        table = table.filter(pc.is_in(table["sha256"], pa.array(contents, table.schema.field("sha256").type)))
        rows = table.to_pandas(types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_list(kind) else None)
        rows = rows[rows["failure"] == ""].drop_duplicates("sha256")
        features = shards.array_file(shard, FEATURES)
        if features.exists():
            rows[FEATURES] = shards.as_lists(shards.read_array(features)[rows["place"]], rows.index)
        return rows.drop(columns=["image", "place"])

    def _place(self, rows: pd.DataFrame) -> np.ndarray:
        at = store.place(store.content_keys(rows), self._contents)
        return np.where(rows["failure"] == "", at, -1)
