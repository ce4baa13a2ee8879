"""Training that continues after a kill as if nothing had happened: the whole state, in one file, once an epoch.

Keras' BackupAndRestore keeps weights, optimiser and epoch, but neither patience nor the best score, so that a resumed
run would stop later and could overwrite the best weights by worse ones.
"""

import io
import json
import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np

from pipeline.files import atomic

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

    def __init__(self, folder: Path, stopping: keras.callbacks.EarlyStopping, watched: list[keras.callbacks.Callback]):
        super().__init__()
        self._state, self._best = folder / "state.npz", folder / "best.npz"
        self._stopping, self._watched = stopping, [stopping, *watched]
        self._saved: list[dict] = []
        self.history: list[dict] = []
        self.finished = False

    @property
    def next_epoch(self) -> int:
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """Counted from 0, as Keras does."""
        return int(self._saved[0]["best_epoch"])

    def restore(self, model: keras.Model) -> None:
        """Loads the state into a compiled model, if there is one; where it is damaged, training starts anew."""
        if not self._state.exists():
            return
        try:
            _read(self._best, model.variables)
            values, meta = _read(self._state, _variables(model))
        except DAMAGED as error:
            print(f"train: the saved state is damaged ({error}); training starts anew", flush=True)
            return
        _assign(_variables(model), values)
        self.history, self._saved, self.finished = meta["history"], meta["callbacks"], meta["finished"]

    def restore_best(self, model: keras.Model) -> None:
        """Loads the weights of the best epoch."""
        _assign(model.variables, _read(self._best, model.variables)[0])

    def on_train_begin(self, logs=None) -> None:
        for callback, saved in zip(self._watched, self._saved, strict=False):
            for name, value in saved.items():
                setattr(callback, name, value)

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        row = {key: float(value) for key, value in (logs or {}).items()}
        self.history.append({"epoch": epoch + 1} | row)
        if self._stopping.best_epoch == epoch:
            _save(self.model.variables, self._best, {"epoch": epoch + 1})
        self._saved = [{name: _plain(getattr(c, name)) for name in STATES[type(c)]} for c in self._watched]
        self.finished = bool(self.model.stop_training)
        meta = {"history": self.history, "callbacks": self._saved, "finished": self.finished}
        _save(_variables(self.model), self._state, meta)


def _variables(model: keras.Model) -> list:
    return [*model.variables, *model.optimizer.variables]


def _save(variables: list, path: Path, meta: dict) -> None:
    buffer = io.BytesIO()
    arrays = {f"v{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}
    np.savez(buffer, allow_pickle=False, **arrays, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8))
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def _read(path: Path, variables: list) -> tuple[list[np.ndarray], dict]:
    """The values of all `variables`, and what was saved beside them; nothing is assigned before all are read."""
    with np.load(path) as arrays:
        values = [arrays[f"v{i}"] for i in range(len(variables))]
        meta = json.loads(arrays["meta"].tobytes())
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise ValueError("it is that of another network")
    return values, meta


def _assign(variables: list, values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _plain(value):
    return None if value is None else float(value) if isinstance(value, float | np.floating) else int(value)
