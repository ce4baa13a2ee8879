"""A model's stored outputs: what it said of each image and its features, so that nothing is inferred twice.

A folder that holds, a row an image, all in the same order

    keys.parquet     column `sha256`; its metadata name the model or, of an ensemble, all of them
    log_probs.npy    float16 (N, C): calibrated log probabilities (`scores.to_log_probs`)
    embeddings.npy   float16 (N, F): what the head gets

A new threshold, temperature or merge of classes needs these alone, and so does a corrected benchmark. Both arrays can
be larger than the memory; they are read where they lie.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.evaluation import scores
from pipeline.files import atomic, atomic_folder, write_table
from pipeline.inference.reading import read_batches
from pipeline.inference.runtimes import Runtime
from pipeline.inference.stored import ARRAYS, KEYS, MODEL_KEY, Outputs, read
from pipeline.progress import bar

SHARD_BATCHES = 32  # between two shards; an interrupted run loses at most so much


def complete(
    folder: Path,
    work: Path,
    sha256: pd.Series,
    paths: list[Path],
    *,
    runtime: Runtime,
    batch_size: int,
) -> Outputs:
    """Makes `folder` hold the outputs of exactly these images, in this order; only those that it lacks are inferred.

    Args:
      work: a folder for what an interrupted run has done; removed at the end.
      sha256, paths: of each image, its content hash and its file.

    Raises:
      DataError: if a picture can no longer be read, or the model says of one what is no probability.
    """
    before = _stored(folder, runtime.key)
    if before is not None and before.sha256.tolist() == sha256.tolist():
        return before
    shards = _Shards(work, runtime.key)
    known = set() if before is None else set(before.sha256)
    todo = pd.DataFrame({"sha256": sha256.to_numpy(), "path": paths}).drop_duplicates("sha256")
    todo = todo[~todo["sha256"].isin(known | shards.done())]
    _infer(todo, shards, runtime, batch_size)
    _assemble(folder, sha256, before, shards, runtime.key)
    shards.remove()
    return read(folder)


def model_of(folder: Path) -> str:
    """The key of the model, or of all models of an ensemble, whose outputs these are; "" if there are none."""
    try:
        metadata = pq.read_schema(folder / KEYS).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return ""
    return metadata.get(MODEL_KEY, b"").decode()


def _stored(folder: Path, key: str) -> Outputs | None:
    return read(folder) if model_of(folder) == key else None


def _infer(todo: pd.DataFrame, shards: "_Shards", runtime: Runtime, batch_size: int) -> None:
    names, paths = todo["sha256"].to_numpy(), list(todo["path"])
    waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    place = 0
    with bar("evaluate", len(paths)) as progress:
        for number, (pixels, failures) in enumerate(read_batches(paths, runtime.image_sizes, batch_size), 1):
            for position, failure in enumerate(failures):
                if failure:
                    raise DataError(
                        f"a picture changed since it was indexed: {failure}",
                        where=paths[place + position],
                        mend="run `dvc repro` again",
                    )
            probs, features = runtime.predict_with_features(*pixels)
            some = slice(place, place + len(probs))
            _refuse_no_numbers(probs, paths[some])
            waiting.append((names[some], scores.to_log_probs(probs), features))
            place = some.stop
            progress.update(len(probs))
            if number % SHARD_BATCHES == 0 or place == len(paths):
                shards.append(*(np.concatenate(column) for column in zip(*waiting, strict=True)))
                waiting.clear()


def _refuse_no_numbers(probs: np.ndarray, paths: list[Path]) -> None:
    bad = ~np.isfinite(probs).all(axis=1)
    if bad.any():
        named = [str(path) for path, wrong in zip(paths, bad, strict=True) if wrong]
        raise DataError(
            f"the model gives no numbers (NaN) for {len(named)} of {len(paths)} images",
            where=f"{'; '.join(named[:3])}{'; ...' if len(named) > 3 else ''}",
            mend="its weights are spoilt: train again, with a lower learning rate or in float32",
        )


def _assemble(folder: Path, sha256: pd.Series, before: Outputs | None, shards: "_Shards", key: str) -> None:
    """Writes the arrays as a whole, a source at a time."""
    wanted = pd.Series(np.arange(len(sha256)), index=sha256.to_numpy())
    with atomic_folder(folder) as new:
        write_table(pd.DataFrame({"sha256": sha256.to_numpy()}), new / KEYS, model=key)
        arrays: list[np.memmap] | None = None
        for names, *parts in shards.sources(before):
            if arrays is None:
                arrays = [
                    np.lib.format.open_memmap(new / name, "w+", part.dtype, (len(sha256), part.shape[1]))
                    for name, part in zip(ARRAYS, parts, strict=True)
                ]
            source = pd.Series(np.arange(len(names)), index=names)
            source = source[~source.index.duplicated()]
            targets = wanted[wanted.index.isin(source.index)]
            rows = source[targets.index].to_numpy()
            for start in range(0, len(targets), scores.BLOCK):
                some = slice(start, start + scores.BLOCK)
                for array, part in zip(arrays, parts, strict=True):
                    array[targets.to_numpy()[some]] = part[rows[some]]
        for array in arrays or ():
            array.flush()


class _Shards:
    """What has been inferred so far, in files of a few thousand images; those of another model are removed."""

    def __init__(self, folder: Path, key: str):
        self._folder, self._name = folder, hashlib.sha256(key.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            if not file.name.startswith(self._name):
                file.unlink()

    def done(self) -> set[str]:
        found: set[str] = set()
        for file in self._files():
            with np.load(file) as shard:
                found |= set(shard["names"])
        return found

    def append(self, names: np.ndarray, log_probs: np.ndarray, features: np.ndarray) -> None:
        path = self._folder / f"{self._name}-{len(self._files()):05d}.npz"
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez(file, names=names.astype(str), log_probs=log_probs, features=features)

    def sources(self, before: Outputs | None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Content hashes, log probabilities and features of what was stored `before`, then of each shard."""
        if before is not None:
            yield before.sha256.to_numpy(), before.log_probs, before.embeddings
        for file in self._files():
            with np.load(file) as shard:
                yield shard["names"], shard["log_probs"], shard["features"]

    def remove(self) -> None:
        for file in self._files():
            file.unlink()

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._name}-*.npz"))
