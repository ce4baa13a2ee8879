"""What a change of the label table does: class by class, to the board, and to the versions of the test sets.

Estimated from the last round's tables, without running a stage: near-duplicates of what the library has already, and
pictures that curation will find too small, dark or blurred, still count here.
"""

from functools import partial

import pandas as pd

from pipeline.evaluation import over_rounds
from pipeline.library import benchmarks, board
from pipeline.library.classes import Classes
from pipeline.library.exclusion import Reason
from pipeline.library.tables import is_in
from pipeline.review.corrections import TEST

COUNTED = ["", Reason.BELOW_CUTOFF, Reason.ABOVE_CUTOFF]  # reasons of the images that the board counts
# Another label lets such an image in.
DECIDABLE = [Reason.UNLABELLED, Reason.UNKNOWN, Reason.BAD, Reason.RETIRED_CLASS, Reason.LABEL_CONFLICT]
KEYS = ["image", "label", "sha256", "origin"]
COLUMNS = ["label", "gained", "lost", "images", "images_then", "groups", "groups_then", "cutoff", "crosses"]
INTO, OUT_OF = "in", "out"


def changed(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """The rows of the label table that differ, as they are after; without a status where there is none any more."""
    columns = ["image", "label", "subclass", "status", "origin", "sha256"]
    differing = pd.concat([before[columns], after[columns]]).drop_duplicates(keep=False)["image"].drop_duplicates()
    return after.set_index("image")[columns[1:]].reindex(differing).fillna("").reset_index()


def on_board(
    before: pd.DataFrame,
    after: pd.DataFrame,
    kept: pd.DataFrame,
    excluded: pd.DataFrame,
    groups: pd.Series,
    classes: Classes,
    *,
    min_images: int,
) -> pd.DataFrame:
    """Holds the board of one label table against that of another.

    Args:
      before, after: the label tables.
      kept, excluded: of the last curation; columns `image`, `sha256`, `group`, `label`, and `reason` of the excluded.
      groups: the near-duplicate group by image, of what the queue shows.
      min_images: the lower cutoff, in groups.

    Returns:
      `COLUMNS`, a row a class that gains or loses an image, those that cross the cutoff first; `crosses` is in, out or
      "".
    """
    curated = pd.concat([kept.assign(reason=""), excluded]).drop_duplicates("image").set_index("image")
    count = partial(_count, curated=curated, groups=groups, classes=classes, min_images=min_images)
    rows = changed(before, after)["image"]
    named = [classes.apply(_about_the_file(table[is_in(table["image"], rows)], curated)) for table in (before, after)]
    both = named[0].merge(named[1], on="image", how="outer", suffixes=("_was", "")).fillna("")
    moved = both[both["label"] != both["label_was"]]
    gained, lost = (moved[name][moved[name] != ""].value_counts() for name in ("label", "label_was"))
    names = gained.index.union(lost.index)
    now, then = count(before).reindex(names), count(after).reindex(names)
    table = pd.DataFrame(
        {
            "gained": gained.reindex(names),
            "lost": lost.reindex(names),
            "images": now["images"],
            "images_then": then["images"],
            "groups": now["groups"],
            "groups_then": then["groups"],
        }
    )
    table = table.fillna(0).astype(int)
    table["cutoff"] = table.index.to_series().map(classes.cutoffs).fillna(min_images).astype(int)
    inside, inside_then = table["groups"] >= table["cutoff"], table["groups_then"] >= table["cutoff"]
    table["crosses"] = ""
    table.loc[~inside & inside_then, "crosses"] = INTO
    table.loc[inside & ~inside_then, "crosses"] = OUT_OF
    table = table.rename_axis("label").reset_index().assign(stays=table["crosses"].to_numpy() == "")
    return table.sort_values(["stays", "gained", "label"], ascending=[True, False, True], ignore_index=True)[COLUMNS]


def _count(
    table: pd.DataFrame, curated: pd.DataFrame, groups: pd.Series, classes: Classes, *, min_images: int
) -> pd.DataFrame:
    """The board of a label table, by label: as the last curation counted it, and what people have said since."""
    named = classes.apply(_about_the_file(table, curated)[KEYS])
    known = curated.reindex(named["image"]).set_axis(named.index)
    new = known["reason"].isna() | (known["reason"].isin(DECIDABLE) & (known["label"] != named["label"]))
    new |= known["reason"] == Reason.OTHER_CONTENT
    counts = (new | known["reason"].isin(COUNTED)) & ~named["label"].isin(classes.retired)
    shown = groups.reindex(named["image"]).set_axis(named.index)
    group = known["group"].replace("", None).fillna(shown).fillna(named["image"])
    board_ = board.count(named.assign(group=group)[counts], min_images=min_images, cutoffs=classes.cutoffs)
    return board_.set_index("label")


def _about_the_file(table: pd.DataFrame, curated: pd.DataFrame) -> pd.DataFrame:
    """The rows of the label table that give a class to the content that their file has, as far as curation knows."""
    known = curated.reindex(table["image"]).set_axis(table.index)
    replaced = (known["reason"] == Reason.OTHER_CONTENT) & (known["sha256"] != table["sha256"])
    return table[(table["status"] == "ok") & ~replaced]


def on_versions(
    splits: pd.DataFrame, rows: pd.DataFrame, listed: pd.DataFrame, classes: Classes
) -> dict[str, tuple[str, str]]:
    """The version of each test set, today's and the one after the change, of those that differ.

    Args:
      splits: the last round's sets, benchmarks among them.
      rows: as `changed` returns them.
      listed: the benchmark sets after the change.
    """
    splits = splits[splits["set"].str.startswith(benchmarks.PREFIX) | (splits["set"] == TEST)]
    content = rows["image"].map(splits.drop_duplicates("image").set_index("image")["sha256"])
    rows = rows[(rows["sha256"] == "") | content.isna() | (rows["sha256"] == content)]
    label = classes.apply(rows[rows["status"] == "ok"]).set_index("image")["label"]
    ours = is_in(splits["image"], rows["image"]) & ~splits["set"].str.startswith(benchmarks.PREFIX)
    then = splits.assign(label=splits["label"].mask(ours, label.reindex(splits["image"]).to_numpy()))
    then = then[~ours | then["label"].notna()]
    named = classes.apply(listed).set_index("image")["label"]
    theirs = then["set"].str.startswith(benchmarks.PREFIX)
    then = then.assign(label=then["label"].mask(theirs, named.reindex(then["image"]).to_numpy()))
    then = then[~theirs | then["label"].notna()]
    old, new = over_rounds.set_versions(splits), over_rounds.set_versions(then)
    return {name: (old[name], new.get(name, "")) for name in old if old[name] != new.get(name)}
