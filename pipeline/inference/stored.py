"""A model's stored outputs, read where they lie; `outputs` writes them, and says what is in them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import DataError
from pipeline.files import read_table

KEYS, LOG_PROBS, EMBEDDINGS = "keys.parquet", "log_probs.npy", "embeddings.npy"
ARRAYS = (LOG_PROBS, EMBEDDINGS)
MODEL_KEY = b"model"


@dataclass(frozen=True)
class Outputs:
    """`log_probs` (N, C) and `embeddings` (N, F), float16, in files, of images with these contents."""

    sha256: pd.Series
    log_probs: np.ndarray
    embeddings: np.ndarray


def read(folder: Path) -> Outputs:
    """Raises:
    DataError: if a file is missing or cut short, or they do not fit each other.
    """
    keys = read_table(folder / KEYS)["sha256"]
    arrays = []
    for name in ARRAYS:
        try:
            arrays.append(np.load(folder / name, mmap_mode="r"))
        except (OSError, ValueError):
            raise DataError("stored outputs cannot be read", where=folder / name, mend=mend(folder)) from None
        if len(arrays[-1]) != len(keys):
            raise DataError(f"{len(arrays[-1])} rows for {len(keys)} images", where=folder / name, mend=mend(folder))
    return Outputs(keys, *arrays)


def mend(folder: Path) -> str:
    return f"delete {folder} and run `dvc repro evaluate`"
