"""Which runtime serves a model: the one that bulk identification would choose.

To try them all takes a minute or two: Keras answers meanwhile, and they are tried in another process, which leaves what
it has found and converted in the cache.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline.bundle import Stored
from pipeline.errors import DataError
from pipeline.evaluation import thresholds
from pipeline.evaluation.thresholds import Thresholds
from pipeline.files import read_table
from pipeline.inference import prediction, selection, store
from pipeline.inference.runtimes import kinds
from pipeline.inference.selection import Candidates
from pipeline.inference.trials import Limits
from pipeline.serving.apart import Apart
from pipeline.serving.health import complain
from pipeline.serving.served import Chosen, Runtimes

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
      apart: where other runtimes are tried while Keras answers; None: they are tried first.
    """

    runtime: str
    limits: Limits
    batch_size: int
    bulk_batch_size: int
    splits: Path
    pool: Path
    folders: dict[str, Path]
    cache: Path
    apart: Apart | None = None

    def __call__(self, stored: Stored, limits: Thresholds | None) -> Chosen:
        """What runs the model.

        Args:
          limits: the model's thresholds.

        Raises:
          UsageError: if this machine cannot run what is named.
          DataError: if the network cannot be converted to what is named.
        """
        val = self._val(stored.classes)
        if self.runtime == kinds.AUTO and val.empty:
            return Chosen(kinds.KERAS, self._keras(stored))
        candidates = self._candidates(stored, val)
        comparison = selection.answers(candidates, limits, self.limits)
        if self.runtime == kinds.AUTO and self.apart is not None:
            choice = selection.decided(candidates, comparison)
            if choice is None or not candidates.is_prepared(choice.runtime):
                return Chosen(kinds.KERAS, self._keras(stored), partial(self._try_apart, stored, limits))
        try:
            choice, runtime = selection.choose(
                self.runtime,
                candidates,
                sample=lambda: selection.sampled(val, self._pool(), self.folders, number=self.limits.images),
                comparison=comparison,
                total=A_LOT,
                begun={},
            )
        except DataError:
            if self.runtime != kinds.AUTO:
                raise
            return Chosen(kinds.KERAS, self._keras(stored))
        if choice.runtime == kinds.KERAS:
            return Chosen(kinds.KERAS, self._keras(stored))
        return Chosen(choice.runtime, {self.batch_size: runtime})

    def _try_apart(self, stored: Stored, limits: Thresholds | None) -> Chosen | None:
        assert self.apart is not None
        if not self.apart.run(_try, replace(self, apart=None), stored.folder):
            if not self.apart.stopped:
                complain("serve: the other runtimes could not be tried; Keras goes on answering")
            return None
        candidates = self._candidates(stored, self._val(stored.classes))
        choice = selection.decided(candidates, selection.answers(candidates, limits, self.limits))
        if choice is not None:
            complain(f"serve: runtimes were tried: {choice.runtime}, {choice.why}")
        if choice is None or choice.runtime == kinds.KERAS:
            return None
        return Chosen(choice.runtime, {self.batch_size: candidates.load(choice.runtime)})

    def _candidates(self, stored: Stored, val: pd.DataFrame) -> Candidates:
        return Candidates([stored], selection.calibration(val, self.folders), self.bulk_batch_size, self.cache)

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


def _try(chooser: Chooser, folder: Path) -> None:
    """Tries the runtimes of the bundle in the folder, and leaves the choice in the cache."""
    stored, limits = Stored(folder), None
    if (folder / thresholds.FILE).exists():
        limits = thresholds.read(folder / thresholds.FILE, stored.card.model_digest)
    chooser(stored, limits)
