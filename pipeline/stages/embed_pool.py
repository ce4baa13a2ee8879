"""Stage embed-pool: the features of a frozen network for every content of the pool, and its bursts."""

import pyarrow as pa

from pipeline import sections, stages
from pipeline.files import write_pieces
from pipeline.inference import frozen_features, store
from pipeline.library import bursts, pool_bursts
from pipeline.stages.embed import embed
from pipeline.workspace import Workspace


def main(workspace: Workspace) -> None:
    embed(workspace, "embed-pool", workspace.pool_table, workspace.pool_features)
    images = find_bursts(workspace)
    if images:
        print(f"embed-pool: {images:,} images of the pool stand in bursts")


def find_bursts(workspace: Workspace) -> int:
    """Writes the bursts of the pool, by its features, or where there are none, by what the index knows.

    Neighbourhoods are no bursts here: they hold several events, and one decision is about one.
    """
    settings = bursts.Settings(**workspace.params(sections.Bursts).ties())
    frozen = frozen_features.read(workspace.pool_features)
    pieces = store.stream(workspace.pool_table, pool_bursts.ASKED, pool_bursts.BLOCK)
    found = pool_bursts.find(pieces, frozen.units if frozen else None, settings)
    schema = pa.schema([(name, pa.string()) for name in pool_bursts.COLUMNS])
    tables = (pa.Table.from_pandas(rows, schema, preserve_index=False) for rows in found)
    return write_pieces(tables, schema, workspace.pool_bursts)


if __name__ == "__main__":
    stages.run("embed-pool", main)
