"""Keras, which trained the model: what every other runtime is held against. It computes on a GPU where there is one."""

from functools import cached_property

import numpy as np

from pipeline.bundle import Bundle, Stored
from pipeline.evaluation import calibration
from pipeline.models import keras
from pipeline.models.head import FEATURES


class KerasRuntime:
    """Runs a bundle's model with Keras, a constant batch at a time."""

    def __init__(self, bundle: Bundle | Stored, batch_size: int):
        self._model, self._batch_size, self._temperature = bundle.model, batch_size, bundle.card.temperature
        self.classes = bundle.classes
        self.image_sizes: tuple[int, ...] = (bundle.card.image_size,)
        self.model = bundle.card.model_digest
        self.key = f"{self.model} at {self._temperature}"

    def predict(self, *pixels: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities (N, C) for one array of pixels, uint8 (N, S, S, 3), at most a batch."""
        (batch,) = pixels
        probs = np.asarray(self._model.predict_on_batch(self._whole_batch(batch)))
        return calibration.scale(probs[: len(batch)], self._temperature)

    def predict_with_features(self, *pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (batch,) = pixels
        probs, features = self._with_features.predict_on_batch(self._whole_batch(batch))
        scaled = calibration.scale(np.asarray(probs)[: len(batch)], self._temperature)
        return scaled, np.asarray(features)[: len(batch)].astype(np.float16)

    @cached_property
    def _with_features(self):
        return keras.Model(self._model.input, [self._model.output, self._model.get_layer(FEATURES).output])

    def _whole_batch(self, pixels: np.ndarray) -> np.ndarray:
        missing = self._batch_size - len(pixels)
        if missing:  # one shape only: another would be compiled anew
            pixels = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), pixels.dtype)])
        return pixels.astype(np.float32)
