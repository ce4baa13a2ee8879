"""Stage split: sticky, grouped, stratified train, val and test sets; benchmarks apart; refuses leakage."""

import sys
from pathlib import Path

import pandas as pd

from pipeline import config, errors, sections
from pipeline.files import read_table, write_json, write_table
from pipeline.library import benchmarks, classes, lineage, splits


def main(
    images_table: str, class_events: str, benchmark_folder: str, library_table: str, base_lineage: str, out: str
) -> None:
    params, names = config.load(sections.Split), list(config.load(sections.Roots).folders)
    distance = config.load(sections.Curate).near_duplicate_distance
    seen = read_table(Path(base_lineage))
    library = read_table(Path(library_table))

    images = read_table(Path(images_table))
    assigned = splits.assign(images, seen, **params.model_dump(), near_duplicate_distance=distance)
    listed = benchmarks.read_all(Path(benchmark_folder), names)
    marked = benchmarks.resolve(listed, library, benchmark_folder)
    replaced = benchmarks.replaced(listed, library)
    versions = benchmarks.versions(marked)  # of the sets as people wrote them: a class that is renamed makes no new one
    events = classes.read(Path(class_events))
    marked = events.apply(marked)
    rows = pd.concat([assigned.images, marked[splits.COLUMNS]], ignore_index=True)
    rows["flip"] = ~rows["label"].isin(events.no_flip)  # here: train need not run again for any other event
    lineage.refuse_overlaps(rows, seen, near_duplicate_distance=distance)

    folder = Path(out)
    real = (assigned.images["origin"] == "real").groupby(assigned.images["label"]).any()
    counts = rows["set"].value_counts().sort_index()
    write_table(rows.sort_values(["set", "image"], ignore_index=True), folder / "splits.parquet")
    write_table(assigned.left_out, folder / "left_out.parquet")
    write_json(
        {
            "images": len(images),
            "left_out": {row.image: row.reason for row in assigned.left_out.itertuples()},
            "sets": {name: int(number) for name, number in counts.items()},
            "benchmark_versions": versions,
            "benchmarks_other_content": sorted(replaced),
            "unmeasured": splits.unmeasured(assigned.images),
            "wholly_staged": sorted(real.index[~real]),
            "leakage": splits.leakage(rows, seen, assigned.left_out),
        },
        folder / "summary.json",
    )
    named = ", ".join(f"{name} {number}" for name, number in counts.items())
    print(f"split: {len(images)} curated = {len(assigned.images)} in sets + {len(assigned.left_out)} left out; {named}")
    if len(replaced):
        print(
            f"split: {len(replaced)} benchmark images have another content than was labelled and are not measured,"
            f" first {replaced.iloc[0]}; `wallaby apply --corrections --settle IMAGE=CLASS` takes one back"
        )


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
