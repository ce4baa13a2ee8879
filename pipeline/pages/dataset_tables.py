"""What the data-set page's tables hold: tables in, small tables and JSON values out."""

import hashlib
from typing import Any

import pandas as pd

from pipeline.library.exclusion import Reason

SETS = ["train", "val", "test"]
ORIGINS = ["real", "staged", "synthetic"]
STANDINGS = ["near", "below", "in", "retired"]  # in the order shown
CHANGES = ["added", "removed", "relabelled", "excluded", "returned"]
BUT_FOR_THE_CLASS = [Reason.BELOW_CUTOFF, Reason.RETIRED_CLASS]  # why an image is excluded that has no fault of its own
SAME = "same content as "  # how the detail of an exact duplicate begins
BOARD_COLUMNS = [
    "label", "standing", "short_by", "groups", "cutoff", "images", "grew", "wholly_staged", *ORIGINS
]  # fmt: skip

MAX_IN_GROUP = 8  # pictures
MAX_KEPT_IN_GROUP = 3  # of these, of images that are no duplicates
MAX_COPIES = 20  # names of a group's exact duplicates

Group = dict[str, Any]


def everything(images: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
    """Every image once, with its `set`, `reason` and `detail`; the reason is empty if it is kept, that is in a set."""
    kept = images[images["set"].isin(SETS)].assign(reason="", detail="")
    named = images["image"].isin(excluded["image"]) | images["set"].isin(SETS)
    rest = images[~named].drop_duplicates("image")
    rest = rest.assign(reason="benchmark", detail=rest["set"])
    rest.loc[rest["set"] == "", "reason"] = Reason.LEFT_OUT
    whole = pd.concat([kept, excluded, rest], ignore_index=True)
    texts = ["image", "sha256", "group", "label", "subclass", "origin", "set", "reason", "detail"]
    return whole[texts].fillna("").sort_values("image", kind="stable", ignore_index=True)


def set_names(images: pd.DataFrame) -> list[str]:
    """Train, val, test, then the benchmarks."""
    return SETS + sorted(set(images["set"]) - {*SETS, ""})


def sets(images: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """For each set: images, independent ones among them, groups, classes, and images of each origin."""
    rows = []
    for name in names:
        some = images[images["set"] == name]
        origins = some["origin"].value_counts().reindex(ORIGINS, fill_value=0)
        counts = {
            "images": len(some),
            "independent": some["cluster"].nunique() if "cluster" in some else _groups(some).nunique(),
            "groups": _groups(some).nunique(),
            "classes": len(set(some["label"]) - {""}),
        }
        rows.append({"set": name, **counts, **origins})
    return rows


def classes(
    board: pd.DataFrame, images: pd.DataFrame, everything: pd.DataFrame, *, sets: list[str], max_samples: int
) -> pd.DataFrame:
    """A row a class, those nearest below the cutoff first.

    Returns:
      The board's columns, a column a set with its number of images, and as lists `subclasses` and `reasons`
      ([name, count], the most frequent first) and `samples` (`_samples`).
    """
    order = board["standing"].map({standing: rank for rank, standing in enumerate(STANDINGS)})
    rows = board.assign(rank=order).sort_values(["rank", "short_by", "groups", "label"], ignore_index=True)
    rows = rows[BOARD_COLUMNS]
    by_set = images.groupby(["label", "set"]).size().unstack(fill_value=0)
    by_set = by_set.reindex(index=rows["label"], columns=sets, fill_value=0)
    shown = everything[everything["reason"].isin(["", *BUT_FOR_THE_CLASS])]
    lists = {
        "subclasses": _counts(shown, "subclass"),
        "reasons": _counts(everything[everything["reason"] != ""], "reason"),
        "samples": _samples(shown, max_samples),
    }
    columns = {name: [values.get(label, []) for label in rows["label"]] for name, values in lists.items()}
    return rows.join(by_set.reset_index(drop=True)).assign(**columns)


def _counts(rows: pd.DataFrame, column: str) -> dict[str, list[tuple[str, int]]]:
    counts = rows.groupby(["label", column]).size().reset_index(name="n")
    counts = counts.sort_values(["n", column], ascending=[False, True])
    return _by_label(counts, [column, "n"])


def _samples(shown: pd.DataFrame, limit: int) -> dict[str, list[tuple]]:
    """Up to `limit` images of each class as (image, subclass, origin, set).

    Chosen by content, so mostly the same from round to round: one of each near-duplicate group before the second of
    any, and in turn from each sub-class and origin.
    """
    unhashed = shown["sha256"] == ""  # excluded images
    rows = shown.assign(position=shown["sha256"], group=_groups(shown))
    names = rows.loc[unhashed, "image"]
    rows.loc[unhashed, "position"] = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    rows = rows.sort_values(["position", "image"])
    rows["near"] = rows.groupby(["label", "group"]).cumcount()
    rows["turn"] = rows.groupby(["label", "near", "subclass", "origin"]).cumcount()
    rows = rows.sort_values(["near", "turn", "position"], kind="stable").groupby("label").head(limit)
    rows = rows.sort_values(["subclass", "origin", "near", "turn", "position"], kind="stable")
    return _by_label(rows, ["image", "subclass", "origin", "set"])


def _by_label(rows: pd.DataFrame, columns: list[str]) -> dict[str, list[tuple]]:
    found: dict[str, list[tuple]] = {}
    for label, *values in rows[["label", *columns]].itertuples(index=False):
        found.setdefault(label, []).append(tuple(values))
    return found


def _groups(rows: pd.DataFrame) -> pd.Series:
    """The group, or the image itself where it has none."""
    return rows["group"].where(rows["group"] != "", rows["image"])


def number_of_groups(excluded: pd.DataFrame, reason: str) -> int:
    """Of the images excluded for `reason`."""
    return _groups(excluded[excluded["reason"] == reason]).nunique()


def exact(rows: pd.DataFrame) -> pd.Series:
    """Which images are excluded because another has the same content."""
    return (rows["reason"] == Reason.DUPLICATE) & rows["detail"].str.startswith(SAME)


def conflicts(excluded: pd.DataFrame, *, limit: int) -> list[Group]:
    """The `limit` largest groups whose images bear several labels.

    Returns:
      Of each group: the images `shown` as (image, label, note), and how many `more` there are.
    """
    rows = excluded[excluded["reason"] == Reason.LABEL_CONFLICT]
    rows = rows.assign(group=_groups(rows))
    names = _largest(rows, limit)
    rows = rows[rows["group"].isin(names)]
    rows["turn"] = rows.groupby(["group", "label"]).cumcount()  # many images of one label do not crowd out another
    members = dict(iter(rows.sort_values(["turn", "label", "image"]).groupby("group")))
    found = []
    for name in names:
        shown = members[name].head(MAX_IN_GROUP).sort_values(["label", "image"])
        found.append({"shown": _tuples(shown, "subclass"), "more": len(members[name]) - len(shown)})
    return found


def duplicates(everything: pd.DataFrame, *, limit: int) -> list[Group]:
    """The `limit` groups with most duplicates.

    Returns:
      Of each group: kept images and near-duplicates `shown`, and how many `more` there are, as `conflicts`; how many
      are `near`-duplicates; how many have the `same` content as another, and the names of these `copies`, which need
      no picture: they look like their original.
    """
    left_out = everything[everything["reason"] == Reason.DUPLICATE]
    left_out = left_out.assign(group=_groups(left_out), note="near-duplicate", exact=exact(left_out))
    names = _largest(left_out, limit)
    left_out = left_out[left_out["group"].isin(names)]
    originals = left_out[left_out["exact"]]
    originals = originals.assign(image=originals["detail"].str.removeprefix(SAME)).drop_duplicates("image")
    group_of = originals.set_index("image")["group"]
    others = everything[everything["reason"] != Reason.DUPLICATE]
    others = others.assign(group=others["image"].map(group_of).astype("str").fillna(others["group"]), exact=False)
    others = others[others["group"].isin(names)]
    others["note"] = others["reason"].where(others["reason"] != "", "kept")
    others["original"] = others["image"].isin(group_of.index)
    others = others.sort_values(["original", "reason", "image"], ascending=[False, True, True])
    others = others.groupby("group").head(MAX_KEPT_IN_GROUP)
    members = dict(iter(pd.concat([others, left_out]).groupby("group")))
    found = []
    for name in names:
        copies, looks = members[name][members[name]["exact"]], members[name][~members[name]["exact"]]
        shown = looks.head(MAX_IN_GROUP) if len(looks) else copies.head(1)
        found.append(
            {
                "shown": _tuples(shown, "note"),
                "more": max(0, len(looks) - MAX_IN_GROUP),
                "near": int((looks["reason"] == Reason.DUPLICATE).sum()),
                "same": len(copies),
                "copies": list(copies["image"].head(MAX_COPIES)),
            }
        )
    return found


def _largest(rows: pd.DataFrame, limit: int) -> list[str]:
    sizes = rows.groupby("group").size().reset_index(name="n")
    return list(sizes.sort_values(["n", "group"], ascending=[False, True])["group"].head(limit))


def _tuples(rows: pd.DataFrame, note: str) -> list[tuple[str, str, str]]:
    return list(rows[["image", "label", note]].itertuples(index=False, name=None))


def changed_classes(changes: pd.DataFrame) -> pd.DataFrame:
    """A row a class, a column a kind of change and one for `all`; the class with most changes first."""
    counts = changes.groupby(["label", "change"]).size().unstack(fill_value=0).reindex(columns=CHANGES, fill_value=0)
    return counts.assign(all=counts.sum(axis=1)).reset_index().sort_values(["all", "label"], ascending=[False, True])


def evenly(rows: pd.DataFrame, within: str, *, limit: int) -> pd.DataFrame:
    """At most `limit` rows of each value of the column `within`; if there are more, in turn from each class."""
    rows = rows.sort_values([within, "label", "image"], ignore_index=True)
    turn = rows.groupby([within, "label"]).cumcount()
    chosen = rows.assign(turn=turn).sort_values("turn", kind="stable").groupby(within).head(limit)
    return rows.loc[rows.index.isin(chosen.index)]


def embedded(rows: pd.DataFrame) -> dict[str, list]:
    """A table as JSON values: column names once, and rows of values; None where one is not known."""
    return {"columns": list(rows.columns), "rows": rows.astype(object).where(rows.notna(), None).to_numpy().tolist()}
