"""Stage curate: duplicates, conflicts, status, lower and upper cutoff; every exclusion with its reason."""

import sys
from pathlib import Path

from pipeline import config, errors, sections
from pipeline.files import read_table, write_csv, write_json, write_table, write_text
from pipeline.library import benchmarks, board, classes, curation, labels
from pipeline.review import decisions, landing


def main(
    label_table: str,
    class_events: str,
    benchmark_folder: str,
    reviews: str,
    library_table: str,
    base_lineage: str,
    base_boards: str,
    out: str,
) -> None:
    params, names = config.load(sections.Curate), list(config.load(sections.Roots).folders)
    said = labels.read(Path(label_table), names)
    marked = benchmarks.read_all(Path(benchmark_folder), names)
    events = classes.read(Path(class_events))
    events.refuse_words(said.loc[said["status"] == "ok", "label"], label_table)
    events.refuse_words(marked["label"], benchmark_folder)
    decided = decisions.read_all(Path(reviews), names)
    classes.check_names(events, {*said["label"], *marked["label"], *decided["label"]} - {""}, class_events)
    library = read_table(Path(library_table))

    named = events.apply(said)
    curated = curation.curate(
        named,
        library,
        marked,
        read_table(Path(base_lineage)),
        **params.model_dump(),
        cutoffs=events.cutoffs,
        retired=events.retired,
        settled=decisions.settled(landing.land(decided, library).rows),
    )
    boards = read_table(Path(base_boards))
    standing = board.with_growth(curated.board, boards.assign(label=events.names(boards["label"])))
    kept = sorted(curated.images["label"].unique())
    labelled = named[(named["status"] == "ok") & ~named["label"].isin(events.retired)]
    fallen = board.fallen(
        labelled,
        library.loc[library["failure"] == labels.MISSING, "image"],
        curated.board,
        cutoffs=dict.fromkeys(labelled["label"], params.min_images) | events.cutoffs,
    ).to_dict("records")
    for line in board.fallen_sentences(fallen):
        print(f"curate: {line}")
    if len(kept) < 2:
        raise errors.DataError(
            f"too few classes: {len(kept)} of {len(standing)} reach the lower cutoff of {params.min_images}",
            where=label_table,
            mend="label more images (`wallaby import library DIR`), or lower curate.min_images in configs/params.yaml",
        )

    replaced = curated.excluded[curated.excluded["reason"] == curation.OTHER_CONTENT]
    classes_then = replaced["label_then"].value_counts().sort_index().drop("", errors="ignore")
    folder = Path(out)
    reasons = curated.excluded["reason"].value_counts().sort_index()
    write_table(curated.images, folder / "images.parquet")
    write_table(curated.excluded, folder / "excluded.parquet")
    write_csv(standing, folder / "board.csv")
    write_text("".join(f"{name}\n" for name in kept), folder / "classes.txt")
    write_json(
        {
            "images": len(library),
            "kept": len(curated.images),
            "excluded": {reason: int(number) for reason, number in reasons.items()},
            "classes": len(kept),
            "fallen": fallen,
            "near_classes": standing.loc[standing["standing"] == "near", "label"].tolist(),
            "other_content": {"images": len(replaced), "classes": {str(k): int(n) for k, n in classes_then.items()}},
        },
        folder / "summary.json",
    )
    shares = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    print(
        f"curate: {len(library)} = {len(curated.images)} kept + {len(curated.excluded)} excluded ({shares or 'none'})"
    )
    print(f"curate: {len(kept)} classes")
    if len(replaced):
        of = ", ".join(f"{number} {name}" for name, number in classes_then.items())
        print(
            f"curate: {len(replaced)} images have {curation.OTHER_CONTENT}{f': {of}' if of else ''},"
            f" first {replaced['image'].iloc[0]}; recipe {decisions.CHANGED_RECIPE} asks what they show"
        )


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
