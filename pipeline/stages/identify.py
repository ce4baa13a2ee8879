"""Stage identify: the model, or an ensemble with it, names the pool, and of the library's images those that people
called unknown or bad, and those with another content than was labelled."""

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from pipeline import config, errors, files, sections
from pipeline.bundle import Stored
from pipeline.evaluation import thresholds
from pipeline.files import read_table, write_json
from pipeline.inference import distributed, ensemble, local, prediction, selection, shipping, store
from pipeline.library import labels


def main(
    model_folder: str, pool_table: str, excluded_table: str, splits_table: str, thresholds_file: str, out: str
) -> None:
    params, roots = config.load(sections.Identify), config.load(sections.Roots)
    model = Stored(Path(model_folder))
    further = ensemble.load_further(params.ensemble, model, where="identify.ensemble")
    excluded = read_table(Path(excluded_table))
    # Of bad ones the features are wanted: their like in the pool is as bad.
    asked = excluded["reason"].isin(["unknown", "bad", labels.OTHER_CONTENT])
    unnamed = excluded.loc[asked, ["image", "sha256"]].assign(failure="")
    total = pq.read_metadata(pool_table).num_rows + len(unnamed)

    def pool() -> Iterator[pd.DataFrame]:
        return store.stream(Path(pool_table), prediction.ASKED, params.shard_rows)

    def pieces() -> Iterator[pd.DataFrame]:
        return itertools.chain([unnamed], pool())

    splits = read_table(Path(splits_table), ["image", "sha256", "label", "set"])
    val = splits[(splits["set"] == "val") & splits["label"].isin(model.classes)]
    calibration = selection.calibration(val, roots.folders)
    candidates = selection.Candidates([model, *further], calibration, params.batch_size)
    choice, runtime = selection.choose(
        params.runtime,
        candidates,
        sample=lambda: selection.sampled(val, pool(), roots.folders, number=params.trial_images),
        thresholds=thresholds.read(Path(thresholds_file)),
        limits=selection.Limits(**params.limits()),
        total=total,
        begun=selection.begun(Path(out)),
    )
    print(f"identify: {choice}")
    predictions = store.Store(
        Path(out),
        runtime.key,
        embeddings=params.embeddings,
        digest=runtime.model,
        runtime=choice.runtime,
        top_k=str(params.top_k),
    )
    summary = Path(out) / "summary.json"
    summary.unlink(missing_ok=True)  # that of an earlier run, until this one has finished

    started = time.perf_counter()
    if params.engine == "ray":
        told = distributed.identify(
            pieces,
            total,
            sent=shipping.folders(choice.runtime, candidates),
            build=shipping.loading(choice.runtime, candidates),
            folders=roots.folders,
            out=predictions,
            **params.ray(),
            **params.predicting(),
        )
    else:
        load = prediction.from_folders(roots.folders)
        told = local.identify(pieces, total, runtime=runtime, load=load, out=predictions, **params.predicting())
    seconds = time.perf_counter() - started

    counts = predictions.count()
    rate = round(told.predicted / seconds, 1)
    steps = {step: round(value, 2) for step, value in vars(told.seconds).items()}
    write_json(
        {
            "model": runtime.model,
            "runtime": choice.runtime,
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
