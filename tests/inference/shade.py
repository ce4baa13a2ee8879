"""A runtime without a network, and a pool of pictures for it."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.files import digest, read_table
from pipeline.inference import local, prediction, shards, store

CLASSES = ["dark", "light"]
BATCH, SHARD = 2, 4


class Killed(BaseException):
    pass


class Shade:
    """Tells light pictures from dark ones, counts what it sees, and can do something after some batches: die, say."""

    classes, image_sizes = CLASSES, (8,)

    def __init__(self, *, after: int = 1000, then=None, model: str = "m"):
        self.model = self.key = model
        self.seen, self.calls, self._after, self._then = 0, 0, after, then

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        if self.calls == self._after:
            self._then()
        self.calls, self.seen = self.calls + 1, self.seen + len(pixels)
        light = pixels.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - light, light], axis=1)

    def predict_with_features(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.predict(pixels), pixels[:, 0, :3, 0].astype(np.float16)


def die() -> None:
    raise Killed


def grey(path: Path, shade: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path)
    return path


def table(folder: Path) -> pd.DataFrame:
    """The index of the pictures below `folder`, the root `pool`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [f"pool/{path.relative_to(folder)}" for path in files]
    return pd.DataFrame({"image": names, "sha256": [digest(path) for path in files], "failure": ""}, dtype="str")


def read(out: Path) -> pd.DataFrame:
    """All rows of a store, sorted by image; with a column `features` where it has any."""
    parts = shards.listed(out)
    rows = pd.concat([read_table(shard) for shard in parts], ignore_index=True)
    features = shards.stacked(parts, shards.starts_of(parts), shards.FEATURES)
    if features is not None:
        rows["features"] = features[:].tolist()
    return rows.sort_values("image", ignore_index=True)


def identify(
    pool: pd.DataFrame, folder: Path, out: Path, runtime: Shade, *, pieces: int = 3, embeddings: bool = True
) -> local.Told:
    """Identifies the pool, whose pictures lie in `folder`, read from the index in so many pieces."""
    size = -(-len(pool) // pieces) or 1
    return local.identify(
        lambda: [pool[first : first + size] for first in range(0, len(pool), size)],
        len(pool),
        runtime=runtime,
        load=prediction.from_folders({"pool": folder}),
        out=store.Store(out, runtime.key, arrays=[shards.FEATURES] if embeddings else []),
        batch_size=BATCH,
        shard_rows=SHARD,
        top_k=2,
        embeddings=embeddings,
    )
