"""Stage index: scan the roots, verify and hash every picture. Always runs; costs little when nothing changed."""

import sys
from pathlib import Path

import pandas as pd

from pipeline import config, errors, files, sections
from pipeline.files import write_table
from pipeline.library import benchmarks, index, labels, quarantine


def main(label_table: str, benchmark_folder: str, quarantine_table: str, out: str) -> None:
    params, roots = config.load(sections.Index), config.load(sections.Roots)
    names = list(roots.folders)
    listed = [
        labels.read(Path(label_table), names)["image"],
        benchmarks.read_all(Path(benchmark_folder), names)["image"],
    ]

    scanned = index.scan(roots.folders, config.cache(index.CACHE), max_megapixels=params.max_megapixels)
    # A benchmark's picture is nothing to label, so that it can never be learnt from.
    library, pool = index.divide(scanned, pd.concat(listed), [*roots.library, *roots.benchmark])
    with files.in_turn(config.own("labels.lock"), label_table):
        table = labels.read(Path(label_table), names)
        filled = labels.with_contents(table, scanned)
        if noted := int((filled["sha256"] != table["sha256"]).sum()):
            labels.write(filled, Path(label_table))
            print(f"index: noted in {label_table} which content each of {noted} labels was given to")
        if noted := benchmarks.note_contents(Path(benchmark_folder), scanned):
            print(f"index: noted in {benchmark_folder} which content each of {noted} labels was given to")
    pool, away = quarantine.set_apart(pool, quarantine.read(Path(quarantine_table)))

    write_table(library, Path(out) / "library.parquet")
    write_table(pool, Path(out) / "pool.parquet")
    write_table(away, Path(out) / "quarantined.parquet")
    failed = int((library["failure"] != "").sum()), int((pool["failure"] != "").sum())
    print(
        f"index: {len(library)} in the library ({failed[0]} unusable), {len(pool)} in the pool ({failed[1]} unusable)"
        + (f", {len(away)} in quarantine" if len(away) else "")
    )


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
