"""Stage split: sticky, grouped, stratified train, val and test sets; benchmarks apart; refuses leakage."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import sections, stages
from pipeline.evaluation import leakage, near_misses
from pipeline.files import read_table, write_json, write_table
from pipeline.inference import frozen_features
from pipeline.inference.frozen_features import FrozenFeatures
from pipeline.library import benchmarks, bursts, classes, lineage, splits
from pipeline.library.classes import Classes
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Inputs:
    """What the stage reads.

    Attributes:
      images: the curated images.
      bursts: `image`, `burst` and `evidence` of every image of the library.
      library: the rows of the index (`index.COLUMNS`).
      marked: the images of all benchmarks, as people wrote them.
      lineage: what the base and its ancestors have seen.
      events: the class events.
      features: of a frozen network; None: how near the sets are to each other is not measured.
    """

    images: pd.DataFrame
    bursts: pd.DataFrame
    library: pd.DataFrame
    marked: pd.DataFrame
    lineage: pd.DataFrame
    events: Classes
    features: FrozenFeatures | None = None


@dataclass(frozen=True)
class Products:
    """The rows of all sets (`splits.COLUMNS` and `flip`), the images left out, and what the summary says.

    `nearest` has the training image that is most alike to each image of test and benchmarks (`leakage.COLUMNS`), and
    the `evidence` that speaks for the pair, in words.
    """

    rows: pd.DataFrame
    left_out: pd.DataFrame
    nearest: pd.DataFrame
    summary: dict[str, Any]


def compute(
    inputs: Inputs,
    params: sections.Split,
    burst_params: sections.Bursts,
    *,
    near_duplicate_distance: int,
    where: Path,
) -> Products:
    """Assigns every curated image to a set.

    Args:
      burst_params: what ties images; beyond its limits the leakage report still looks.
      where: the folder of the benchmarks, for errors.

    Raises:
      LeakageError: if an image would change sides.
      DataError: for a benchmark that cannot be used.
    """
    seen, distance = inputs.lineage, near_duplicate_distance
    assigned = splits.assign(inputs.images, seen, **params.model_dump(), near_duplicate_distance=distance)
    marked = benchmarks.resolve(inputs.marked, inputs.library, where)
    versions = benchmarks.versions(marked)  # of the sets as people wrote them: a class that is renamed makes no new one
    marked = inputs.events.apply(marked)
    tied = marked[["image"]].merge(inputs.bursts, on="image", how="left")[lineage.TIES].fillna("")
    marked[lineage.TIES] = tied.set_axis(marked.index)
    rows = pd.concat([assigned.images, marked[assigned.images.columns]], ignore_index=True)
    rows = splits.with_clusters(rows, seen)
    rows["flip"] = ~rows["label"].isin(inputs.events.no_flip)  # here: train need not run again for any other event
    lineage.refuse_overlaps(rows, seen, near_duplicate_distance=distance)

    near, mates = pd.DataFrame(columns=[*leakage.COLUMNS, "evidence"]), dict[str, Any]()
    if inputs.features is not None:
        near, mates = _near(rows, inputs, burst_params, distance)
    real = (assigned.images["origin"] == "real").groupby(assigned.images["label"]).any()
    summary = {
        "images": len(inputs.images),
        "left_out": {row.image: row.reason for row in assigned.left_out.itertuples()},
        "sets": {name: int(number) for name, number in rows["set"].value_counts().sort_index().items()},
        "benchmark_versions": versions,
        "benchmarks_other_content": sorted(benchmarks.replaced(inputs.marked, inputs.library)),
        "unmeasured": splits.unmeasured(assigned.images),
        "wholly_staged": sorted(real.index[~real]),
        "independent": {str(name): int(number) for name, number in rows.groupby("set")["cluster"].nunique().items()},
        "torn": {
            str(name): int(number) for name, number in rows.loc[rows["torn"], "set"].value_counts().sort_index().items()
        },
        "leakage": splits.leakage(rows, seen, assigned.left_out)
        | {
            "nearest": leakage.summary(near, near_duplicate_distance=distance),
            "alarms": [asdict(alarm) for alarm in leakage.alarms(near)],
        }
        | mates,
    }
    return Products(rows.sort_values(["set", "image"], ignore_index=True), assigned.left_out, near, summary)


def _near(
    rows: pd.DataFrame, inputs: Inputs, burst_params: sections.Bursts, distance: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The nearest training images with what speaks for each pair, and what the summary says of near misses."""
    assert inputs.features is not None
    vectors = inputs.features.units(rows["sha256"])
    near = leakage.nearest(rows, vectors)
    facts = rows[["image"]].merge(inputs.library[near_misses.FACTS].drop_duplicates("image"), on="image", how="left")
    facts = facts.fillna("").set_index(rows.index)
    missed = near_misses.find(
        rows.assign(**{name: facts[name] for name in near_misses.FACTS[1:]}),
        near,
        vectors,
        near_duplicate_distance=distance,
        settings=bursts.Settings(**burst_params.ties()),
    )
    typical = None if np.isnan(missed.typical) else missed.typical
    mates = {"mates": {name: asdict(counts) for name, counts in missed.counts.items()}, "typical_tie": typical}
    return near.assign(evidence=missed.evidence), mates


def main(workspace: Workspace) -> None:
    inputs = Inputs(
        images=read_table(workspace.curated_images),
        bursts=read_table(workspace.bursts, ["image", *lineage.TIES]),
        library=read_table(workspace.library_table),
        marked=benchmarks.read_all(workspace.benchmarks, workspace.root_names),
        lineage=lineage.read(workspace.base / "lineage.parquet"),
        events=classes.read(workspace.classes),
        features=frozen_features.read(workspace.library_features),
    )
    made = compute(
        inputs,
        workspace.params(sections.Split),
        workspace.params(sections.Bursts),
        near_duplicate_distance=workspace.near_duplicate_distance,
        where=workspace.benchmarks,
    )
    write_table(made.rows, workspace.splits_table)
    write_table(made.left_out, workspace.left_out)
    write_table(made.nearest, workspace.nearest)
    write_json(made.summary, workspace.splits / "summary.json")
    named = ", ".join(f"{name} {number}" for name, number in made.summary["sets"].items())
    total, left_out = made.summary["images"], len(made.left_out)
    print(f"split: {total} curated = {total - left_out} in sets + {left_out} left out; {named}")
    for alarm in made.summary["leakage"]["alarms"]:
        print(
            f"split: your test set is closer to your training set than benchmark {alarm['benchmark']} is: in"
            f" {alarm['superiority']:.0%} of all pairs the test image is the more alike. Either images of one event"
            " stand on both sides, or the benchmark shows what your library does not (docs/leakage.md)"
        )
    torn = made.summary["torn"]
    if torn:
        clusters = made.rows.loc[made.rows["torn"], "cluster"].nunique()
        print(
            f"split: {clusters:,} bursts or near-duplicates stand on several sides since earlier rounds:"
            f" {', '.join(f'{number:,} of {name}' for name, number in torn.items())} are torn from images that are"
            " trained on; they keep their place and leave every figure (`wallaby init-base` begins a new lineage)"
        )
    replaced = made.summary["benchmarks_other_content"]
    if replaced:
        print(
            f"split: {len(replaced)} benchmark images have another content than was labelled and are not measured,"
            f" first {replaced[0]}; `wallaby apply --corrections --settle IMAGE=CLASS` takes one back"
        )


if __name__ == "__main__":
    stages.run("split", main)
