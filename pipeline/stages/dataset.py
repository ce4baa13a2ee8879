"""Stage dataset: the page that shows today's data sets, what has changed since the last round, and what to look at."""

import sys
from pathlib import Path

import pandas as pd

from pipeline import config, errors, sections
from pipeline.files import atomic_folder, read_json, read_table
from pipeline.library import board, classes, history, labels, mounts, pictures, screening, splits
from pipeline.pages import dataset

THUMBNAIL = 176  # pixels


def main(
    curated_folder: str,
    splits_folder: str,
    library_table: str,
    class_events: str,
    base_images: str,
    base_boards: str,
    out: str,
) -> None:
    params, folders = config.load(sections.Dataset), config.load(sections.Roots).folders
    curated, split = Path(curated_folder), Path(splits_folder)
    rows, left_out = read_table(split / "splits.parquet"), read_table(split / "left_out.parquet")
    excluded = read_table(curated / "excluded.parquet")
    library = read_table(Path(library_table))
    events = classes.read(Path(class_events))
    before = read_table(Path(base_images))
    before = before.assign(label=events.names(before["label"]))

    changes = history.changes(before, history.snapshot(rows, left_out, excluded))
    kept = library[library["image"].isin(rows.loc[rows["set"].isin(["train", "val", "test"]), "image"])]
    flagged = screening.screen(kept, min_subject=params.min_subject, min_sideways=params.min_sideways)

    told, split_told = read_json(curated / "summary.json"), read_json(split / "summary.json")
    leakage = split_told["leakage"]
    facts = {
        "images": f"{told['images']:,} = {told['kept']:,} kept + {sum(told['excluded'].values()):,} excluded",
        "classes": f"{told['classes']:,}, near the cutoff: {', '.join(told['near_classes']) or 'none'}",
        "leakage": f"{leakage['lineage_images']:,} images seen by earlier models,"
        f" {sum(leakage['kept_their_set'].values()):,} in their old set, 0 on another side,"
        f" {len(split_told['left_out']):,} left out because they tie two sides",
        "not measured": _named(split_told["unmeasured"]),
        "wholly staged": ", ".join(split_told["wholly_staged"]) or "none",
    }
    with atomic_folder(Path(out)) as folder:
        dataset.write(
            folder,
            title=f"Data sets of round {history.round_after(read_table(Path(base_boards)))}",
            facts=facts,
            board=board.read(curated / "board.csv"),
            images=pd.concat([rows, left_out.assign(set="")]),
            excluded=pd.concat([excluded, left_out.assign(detail=left_out["reason"], reason=splits.LEFT_OUT)]),
            changes=changes,
            flagged=flagged,
            picture=lambda image: _thumbnail(labels.locate(image, folders)),
            pictures_per_class=params.pictures_per_class,
        )
        mounts.refuse_empty(rows["image"], folders)  # else the page shows no image, and nobody knows why
    named = ", ".join(f"{number} {change}" for change, number in changes["change"].value_counts().items())
    print(f"dataset: since the last round: {named or 'nothing to compare with, or nothing changed'}")


def _thumbnail(path: Path) -> bytes:
    try:
        return pictures.thumbnail(path, THUMBNAIL)
    except pictures.PictureError:
        return b""


def _named(unmeasured: dict[str, list[str]]) -> str:
    return "; ".join(f"in {name}: {', '.join(found)}" for name, found in unmeasured.items()) or "every class is"


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
