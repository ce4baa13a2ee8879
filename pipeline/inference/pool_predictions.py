"""The predictions as recipes query them: a light table in memory; the rest is read for the few rows that are shown."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.files import read_table, write_table
from pipeline.inference import migration, shards
from pipeline.inference.shards import FEATURES, MODEL_KEY, Stacked

LIGHT = ["image", "sha256", "label", "score", "failure", "model"]
CODED = ["label", "failure", "model"]  # few different texts: read as codes
DETAILS = ["top_labels", "top_scores"]
OPINIONS, OPINION = "pool.parquet", ["sha256", "label", "score"]  # what a champion said of the pool


@dataclass(frozen=True)
class Pool:
    """What a model says of every image, in shards; `starts` (S + 1,) are the places of their first images."""

    shards: list[Path]
    starts: np.ndarray

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Of the images that could be read: `image`, `sha256`, `label` (categorical), `score`; the index: the place."""
        return self._light[0]

    @property
    def model(self) -> str:
        """The model's digest, or those of an ensemble.

        Raises:
          DataError: if predictions come from different models.
        """
        return self._light[1]

    @cached_property
    def features(self) -> Stacked | None:
        """What the head gets of each image (N, F), one row per place, zeros where it cannot be read; None without any.

        Raises:
          DataError: if they are cut short.
        """
        return shards.stacked(self.shards, self.starts, FEATURES)

    def at(self, places: np.ndarray, columns: list[str]) -> pd.DataFrame:
        """Reads further columns of some places, which are the index."""
        shard = np.searchsorted(self.starts, places, side="right") - 1

        def read(number: int) -> pd.DataFrame:
            own = places[shard == number]
            table = pq.read_table(self.shards[number], columns=columns).take(own - self.starts[number])
            return table.to_pandas(ignore_metadata=True).set_index(own)

        with ThreadPoolExecutor() as threads:
            found = list(threads.map(read, np.unique(shard)))
        return pd.concat(found) if found else pd.DataFrame({name: pd.Series(dtype=object) for name in columns})

    def with_details(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Adds `top_labels` and `top_scores` to some of `rows`, each of which stands there once."""
        return rows.join(self.at(rows.index.to_numpy(), DETAILS))

    def place_of(self, sha256: str) -> int | None:
        """Where an image of this content stands."""
        column = self._dataset().to_table(columns=["sha256"])["sha256"]
        place = pc.index(column, pa.scalar(sha256, column.type)).as_py()
        return None if place < 0 else place

    @cached_property
    def _light(self) -> tuple[pd.DataFrame, str]:
        table = self._dataset().to_table(columns=LIGHT).unify_dictionaries()
        table = table.combine_chunks()  # Arrow would join all chunks whenever a few rows are taken
        rows = table.to_pandas(ignore_metadata=True, categories=CODED)
        models = rows["model"].cat.categories[np.unique(rows["model"].cat.codes)]
        folder = self.shards[0].parent
        if len(models) != 1:
            named = ", ".join(str(model)[:12] for model in models)
            what = f"predictions of {len(models)} models ({named})"
            raise DataError(what, where=folder, mend="run `dvc repro identify`")
        light = rows.loc[(rows["failure"] == "").to_numpy(), ["image", "sha256", "label", "score"]]
        return light.astype({"label": light["label"].cat.remove_unused_categories().dtype}), str(models[0])

    def _dataset(self) -> ds.Dataset:
        options = ds.ParquetReadOptions(dictionary_columns=CODED)
        return ds.dataset([str(shard) for shard in self.shards], format=ds.ParquetFileFormat(read_options=options))


def named(folder: Path) -> dict[str, int]:
    """How many images the model names as each class; nothing where there are no predictions yet."""
    if not (parts := migration.opened(folder)):
        return {}
    rows = ds.dataset([str(part) for part in parts]).to_table(columns=["label"], filter=pc.field("failure") == "")
    counts = rows["label"].cast(pa.string()).value_counts()
    return {str(item["values"]): int(item["counts"].as_py()) for item in counts}


def read(folder: Path) -> Pool:
    """Opens the predictions in `folder`, one row per image.

    Raises:
      DataError: if there are no predictions.
    """
    parts = migration.opened(folder)
    if not parts:
        raise DataError("there are no predictions yet", where=folder, mend="run `dvc repro`")
    read_table(parts[0], ["image"])  # of a schema that this program reads
    return Pool(parts, shards.starts_of(parts))


def features_of(image: str, shard: Path) -> np.ndarray | None:
    """What the head gets of an image (F,) that stands in this shard; None where its features are not stored."""
    file = shards.array_file(shard, FEATURES)
    place = pc.index(pq.read_table(shard, columns=["image"])["image"], image).as_py()
    return np.array(shards.read_array(file)[place]) if file.exists() else None


def write_opinions(predictions: Path, path: Path, *, model: str) -> bool:
    """Keeps of each image its content, label and score; returns False if the predictions are not those of `model`."""
    try:
        pool = read(predictions)
    except DataError:
        return False
    if pool.model == model:
        kept = pool.rows[OPINION].sort_values("sha256", kind="stable").drop_duplicates("sha256", ignore_index=True)
        write_table(kept.astype({"label": "str", "score": "float32"}), path, model=model)
    return pool.model == model


def read_opinions(path: Path, *, model: str) -> pd.DataFrame | str:
    """What another model said of each content (columns `OPINION`), or, in words, why there is nothing to compare."""
    if not path.parent.joinpath("model.keras").exists():
        return "there is no champion yet"
    if not path.exists():
        return "the champion came without its predictions of the pool; the next one that is released brings them"
    if (pq.read_schema(path).metadata or {}).get(MODEL_KEY, b"").decode() == model:
        return "this model is the champion"
    return read_table(path)
