"""The data-set page, to look at before a training: a folder with one HTML file and its pictures in contact sheets.

Of a table that may be long, the page holds a bounded number of rows and says how many it leaves out.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.library.exclusion import Reason
from pipeline.pages import contact_sheets, dataset_tables, rendering
from pipeline.pages.contact_sheets import Picture, Strip
from pipeline.pages.dataset_tables import Group, embedded
from pipeline.pages.dataset_ties import PAIR_COLUMNS

MAX_EXCLUDED = 2000  # rows of a reason
MAX_CHANGED = 1000  # rows of a kind of change
MAX_PICTURED = 200  # label conflicts, groups of duplicates, flagged images
SAMPLE_SIDE, SIDE = 120, 160  # of a class's samples and of other pictures, in pixels
FLAGGED_IN_A_STRIP, PAIRS_IN_A_STRIP = 10, 6
EXCLUDED_COLUMNS = ["image", "label", "subclass", "origin", "reason", "detail"]
REASONS = {
    Reason.BENCHMARK: "They are in a benchmark set, or near-duplicates or of one burst with an image in one.",
    Reason.UNREADABLE: "The file is missing, or no picture.",
    Reason.OTHER_CONTENT: "Their file was replaced since it was labelled: the label counts again once a person confirms"
    " it.",
    Reason.UNLABELLED: "Nobody has labelled them.",
    Reason.UNKNOWN: "Good pictures that nobody can name yet; they come back in the queue.",
    Reason.BAD: "A person called them bad.",
    Reason.RETIRED_CLASS: "Their class is retired.",
    Reason.CHAIN: "They tie together groups of near-duplicates that are no duplicates of each other.",
    Reason.LABEL_CONFLICT: "A near-duplicate bears another label: a person decides.",
    Reason.DUPLICATE: "The same content, or enough near-duplicates, are kept already.",
    Reason.BELOW_CUTOFF: "Their class has too few groups yet.",
    Reason.ABOVE_CUTOFF: "Their class has enough images without them.",
    Reason.LEFT_OUT: "They would tie two sets together.",
}


@dataclass(frozen=True)
class Ties:
    """Images that belong together, as `dataset_ties` gives them.

    Attributes:
      bursts, near_duplicates: of which several images are in sets.
      divided: groups by hash whose contents are different.
      chains: `label`, `images` and `first` of each burst that was cut because it is not alike all through.
    """

    bursts: list[Group] = field(default_factory=list)
    near_duplicates: list[Group] = field(default_factory=list)
    divided: list[Group] = field(default_factory=list)
    chains: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Nearness:
    """How near test and benchmarks are to training; without frozen features nothing is known.

    Attributes:
      sets: as `dataset_ties.near_sets`.
      pairs: the nearest pairs, `PAIR_COLUMNS`, in the order shown.
      alarms: `benchmark`, `chance` and `superiority` of each (`evaluation.leakage.Alarm`).
      typical: the median likeness of tied images; None if too few are tied.
    """

    sets: list[dict[str, Any]] = field(default_factory=list)
    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PAIR_COLUMNS))
    alarms: list[dict[str, Any]] = field(default_factory=list)
    typical: float | None = None


def write(
    folder: Path,
    *,
    title: str,
    facts: dict[str, str],
    board: pd.DataFrame,
    images: pd.DataFrame,
    excluded: pd.DataFrame,
    changes: pd.DataFrame,
    flagged: pd.DataFrame,
    picture: Picture,
    pictures_per_class: int = 8,
    ties: Ties = Ties(),
    nearness: Nearness = Nearness(),
) -> None:
    """Writes `folder`/index.html and `folder`/pictures/*.jpg; equal tables and pictures give equal bytes.

    `index.html#class=NAME` opens at a class, `#reason=NAME` at a reason, `#reason=NAME&find=WORDS` at some of its rows.

    Args:
      folder: made if it is not there.
      title: the page's heading.
      facts: name and text of what the data set is, in the order shown.
      board: columns `label`, `images`, `groups`, `real`, `staged`, `synthetic`, `cutoff`, `short_by`, `standing` (near,
        below, in or retired), `grew` (rounds since the class grew: 0 in this one, -1 if unknown), `wholly_staged`.
      images: columns `image`, `sha256`, `group`, `label`, `subclass`, `origin`, `set` and, if it is known,
        `cluster`: kept images and those of benchmarks; `set` is empty for those left out of the sets.
      excluded: columns `image`, `group`, `label`, `subclass`, `origin`, `reason`, `detail`.
      changes: columns `image`, `change`, `label`, `was` (its old label or set), `detail`: against the last round.
      flagged: columns `image`, `flag`, `score`, `detail`, the most endangered first.
      picture: gives an image's thumbnail as JPEG bytes, empty if it cannot be read; called once an image, in threads.
      pictures_per_class: samples of a class at most.
      ties: images that belong together.
      nearness: how near test and benchmark images are to training images.
    """
    everything = dataset_tables.everything(images, excluded)
    kept, excluded = everything[everything["reason"] == ""], everything[everything["reason"] != ""]
    sets = dataset_tables.set_names(images)
    classes = dataset_tables.classes(board, images, everything, sets=sets, max_samples=pictures_per_class)
    conflicts = dataset_tables.conflicts(excluded, limit=MAX_PICTURED)
    duplicates = dataset_tables.duplicates(everything, limit=MAX_PICTURED)
    flags = flagged.head(MAX_PICTURED).merge(everything[["image", "label"]], on="image", how="left")
    reasons = excluded["reason"].value_counts().to_dict()
    changed = changes["change"].value_counts().to_dict()

    strips = {f"class-{n}": Strip([row[0] for row in rows], SAMPLE_SIDE) for n, rows in enumerate(classes["samples"])}
    together = [*ties.bursts, *ties.near_duplicates, *ties.divided]
    for kind, groups in {"conflict": conflicts, "duplicate": duplicates, "together": together}.items():
        strips |= {f"{kind}-{n}": Strip([row[0] for row in group["shown"]], SIDE) for n, group in enumerate(groups)}
    for n in range(0, len(flags), FLAGGED_IN_A_STRIP):
        some = flags["image"].iloc[n : n + FLAGGED_IN_A_STRIP]
        strips[f"flagged-{n // FLAGGED_IN_A_STRIP}"] = Strip(list(some), SIDE)
    for n in range(0, len(nearness.pairs), PAIRS_IN_A_STRIP):
        some = nearness.pairs[["image", "other"]].iloc[n : n + PAIRS_IN_A_STRIP]
        strips[f"pair-{n // PAIRS_IN_A_STRIP}"] = Strip(list(some.to_numpy().ravel()), SIDE)
    sheets = contact_sheets.write(folder / "pictures", strips, picture)

    page = rendering.render(
        "dataset.html",
        title=title,
        facts=facts,
        kept=len(kept),
        sets=dataset_tables.sets(images, sets),
        near=list(classes.loc[classes["standing"] == "near", "label"]),
        classes=len(classes),
        reasons=reasons,
        changed=changed,
        conflicts=dataset_tables.number_of_groups(excluded, Reason.LABEL_CONFLICT),
        duplicates=dataset_tables.number_of_groups(excluded, Reason.DUPLICATE),
        exact=int(dataset_tables.exact(excluded).sum()),
        flagged=len(flagged),
        max_pictured=MAX_PICTURED,
        ties=ties,
        nearness=nearness,
        together=len(together),
        data={
            "sets": sets,
            "classes": embedded(classes),
            "changed": embedded(dataset_tables.changed_classes(changes)),
            "changes": embedded(dataset_tables.evenly(changes, "change", limit=MAX_CHANGED)),
            "conflicts": conflicts,
            "duplicates": duplicates,
            "together": together,
            "pairs": embedded(nearness.pairs),
            "pairs_in_a_strip": PAIRS_IN_A_STRIP,
            "flagged": embedded(flags),
            "in_a_strip": FLAGGED_IN_A_STRIP,
            "excluded": embedded(dataset_tables.evenly(excluded, "reason", limit=MAX_EXCLUDED)[EXCLUDED_COLUMNS]),
            "totals": {"reason": reasons, "change": changed},
            "reasons": REASONS,
            "sheets": {name: [sheet.width, sheet.height, sheet.places] for name, sheet in sheets.items()},
        },
    )
    (folder / "index.html").write_text(page, encoding="utf-8", newline="\n")
