"""Stage identify: the model, or an ensemble with it, names the pool, and of the library's images those that people
called unknown or bad, and those with another content than was labelled."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from pipeline import files, sections, stages
from pipeline.bundle import Stored
from pipeline.evaluation import thresholds
from pipeline.files import read_table, write_json
from pipeline.inference import engines, ensemble, judged_bursts, prediction, selection, shipping, store, trials
from pipeline.inference.runtimes import Runtime
from pipeline.inference.shards import FEATURES
from pipeline.library.bursts import of_several_events
from pipeline.library.exclusion import Reason
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Inputs:
    """What the stage reads.

    Attributes:
      pool: gives the pool's rows (`prediction.ASKED`), a table at a time; read again for each call.
      total: rows of the pool.
      unnamed: images of the library that the model names too: unknown, bad, or with another content than was labelled.
      val: the validation images whose class the model knows.
      bursts: `sha256`, `burst` and `evidence` of the contents that are in one.
    """

    pool: Callable[[], Iterator[pd.DataFrame]]
    total: int
    unnamed: pd.DataFrame
    val: pd.DataFrame
    bursts: pd.DataFrame

    def pieces(self) -> Iterator[pd.DataFrame]:
        """All images to identify."""
        return itertools.chain([self.unnamed], self.pool())

    def __len__(self) -> int:
        return self.total + len(self.unnamed)


def compute(
    inputs: Inputs,
    choice: selection.Choice,
    runtime: Runtime,
    candidates: selection.Candidates,
    params: sections.Identify,
    *,
    folders: dict[str, Path],
    out: Path,
    bursts: Path,
) -> dict[str, Any]:
    """Identifies what is not identified yet, by the engine of the params, and judges bursts; returns the summary.

    Args:
      folders: every root's folder, by name.
      out: the folder of the predictions.
      bursts: the table of bursts.
    """
    predictions = store.Store(
        out,
        runtime.key,
        arrays=[FEATURES] if params.embeddings else [],
        digest=runtime.model,
        runtime=choice.runtime,
        top_k=str(params.top_k),
    )
    bursts.unlink(missing_ok=True)  # as the summary
    started = time.perf_counter()
    done = engines.identify(
        inputs.pieces,
        len(inputs),
        ray=params.ray(),
        runtime=runtime,
        sent=shipping.folders(choice.runtime, candidates),
        build=shipping.loading(choice.runtime, candidates),
        folders=folders,
        out=predictions,
        **params.predicting(),
    )
    seconds = time.perf_counter() - started
    judged = judged_bursts.write(out, inputs.bursts, runtime.classes, top_k=params.top_k, out=bursts)
    return {
        "model": runtime.model,
        "runtime": choice.runtime,
        "pool": len(inputs),
        **predictions.count(),
        "identified_before": done.before,
        "copied": done.copied,
        "seconds": round(seconds, 2),
        "seconds_by_step": {step: round(value, 2) for step, value in vars(done.seconds).items()},
        "images_per_second": round(done.predicted / seconds, 1),
        "predicted": done.predicted,
        "bursts": judged,
    }


def main(workspace: Workspace) -> None:
    params, folders, out = workspace.params(sections.Identify), workspace.folders, workspace.predictions
    model = Stored(workspace.model)
    further = ensemble.load_further(params.ensemble, model, home=workspace.home, where="identify.ensemble")
    inputs = read(workspace, params, known=model.classes)
    calibration = selection.calibration(inputs.val, folders)
    limits = thresholds.read(workspace.thresholds)
    candidates = selection.Candidates([model, *further], calibration, params.batch_size, workspace.cache("runtimes"))
    if further and limits.model == candidates.model:
        candidates = replace(candidates, temperature=limits.temperature)
    elif further:
        print("identify: evaluate.ensemble names other bundles: what these say together is not calibrated")
    choice, runtime = selection.choose(
        params.runtime,
        candidates,
        sample=lambda: selection.sampled(inputs.val, inputs.pool(), folders, number=params.trial_images),
        comparison=selection.answers(candidates, limits, trials.Limits(**params.limits())),
        total=len(inputs),
        begun=selection.begun(out),
    )
    print(f"identify: {choice}")
    summary = out / "summary.json"
    summary.unlink(missing_ok=True)  # that of an earlier run, until this one has finished
    done = compute(
        inputs, choice, runtime, candidates, params, folders=folders, out=out, bursts=workspace.judged_bursts
    )
    predicted = done.pop("predicted")
    write_json(done, summary)
    report(done, predicted)


def read(workspace: Workspace, params: sections.Identify, *, known: list[str]) -> Inputs:
    """Reads what is to be identified.

    Args:
      known: the model's classes.
    """
    excluded = read_table(workspace.excluded)
    # Of bad ones the features are wanted: what is like them in the pool is as bad.
    asked = excluded["reason"].isin([Reason.UNKNOWN, Reason.BAD, Reason.OTHER_CONTENT])
    rows = read_table(workspace.splits_table, ["image", "sha256", "label", "set"], optional=["cluster"])
    unnamed = excluded.loc[asked, ["image", "sha256"]].assign(failure="")
    return Inputs(
        pool=lambda: store.stream(workspace.pool_table, prediction.ASKED, params.shard_rows),
        total=pq.read_metadata(workspace.pool_table).num_rows,
        unnamed=unnamed,
        val=rows[(rows["set"] == "val") & rows["label"].isin(known)],
        bursts=read_bursts(workspace, unnamed["sha256"]),
    )


def read_bursts(workspace: Workspace, unnamed: pd.Series) -> pd.DataFrame:
    """The bursts of the pool, and of the contents of the library that nobody has named; earlier rounds have none."""
    there = [path for path in (workspace.bursts, workspace.pool_bursts) if path.exists()]
    tables = {path: read_table(path, ["sha256", "burst", "evidence"]) for path in there}
    if workspace.bursts in tables:
        library = tables[workspace.bursts]
        coarse = of_several_events(library["evidence"])
        tables[workspace.bursts] = library[library["sha256"].isin(unnamed) & ~coarse]
    return pd.concat([pd.DataFrame(columns=["sha256", "burst", "evidence"], dtype="str"), *tables.values()])


def report(done: dict[str, Any], predicted: int) -> None:
    """Prints what was identified, and what that took."""
    counts = {name: done[name] for name in ("identified", "failed", "skipped")}
    print(f"identify: {done['pool']} = " + " + ".join(f"{number} {what}" for what, number in counts.items()), end="")
    rate = done["images_per_second"]
    print(f"; {predicted} in this run, {done['copied']} of them exact copies, {rate:.0f} images a second")
    if done["bursts"]:
        print(f"identify: {done['bursts']:,} bursts are judged as a whole")
    if predicted:
        steps = done["seconds_by_step"].items()
        print("identify: seconds, " + ", ".join(f"{step} {seconds:.1f}" for step, seconds in steps))
    if counts["skipped"]:
        print("identify: what was skipped is not there, not readable or not what was indexed; the next run asks again")


def alone(workspace: Workspace) -> None:
    with files.alone(workspace.own("identify.lock"), "identification"):
        main(workspace)


if __name__ == "__main__":
    stages.run("identify", alone)
