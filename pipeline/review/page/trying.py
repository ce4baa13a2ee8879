"""Try a picture: what the model that serves makes of any picture, and what the library has that looks like it."""

import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import bundle
from pipeline.errors import DataError
from pipeline.library import classes, labels, pictures
from pipeline.review.page.image_context import ImageContext

LARGEST = 50_000_000  # bytes of a picture
BEST = 5  # classes shown


@dataclass(frozen=True)
class Places:
    """Where the models lie: the champion, the last round's, the thresholds and features of the latter; class events."""

    released: Path
    model: Path
    evaluation: Path
    events: Path


class Trial:
    """Identifies single images by the model that serves.

    The model is loaded when the page is opened (`prepare`) or the first image comes, and stays.

    Args:
      places: where the models lie.
      max_megapixels: a larger image is refused.
    """

    def __init__(self, places: Places, context: ImageContext, *, max_megapixels: float):
        self._places, self._context, self._max_megapixels = places, context, max_megapixels
        self._starting = threading.Lock()
        self._lock = threading.Lock()  # Keras predicts one batch at a time
        self._loaded: dict[Path, tuple[str, Any]] = {}
        self._preparing: float | None = None  # since when

    def prepare(self) -> None:
        """Begins to load the model, if that has not been done, and returns at once; a fault is told with the image."""
        with self._starting:
            if self._preparing is None and not self._loaded:
                self._preparing = time.monotonic()
                threading.Thread(target=self._prepare, daemon=True).start()

    def waited(self) -> float | None:
        """For how many seconds the model has been loaded by now; None if it is there, or nobody has asked for it."""
        since = self._preparing
        return None if since is None else time.monotonic() - since

    def _prepare(self) -> None:
        try:
            with self._lock:
                runtime = self._runtime(Path(self.which()["folder"]))
                empty = [np.zeros((1, size, size, 3), np.uint8) for size in runtime.image_sizes]
                runtime.predict_with_features(*empty)  # the first prediction builds the graph
        except Exception as error:  # what is wrong is told to whoever asks for an answer
            print(f"the model cannot be prepared: {error}", file=sys.stderr)
        finally:
            self._preparing = None

    def which(self) -> dict[str, Any]:
        """The model that answers, without loading it: its folder, digest, round, and whether it was released.

        Raises:
          DataError: if there is none yet.
        """
        released = (self._places.released / bundle.CARD).exists()
        folder = self._places.released if released else self._places.model
        if not (folder / bundle.CARD).exists():
            raise DataError("there is no model yet", where=folder, mend="run `dvc repro`, or `dvc checkout`")
        card = bundle.check(folder)
        return {"folder": str(folder), "model": card.model_digest, "round": card.round, "released": released}

    def name(self, data: bytes) -> dict[str, Any]:
        """What the model makes of the picture in these bytes.

        Returns:
          `model` (see `which`); `top`, the best classes and their scores; `threshold` of the best one, None if no
          answer is ever shown, and `answer`: the class, or `unknown` below the threshold; `alike`: the labelled images
          nearest to the picture, empty where their features are not those of the last round's model.

        Raises:
          DataError: for what is not an image, or is too large.
        """
        if len(data) > LARGEST:
            raise DataError(f"the file is larger than {LARGEST // 10**6} MB", mend="take a smaller picture")
        try:
            pictures.inspect(data, max_megapixels=self._max_megapixels)
        except pictures.PictureError as reason:
            raise DataError(f"this is no picture that can be read: {reason}", mend="try another one") from None
        told = self.which()
        folder = Path(told["folder"])
        with self._lock, tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            probs, features = self._predict(folder, Path(file.name))
            alike = self._alike(folder, features, Path(file.name))
        names = classes.read(self._places.events).names(pd.Series(self._runtime(folder).classes))
        summed = pd.Series(probs).groupby(names.to_numpy()).sum().sort_values(ascending=False, kind="stable")
        best, score = str(summed.index[0]), float(summed.iloc[0])
        limit, rule = self._threshold(folder, told["model"], best)
        return {
            "model": told,
            "top": [{"label": str(label), "score": float(share)} for label, share in summed.head(BEST).items()],
            "threshold": limit,
            "rule": rule,
            "answer": best if limit is not None and score >= limit else labels.UNKNOWN,
            "alike": alike,
        }

    def _predict(self, folder: Path, path: Path) -> tuple[np.ndarray, np.ndarray]:
        runtime = self._runtime(folder)
        pixels = [pictures.read(path, size)[None] for size in runtime.image_sizes]
        probs, features = runtime.predict_with_features(*pixels)
        return probs[0], features[0]

    def _runtime(self, folder: Path) -> Any:
        from pipeline.inference.runtimes.keras import KerasRuntime

        digest = bundle.check(folder).model_digest
        if folder not in self._loaded or self._loaded[folder][0] != digest:
            self._loaded[folder] = (digest, KerasRuntime(bundle.load(folder), batch_size=1))
        return self._loaded[folder][1]

    def _threshold(self, folder: Path, model: str, label: str) -> tuple[float | None, str]:
        """The threshold of an answer, and how it was found; where none was, no answer is shown."""
        beside = folder if folder == self._places.released else self._places.evaluation
        from pipeline.evaluation import thresholds

        path = beside / thresholds.FILE
        if not path.exists():
            return None, "no threshold has been chosen for this model"
        found = thresholds.read(path, model)
        limit = float(found.of(pd.Series([label]))[0])
        return (limit if np.isfinite(limit) else None), str(found)

    def _alike(self, folder: Path, features: np.ndarray, path: Path) -> list[dict[str, Any]]:
        """By the features of the last round's model: those of the library are stored."""
        if not (self._places.model / bundle.CARD).exists():
            return []
        model = bundle.check(self._places.model).model_digest
        if not self._context.features_of().startswith(model):
            return []
        if bundle.check(folder).model_digest != model:
            features = self._predict(self._places.model, path)[1]
        return self._context.like(features)
