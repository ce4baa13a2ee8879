"""The animal silhouettes of the package animal-mnist (MIT): 10,000 pictures of 28 x 28 pixels, 10 animals."""

import gzip
import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray

from pipeline.errors import UsageError

PACKAGE = "animal_mnist"
ANIMALS = ["bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra"]


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays and refuses everything else a pickle could ask for."""

    ALLOWED = {"_reconstruct": multiarray._reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}  # noqa: RUF012

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in self.ALLOWED:
            return self.ALLOWED[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no NumPy array")


def load() -> dict[str, np.ndarray]:
    """Returns for each animal its silhouettes, uint8 (1000, 28, 28), white on black.

    Raises:
      UsageError: if the package is not installed, or holds anything but arrays.
    """
    spec = importlib.util.find_spec(PACKAGE)  # found, not imported: importing it would load TensorFlow
    if spec is None or spec.origin is None:
        raise UsageError("the demo's pictures are not installed", mend="pip install -c constraints.txt -e '.[demo]'")
    folder = Path(spec.origin).parent / "data" / "Animal_MNIST"
    try:
        pictures = _load_array(folder / "animal_data_version_3.gz")
        numbers = _load_array(folder / "animal_label_version_3.gz")
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise UsageError(
            f"the demo's pictures are damaged: {error}", where=folder, mend="install animal-mnist again"
        ) from None
    return {animal: pictures[numbers == number] for number, animal in enumerate(ANIMALS)}


def _load_array(path: Path) -> np.ndarray:
    with gzip.open(path) as file:
        return _ArraysOnly(file).load()
