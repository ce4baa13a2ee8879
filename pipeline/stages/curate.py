"""Stage curate: duplicates, conflicts, status, lower and upper cutoff; every exclusion with its reason."""

import sys
from pathlib import Path

from pipeline import config, errors
from pipeline.files import read_table, write_csv, write_json, write_table, write_text
from pipeline.library import benchmarks, curation, labels


def main(label_table: str, benchmark_folder: str, library_table: str, out: str) -> None:
    params, names = config.load(config.Curate), list(config.load(config.Roots).folders)
    table = labels.read(Path(label_table), names)
    library = read_table(Path(library_table))

    curated = curation.curate(table, library, benchmarks.read_all(Path(benchmark_folder), names), **params.model_dump())
    classes = sorted(curated.images["label"].unique())
    if len(classes) < 2:
        raise errors.DataError(
            f"too few classes: {len(classes)} of {len(curated.board)} reach the lower cutoff of {params.min_images}",
            where=label_table,
            mend="label more images (`wallaby import library DIR`), or lower curate.min_images in configs/params.yaml",
        )

    folder = Path(out)
    reasons = curated.excluded["reason"].value_counts().sort_index()
    write_table(curated.images, folder / "images.parquet")
    write_table(curated.excluded, folder / "excluded.parquet")
    write_csv(curated.board, folder / "board.csv")
    write_text("".join(f"{name}\n" for name in classes), folder / "classes.txt")
    write_json(
        {
            "images": len(library),
            "kept": len(curated.images),
            "excluded": {reason: int(number) for reason, number in reasons.items()},
            "classes": len(classes),
            "near_classes": curated.board.loc[curated.board["standing"] == "near", "label"].tolist(),
        },
        folder / "summary.json",
    )
    named = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    print(f"curate: {len(library)} = {len(curated.images)} kept + {len(curated.excluded)} excluded ({named or 'none'})")
    print(f"curate: {len(classes)} classes")


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
