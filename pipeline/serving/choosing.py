"""Which runtime serves a model: the one that bulk identification would choose."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.bundle import Stored
from pipeline.errors import DataError
from pipeline.evaluation.thresholds import Thresholds
from pipeline.files import read_table
from pipeline.inference import prediction, selection, store
from pipeline.inference.runtimes import kinds
from pipeline.inference.selection import Candidates
from pipeline.inference.trials import Limits
from pipeline.serving.served import Runtimes

A_LOT = 10**9  # pictures: a service never ends, so that a trial is always worth it
ROWS = 4096  # of the index read at once
LADDER = 4  # from one batch of Keras, which is filled up, to the next larger


@dataclass(frozen=True)
class Chooser:
    """Chooses the runtime that serves a model.

    Attributes:
      runtime: its name, or auto.
      limits: of a trial.
      batch_size: images at once, at most.
      bulk_batch_size: of bulk identification, whose choice is taken if there is one.
      splits, pool: tables with the images of a trial; where there are none, Keras serves.
      folders: of the roots.
      cache: the folder that keeps converted networks.
    """

    runtime: str
    limits: Limits
    batch_size: int
    bulk_batch_size: int
    splits: Path
    pool: Path
    folders: dict[str, Path]
    cache: Path

    def __call__(self, stored: Stored, thresholds: Thresholds | None) -> tuple[str, Runtimes]:
        """The runtime's name, and what runs the model by the number of pictures at once.

        Raises:
          UsageError: if this machine cannot run what is named.
          DataError: if the network cannot be converted to what is named.
        """
        val = self._val(stored.classes)
        if self.runtime == kinds.AUTO and val.empty:
            return kinds.KERAS, self._keras(stored)
        calibration = selection.calibration(val, self.folders)
        candidates = Candidates([stored], calibration, self.bulk_batch_size, self.cache)
        try:
            choice, runtime = selection.choose(
                self.runtime,
                candidates,
                sample=lambda: selection.sampled(val, self._pool(), self.folders, number=self.limits.images),
                comparison=selection.answers(candidates, thresholds, self.limits),
                total=A_LOT,
                begun={},
            )
        except DataError:
            if self.runtime != kinds.AUTO:
                raise
            return kinds.KERAS, self._keras(stored)
        if choice.runtime == kinds.KERAS:
            return kinds.KERAS, self._keras(stored)
        return choice.runtime, {self.batch_size: runtime}

    def _keras(self, stored: Stored) -> Runtimes:
        sizes = [self.batch_size]
        while sizes[-1] > 1:
            sizes.append(max(1, sizes[-1] // LADDER))
        calibration = selection.Calibration([], [])
        return {
            size: kinds.load(kinds.KERAS, [stored], calibration, batch_size=size, cache=self.cache)
            for size in sizes[::-1]
        }

    def _val(self, known: list[str]) -> pd.DataFrame:
        if not self.splits.exists():
            return pd.DataFrame({"image": [], "sha256": [], "label": []}, dtype=str)
        rows = read_table(self.splits, ["image", "sha256", "label", "set"], optional=["cluster"])
        return rows[(rows["set"] == "val") & rows["label"].isin(known)]

    def _pool(self) -> Iterator[pd.DataFrame]:
        if not self.pool.exists():
            return iter([])
        return store.stream(self.pool, prediction.ASKED, ROWS)
