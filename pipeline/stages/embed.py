"""Stage embed: the features of a frozen network for every content of library and benchmarks, before curation."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import files, sections, stages
from pipeline.errors import UsageError
from pipeline.inference import backbones, engines, frozen_features, prediction, selection, store
from pipeline.inference.backbones import Backbone, Chosen
from pipeline.inference.local import Told
from pipeline.inference.runtimes.graphs import Input
from pipeline.inference.trials import Features
from pipeline.workspace import Workspace

NONE = "none"

Pieces = Callable[[], Iterable[pd.DataFrame]]


def compute(
    pieces: Pieces,
    backbone: Backbone,
    params: sections.Embed,
    engine: sections.Identify,
    *,
    folders: dict[str, Path],
    out: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Computes the features that are missing, and drops those of contents that have gone; returns the summary.

    Args:
      pieces: gives the same tables (`prediction.ASKED`) whenever it is called.
      engine: says how the work is spread over machines.
      out: the folder of all backbones' features.
      say: takes a line for people: what runs the network, and what it costs.
    """
    contents, total = frozen_features.by_content(pieces)
    known = frozen_features.open_store(out, backbone.key)
    known.forget_skipped()
    done = known.done()
    waiting = sum(len(known.missing(piece, done)) for piece in contents())
    told, started = Told(before=total), time.perf_counter()
    if waiting:

        def sample() -> pd.DataFrame:
            asked = (known.missing(piece, done) for piece in contents())
            return selection.sampled(
                pd.DataFrame(columns=[*prediction.ASKED, "label"]), asked, folders, number=2 * params.trial_images
            )

        chosen = backbone.choose(
            params.runtime, sample, comparison=Features(params.trial_images, params.min_cosine), total=waiting
        )
        say(f"{chosen.choice}")
        say(cost(backbone, chosen, waiting, params.batch_size, frozen_features.read_summary(out)))
        known.note(runtime=chosen.choice.runtime)
        told = engines.identify(
            contents,
            total,
            ray=engine.ray(),
            runtime=chosen.runtime,
            sent=chosen.sent,
            build=chosen.build,
            folders=folders,
            out=known,
            title="embed",
            batch_size=params.batch_size,
            shard_rows=params.shard_rows,
            top_k=0,
            embeddings=True,
        )
    elif len(done) > total:
        known.keep_only(known.gather(contents()))
    seconds = time.perf_counter() - started
    return {
        "backbone": backbone.key,
        "name": backbone.name,
        "contents": total,
        **known.count(),
        "computed": told.predicted,
        "before": told.before,
        "seconds": round(seconds, 2),
        "seconds_by_step": {step: round(value, 2) for step, value in vars(told.seconds).items()},
        "images_per_second": round(told.predicted / seconds, 1) if told.predicted else 0.0,
    }


def cost(backbone: Backbone, chosen: Chosen, waiting: int, batch_size: int, before: dict[str, Any]) -> str:
    """A line on what the missing features cost: the network is timed on one batch of blank images."""
    blank = [np.zeros((batch_size, size, size, 3), np.uint8) for size in chosen.runtime.image_sizes]
    chosen.runtime.predict_with_features(*blank)  # the first call prepares
    started = time.perf_counter()
    width = chosen.runtime.predict_with_features(*blank)[1].shape[1]
    seconds = (time.perf_counter() - started) * waiting / batch_size
    duration = f"{seconds / 60:.0f} minutes" if seconds > 120 else f"{seconds:.0f} s"
    text = (
        f"features of {backbone.name} for {waiting:,} images: the network takes about {duration} "
        f"({waiting / seconds:,.0f} images per second), {waiting * width * 2 / 1e6:,.0f} MB"
    )
    if before["backbone"] not in ("", backbone.key):
        text += f"; those of {before['name']} stay until these are whole"
    return text


def chosen_backbone(workspace: Workspace, params: sections.Embed) -> Backbone | None:
    """The frozen network that the params name; None for none.

    Raises:
      UsageError, DataError: as `backbones.of_preset` and `backbones.of_file`.
    """
    if params.model == NONE:
        return None
    cache = workspace.cache("backbones")
    if params.model.endswith(backbones.ONNX):
        wanted = Input(params.mean, params.std, params.image_size, params.output)
        return backbones.of_file(workspace.home / Path(params.model).expanduser(), wanted, cache=cache)
    try:
        return backbones.of_preset(
            params.model,
            workspace.preset(params.model),
            params.weights,
            batch_size=params.batch_size,
            cache=cache,
            runtimes=workspace.cache("runtimes"),
            archives=workspace.cache("hub"),
        )
    except UsageError as error:
        mend = f"{error.mend}; `embed.model: none` does without frozen features" if error.mend else ""
        raise UsageError(error.what, where=error.where, mend=mend) from None


def embed(workspace: Workspace, name: str, table: Path, out: Path) -> None:
    """Completes the features of the images of an index table.

    Args:
      name: of the stage.
      table: the index.
      out: the folder of all backbones' features.
    """
    params, engine = workspace.params(sections.Embed), workspace.params(sections.Identify)

    def say(text: str) -> None:
        print(f"{name}: {text}", flush=True)

    out.mkdir(parents=True, exist_ok=True)
    with files.alone(workspace.own(f"{name}.lock"), "computation of features"):
        backbone = chosen_backbone(workspace, params)
        if backbone is None:
            frozen_features.put_aside(out)
            say("no frozen network is named (embed.model: none)")
            return

        def pieces() -> Iterator[pd.DataFrame]:
            return store.stream(table, prediction.ASKED, params.shard_rows)

        summary = compute(pieces, backbone, params, engine, folders=workspace.folders, out=out, say=say)
        frozen_features.finish(out, summary)
    say(
        f"{summary['contents']} contents = {summary['identified']} with features + {summary['failed']} failed + "
        f"{summary['skipped']} skipped; {summary['computed']} computed in this run"
        + (f", {summary['images_per_second']:.0f} images per second" if summary["computed"] else "")
    )


def main(workspace: Workspace) -> None:
    embed(workspace, "embed", workspace.library_table, workspace.library_features)


if __name__ == "__main__":
    stages.run("embed", main)
