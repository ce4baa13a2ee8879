"""Stores of older programs, brought to today's layout (see `shards`) when they are opened.

Two layouts there were: shards of the pool with the features in a column of lists, and for evaluated sets one folder

    keys.parquet     column `sha256`; its metadata name the model
    log_probs.npy    float16 (N, C)
    embeddings.npy   float16 (N, F)

Each shard is written before the old file that it comes from is removed: killed at any moment, nothing is lost, and
whoever opens the store next goes on. In memory is one shard.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.files import VERSION_KEY, in_turn, read_arrow, write_table
from pipeline.inference import shards
from pipeline.inference.shards import FEATURES, LOG_PROBS
from pipeline.progress import track

COLUMN = "embedding"  # of a shard of the pool, once
KEYS, VALUES = "keys.parquet", {LOG_PROBS: "log_probs.npy", FEATURES: "embeddings.npy"}
ROWS = 2048  # of a shard that comes from a folder of evaluated sets
LOCK = ".migration.lock"
PATIENCE = 24 * 3600  # seconds that a second process waits for the one that migrates


def opened(folder: Path) -> list[Path]:
    """The shards of a store that is to be read, in today's layout."""
    parts = shards.listed(folder)
    # Shards are migrated in their order, and new ones follow when all are.
    if (folder / KEYS).exists() or (parts and _has_column(parts[-1])):
        migrate(folder)
    return shards.listed(folder)


def migrate(folder: Path, model: str | None = None) -> None:
    """Brings a store to today's layout, if it has another.

    Args:
      model: whose rows are wanted: files of another are left for the caller to remove, and no time is spent on them.
    """
    old = [shard for shard in shards.listed(folder) if _has_column(shard) and model in (None, shards.model_of(shard))]
    sets = any((folder / name).exists() for name in (KEYS, *VALUES.values()))
    if not old and not sets:
        return
    with in_turn(folder / LOCK, f"the store {folder}", seconds=PATIENCE):
        for shard in track("migrate", old, len(old), " shards"):
            _take_features_out(shard)
        if (folder / KEYS).exists() and model in (None, shards.model_of(folder / KEYS)):
            _cut_into_shards(folder)
        for name in (KEYS, *VALUES.values()):  # the first makes the others count
            (folder / name).unlink(missing_ok=True)
        (folder / LOCK).unlink(missing_ok=True)  # a process that waits for it finds nothing left to migrate


def _has_column(shard: Path) -> bool:
    try:
        return COLUMN in pq.read_schema(shard).names
    except (pa.ArrowInvalid, OSError):
        return False


def _take_features_out(shard: Path) -> None:
    if not _has_column(shard):  # another process was faster
        return
    table = read_arrow(shard)
    shards.write_array(shards.as_array(table[COLUMN]), shards.array_file(shard, FEATURES))
    write_table(table.drop_columns(COLUMN), shard, **_metadata(table.schema))


def _cut_into_shards(folder: Path) -> None:
    """Nothing is taken from files that are cut short: the stage that wrote them infers their images again."""
    try:
        keys = read_arrow(folder / KEYS)
        arrays = {name: shards.read_array(folder / file) for name, file in VALUES.items()}
    except DataError:
        return
    if any(len(values) != len(keys) for values in arrays.values()):
        return
    # A content stood there once for each of its images.
    first = np.flatnonzero(~keys["sha256"].to_pandas().duplicated())
    starts = range(0, len(first), ROWS)
    for number, start in enumerate(track("migrate", starts, len(starts), " shards")):
        shard, some = folder / f"part-{number:05d}.parquet", first[start : start + ROWS]
        if not shard.exists():
            for name, values in arrays.items():
                shards.write_array(values[some], shards.array_file(shard, name))
            write_table(keys.take(pa.array(some)), shard, **_metadata(keys.schema))


def _metadata(schema: pa.Schema) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (schema.metadata or {}).items() if key != VERSION_KEY}
