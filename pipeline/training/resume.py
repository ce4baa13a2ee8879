"""Training that continues after a kill as if nothing had happened: the whole state, in one file, once an epoch.

Keras' BackupAndRestore keeps weights, optimiser and epoch, but neither patience nor the best score, so that a resumed
run would stop later and could overwrite the best weights by worse ones.

`state-7.npz` is written after epoch 7 and names the best epoch until then, say 5, whose weights `best-5.npz` has held
since before that state was written. Nothing that one of the last two states needs is ever replaced: killed at any
moment, the newest whole state finds its own best weights, and where the newest is damaged there is one before it.
"""

import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from pipeline.files import atomic
from pipeline.training.optimizers import averages

DAMAGED = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError)
STATES = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
}


class Resume(keras.callbacks.Callback):
    """Saves the training state at the end of each epoch, and the best weights when they are new.

    List it last: it reads what the callbacks of `watched` made of the epoch.

    Attributes:
      history: a row an epoch, from the first one on, earlier runs included.
      finished: whether early stopping has ended this training already.
    """

    def __init__(
        self,
        folder: Path,
        stopping: keras.callbacks.EarlyStopping,
        watched: list[keras.callbacks.Callback],
        told: Callable[[pd.DataFrame], None] | None = None,
    ):
        """Starts with an empty history.

        Args:
          folder: where the training state and the best weights are kept.
          stopping: early stopping, which tells the best epoch.
          watched: further callbacks whose state is kept.
          told: is called with the history after each epoch, once it is safe.
        """
        super().__init__()
        self._folder, self._told = folder, told
        self._stopping, self._watched = stopping, [stopping, *watched]
        self._meta: dict[str, Any] = {"history": [], "callbacks": [], "finished": False, "best": None, "phase": ""}
        self.phase = ""

    @property
    def history(self) -> list[dict]:
        return self._meta["history"]

    @property
    def finished(self) -> bool:
        return self._meta["finished"]

    @property
    def next_epoch(self) -> int:
        """Counted from 0, as Keras does."""
        return len(self.history)

    @property
    def best_epoch(self) -> int | None:
        """Counted from 1; None before there is one."""
        return self._meta["best"]

    def restore(self, model: keras.Model, phase: str = "") -> None:
        """Loads the newest whole state into a compiled model, if there is one; where none is, training starts anew.

        Of a state that another phase left, the optimiser's part is not taken: each phase has an optimiser of its own.
        """
        self.phase = phase
        for path in self._folder.glob(".*.tmp"):  # what a kill during a write has left
            path.unlink()
        for path in sorted(self._folder.glob("state-*.npz"), key=_epoch, reverse=True):
            try:
                meta = _meta(path)
                if meta["best"] is not None:
                    _read(self._best(meta["best"]), model.variables)
                variables = _variables(model) if meta["phase"] == phase else model.variables
                values = _read(path, variables)
            except DAMAGED as error:
                print(f"train: the state saved after epoch {_epoch(path)} is damaged: {error}", flush=True)
                continue
            _assign(variables, values)
            self._meta = meta
            return
        if any(self._folder.glob("state-*.npz")):
            print("train: no saved state is whole; training starts anew", flush=True)

    def restore_best(self, model: keras.Model) -> None:
        """Loads the weights of the best epoch."""
        _assign(model.variables, _read(self._best(self._meta["best"]), model.variables))

    def on_train_begin(self, logs=None) -> None:
        for callback, saved in zip(self._watched, self._meta["callbacks"], strict=False):
            for name, value in saved.items():
                setattr(callback, name, value)

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        row = {"epoch": epoch + 1} | {key: float(value) for key, value in (logs or {}).items()}
        before, best = self._meta["best"], self._meta["best"]
        if self._stopping.best is not None and self._stopping.best_epoch == epoch:
            best = epoch + 1
            _save(_judged(self.model), self._best(best), {})
        self._meta = {
            "history": [*self.history, row],
            "callbacks": [{name: _plain(getattr(c, name)) for name in STATES[type(c)]} for c in self._watched],
            "finished": bool(self.model.stop_training),
            "best": best,
            "phase": self.phase,
        }
        _save(_variables(self.model), self._state(epoch + 1), self._meta)
        needed = {self._state(epoch), self._state(epoch + 1), self._best(before), self._best(best)}
        for old in {*self._folder.glob("state-*.npz"), *self._folder.glob("best-*.npz")} - needed:
            old.unlink()
        if self._told:
            self._told(pd.DataFrame(self.history))

    def _state(self, epoch: int) -> Path:
        return self._folder / f"state-{epoch}.npz"

    def _best(self, epoch: int | None) -> Path:
        return self._folder / f"best-{epoch}.npz"


def _epoch(path: Path) -> int:
    return int(re.sub(r"\D", "", path.stem) or 0)


def _variables(model: keras.Model) -> list:
    return [*model.variables, *model.optimizer.variables]


def _judged(model: keras.Model) -> list:
    """The variables that validation has judged: with EMA, the averages stand in for the weights."""
    instead = {id(raw): average for raw, average in zip(model.trainable_variables, averages(model), strict=False)}
    return [instead.get(id(variable), variable) for variable in model.variables]


def _save(variables: list, path: Path, meta: dict) -> None:
    buffer = io.BytesIO()
    arrays = {f"v{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}
    np.savez(buffer, allow_pickle=False, **arrays, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8))
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getvalue())  # a view would outlive a failed write, and complain


def _meta(path: Path) -> dict[str, Any]:
    with np.load(path) as arrays:
        return json.loads(arrays["meta"].tobytes())


def _read(path: Path, variables: list) -> list[np.ndarray]:
    """The values of all `variables`; nothing is assigned before all are read."""
    with np.load(path) as arrays:
        values = [arrays[f"v{i}"] for i in range(len(variables))]
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise ValueError("it is that of another network")
    return values


def _assign(variables: list, values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _plain(value):
    return None if value is None else float(value) if isinstance(value, float | np.floating) else int(value)
