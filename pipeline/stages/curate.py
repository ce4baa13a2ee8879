"""Stage curate: duplicates, conflicts, status, lower and upper cutoff; every exclusion with its reason."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from pipeline import errors, sections, stages
from pipeline.files import read_table, write_csv, write_json, write_table, write_text
from pipeline.inference import frozen_features
from pipeline.inference.frozen_features import FrozenFeatures
from pipeline.library import (
    benchmarks,
    board,
    bursts,
    classes,
    curation,
    history,
    labels,
    likeness,
    lineage,
    look_store,
    neighbourhoods,
    second_look,
)
from pipeline.library.classes import Classes
from pipeline.library.exclusion import Reason
from pipeline.library.failures import Failure
from pipeline.review import decisions, landing
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Inputs:
    """What the stage reads.

    Attributes:
      labels: the label table, by the names that people wrote.
      library: the rows of the index (`index.COLUMNS`).
      marked: the images of all benchmarks.
      lineage: what the base and its ancestors have seen.
      boards: the boards of the rounds before.
      images_before: the images of the round before (`history.IMAGE_COLUMNS`).
      decisions: the review decisions in force.
      events: the class events.
      looks: of the contents of the library, for the second look at near-duplicates.
      features: of a frozen network, for all contents of the library; None where there are none.
    """

    labels: pd.DataFrame
    library: pd.DataFrame
    marked: pd.DataFrame
    lineage: pd.DataFrame
    boards: pd.DataFrame
    images_before: pd.DataFrame
    decisions: pd.DataFrame
    events: Classes
    features: FrozenFeatures | None
    looks: look_store.Looks


@dataclass(frozen=True)
class Products:
    """The curated images, the excluded ones with their reasons, the board, the classes, and what the summary says.

    `bursts` has `image`, `sha256`, `burst` and `evidence` of every image that can be read, `links` says why (see
    `bursts.Bursts`).
    """

    images: pd.DataFrame
    excluded: pd.DataFrame
    board: pd.DataFrame
    bursts: pd.DataFrame
    links: pd.DataFrame
    classes: list[str]
    summary: dict[str, Any]


def compute(inputs: Inputs, params: sections.Curate, burst_params: sections.Bursts) -> Products:
    """Curates the labelled images."""
    events = inputs.events
    named = events.apply(inputs.labels)
    tied = find_bursts(inputs, named, burst_params)
    curated = curation.curate(
        named,
        inputs.library,
        inputs.marked,
        inputs.lineage,
        tied.images,
        partial(second_look.confirmed, seen=inputs.looks),
        **params.model_dump(),
        cutoffs=events.cutoffs,
        retired=events.retired,
        settled=decisions.settled(landing.land(inputs.decisions, inputs.library).rows),
    )
    boards = inputs.boards.assign(label=events.names(inputs.boards["label"]))
    standing = board.with_growth(curated.board, boards)
    kept = sorted(curated.images["label"].unique())
    labelled = named[(named["status"] == "ok") & ~named["label"].isin(events.retired)]
    fallen = board.fallen(
        labelled,
        inputs.library.loc[inputs.library["failure"] == Failure.MISSING, "image"],
        curated.board,
        cutoffs=dict.fromkeys(labelled["label"], params.min_images) | events.cutoffs,
    )
    replaced = curated.excluded.loc[curated.excluded["reason"] == Reason.OTHER_CONTENT, "label_then"]
    classes_then = replaced.value_counts().sort_index().drop("", errors="ignore")
    summary = {
        "images": len(inputs.library),
        "kept": len(curated.images),
        "excluded": {
            reason: int(number) for reason, number in curated.excluded["reason"].value_counts().sort_index().items()
        },
        "classes": len(kept),
        "fallen": fallen.to_dict("records"),
        "near_classes": standing.loc[standing["standing"] == "near", "label"].tolist(),
        "other_content": {
            "images": len(replaced),
            "classes": {str(name): int(number) for name, number in classes_then.items()},
        },
        "apart": curated.apart,
        "bursts": _burst_counts(curated.images)
        | {"seen_by": inputs.features.name if inputs.features else "", "chains": tied.chains}
        | {"neighbourhoods": _neighbourhood_counts(curated.images)},
    }
    return Products(curated.images, curated.excluded, standing, tied.images, tied.links, kept, summary)


def find_bursts(inputs: Inputs, named: pd.DataFrame, params: sections.Bursts) -> bursts.Bursts:
    """Finds the bursts of the library: by frozen features, or where there are none, by what the index knows.

    Args:
      named: the label table by today's names.
    """
    rows = inputs.library[inputs.library["failure"] == ""].sort_values("image", ignore_index=True)
    given = named.rename(columns={"group": "together", "sha256": "labelled"})
    marked = inputs.events.apply(inputs.marked)[["image", "label", "sha256"]].rename(columns={"sha256": "labelled"})
    given = pd.concat([given, marked]).drop_duplicates("image").set_index("image")
    known = given[["label", "together", "labelled"]].reindex(rows["image"]).fillna("").set_axis(rows.index)
    other = (known["labelled"] != "") & (known["labelled"] != rows["sha256"])  # what people know of another content
    rows = rows.assign(label=known["label"].mask(other, ""), together=known["together"].mask(other, ""))
    settings = bursts.Settings(**params.ties())
    looks = partial(second_look.ties, rows, inputs.looks)
    seen = inputs.lineage.set_index("sha256")["burst"]
    kept_out = history.bursts_beside_benchmarks(inputs.images_before)
    placed = pd.concat([seen, kept_out[~kept_out.index.isin(seen.index)]])
    before = rows["sha256"].map(placed).astype("str").fillna("")
    if inputs.features is not None:
        units = inputs.features.units(rows["sha256"])
        side = np.where(rows["image"].isin(marked["image"]), "\nbenchmark", "\nlibrary")
        part = (rows["label"] + side).where(rows["label"] != "", "")
        known = rows["sha256"].isin(inputs.lineage["sha256"]).to_numpy()
        close = partial(neighbourhoods.ties, units, known=known, part=part) if params.neighbourhoods else None
        return bursts.find(rows, units, settings, before=before, looks=looks, neighbourhoods=close)
    hashes = likeness.hash_vectors(rows["phash"], rows["layout"])  # they say nothing of an image and its mirror
    return bursts.find(
        rows, hashes, settings, before=before, looks=lambda _: looks(lambda first, _: np.zeros(len(first), bool))
    )


def _burst_counts(images: pd.DataFrame) -> dict[str, int]:
    sizes = images["burst"].value_counts()
    return {
        "images": len(images),
        "independent": len(sizes),
        "bursts": int((sizes > 1).sum()),
        "largest": int(sizes.max()) if len(sizes) else 0,
    }


def _neighbourhood_counts(images: pd.DataFrame) -> dict[str, int]:
    near = images[bursts.of_several_events(images["evidence"])]
    return {"images": len(near), "bursts": near["burst"].nunique(), "classes": near["label"].nunique()}


def read(workspace: Workspace) -> Inputs:
    """Reads the inputs.

    Raises:
      DataError: for a table that cannot be read, or a class that is called like a word of a decision or misspelt.
    """
    names = workspace.root_names
    inputs = Inputs(
        labels=labels.read(workspace.labels, names),
        library=read_table(workspace.library_table),
        marked=benchmarks.read_all(workspace.benchmarks, names),
        lineage=lineage.read(workspace.base / "lineage.parquet"),
        boards=read_table(workspace.base / history.BOARDS),
        images_before=read_table(workspace.base / history.IMAGES),
        decisions=decisions.read_all(workspace.reviews, names),
        events=classes.read(workspace.classes),
        features=frozen_features.read(workspace.library_features),
        looks=look_store.Stored(workspace.looks),
    )
    refuse_words(inputs, workspace)
    known = {*inputs.labels["label"], *inputs.marked["label"], *inputs.decisions["label"]} - {""}
    classes.check_names(inputs.events, known, workspace.classes)
    return inputs


def refuse_words(inputs: Inputs, workspace: Workspace) -> None:
    """Refuses classes that are called like a word of a decision.

    Raises:
      DataError: with the file that calls a class so.
    """
    inputs.events.refuse_words(inputs.labels.loc[inputs.labels["status"] == "ok", "label"], workspace.labels)
    inputs.events.refuse_words(inputs.marked["label"], workspace.benchmarks)


def main(workspace: Workspace) -> None:
    params = workspace.params(sections.Curate)
    made = compute(read(workspace), params, workspace.params(sections.Bursts))
    for line in board.fallen_sentences(made.summary["fallen"]):
        print(f"curate: {line}")
    if len(made.classes) < 2:
        raise errors.DataError(
            f"too few classes: {len(made.classes)} of {len(made.board)} reach the lower cutoff of {params.min_images}",
            where=workspace.labels,
            mend="label more images (`wallaby import library DIR`), or lower curate.min_images in configs/params.yaml",
        )
    write_table(made.images, workspace.curated_images)
    write_table(made.excluded, workspace.excluded)
    write_table(made.bursts, workspace.bursts)
    write_table(made.links, workspace.burst_links)
    write_csv(made.board, workspace.board)
    write_text("".join(f"{name}\n" for name in made.classes), workspace.curated / "classes.txt")
    write_json(made.summary, workspace.curated / "summary.json")
    report(made)


def report(made: Products) -> None:
    """Prints what became of the images."""
    shares = ", ".join(f"{number} {reason}" for reason, number in made.summary["excluded"].items())
    print(
        f"curate: {made.summary['images']} = {len(made.images)} kept + {len(made.excluded)} excluded"
        f" ({shares or 'none'})"
    )
    print(f"curate: {len(made.classes)} classes")
    if apart := made.summary["apart"]["images"]:
        print(
            f"curate: {apart:,} images have near hashes and do not look the same: none is excluded for it, first"
            f" {made.summary['apart']['first']}"
        )
    counts = made.summary["bursts"]
    if counts["bursts"]:
        print(
            f"curate: {counts['images']:,} images, {counts['independent']:,} independent: {counts['bursts']:,} bursts,"
            f" the largest of {counts['largest']:,}; `wallaby why IMAGE` says what ties them"
        )
    near = counts["neighbourhoods"]
    if near["images"]:
        print(
            f"curate: images of {near['classes']} classes lie closer together than independent images do, and neither"
            f" names nor times say which are of one event: {near['images']:,} of them stay together in"
            f" {near['bursts']:,} neighbourhoods of several events. Give images of one event a group (docs/leakage.md)"
        )
    for chain in counts["chains"]:
        print(
            f"curate: {chain['images']:,} images from {chain['first']} would be one burst of class {chain['label']},"
            " and do not look alike: cut where it is weakest"
        )
    few = made.board[made.board["too_few_independent"] & (made.board["short_by"] == 0)]
    if len(few):
        print(
            f"curate: {len(few)} classes have too few independent images to be measured:"
            f" {', '.join(few['label'].head(5))}{', ...' if len(few) > 5 else ''}"
        )
    replaced = made.summary["other_content"]
    if replaced["images"]:
        of = ", ".join(f"{number} {name}" for name, number in replaced["classes"].items())
        first = made.excluded.loc[made.excluded["reason"] == Reason.OTHER_CONTENT, "image"].iloc[0]
        print(
            f"curate: {replaced['images']} images have {Reason.OTHER_CONTENT}{f': {of}' if of else ''},"
            f" first {first}; recipe {decisions.CHANGED_RECIPE} asks what they show"
        )


if __name__ == "__main__":
    stages.run("curate", main)
