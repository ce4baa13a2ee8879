"""Stage identify: the model, or an ensemble with it, names every image of the pool, and the library's unknown ones."""

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from pipeline import bundle, config, errors, files, sections
from pipeline.files import read_table, write_json
from pipeline.inference import ensemble, local, prediction, store


def main(model_folder: str, pool_table: str, excluded_table: str, out: str) -> None:
    params, roots = config.load(sections.Identify), config.load(sections.Roots)
    model = bundle.load(Path(model_folder))
    further = ensemble.load_further(params.ensemble, model, where="identify.ensemble")
    runtime = ensemble.load(model, further, params.batch_size)
    excluded = read_table(Path(excluded_table))
    unknown = excluded.loc[excluded["reason"] == "unknown", ["image", "sha256"]].assign(failure="")
    total = pq.read_metadata(pool_table).num_rows + len(unknown)
    predictions = store.Store(
        Path(out), runtime.key, embeddings=params.embeddings, digest=runtime.model, top_k=str(params.top_k)
    )
    summary = Path(out) / "summary.json"
    summary.unlink(missing_ok=True)  # that of an earlier run, until this one has finished

    def pieces() -> Iterator[pd.DataFrame]:
        return itertools.chain([unknown], store.stream(Path(pool_table), prediction.ASKED, params.shard_rows))

    started = time.perf_counter()
    told = local.identify(
        pieces,
        total,
        runtime=runtime,
        load=prediction.from_folders(roots.folders),
        out=predictions,
        **params.model_dump(exclude={"ensemble"}),
    )
    seconds = time.perf_counter() - started

    counts = predictions.count()
    rate = round(told.predicted / seconds, 1)
    steps = {step: round(value, 2) for step, value in vars(told.seconds).items()}
    write_json(
        {
            "model": runtime.model,
            "pool": total,
            **counts,
            "identified_before": told.before,
            "copied": told.copied,
            "seconds": round(seconds, 2),
            "seconds_by_step": steps,
            "images_per_second": rate,
        },
        summary,
    )
    print(f"identify: {total} = " + " + ".join(f"{number} {what}" for what, number in counts.items()), end="")
    print(f"; {told.predicted} in this run, {told.copied} of them exact copies, {rate:.0f} images a second")
    if told.predicted:
        print("identify: seconds, " + ", ".join(f"{step} {value:.1f}" for step, value in steps.items()))
    if counts["skipped"]:
        print("identify: what was skipped is not there, not readable or not what was indexed; the next run asks again")


def alone() -> None:
    with files.alone(config.own("identify.lock"), "identification"):
        main(*sys.argv[1:])


if __name__ == "__main__":
    errors.run(alone)
