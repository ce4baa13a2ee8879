"""Stage identify: the model, or an ensemble with it, names every image of the pool, and the library's unknown ones."""

import itertools
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from pipeline import config, errors, sections
from pipeline.bundle import Stored
from pipeline.evaluation import thresholds
from pipeline.files import read_table, write_json
from pipeline.inference import ensemble, local, selection, store

COLUMNS = ["image", "sha256", "failure"]


def main(
    model_folder: str, pool_table: str, excluded_table: str, splits_table: str, thresholds_file: str, out: str
) -> None:
    params, roots = config.load(sections.Identify), config.load(sections.Roots)
    model = Stored(Path(model_folder))
    further = ensemble.load_further(params.ensemble, model, where="identify.ensemble")
    excluded = read_table(Path(excluded_table))
    unknown = excluded.loc[excluded["reason"] == "unknown", ["image", "sha256"]].assign(failure="")
    total = pq.read_metadata(pool_table).num_rows + len(unknown)
    pieces = itertools.chain([unknown], store.stream(Path(pool_table), COLUMNS, params.shard_rows))
    splits = read_table(Path(splits_table), ["image", "sha256", "label", "set"])
    val = splits[(splits["set"] == "val") & splits["label"].isin(model.classes)]
    choice, runtime = selection.choose(
        params.runtime,
        selection.Candidates([model, *further], selection.calibration(val, roots.folders), params.batch_size),
        sample=lambda: selection.sampled(
            val, store.stream(Path(pool_table), COLUMNS, params.shard_rows), roots.folders, number=params.trial_images
        ),
        thresholds=thresholds.read(Path(thresholds_file)),
        limits=selection.Limits(**params.limits()),
        total=total,
        begun=selection.begun(Path(out)),
    )
    print(f"identify: {choice}")

    started = time.perf_counter()
    counts = local.identify(
        pieces,
        total,
        runtime=runtime,
        folders=roots.folders,
        out=store.Store(Path(out), runtime.key),
        **params.engine(),
    )
    seconds = time.perf_counter() - started

    failures = store.read(Path(out), ["image", "failure"])["failure"] if total else pd.Series(dtype=str)
    failed = int((failures != "").sum())
    rate = round((counts.identified + counts.failed) / seconds, 1)
    write_json(
        {
            "model": runtime.model,
            "runtime": choice.runtime,
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
