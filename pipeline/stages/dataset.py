"""Stage dataset: the page that shows today's data sets, what has changed since the last round, and what to look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import sections, stages
from pipeline.files import atomic_folder, read_json, read_table
from pipeline.library import board, classes, history, labels, mounts, pictures, screening, splits
from pipeline.library.classes import Classes
from pipeline.library.exclusion import Reason
from pipeline.pages import dataset, dataset_ties
from pipeline.pages.dataset import Nearness, Ties
from pipeline.workspace import Workspace

THUMBNAIL = 176  # pixels
MAX_GROUPS = 100  # bursts, and groups of near-duplicates, with pictures


@dataclass(frozen=True)
class Inputs:
    """What the stage reads: the rows of the sets, what is left out or excluded, what ties images, the nearest training
    images, the index, the last round's images and boards, the board, the class events, and the summaries of curate and
    split."""

    rows: pd.DataFrame
    left_out: pd.DataFrame
    excluded: pd.DataFrame
    links: pd.DataFrame
    nearest: pd.DataFrame
    library: pd.DataFrame
    images_before: pd.DataFrame
    boards_before: pd.DataFrame
    board: pd.DataFrame
    events: Classes
    curated: dict[str, Any]
    split: dict[str, Any]


def compute(inputs: Inputs, params: sections.Dataset) -> dict[str, Any]:
    """Everything that the page shows besides the images: the arguments of `pages.dataset.write`."""
    rows, left_out = inputs.rows, inputs.left_out
    before = inputs.images_before.assign(label=inputs.events.names(inputs.images_before["label"]))
    changes = history.changes(before, history.snapshot(rows, left_out, inputs.excluded))
    in_sets = rows.loc[rows["set"].isin(splits.SETS), "image"]
    flagged = screening.screen(
        inputs.library[inputs.library["image"].isin(in_sets)],
        min_subject=params.min_subject,
        min_sideways=params.min_sideways,
    )
    curated, leakage = inputs.curated, inputs.split["leakage"]
    facts = {
        "images": f"{curated['images']:,} = {curated['kept']:,} kept + {sum(curated['excluded'].values()):,} excluded",
        "classes": f"{curated['classes']:,}, near the cutoff: {', '.join(curated['near_classes']) or 'none'}",
        "leakage": f"{leakage['lineage_images']:,} images seen by earlier models,"
        f" {sum(leakage['kept_their_set'].values()):,} in their old set, 0 on another side,"
        f" {len(inputs.split['left_out']):,} left out because they tie two sides",
        "bursts": f"{curated['bursts']['bursts']:,}, the largest of {curated['bursts']['largest']:,} images; none is"
        " excluded for being in one",
        "torn": _torn(inputs.split["torn"]),
        "not measured": _named(inputs.split["unmeasured"]),
        "wholly staged": ", ".join(inputs.split["wholly_staged"]) or "none",
    }
    return {
        "title": f"Data sets of round {history.round_after(inputs.boards_before)}",
        "facts": facts,
        "board": inputs.board,
        "images": pd.concat([rows, left_out.assign(set="")]),
        "excluded": pd.concat([inputs.excluded, left_out.assign(detail=left_out["reason"], reason=Reason.LEFT_OUT)]),
        "changes": changes,
        "flagged": flagged,
        "ties": Ties(
            bursts=dataset_ties.bursts(rows, inputs.links, limit=MAX_GROUPS),
            near_duplicates=dataset_ties.near_duplicates(rows, limit=MAX_GROUPS),
            divided=dataset_ties.divided(curated["apart"]["largest"]),
            chains=curated["bursts"]["chains"],
        ),
        "nearness": Nearness(
            sets=dataset_ties.near_sets(inputs.split),
            pairs=dataset_ties.pairs(inputs.nearest),
            alarms=leakage["alarms"],
            typical=leakage.get("typical_tie"),
        ),
        "pictures_per_class": params.pictures_per_class,
    }


def main(workspace: Workspace) -> None:
    folders = workspace.folders
    inputs = Inputs(
        rows=read_table(workspace.splits_table),
        left_out=read_table(workspace.left_out),
        excluded=read_table(workspace.excluded),
        links=read_table(workspace.burst_links),
        nearest=read_table(workspace.nearest),
        library=read_table(workspace.library_table),
        images_before=read_table(workspace.base / history.IMAGES),
        boards_before=read_table(workspace.base / history.BOARDS),
        board=board.read(workspace.board),
        events=classes.read(workspace.classes),
        curated=read_json(workspace.curated / "summary.json"),
        split=read_json(workspace.splits / "summary.json"),
    )
    shown = compute(inputs, workspace.params(sections.Dataset))
    with atomic_folder(workspace.dataset) as folder:
        dataset.write(folder, picture=lambda image: _thumbnail(labels.locate(image, folders)), **shown)
        mounts.refuse_empty(inputs.rows["image"], folders)  # else the page shows no image, and nobody knows why
    counts = shown["changes"]["change"].value_counts().items()
    named = ", ".join(f"{number} {change}" for change, number in counts)
    print(f"dataset: since the last round: {named or 'nothing to compare with, or nothing changed'}")


def _thumbnail(path: Path) -> bytes:
    try:
        return pictures.thumbnail(path, THUMBNAIL)
    except pictures.PictureError:
        return b""


def _torn(torn: dict[str, int]) -> str:
    if not torn:
        return "none"
    counts = ", ".join(f"{number:,} of {name}" for name, number in torn.items())
    return f"{counts}: images of their burst are trained on since earlier rounds, and they leave every figure"


def _named(unmeasured: dict[str, list[str]]) -> str:
    return "; ".join(f"in {name}: {', '.join(found)}" for name, found in unmeasured.items()) or "every class is"


if __name__ == "__main__":
    stages.run("dataset", main)
