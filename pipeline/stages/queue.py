"""Stage queue: the recipes, as tables and as a page with pictures."""

import sys
from pathlib import Path

import pandas as pd

from pipeline import config, errors, pages, sections
from pipeline.files import read_table, write_table, write_text
from pipeline.inference import store
from pipeline.library import benchmarks, board, curation, labels
from pipeline.review import recipes

PREDICTION_COLUMNS = ["image", "sha256", "label", "score", "top_labels", "top_scores", "failure"]


def main(predictions_folder: str, curated_folder: str, index_folder: str, audit_table: str, out: str) -> None:
    params, folders, curate = (
        config.load(sections.Queue),
        config.load(sections.Roots).folders,
        config.load(sections.Curate),
    )
    curated, index = Path(curated_folder), Path(index_folder)
    predictions = store.read(Path(predictions_folder), PREDICTION_COLUMNS)
    excluded = read_table(curated / "excluded.parquet")
    known = read_table(curated / "images.parquet", ["sha256"])["sha256"]
    hashes = pd.concat(read_table(index / f"{name}.parquet", ["image", "phash"]) for name in ("library", "pool"))

    material = recipes.Material(
        predictions=predictions[(predictions["failure"] == "") & ~predictions["sha256"].isin(known)],
        board=board.read(curated / "board.csv"),
        unknown=set(excluded.loc[excluded["reason"] == "unknown", "image"]),
        conflicts=excluded[excluded["reason"] == curation.CONFLICT],
        suspects=suspects(read_table(Path(audit_table))),
    )
    tables = recipes.run(
        material,
        hashes.set_index("image")["phash"],
        near_duplicate_distance=curate.near_duplicate_distance,
        min_images=curate.min_images,
        **params.model_dump(),
    )

    folder = Path(out)
    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet")
    found = [pages.Recipe(recipe.name, recipe.finds, tables[recipe.name]) for recipe in recipes.RECIPES]
    page = pages.queue(
        title="Worth a person's time",
        recipes=found,
        picture=lambda image: pages.picture_uri(labels.locate(image, folders)),
    )
    write_text(page, folder / "index.html")
    print("queue: " + ", ".join(f"{name} {len(table)}" for name, table in tables.items()))


def suspects(audit: pd.DataFrame) -> pd.DataFrame:
    """What the audit asks of labels; those of benchmarks are not among the labels, and stand in the report alone."""
    asked = audit[audit["asked"].astype(bool) & ~audit["set"].str.startswith(benchmarks.PREFIX)]
    return asked.drop(columns="label").rename(columns={"predicted": "label"})


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
