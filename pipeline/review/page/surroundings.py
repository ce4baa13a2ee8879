"""What stands beside a picture: what the model saw, its label, samples of the candidate classes, files next to it."""

import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.evaluation import neighbours
from pipeline.files import read_table
from pipeline.library import board, labels
from pipeline.library.index import PICTURE_ENDINGS

KEYS, EMBEDDINGS = "keys.parquet", "embeddings.npy"  # of stored outputs
SAMPLES = 4  # pictures of a class
BESIDE = 3  # files before, and files after
FOLDERS = 64  # whose files are remembered
NEAREST = 8
STANDING = ["groups", "cutoff", "short_by", "standing"]


class Surroundings:
    """Reads the round's tables when they are first needed; one that is not there yet leaves a gap, and is no error.

    Args:
      labels_table, curated, evaluation, predictions: where they lie.
      folders: every root's folder, by name.
    """

    def __init__(
        self, *, labels_table: Path, curated: Path, evaluation: Path, predictions: Path, folders: dict[str, Path]
    ):
        self._labels_path, self._curated, self._evaluation = labels_table, curated, evaluation
        self._predictions, self._folders = predictions, folders
        self._kept: dict[str, tuple[Any, Any]] = {}
        self._lock = threading.RLock()
        self._entries = lru_cache(FOLDERS)(_pictures_in)

    def labels(self) -> pd.DataFrame:
        """The label table, by image; empty where there is none."""

        def read() -> pd.DataFrame:
            return labels.read(self._labels_path, list(self._folders)).set_index("image")

        return self._fresh("labels", self._labels_path, read, pd.DataFrame(columns=labels.COLUMNS).set_index("image"))

    def standing(self) -> dict[str, dict[str, Any]]:
        """Where each class stands on the board, by name."""
        path = self._curated / "board.csv"

        def read() -> dict[str, dict[str, Any]]:
            rows = board.read(path)
            return {str(row["label"]): {name: row[name] for name in STANDING} for row in rows.to_dict("records")}

        return self._fresh("board", path, read, {})

    def classes(self) -> list[dict[str, Any]]:
        """Every class that people have used, with its sub-classes and where it stands, by name."""
        table, standing = self.labels(), self.standing()
        named = table[(table["status"] == "ok") & (table["label"] != "")]
        below = named[named["subclass"] != ""].groupby("label")["subclass"].unique()
        names = sorted({*named["label"].unique(), *standing}, key=str.casefold)
        return [{"name": name, "subclasses": sorted(below.get(name, ())), **standing.get(name, {})} for name in names]

    def samples(self) -> dict[str, list[tuple[str, str]]]:
        """Image and content hash of a few pictures of each class, real ones first."""
        path = self._curated / "images.parquet"

        def read() -> dict[str, list[tuple[str, str]]]:
            rows = read_table(path, ["image", "sha256", "label", "origin", "group"])
            rows = rows.sample(frac=1, random_state=0).drop_duplicates(["label", "group"])
            rows = rows.iloc[(rows["origin"] != "real").to_numpy().argsort(kind="stable")]
            few = rows.groupby("label").head(SAMPLES)
            return {
                str(label): list(zip(own["image"], own["sha256"], strict=True)) for label, own in few.groupby("label")
            }

        return self._fresh("samples", path, read, {})

    def top(self, sha256: list[str]) -> dict[str, list[tuple[str, float]]]:
        """The model's best classes and their scores, by content hash, from the stored predictions."""
        shards = sorted(self._predictions.glob("part-*.parquet"))
        if not shards or not sha256:
            return {}
        columns = ["sha256", "top_labels", "top_scores"]
        found = ds.dataset([str(shard) for shard in shards]).to_table(
            columns=columns, filter=pc.is_in(pc.field("sha256"), value_set=pa.array(sha256))
        )
        return {
            row["sha256"]: list(zip(row["top_labels"] or [], row["top_scores"] or [], strict=True))
            for row in found.to_pylist()
        }

    def beside(self, image: str) -> tuple[list[str], list[str]]:
        """The images whose files come before and after this one in its folder, the nearest last and first."""
        root, _, below = image.partition("/")
        inner, _, name = below.rpartition("/")
        if root not in self._folders:
            return [], []
        names = self._entries(self._folders[root] / inner, *_stamp(self._folders[root] / inner))
        if name not in names:
            return [], []
        place, folder = names.index(name), image.removesuffix(name)
        before, after = names[max(0, place - BESIDE) : place], names[place + 1 : place + 1 + BESIDE]
        return [folder + other for other in before], [folder + other for other in after]

    def nearest(self, sha256: str) -> list[dict[str, Any]] | None:
        """The labelled images that look most alike to the model; None where it has kept no features of this one."""
        stored = self._stored()
        if stored is None:
            return None
        rows, features, places = stored
        if sha256 not in places:
            return None
        return self._near(rows, features, places[sha256])

    def like(self, wanted: np.ndarray) -> list[dict[str, Any]]:
        """The labelled images whose features are nearest to these (F,)."""
        stored = self._stored()
        if stored is None or stored[1].shape[1] != len(wanted):
            return []
        rows, features, _ = stored
        own = np.asarray(features[rows.index.to_numpy()])
        return self._near(rows.reset_index(drop=True), np.concatenate([own, wanted[None]]), len(own))

    def _near(self, rows: pd.DataFrame, features: np.ndarray, place: int) -> list[dict[str, Any]]:
        found, cosines = neighbours.nearest(features, np.array([place]), rows.index.to_numpy(), number=NEAREST)
        near = rows.loc[found[0]].assign(cosine=cosines[0].astype(float))
        return near[["image", "sha256", "label", "cosine"]].to_dict("records")

    def features_of(self) -> str:
        """The key of the model whose features of the labelled images are stored; "" if there are none."""
        path = self._evaluation / "outputs" / KEYS
        return (pq.read_schema(path).metadata or {}).get(b"model", b"").decode() if path.exists() else ""

    def _stored(self) -> tuple[pd.DataFrame, Any, dict[str, int]] | None:
        path = self._evaluation / "outputs" / KEYS

        def read() -> tuple[pd.DataFrame, Any, dict[str, int]] | None:
            stored, features = (
                read_table(path, ["sha256"])["sha256"],
                np.load(path.with_name(EMBEDDINGS), mmap_mode="r"),
            )
            scores = read_table(self._evaluation / "scores.parquet", ["image", "sha256", "label", "set"])
            if not scores["sha256"].equals(stored) or len(features) != len(stored):
                return None
            places = {sha256: place for place, sha256 in enumerate(stored)}
            return scores[scores["set"].isin(["train", "val", "test"])], features, places

        return self._fresh("outputs", path, read, None)

    def _fresh(self, name: str, path: Path, read: Any, otherwise: Any) -> Any:
        """What `read` gives, read again when the file has changed."""
        with self._lock:
            stamp = _stamp(path)
            if name not in self._kept or self._kept[name][0] != stamp:
                try:
                    self._kept[name] = (stamp, read() if path.exists() else otherwise)
                except (DataError, OSError, ValueError):
                    if name == "labels":
                        raise
                    self._kept[name] = (stamp, otherwise)
            return self._kept[name][1]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _pictures_in(folder: Path, *_stamp: int) -> list[str]:
    """The names of the pictures in a folder, in order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if Path(entry.name).suffix.lower() in PICTURE_ENDINGS)
    except OSError:
        return []
