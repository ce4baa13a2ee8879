"""ONNX Runtime, on CPUs, in float32."""

from pathlib import Path

import numpy as np
import onnxruntime

from pipeline.evaluation import calibration
from pipeline.inference.runtimes import FEATURES, PIXELS, PROBS, Network

CHUNK = 8  # pictures at once: more are no faster, and take memory


class OnnxRuntime:
    """Runs a converted network, a few pictures at a time on all cores.

    Args:
      graph: as `converted` writes it.
      key: of its predictions.
    """

    def __init__(self, stored: Network, graph: Path, *, key: str):
        card = stored.card
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self._widths = {output.name: output.shape[1] for output in self._session.get_outputs()}
        stored.refuse_other_outputs(self._widths[PROBS])
        self._temperature = card.temperature
        self.classes = stored.classes
        self.image_sizes: tuple[int, ...] = (card.image_size,)
        self.model, self.key = card.model_digest, key

    def predict(self, *pixels: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities (N, C) for one array of pixels, uint8 (N, S, S, 3)."""
        (probs,) = self._run(*pixels, names=[PROBS])
        return calibration.scale(probs, self._temperature)

    def predict_with_features(self, *pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probs, features = self._run(*pixels, names=[PROBS, FEATURES])
        return calibration.scale(probs, self._temperature), features.astype(np.float16)

    def _run(self, batch: np.ndarray, *, names: list[str]) -> list[np.ndarray]:
        found = [np.empty((len(batch), self._widths[name]), np.float32) for name in names]
        for first in range(0, len(batch), CHUNK):
            chunk = batch[first : first + CHUNK]
            missing = CHUNK - len(chunk)
            if missing:  # one shape only, so that an image's neighbours do not matter
                chunk = np.concatenate([chunk, np.zeros((missing, *chunk.shape[1:]), chunk.dtype)])
            for array, part in zip(found, self._session.run(names, {PIXELS: chunk}), strict=True):
                array[first : first + CHUNK] = part[: CHUNK - missing]
        return found
