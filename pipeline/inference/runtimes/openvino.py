"""OpenVINO, on CPUs: float32, bfloat16 where the CPU computes with it, and int8."""

from pathlib import Path

import numpy as np
import openvino

from pipeline.evaluation import calibration
from pipeline.inference.runtimes import FEATURES, PIXELS, PROBS, Network

CHUNK = 4  # pictures in a request


def computes_bfloat16() -> bool:
    """Whether this CPU has instructions for it; elsewhere OpenVINO computes in float32 instead."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoRuntime:
    """Runs a converted network on all cores: requests of a few pictures, as many at once as OpenVINO has streams.

    Args:
      graph: as `converted` writes it.
      precision: f32 or bf16, of what is not quantised.
      key: of its predictions.
    """

    def __init__(self, stored: Network, graph: Path, *, precision: str, key: str):
        card = stored.card
        network = openvino.Core().read_model(graph)
        network.reshape({PIXELS: [CHUNK, card.image_size, card.image_size, 3]})
        compiled = openvino.Core().compile_model(
            network, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
        )
        self._widths = tuple(compiled.output(name).shape[1] for name in (PROBS, FEATURES))
        stored.refuse_other_outputs(self._widths[0])
        self._requests = openvino.AsyncInferQueue(compiled)
        self._temperature = card.temperature
        self.classes = stored.classes
        self.image_sizes: tuple[int, ...] = (card.image_size,)
        self.model, self.key = card.model_digest, key

    def predict(self, *pixels: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities (N, C) for one array of pixels, uint8 (N, S, S, 3)."""
        probs, _ = self._run(*pixels)
        return calibration.scale(probs, self._temperature)

    def predict_with_features(self, *pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probs, features = self._run(*pixels)
        return calibration.scale(probs, self._temperature), features.astype(np.float16)

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        number = len(batch)
        missing = -number % CHUNK
        if missing:  # one shape only, so that an image's neighbours do not matter
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
        found = [np.empty((len(batch), width), np.float32) for width in self._widths]

        def keep(first: int, request) -> None:
            for array, name in zip(found, (PROBS, FEATURES), strict=True):
                array[first : first + CHUNK] = request.get_tensor(name).data

        self._requests.set_callback(lambda request, first: keep(first, request))
        for first in range(0, len(batch), CHUNK):
            self._requests.start_async({PIXELS: batch[first : first + CHUNK]}, first, share_inputs=True)
        self._requests.wait_all()
        return [array[:number] for array in found]
