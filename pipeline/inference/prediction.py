"""From rows of the index to rows of predictions: what every engine does with the images that it is given."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import DataError
from pipeline.evaluation import scores
from pipeline.inference import reading, store
from pipeline.inference.runtimes import Runtime
from pipeline.inference.shards import FEATURES, as_lists
from pipeline.library import labels, mounts, pictures
from pipeline.library.failures import Failure, PictureError

ASKED = ["image", "sha256", "failure"]
ROWS_A_PICTURE = 8  # rows of a batch, at most, by pictures that it may hold: most of an index may be failures

Load = Callable[[str], bytes]


@dataclass
class Seconds:
    """Time spent on each step; reading and decoding are summed over the threads."""

    read: float = 0.0
    decode: float = 0.0
    infer: float = 0.0
    write: float = 0.0


@dataclass(frozen=True)
class _Read:
    """The pixels of a picture at each size of the runtime, or the reason why there are none; and what they cost."""

    pixels: list[np.ndarray]
    failure: str
    read: float = 0.0
    decode: float = 0.0


def from_folders(folders: dict[str, Path]) -> Load:
    """Loads images from the folders of their roots.

    Where a folder has gone as a whole, all its pictures would seem to be missing: ResumableError stops the run.
    """

    def load(image: str) -> bytes:
        try:
            return pictures.load_bytes(labels.locate(image, folders))
        except PictureError:
            mounts.refuse_gone(image, folders)
            raise

    return load


def predict(
    rows: pd.DataFrame, runtime: Runtime, *, load: Load, batch_size: int, top_k: int, embeddings: bool
) -> pd.DataFrame:
    """Returns the predictions of `rows`, one each, in their order.

    Args:
      rows: columns `image`, `sha256` and `failure`; one with a failure, the index's, is not read again.
      load: gives the bytes of the image called ROOT/path; raises PictureError with the reason if it cannot.
      batch_size: pictures in the network at once.
      top_k: classes kept of each image.
      embeddings: whether what the (first) head gets is kept.

    Returns:
      `store.COLUMNS` and, if wanted, `features` (lists of F float16 values); a frozen network, which has no classes,
      gives no label and no scores. What was asked of no network, since the picture could not be read or is no longer
      the one that was indexed, has its reason in `failure`.

    Raises:
      DataError: if the model gives of a picture what are no numbers.
    """
    found = stream([rows], runtime, load=load, batch_size=batch_size, top_k=top_k, embeddings=embeddings)
    nothing = describe([], [], runtime.classes, None, None, model=runtime.model, top_k=top_k, embeddings=embeddings)
    return pd.concat([nothing, *found], ignore_index=True)


def stream(
    tables: Iterable[pd.DataFrame],
    runtime: Runtime,
    *,
    load: Load,
    batch_size: int,
    top_k: int,
    embeddings: bool,
    seconds: Seconds | None = None,
) -> Iterator[pd.DataFrame]:
    """As `predict`, of many tables, batch by batch: the next pictures are read across the borders of tables.

    Args:
      seconds: what each step takes is added here.
    """
    seconds = Seconds() if seconds is None else seconds

    def read(row: tuple[str, str, str]) -> _Read:
        return _read(*row, load, runtime.image_sizes)

    for rows, results in reading.ahead(read, _batches(tables, batch_size)):
        seconds.read += sum(result.read for result in results)
        seconds.decode += sum(result.decode for result in results)
        started = time.perf_counter()
        readable = [result.pixels for result in results if not result.failure]
        probs = features = None
        if readable:
            pixels = [np.stack(at_one_size) for at_one_size in zip(*readable, strict=True)]
            probs, features = runtime.predict_with_features(*pixels) if embeddings else (runtime.predict(*pixels), None)
        failures = [result.failure for result in results]
        said = describe(
            rows,
            failures,
            runtime.classes,
            probs,
            features,
            model=runtime.model,
            top_k=top_k,
            embeddings=embeddings,
        )
        seconds.infer += time.perf_counter() - started
        yield said


def _batches(tables: Iterable[pd.DataFrame], batch_size: int) -> Iterator[list[tuple[str, str, str]]]:
    """Rows with `batch_size` pictures to be read among them, unless hardly any is."""
    batch, pictures_ = [], 0
    for table in tables:
        for row in table[ASKED].itertuples(index=False, name=None):
            batch.append(row)
            pictures_ += row[2] == ""
            if pictures_ == batch_size or len(batch) == ROWS_A_PICTURE * batch_size:
                yield batch
                batch, pictures_ = [], 0
    if batch:
        yield batch


def _read(image: str, sha256: str, failure: str, load: Load, image_sizes: tuple[int, ...]) -> _Read:
    if failure:
        return _Read([], failure)
    pixels: list[np.ndarray] = []
    started = time.perf_counter()
    loaded = None
    try:
        data = load(image)
        loaded = time.perf_counter()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise PictureError(Failure.CHANGED)
        pixels = [pictures.to_pixels(data, size) for size in image_sizes]
    except PictureError as reason:
        failure = str(reason)
    ended = time.perf_counter()
    loaded = loaded or ended
    return _Read(pixels, failure, loaded - started, ended - loaded)


def describe(
    rows: list[tuple[str, str, str]],
    failures: list[str],
    classes: list[str],
    probs: np.ndarray | None,
    features: np.ndarray | None,
    *,
    model: str,
    top_k: int,
    embeddings: bool,
) -> pd.DataFrame:
    """Returns predictions as they are stored, one row per image.

    Args:
      rows: `image`, `sha256` and `failure` of each; failures: what is stored of each, "" where it was predicted.
      classes: in the order of the probabilities; none of a frozen network.
      probs, features: of those that were predicted (N, C) and (N, F), in their order; None where there are none.
      model: the digest of the model that said so.
      top_k, embeddings: see `predict`.

    Raises:
      DataError: if a value is no number.
    """
    table = pd.DataFrame(rows, columns=ASKED, dtype="str").assign(failure=pd.Series(failures, dtype="str"))
    readable = table.index[table["failure"] == ""]
    if classes:
        probs = np.ones((0, len(classes))) if probs is None else probs
        _refuse_no_numbers(probs, table["image"][readable])
        said = scores.describe(probs, classes, top_k=top_k).set_index(readable)
    else:
        said = pd.DataFrame(index=readable)
    if embeddings:
        features = np.empty((0, 1)) if features is None else features
        _refuse_no_numbers(features, table["image"][readable])
        said[FEATURES] = as_lists(features, readable)
    joined = table.join(said).assign(model=model)
    if classes:
        joined["label"] = joined["label"].fillna("")
    return store.typed(joined)


def _refuse_no_numbers(values: np.ndarray, images: pd.Series) -> None:
    """Raises DataError if one of the values (N, M) is NaN or infinite; float16 ends at 65,504."""
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise DataError(
            f"the model gives no numbers (NaN) for {bad.sum()} of {len(images)} images",
            where=f"{images[bad].iloc[0]}, for example",
            mend="its weights are spoilt: train again with a lower learning rate or in float32, or take other weights",
        )
