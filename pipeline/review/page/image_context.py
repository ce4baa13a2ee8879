"""What stands beside a picture: what the model saw, its label, samples of the candidate classes, files next to it."""

import os
import threading
from dataclasses import dataclass
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
from pipeline.files import read_table
from pipeline.inference import evaluated, frozen_features, migration, pool_predictions, vectors
from pipeline.inference.frozen_features import FrozenFeatures
from pipeline.inference.vectors import Vectors
from pipeline.library import board, labels
from pipeline.library.exclusion import Reason
from pipeline.library.walking import is_named_like_an_image
from pipeline.review.page.queues import UNLABELLED

SAMPLES = 4  # pictures of a class
BESIDE = 3  # files before, and files after
FOLDERS = 64  # whose files are remembered
NEAREST = 8
SHARD = "__filename"  # what Arrow calls the column with the file that a row comes from
LEARNT_SETS = ["train", "val", "test"]
STANDING = ["groups", "cutoff", "short_by", "standing"]


class ImageContext:
    """Reads the round's tables when they are first needed; one that is not there yet leaves a gap, and is no error.

    Args:
      labels_table, curated, evaluation, predictions: where they lie.
      library_features, pool_features: frozen features; where there are none, the model's are taken.
      index_cache: what the index keeps of every file; it alone knows when a file was changed.
      cache: where what finds nearest images is kept.
      folders: every root's folder, by name.
    """

    def __init__(
        self,
        *,
        labels_table: Path,
        curated: Path,
        evaluation: Path,
        predictions: Path,
        library_features: Path,
        pool_features: Path,
        index_cache: Path,
        folders: dict[str, Path],
        cache: Path,
    ):
        self._labels_path, self._curated, self._evaluation = labels_table, curated, evaluation
        self._predictions, self._folders, self._cache = predictions, folders, cache
        self._index_cache = index_cache
        self._library_features, self._pool_features = library_features, pool_features
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

    def names(self) -> set[str]:
        """Every class that people have used."""
        return self._fresh("names", self._labels_path, lambda: set(self.labels()["label"]) - {""}, set())

    def classes(self) -> list[dict[str, Any]]:
        """Every class that people have used, with its sub-classes and where it stands, by name."""
        table, standing = self.labels(), self.standing()
        named = table[(table["status"] == "ok") & (table["label"] != "")]
        below = named[named["subclass"] != ""].groupby("label")["subclass"].unique()
        names = sorted({*named["label"].unique(), *standing}, key=str.casefold)
        return [{"name": name, "subclasses": sorted(below.get(name, ())), **standing.get(name, {})} for name in names]

    def origins(self, images: pa.ChunkedArray) -> np.ndarray:
        """The origin of each image in the label table; `UNLABELLED` of those that are not there."""
        table = self.labels()
        place = _places(images, pa.array(table.index, pa.string()))
        return np.append(table["origin"].to_numpy("U16"), UNLABELLED)[place]

    def days(self, images: pa.ChunkedArray) -> np.ndarray:
        """The day, by the clock of Greenwich, of the last change of each image's file; NaT of those never indexed."""
        if not self._index_cache.exists():
            return np.full(len(images), "NaT", "datetime64[D]")
        table = pq.read_table(self._index_cache, columns=["image", "mtime_ns"])
        changed = table["mtime_ns"].to_numpy().astype("datetime64[ns]").astype("datetime64[D]")
        return np.append(changed, np.datetime64("NaT", "D"))[_places(images, table["image"])]

    def samples(self) -> dict[str, list[tuple[str, str]]]:
        """Image and content hash of a few images of each class, real ones first; also of those below the cutoff."""
        path, left_out = self._curated / "images.parquet", self._curated / "excluded.parquet"

        def read() -> dict[str, list[tuple[str, str]]]:
            columns = ["image", "sha256", "label", "origin", "group"]
            rows = read_table(path, columns)
            if left_out.exists():
                below = read_table(left_out, [*columns, "reason"])
                rows = pd.concat([rows, below.loc[below["reason"] == Reason.BELOW_CUTOFF, columns]])
            rows = rows.sample(frac=1, random_state=0).drop_duplicates(["label", "group"])
            rows = rows.iloc[(rows["origin"] != "real").to_numpy().argsort(kind="stable")]
            few = rows.groupby("label").head(SAMPLES)
            return {
                str(label): list(zip(own["image"], own["sha256"], strict=True)) for label, own in few.groupby("label")
            }

        return self._fresh("samples", path, read, {}, also=left_out)

    def top(self, images: list[str]) -> dict[str, list[tuple[str, float]]]:
        """The model's best classes and their scores, by image, from the stored predictions."""
        rows = self._predicted(images, ["top_labels", "top_scores"])
        return {row["image"]: list(zip(row["top_labels"] or [], row["top_scores"] or [], strict=True)) for row in rows}

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

    def nearest(self, image: str, sha256: str) -> tuple[str, list[dict[str, Any]] | None]:
        """The labelled images that look most alike, and to which frozen network: "" for the model.

        By frozen features where this image and the labelled ones have them, else by those of the model; None where
        there are no features of this one.
        """
        frozen = self._frozen()
        if frozen is not None:
            features = self._frozen_features(sha256, frozen)
            if features is not None:
                return frozen.name, _near(frozen, features, sha256)
        return "", self._nearest_to_the_model(image, sha256)

    def _nearest_to_the_model(self, image: str, sha256: str) -> list[dict[str, Any]] | None:
        stored = self._stored()
        if stored is None:
            return None
        if sha256 in stored.places:
            return self.like(np.asarray(stored.vectors.exact[stored.places[sha256]]), but=sha256)
        for row in self._predicted([image], ["failure", SHARD]):
            features = pool_predictions.features_of(image, Path(row[SHARD]))
            if features is not None and not row["failure"]:
                return self.like(features)
        return None

    def like(self, features: np.ndarray, *, but: str = "") -> list[dict[str, Any]]:
        """The labelled images whose features are nearest to these (F,).

        Args:
          but: a content hash that is not among them.
        """
        stored = self._stored()
        if stored is None or stored.vectors.exact.shape[1] != len(features):
            return []
        return _near(stored, features, but)

    def features_of(self) -> str:
        """The key of the model whose features of the labelled images are stored; "" if there are none."""
        return evaluated.model_of(self._evaluation / "outputs")

    def _stored(self) -> "_Stored | None":
        path = self._evaluation / "scores.parquet"

        def read() -> _Stored | None:
            rows = read_table(path, ["image", "sha256", "label", "set"])
            features = evaluated.read(self._evaluation / "outputs", rows["sha256"]).features
            searchable = vectors.of(features, self._cache / "library")
            if searchable is None:
                return None
            labelled = np.flatnonzero(rows["set"].isin(LEARNT_SETS))
            return _Stored(rows, searchable, labelled, {name: place for place, name in enumerate(rows["sha256"])})

        return self._fresh("outputs", path, read, None)

    def _frozen(self) -> "_Stored | None":
        """The labelled images with their frozen features."""

        def read() -> _Stored | None:
            features = frozen_features.read(self._library_features)
            searchable = None if features is None else vectors.of(features.features, self._cache / "frozen-library")
            scores = self._evaluation / "scores.parquet"
            if features is None or searchable is None or not scores.exists():
                return None
            rows = read_table(scores, ["image", "sha256", "label", "set"])
            rows = rows[rows["set"].isin(LEARNT_SETS)].drop_duplicates("sha256")
            places = {name: place for place, name in enumerate(features.contents.to_pylist())}
            rows.index = rows["sha256"].map(places).fillna(-1).astype(int)
            rows = rows[rows.index >= 0].sort_index()
            return _Stored(rows, searchable, rows.index.to_numpy(), places, features.name, features.key)

        path = self._library_features / frozen_features.SUMMARY
        return self._fresh("frozen", path, read, None, also=self._evaluation / "scores.parquet")

    def _frozen_features(self, sha256: str, frozen: "_Stored") -> np.ndarray | None:
        """The features of a content (F,), of the library or of the pool, by the same network as `frozen`."""
        if sha256 in frozen.places:
            return np.asarray(frozen.vectors.exact[frozen.places[sha256]])

        def read() -> FrozenFeatures | None:
            return frozen_features.read(self._pool_features)

        pool = self._fresh("frozen pool", self._pool_features / frozen_features.SUMMARY, read, None)
        return None if pool is None or pool.key != frozen.key else pool.features_of(sha256)

    def _predicted(self, images: list[str], columns: list[str]) -> list[dict[str, Any]]:
        """Rows of the stored predictions; shards are sorted by image, so that few of them are read."""

        def read() -> ds.Dataset | None:
            shards = migration.opened(self._predictions)
            return ds.dataset([str(shard) for shard in shards]) if shards else None

        dataset = self._fresh("predictions", self._predictions / "summary.json", read, None)
        if dataset is None or not images:
            return []
        wanted = pc.is_in(pc.field("image"), value_set=pa.array(images))
        return dataset.to_table(columns=["image", *columns], filter=wanted).to_pylist()

    def _fresh(self, name: str, path: Path, read: Any, otherwise: Any, *, also: Path | None = None) -> Any:
        """What `read` gives, read again when the file, or another that it reads, has changed."""
        with self._lock:
            stamp = _stamp(path), also and _stamp(also)
            if name not in self._kept or self._kept[name][0] != stamp:
                try:
                    self._kept[name] = (stamp, read() if path.exists() else otherwise)
                except (DataError, OSError, ValueError):
                    if name == "labels":
                        raise
                    self._kept[name] = (stamp, otherwise)
            return self._kept[name][1]


@dataclass(frozen=True)
class _Stored:
    """Images with their features: `rows` by the place of their features; which of them are `labelled` and of no
    benchmark; the place of each content; and name and key of the frozen network, "" for the model."""

    rows: pd.DataFrame
    vectors: Vectors
    labelled: np.ndarray
    places: dict[str, int]
    name: str = ""
    key: str = ""


def _near(stored: _Stored, features: np.ndarray, but: str) -> list[dict[str, Any]]:
    """The labelled images nearest to these features (F,), the content `but` not among them."""
    found, cosines = stored.vectors.nearest(features[None], number=NEAREST + 1, among=stored.labelled)
    near = stored.rows.loc[found[0]].assign(cosine=cosines[0].astype(float))
    return near[near["sha256"] != but].head(NEAREST)[["image", "sha256", "label", "cosine"]].to_dict("records")


def _places(images: pa.ChunkedArray, among: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Where each image stands; -1 of those that are not there."""
    found = pc.index_in(images.cast(pa.string()), value_set=among.cast(pa.string()))
    return pc.fill_null(found, -1).to_numpy()


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
            return sorted(entry.name for entry in entries if is_named_like_an_image(entry.name))
    except OSError:
        return []
