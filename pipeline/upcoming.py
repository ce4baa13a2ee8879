"""The data of the next round, as its stages will make it of today's labels, reviews and class events. Reads only."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import config, paths, sections
from pipeline.files import read_table
from pipeline.library import benchmarks, classes, curation, index, labels, lineage, splits
from pipeline.library.classes import Classes
from pipeline.review import applying, contents, decisions, labelling, landing


@dataclass(frozen=True)
class Upcoming:
    """What the next round starts from.

    Attributes:
      decisions: every review decision, oldest first.
      events: the class events.
      curated: what stage curate will make, at today's cutoffs.
      library: the index's rows of its images.
      marked: the images of the benchmark sets, as people wrote them.
    """

    decisions: pd.DataFrame
    events: Classes
    curated: curation.Curated
    library: pd.DataFrame
    marked: pd.DataFrame


def read(seen: pd.DataFrame, folder: Path = paths.INDEX) -> Upcoming:
    """Applies the reviews, as `wallaby apply` will, and curates; pictures that came after the index are not in it.

    Args:
      seen: the lineage of the next round's base.
      folder: of the index.

    Raises:
      DataError: for sources that the stages would refuse, or without an index.
    """
    params, roots = config.load(sections.Curate), config.load(sections.Roots)
    names = list(roots.folders)
    marked = benchmarks.read_all(paths.BENCHMARKS, names)
    log, replaced = decisions.read_log(paths.REVIEWS, names), applying.read_replaced(paths.REPLACED)
    table = labels.read(paths.LABELS, names)
    table = applying.apply(table, log, replaced, labelling.guarded(names), land=contents.land).table
    said, events = decisions.in_force(log), classes.read(paths.CLASSES)
    events.refuse_words(table.loc[table["status"] == "ok", "label"], paths.LABELS)
    events.refuse_words(marked["label"], paths.BENCHMARKS)
    scanned = pd.concat([read_table(table) for table in sorted(folder.glob("*.parquet"))], ignore_index=True)
    listed = pd.concat([table["image"], marked["image"]])
    library, _ = index.divide(scanned, listed, [*roots.library, *roots.benchmark])
    curated = curation.curate(
        events.apply(table),
        library,
        marked,
        seen,
        **params.model_dump(),
        cutoffs=events.cutoffs,
        retired=events.retired,
        settled=decisions.settled(landing.land(said, library).rows),
    )
    return Upcoming(said, events, curated, library, marked)


def sets(coming: Upcoming, seen: pd.DataFrame) -> pd.DataFrame:
    """The rows of the next round's sets (`splits.COLUMNS`), those of the benchmarks included.

    Raises:
      LeakageError: if an image would change sides.
    """
    params, distance = config.load(sections.Split), config.load(sections.Curate).near_duplicate_distance
    assigned = splits.assign(coming.curated.images, seen, **params.model_dump(), near_duplicate_distance=distance)
    marked = coming.events.apply(benchmarks.resolve(coming.marked, coming.library, paths.BENCHMARKS))
    rows = pd.concat([assigned.images, marked[splits.COLUMNS]], ignore_index=True)
    lineage.refuse_overlaps(rows, seen, near_duplicate_distance=distance)
    return rows.sort_values(["set", "image"], ignore_index=True)
