"""What a model says of the evaluated sets, read in the order of a table; `outputs` infers it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.files import read_arrow
from pipeline.inference import migration, shards
from pipeline.inference.shards import FEATURES, LOG_PROBS, Stacked


@dataclass(frozen=True)
class Outputs:
    """`log_probs` (N, C) and `features` (N, F), float16, in files."""

    log_probs: Stacked
    features: Stacked


def read(folder: Path, sha256: pd.Series) -> Outputs:
    """The outputs of images with these contents, in their order.

    Raises:
      DataError: if one of them has none, or files are cut short.
    """
    parts = migration.opened(folder)
    tables = [read_arrow(shard, ["sha256"]) for shard in parts]
    contents = pa.concat_tables(tables)["sha256"].to_pandas() if tables else pd.Series(dtype="str")
    places = pd.Index(contents).get_indexer(pd.Index(sha256))
    missing = int((places < 0).sum())
    starts = shards.starts_of(parts)
    log_probs, features = (shards.stacked(parts, starts, name, places) for name in (LOG_PROBS, FEATURES))
    if missing or log_probs is None or features is None:
        what = f"{missing or len(sha256)} of {len(sha256)} images have no stored outputs"
        raise DataError(what, where=folder, mend="run `dvc repro evaluate`")
    return Outputs(log_probs, features)


def model_of(folder: Path) -> str:
    """The key of the model, or of all models of an ensemble, whose outputs these are; "" if there are none."""
    parts = migration.opened(folder)
    return shards.model_of(parts[0]) if parts else ""
