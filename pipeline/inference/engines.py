"""Where the work is done: on this machine, or by the workers of a cluster."""

from pathlib import Path
from typing import Any

from pipeline.inference import distributed, local, prediction, store
from pipeline.inference.distributed import Build
from pipeline.inference.local import Pieces, Told
from pipeline.inference.runtimes import Runtime


def identify(
    pieces: Pieces,
    total: int,
    *,
    ray: dict[str, Any] | None,
    runtime: Runtime,
    sent: dict[str, Path],
    build: Build,
    folders: dict[str, Path],
    out: store.Store,
    **options: Any,
) -> Told:
    """Has every image of `pieces` predicted that `out` does not have yet, see `local.collect`.

    Args:
      ray: what `distributed.identify` takes of a cluster; None for this machine.
      runtime: that predicts on this machine.
      sent, build: what a worker gets, and what makes its runtime there, see `distributed.predict`.
      folders: of the roots.
      options: what both engines take: `batch_size`, `shard_rows`, `top_k`, `embeddings`, `title`.
    """
    if ray is None:
        load = prediction.from_folders(folders)
        return local.identify(pieces, total, runtime=runtime, load=load, out=out, **options)
    return distributed.identify(pieces, total, sent=sent, build=build, folders=folders, out=out, **ray, **options)
