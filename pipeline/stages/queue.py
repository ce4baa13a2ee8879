"""Stage queue: the recipes, as tables and as a page with pictures; what goes into quarantine; what classes may gain."""

import sys
from pathlib import Path

import pandas as pd

from pipeline import config, errors, pages, sections
from pipeline.evaluation import trust
from pipeline.files import read_table, write_csv, write_table, write_text
from pipeline.library import labels, mounts
from pipeline.review import recipes, yields
from pipeline.review.recipes import gathering


def main(predictions: str, curated: str, index: str, evaluation: str, released: str, events: str, out: str) -> None:
    params, folders = config.load(sections.Queue), config.load(sections.Roots).folders
    curate = config.load(sections.Curate)
    material = gathering.gather(
        *(Path(folder) for folder in (predictions, curated, index, evaluation, released, events)),
        cache_folder=config.own("vectors"),
        limits=curate.limits(),
    )
    distance = curate.near_duplicate_distance
    held = trust.held(read_table(Path(evaluation) / "scores.parquet", trust.COLUMNS), places=1)
    found = yields.likely(recipes.run(material, near_duplicate_distance=distance, **params.model_dump()), held)

    page = pages.queue(
        title="Worth a person's time",
        recipes=[
            pages.Recipe(recipe.name, recipe.finds, found[recipe.name].rows, found[recipe.name].note)
            for recipe in recipes.RECIPES
        ],
        picture=lambda image: pages.picture_uri(labels.locate(image, folders)),
    )
    # Else the page shows no image, and nobody knows why.
    mounts.refuse_empty(pd.concat([answer.rows["image"] for answer in found.values()]), folders)

    folder = Path(out)
    for name, answer in found.items():
        write_table(answer.rows, folder / f"{name}.parquet")
        if answer.whole is not None:
            write_table(answer.whole, folder / "whole" / f"{name}.parquet")
    expected = yields.expected(
        material, found, held, near_duplicate_distance=distance, low_count_below=params.low_count_below
    )
    write_csv(expected, folder / yields.FILE)
    write_text(page, folder / "index.html")
    print("queue: " + ", ".join(f"{name} {len(answer.rows)}" for name, answer in found.items()))


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
