"""What turns pixels into probabilities. Importing this package imports none of the programs that do."""

import sys
from typing import Protocol

import numpy as np

from pipeline.bundle import Card

PIXELS, PROBS, FEATURES = "pixels", "probs", "features"  # the input and the outputs of a converted network

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it would tell Google of each use


class Network(Protocol):
    """What a runtime asks of the bundle whose converted network it runs.

    Attributes:
      card: says the image size, the digest and the temperature.
      classes: in the order of the outputs; empty if it has none.
    """

    @property
    def card(self) -> Card: ...

    @property
    def classes(self) -> list[str]: ...

    def refuse_other_outputs(self, outputs: int) -> None:
        """Raises DataError if that many outputs are not those of the classes."""
        ...


class Runtime(Protocol):
    """One model, or several that are ensembled.

    Attributes:
      classes: in the order of the probabilities.
      image_sizes: the sizes at which a picture is read, in pixels.
      model: what the column `model` of a table says: the digest of the model, or of all.
      key: names all that the probabilities depend on; predictions of different keys are never mixed.
    """

    classes: list[str]
    image_sizes: tuple[int, ...]
    model: str
    key: str

    def predict(self, *pixels: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities (N, C) for the pictures at each of `image_sizes`, uint8 (N, S, S, 3)."""
        ...

    def predict_with_features(self, *pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `predict`, and beside them what the (first) head gets, float16 (N, F), from the same forward pass."""
        ...
