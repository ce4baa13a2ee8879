"""The local engine: identifies the images of a table on this machine, shard by shard, in constant memory."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from tqdm import tqdm

from pipeline import errors
from pipeline.inference import prediction, store
from pipeline.inference.copies import Copies
from pipeline.inference.prediction import Load, Seconds
from pipeline.inference.runtimes import Runtime
from pipeline.progress import bar

COPIES_AT_ONCE = 65_536  # looked up together: each shard that they are copied from is read once for them all

Pieces = Callable[[], Iterable[pd.DataFrame]]
Predict = Callable[[Iterable[pd.DataFrame], Seconds], Iterable[pd.DataFrame]]


@dataclass
class Told:
    """What a run has done.

    Attributes:
      predicted: images that got a row in this run, whatever it says.
      copied: those of them whose content was predicted for another image.
      before: images whose row was there.
      seconds: what each step took.
    """

    predicted: int = 0
    copied: int = 0
    before: int = 0
    seconds: Seconds = field(default_factory=Seconds, compare=False)


def identify(
    pieces: Pieces,
    total: int,
    *,
    runtime: Runtime,
    load: Load,
    out: store.Store,
    title: str = "identify",
    batch_size: int,
    shard_rows: int,
    top_k: int,
    embeddings: bool,
) -> Told:
    """Identifies on this machine, see `collect`; of what predicts, see `prediction.predict`."""

    def predict(tables: Iterable[pd.DataFrame], seconds: Seconds) -> Iterator[pd.DataFrame]:
        return prediction.stream(
            tables, runtime, load=load, batch_size=batch_size, top_k=top_k, embeddings=embeddings, seconds=seconds
        )

    return collect(pieces, total, predict=predict, out=out, shard_rows=shard_rows, title=title)


def collect(
    pieces: Pieces, total: int, *, predict: Predict, out: store.Store, shard_rows: int, title: str = "identify"
) -> Told:
    """Has every image of `pieces` predicted that `out` does not have yet, and drops from `out` what is no longer asked.

    In memory are 8 bytes an image (16 for a moment), 20 a repeated content, and a shard.

    Args:
      pieces: gives, whenever it is called, the same tables with columns `image`, `sha256` and `failure` (of the index:
        such an image is not read again).
      total: images in all pieces.
      predict: of an engine: gives the predictions of all rows of the tables, in any order, and adds up what they cost.
      shard_rows: images in a shard.
      title: of the progress bar.
    """
    out.forget_skipped()
    done = out.done()
    todo = store.gather((out.missing(piece, done) for piece in pieces()), store.content_keys)
    copies = Copies(todo, out)
    told = Told(before=total - len(todo))

    with bar(title, total, done=told.before) as progress:
        shards = _Shards(out, copies, shard_rows, told, progress)
        for rows in predict((copies.to_read(out.missing(piece, done)) for piece in pieces()), told.seconds):
            shards.add(rows)
        shards.commit()
        for some in _together(_copies(pieces, done, copies, out) if len(copies) else [], COPIES_AT_ONCE):
            copied: set[str] = set()
            for rows in copies.of(some):
                shards.add(rows)
                copied |= set(rows["image"])
            told.copied += len(copied)
            for rows in predict([some[~some["image"].isin(copied)]], told.seconds):
                shards.add(rows)
        shards.commit()
    if len(done) > told.before:
        out.keep_only(out.gather(pieces()))
    return told


class _Shards:
    """Gathers predictions into shards of the size that is asked for, and commits them."""

    def __init__(self, out: store.Store, copies: Copies, shard_rows: int, told: Told, progress: tqdm):
        self._out, self._copies, self._shard_rows, self._told = out, copies, shard_rows, told
        self._progress, self._failed = progress, 0
        self._waiting: list[pd.DataFrame] = []
        self._number = 0

    def add(self, rows: pd.DataFrame) -> None:
        errors.stop_if_asked()
        self._waiting.append(rows)
        self._number += len(rows)
        self._told.predicted += len(rows)
        self._failed += int((rows["failure"] != "").sum())
        self._progress.set_postfix_str(f"{self._failed} failed", refresh=False)
        self._progress.update(len(rows))
        while self._number >= self._shard_rows:
            self.commit()

    def commit(self) -> None:
        """Writes what waits, at most a shard of it."""
        if not self._number:
            return
        started = time.perf_counter()
        waiting = pd.concat(self._waiting, ignore_index=True)
        rows, rest = waiting[: self._shard_rows], waiting[self._shard_rows :]
        self._copies.note(self._out.append(rows), rows)
        self._waiting, self._number = [rest], len(rest)
        self._told.seconds.write += time.perf_counter() - started


def _copies(pieces: Pieces, done: np.ndarray, copies: Copies, out: store.Store) -> Iterator[pd.DataFrame]:
    for piece in pieces():
        todo = out.missing(piece, done)
        yield todo.drop(copies.to_read(todo).index)


def _together(tables: Iterable[pd.DataFrame], least: int) -> Iterator[pd.DataFrame]:
    """Joins tables until they have at least so many rows."""
    waiting: list[pd.DataFrame] = []
    for table in tables:
        if len(table):
            waiting.append(table)
        if sum(map(len, waiting)) >= least:
            yield pd.concat(waiting, ignore_index=True)
            waiting = []
    if waiting:
        yield pd.concat(waiting, ignore_index=True)
