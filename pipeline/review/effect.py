"""What a change of the label table does: class by class, to the board, and to the versions of the test sets.

Estimated from the last round's tables, without running a stage: near-duplicates of what the library has already, and
pictures that curation will find too small, dark or blurred, still count here.
"""

import pandas as pd

from pipeline.evaluation import versions
from pipeline.library import benchmarks, board, curation
from pipeline.library.classes import Classes

FREE = ["unlabelled", "unknown", "bad", "below the cutoff", "above the cutoff", "retired class", curation.CONFLICT]
CUTOFFS = ["below the cutoff", "above the cutoff"]
COLUMNS = ["label", "gained", "lost", "images", "images_then", "groups", "groups_then", "cutoff", "crosses"]
INTO, OUT_OF = "in", "out"


def changed(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """The rows of the label table that differ, as they are after; without a status where there is none any more."""
    columns = ["image", "label", "subclass", "status", "origin"]
    differing = pd.concat([before[columns], after[columns]]).drop_duplicates(keep=False)["image"].drop_duplicates()
    return after.set_index("image")[columns[1:]].reindex(differing).fillna("").reset_index()


def on_board(
    before: pd.DataFrame,
    rows: pd.DataFrame,
    standing: pd.DataFrame,
    kept: pd.DataFrame,
    excluded: pd.DataFrame,
    groups: pd.Series,
    classes: Classes,
    *,
    min_images: int,
) -> pd.DataFrame:
    """Holds today's board against the one after the change.

    Args:
      before: the label table.
      rows: as `changed` returns them.
      standing: today's board.
      kept, excluded: of curation; columns `image`, `group`, `label`, `origin`, and `reason` of the excluded.
      groups: the near-duplicate group by image, of what the queue shows.
      min_images: the lower cutoff, in groups.

    Returns:
      `COLUMNS`, a row a class that gains or loses an image, those that cross the cutoff first; `crosses` is in, out or
      "". A class that the board does not know has 0 images.
    """
    columns = ["image", "group", "label", "origin"]
    eligible = pd.concat([kept[columns], excluded.loc[excluded["reason"].isin(CUTOFFS), columns]])
    now = classes.apply(rows[rows["status"] == "ok"])
    barred = excluded.loc[~excluded["reason"].isin(FREE), "image"]
    now = now[~now["image"].isin(barred) & ~now["label"].isin(classes.retired)]
    known = pd.concat([excluded, kept]).drop_duplicates("image").set_index("image")["group"]
    group = known.reindex(now["image"]).replace("", None).fillna(groups.reindex(now["image"])).to_numpy()
    now = now.assign(group=pd.Series(group, now.index, dtype="str").fillna(now["image"]))
    then = pd.concat([eligible[~eligible["image"].isin(rows["image"])], now[columns]])
    counted = board.count(then, min_images=min_images, cutoffs=classes.cutoffs).set_index("label")

    was = classes.apply(before[before["image"].isin(rows["image"]) & (before["status"] == "ok")])
    gain = rows.merge(was[["image", "label"]], on="image", how="left", suffixes=("", "_was"))
    today = classes.apply(rows[rows["status"] == "ok"]).set_index("image")["label"]
    gain = gain.assign(label=today.reindex(gain["image"]).fillna("").to_numpy(), label_was=gain["label_was"].fillna(""))
    moved = gain[gain["label"] != gain["label_was"]]
    gained, lost = (moved[name][moved[name] != ""].value_counts() for name in ("label", "label_was"))
    names = gained.index.union(lost.index)
    had = standing.set_index("label").reindex(names)
    table = pd.DataFrame(
        {
            "gained": gained.reindex(names),
            "lost": lost.reindex(names),
            "images": had["images"],
            "images_then": counted["images"].reindex(names),
            "groups": had["groups"],
            "groups_then": counted["groups"].reindex(names),
        }
    )
    table = table.fillna(0).astype(int)
    table["cutoff"] = table.index.to_series().map(classes.cutoffs).fillna(min_images).astype(int)
    inside, inside_then = table["groups"] >= table["cutoff"], table["groups_then"] >= table["cutoff"]
    table["crosses"] = ""
    table.loc[~inside & inside_then, "crosses"] = INTO
    table.loc[inside & ~inside_then, "crosses"] = OUT_OF
    table = table.rename_axis("label").reset_index()
    order = table.assign(stays=table["crosses"] == "").sort_values(
        ["stays", "gained", "label"], ascending=[True, False, True]
    )
    return order[COLUMNS].reset_index(drop=True)


def on_versions(
    splits: pd.DataFrame, rows: pd.DataFrame, listed: pd.DataFrame, classes: Classes
) -> dict[str, tuple[str, str]]:
    """The version of each test set, today's and the one after the change, of those that differ.

    Args:
      splits: the last round's sets, benchmarks among them.
      rows: as `changed` returns them.
      listed: the benchmark sets after the change.
    """
    label = classes.apply(rows[rows["status"] == "ok"]).set_index("image")["label"]
    ours = splits["image"].isin(rows["image"]) & ~splits["set"].str.startswith(benchmarks.PREFIX)
    then = splits.assign(label=splits["label"].mask(ours, label.reindex(splits["image"]).to_numpy()))
    then = then[~ours | then["label"].notna()]
    named = classes.apply(listed).set_index("image")["label"]
    theirs = then["set"].str.startswith(benchmarks.PREFIX)
    then = then.assign(label=then["label"].mask(theirs, named.reindex(then["image"]).to_numpy()))
    then = then[~theirs | then["label"].notna()]
    old, new = versions.set_versions(splits), versions.set_versions(then)
    return {name: (old[name], new.get(name, "")) for name in old if old[name] != new.get(name)}
