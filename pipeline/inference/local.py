"""The local engine: identifies the images of a table on this machine, shard by shard, in constant memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.inference import prediction, store
from pipeline.inference.runtimes import Runtime
from pipeline.progress import bar


@dataclass(frozen=True)
class Counts:
    """Of this run: images identified, failed, and those that were predicted before."""

    identified: int
    failed: int
    before: int


def identify(
    pieces: Iterable[pd.DataFrame],
    total: int,
    *,
    runtime: Runtime,
    folders: dict[str, Path],
    out: store.Store,
    batch_size: int,
    shard_rows: int,
    top_k: int,
) -> Counts:
    """Predicts every image of `pieces` that `out` does not have yet, and drops from `out` what is no longer asked for.

    Args:
      pieces: tables with columns `image`, `sha256`, `failure` (of the index: such an image is not read again).
      total: images in all pieces.
    """
    done = out.done()
    wanted: list[np.ndarray] = []
    waiting = pd.DataFrame()
    identified = failed = 0

    def commit(rows: pd.DataFrame) -> None:
        nonlocal identified, failed
        predicted = prediction.predict(
            rows,
            runtime,
            load=prediction.from_folders(folders),
            batch_size=batch_size,
            top_k=top_k,
            embeddings=False,
        )
        out.append(predicted)
        progress.update(len(rows))
        failures = int((predicted["failure"] != "").sum())
        identified, failed = identified + len(rows) - failures, failed + failures

    with bar("identify", total) as progress:
        for piece in pieces:
            wanted.append(store.keys(piece))
            todo = store.missing(piece, done)
            progress.update(len(piece) - len(todo))
            waiting = pd.concat([waiting, todo], ignore_index=True)
            while len(waiting) >= shard_rows:
                commit(waiting[:shard_rows])
                waiting = waiting[shard_rows:].reset_index(drop=True)
        if len(waiting):
            commit(waiting)
    out.keep_only(np.sort(np.concatenate(wanted)) if wanted else np.empty(0, np.uint64))
    return Counts(identified, failed, total - identified - failed)
