"""Stage split: sticky, grouped, stratified train, val and test sets; benchmarks apart; refuses leakage."""

import sys
from pathlib import Path

import pandas as pd

from pipeline import config, errors
from pipeline.files import read_table, write_json, write_table
from pipeline.library import benchmarks, lineage, splits


def main(images_table: str, benchmark_folder: str, library_table: str, base_lineage: str, out: str) -> None:
    params, names = config.load(config.Split), list(config.load(config.Roots).folders)
    distance = config.load(config.Curate).near_duplicate_distance
    seen = read_table(Path(base_lineage))
    library = read_table(Path(library_table))

    images = read_table(Path(images_table))
    assigned = splits.assign(images, seen, **params.model_dump(), near_duplicate_distance=distance)
    marked = benchmarks.resolve(benchmarks.read_all(Path(benchmark_folder), names), library, benchmark_folder)
    rows = pd.concat([assigned.images, marked[splits.COLUMNS]], ignore_index=True)
    lineage.refuse_overlaps(rows, seen, near_duplicate_distance=distance)

    folder = Path(out)
    counts = rows["set"].value_counts().sort_index()
    versions = benchmarks.versions(rows)
    write_table(rows.sort_values(["set", "image"], ignore_index=True), folder / "splits.parquet")
    write_table(assigned.left_out, folder / "left_out.parquet")
    write_json(
        {
            "images": len(images),
            "left_out": {row.image: row.reason for row in assigned.left_out.itertuples()},
            "sets": {name: int(number) for name, number in counts.items()},
            "benchmark_versions": versions,
            "unmeasured": splits.unmeasured(assigned.images),
            "leakage": {
                "lineage_images": len(seen),
                "kept_their_set": int(rows["sha256"].isin(seen["sha256"]).sum()),
                "changed_sides": 0,  # any other number has been refused above
            },
        },
        folder / "summary.json",
    )
    named = ", ".join(f"{name} {number}" for name, number in counts.items())
    print(f"split: {len(images)} curated = {len(assigned.images)} in sets + {len(assigned.left_out)} left out; {named}")


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
