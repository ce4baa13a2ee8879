"""Stage index: scan the roots, verify and hash every picture. Always runs; costs little when nothing changed.

A root that had images and has none, or has lost many at once, stops it before anything is written.
"""

import sys
from pathlib import Path

import pandas as pd

from pipeline import config, errors, files, sections
from pipeline.files import write_json, write_table
from pipeline.library import benchmarks, index, labels, moves, quarantine, roots


def main(label_table: str, benchmark_folder: str, quarantine_table: str, root_table: str, out: str) -> None:
    params, known = config.load(sections.Index), config.load(sections.Roots)
    names = list(known.folders)
    labelled = labels.read(Path(label_table), names)
    listed = [
        labelled["image"],
        benchmarks.read_all(Path(benchmark_folder), names)["image"],
    ]

    meant, written = roots.read(Path(root_table)), index.written(Path(out))

    def check(cached: index.Before, scanned: pd.DataFrame) -> None:
        for before in (written, cached):
            roots.refuse(before, scanned, meant, known.folders, max_missing=params.max_missing, labelled=labelled)
        for line in roots.notes(written.images, scanned, names):
            print(f"index: {line}")

    scanned = index.scan(
        known.folders,
        config.cache(index.CACHE),
        max_megapixels=params.max_megapixels,
        check=check,
        accepted=roots.keys(meant),
    )
    # A benchmark's picture is nothing to label, so that it can never be learnt from.
    library, pool = index.divide(scanned, pd.concat(listed), [*known.library, *known.benchmark])
    with files.in_turn(config.own("labels.lock"), label_table):
        table = labels.read(Path(label_table), names)
        filled = labels.with_contents(table, scanned)
        if noted := int((filled["sha256"] != table["sha256"]).sum()):
            labels.write(filled, Path(label_table))
            print(f"index: noted in {label_table} which content each of {noted} labels was given to")
        if noted := benchmarks.note_contents(Path(benchmark_folder), scanned):
            print(f"index: noted in {benchmark_folder} which content each of {noted} labels was given to")
    pool, away = quarantine.set_apart(pool, quarantine.read(Path(quarantine_table)))

    moved, missing = moves.suggested(filled, scanned), int((~filled["image"].isin(scanned["image"])).sum())
    for name, rows in zip(index.TABLES, (library, pool, away), strict=True):
        write_table(rows, Path(out) / name)
    counts = labels.root_of(scanned["image"]).value_counts()
    write_json(
        {
            "roots": {name: int(counts.get(name, 0)) for name in names},
            "accepted": sorted(roots.keys(meant)),
            "missing": missing,
            "moved": moved.to_dict("records"),
        },
        Path(out) / index.SUMMARY,
    )
    for line in [*moves.sentences(moved), *moves.lost(missing - int(moved["images"].sum()))]:
        print(f"index: {line}")
    failed = int((library["failure"] != "").sum()), int((pool["failure"] != "").sum())
    print(
        f"index: {len(library)} in the library ({failed[0]} unusable), {len(pool)} in the pool ({failed[1]} unusable)"
        + (f", {len(away)} in quarantine" if len(away) else "")
    )


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
