"""Features of a frozen network: a store by content for each backbone, of which the summary names the one in use.

    summary.json         the backbone in use, whose features are whole, and how many there are
    KEY/part-*.parquet   one row per content: `sha256`, `failure`, `model` (the backbone's key), an `image` that had it
    KEY/part-*.features.npy

Another backbone gets a folder of its own, and the former one stays until the new one is whole.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation import cosine
from pipeline.files import read_arrow, read_json, write_json
from pipeline.inference import shards, store
from pipeline.inference.shards import FEATURES, Stacked

SUMMARY = "summary.json"
EMPTY: dict[str, Any] = {"backbone": "", "name": "", "identified": 0, "failed": 0, "skipped": 0}


@dataclass(frozen=True)
class FrozenFeatures:
    """The features in use.

    Attributes:
      name, key: of the backbone.
      parts: shards of the store.
      features: (N, F) float16, one row per row of the store; zeros where an image could not be read.
    """

    name: str
    key: str
    parts: list[Path]
    features: Stacked

    @cached_property
    def contents(self) -> pa.ChunkedArray:
        """The content hash of each row (N,)."""
        return pa.concat_tables([read_arrow(shard, ["sha256"]) for shard in self.parts])["sha256"]

    def units(self, sha256: pd.Series) -> "UnitFeatures":
        """The features of contents (N,), of length 1, read as they are asked for."""
        ordered, rows = self._by_content
        places = store.place(_keys(sha256), ordered)
        return UnitFeatures(self.features, np.where(places >= 0, rows[places], -1) if len(rows) else places)

    @cached_property
    def _by_content(self) -> tuple[np.ndarray, np.ndarray]:
        """The sorted keys of all contents, and the row of each; 16 bytes per content."""
        found = [_keys(chunk.to_pandas()) for chunk in self.contents.chunks]
        keys = np.concatenate(found) if found else np.empty(0, np.uint64)
        order = np.argsort(keys, kind="stable")
        return keys[order], order

    def features_of(self, sha256: str) -> np.ndarray | None:
        """The features of a content (F,); None where it has none."""
        place = pc.index(self.contents, pa.scalar(sha256, self.contents.type)).as_py()
        values = self.features[place] if place >= 0 else None
        return values if values is not None and values.any() else None


@dataclass(frozen=True)
class UnitFeatures:
    """Features (N, F) float32 of length 1, zeros where a content has none; rows are read as they are asked for.

    Attributes:
      places: row of the store for each content, or -1.
    """

    features: Stacked
    places: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.places), self.features.shape[1]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        places = self.places[rows]
        values = np.zeros((len(places), self.shape[1]), np.float32)
        has_features = places >= 0
        values[has_features] = cosine.unit(self.features[places[has_features]])
        return values


def open_store(folder: Path, key: str, *, runtime: str = "") -> store.Store:
    """The store of a backbone's features in the folder of all.

    Args:
      runtime: that computes what is missing; shards say it, and may differ in it.
    """
    opened = store.Store(folder / key, key, by=store.BY_CONTENT, arrays=[FEATURES])
    opened.note(runtime=runtime)
    return opened


def read(folder: Path, *others: Path) -> FrozenFeatures | None:
    """The features in use; None where there are none.

    Args:
      others: folders whose features count too, where the same backbone is in use there.

    Raises:
      DataError: if they are cut short.
    """
    summary = read_summary(folder)
    folders = [folder, *(other for other in others if read_summary(other)["backbone"] == summary["backbone"])]
    parts = [part for one in folders for part in shards.listed(one / summary["backbone"]) if summary["backbone"]]
    features = shards.stacked(parts, shards.starts_of(parts), FEATURES) if parts else None
    return None if features is None else FrozenFeatures(summary["name"], summary["backbone"], parts, features)


def read_summary(folder: Path) -> dict[str, Any]:
    """What the last finished run wrote; of a folder without one, that nothing is there."""
    path = folder / SUMMARY
    return EMPTY | (read_json(path) if path.exists() else {})


def finish(folder: Path, summary: dict[str, Any]) -> None:
    """Says that the features of a backbone are whole, and drops those of others."""
    write_json(EMPTY | summary, folder / SUMMARY)
    for other in folder.iterdir():
        if other.is_dir() and other.name != summary["backbone"]:
            shutil.rmtree(other)


def put_aside(folder: Path) -> None:
    """Says that no features are in use; what is there stays, so that going back costs nothing."""
    write_json(EMPTY, folder / SUMMARY)


def by_content(pieces: Callable[[], Iterable[pd.DataFrame]]) -> tuple[Callable[[], Iterator[pd.DataFrame]], int]:
    """The first row of each content, and how many there are; what the index could not read has none.

    In memory are 8 bytes per content, and one bit.

    Args:
      pieces: gives, whenever it is called, the same tables with `image`, `sha256` and `failure`.
    """
    known = np.unique(store.gather((_with_content(piece) for piece in pieces()), store.content_keys))

    def first_rows() -> Iterator[pd.DataFrame]:
        seen = np.zeros(len(known), bool)
        for piece in pieces():
            rows = _with_content(piece)
            places = store.place(store.content_keys(rows), known)
            _, first = np.unique(places, return_index=True)
            new = np.zeros(len(rows), bool)
            new[first] = ~seen[places[first]]
            seen[places] = True
            yield rows[new]

    return first_rows, len(known)


def _keys(sha256: pd.Series) -> np.ndarray:
    return store.content_keys(pd.DataFrame({"sha256": sha256}))


def _with_content(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["sha256"] != "") & (rows["failure"] == "")]
