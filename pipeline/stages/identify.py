"""Stage identify: the model, or an ensemble with it, names every image of the pool, and the library's unknown ones."""

import itertools
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from pipeline import bundle, config, errors, sections
from pipeline.files import read_table, write_json
from pipeline.inference import ensemble, local, store

COLUMNS = ["image", "sha256", "failure"]


def main(model_folder: str, pool_table: str, excluded_table: str, out: str) -> None:
    params, roots = config.load(sections.Identify), config.load(sections.Roots)
    model = bundle.load(Path(model_folder))
    further = ensemble.load_further(params.ensemble, model, where="identify.ensemble")
    runtime = ensemble.load(model, further, params.batch_size)
    excluded = read_table(Path(excluded_table))
    unknown = excluded.loc[excluded["reason"] == "unknown", ["image", "sha256"]].assign(failure="")
    total = pq.read_metadata(pool_table).num_rows + len(unknown)
    pieces = itertools.chain([unknown], store.stream(Path(pool_table), COLUMNS, params.shard_rows))

    started = time.perf_counter()
    counts = local.identify(
        pieces,
        total,
        runtime=runtime,
        folders=roots.folders,
        out=store.Store(Path(out), runtime.key),
        **params.model_dump(exclude={"ensemble"}),
    )
    seconds = time.perf_counter() - started

    failures = store.read(Path(out), ["image", "failure"])["failure"] if total else pd.Series(dtype=str)
    failed = int((failures != "").sum())
    rate = round((counts.identified + counts.failed) / seconds, 1)
    write_json(
        {
            "model": runtime.model,
            "pool": total,
            "identified": total - failed,
            "failed": failed,
            "identified_before": counts.before,
            "seconds": round(seconds, 2),
            "images_per_second": rate,
        },
        Path(out) / "summary.json",
    )
    print(f"identify: {total} = {total - failed} identified + {failed} failed; {rate:.0f} images a second")


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
