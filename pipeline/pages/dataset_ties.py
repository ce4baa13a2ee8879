"""What the data-set page shows of images that belong together, and of how near test images are to training images."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.near_misses import Kind
from pipeline.library.bursts import Evidence
from pipeline.pages.dataset_tables import MAX_IN_GROUP

UNLIKE = 0.25  # chance that independent images look as alike as two tied ones, from which on a burst needs a look
MAX_PAIRS = 24  # nearest pairs of each set
PAIR_COLUMNS = ["set", "image", "label", "other", "other_label", "similarity", "evidence"]
LINK_COLUMNS = ["image", "other", "evidence", "similarity", "chance"]

Group = dict[str, Any]


def bursts(images: pd.DataFrame, links: pd.DataFrame, *, limit: int) -> list[Group]:
    """The `limit` largest bursts among the images in sets, those that need a look first.

    Args:
      images: columns `image`, `label`, `set`, `burst`, `evidence` and `together`.
      links: what ties images, `LINK_COLUMNS`.

    Returns:
      Of each burst: its `kind` (burst, neighbourhood or kept together), the `images` in sets, `shown` (evenly spaced by
      name) as (image, label, set), how many `more` there are, `says` (what ties them, in a sentence), and whether it is
      `mixed`: of several classes, or with a tie so weak that its contents may be very different.
    """
    rows = _several(images, "burst")
    groups = rows.assign(kept=rows["together"] != "").groupby("burst")
    groups = groups.agg(
        size=("image", "size"), classes=("label", "nunique"), evidence=("evidence", "max"), kept=("kept", "any")
    )
    groups = groups[(groups["evidence"] != "") | groups["kept"]]  # near-duplicates have a list of their own
    groups = groups.join(_weakest(rows, links))
    groups["mixed"] = (groups["classes"] > 1) | (groups["chance"] >= UNLIKE)
    groups = groups.sort_values("size", ascending=False, kind="stable")
    first = groups[groups["mixed"]].head(limit // 2)
    rest = groups.drop(first.index).head(limit - len(first))
    groups = pd.concat([first, rest])
    members = dict(iter(rows[rows["burst"].isin(groups.index)].groupby("burst")))
    found = []
    for row in groups.itertuples():
        some = members[row.Index]
        says = [row.evidence or "people keep them together"]
        if row.chance >= UNLIKE:
            says.append(
                f"the weakest tie is {row.similarity:.2f} alike, as {row.chance:.0%} of independent pairs are: very"
                " different contents may be in it"
            )
        if row.classes > 1:
            says.append(f"it has {row.classes} classes: {', '.join(sorted(set(some['label']))[:MAX_IN_GROUP])}")
        kind = "burst" if row.evidence else "kept together"
        if Evidence.NEIGHBOURHOOD in row.evidence:
            kind = "neighbourhood"
            says[0] += ", of several events: nothing says which images are of one"
        found.append({"kind": kind, "mixed": bool(row.mixed), **_strip(some, "; ".join(says))})
    return found


def near_duplicates(images: pd.DataFrame, *, limit: int) -> list[Group]:
    """The `limit` largest groups of near-duplicates of which several images are in sets, as `bursts`.

    Args:
      images: columns `image`, `label`, `set`, `group` and `together`.
    """
    rows = _several(images, "group")
    rows = rows[rows.assign(free=rows["together"] == "").groupby("group")["free"].transform("any")]
    sizes = rows.groupby("group").size().sort_values(ascending=False, kind="stable").head(limit)
    members = dict(iter(rows[rows["group"].isin(sizes.index)].groupby("group")))
    says = "near hashes, and the second look says that they are the same; all are kept"
    return [{"kind": "near-duplicates", "mixed": False, **_strip(members[name], says)} for name in sizes.index]


def divided(groups: list[dict[str, Any]]) -> list[Group]:
    """The groups by hash that the second look has divided, as `bursts`.

    Args:
      groups: each with `images`, `contents` (different ones), and the names of the images `shown`, one per content.
    """
    return [
        {
            "kind": "near hashes alone",
            "mixed": False,
            "images": group["images"],
            "shown": [(image, "", "") for image in group["shown"]],
            "more": group["contents"] - len(group["shown"]),
            "says": f"the second look sees {group['contents']} different contents; nothing is excluded or called a"
            " conflict for its hash",
        }
        for group in groups
    ]


def pairs(nearest: pd.DataFrame) -> pd.DataFrame:
    """The nearest pairs of each set, `PAIR_COLUMNS`, one per cluster of the set and per training image.

    Args:
      nearest: `PAIR_COLUMNS` and `cluster`, the most alike first.
    """
    once = nearest.drop_duplicates(["set", "cluster"]).drop_duplicates(["set", "other"])
    once = once.groupby("set", sort=False).head(MAX_PAIRS)
    order = once["set"].ne("test").astype(int)  # test first, then the benchmarks by name
    return once.assign(last=order).sort_values(["last", "set"], kind="stable", ignore_index=True)[PAIR_COLUMNS]


def near_sets(split: dict[str, Any]) -> list[dict[str, Any]]:
    """For test and each benchmark what the leakage report counts: one row per set.

    Args:
      split: the summary of stage split.
    """
    leakage = split["leakage"]
    mates, nearest = leakage.get("mates", {}), leakage["nearest"]
    return [
        {
            "set": name,
            "n": split["sets"][name],
            "independent": split["independent"][name],
            "torn": counts["torn"],
            "tied": [f"{number:,} {kind}" for kind, number in counts["tied"].items()],
            "compared": counts["images"],
            "median": nearest.get(name, {}).get("median", np.nan),
            "beyond": {str(kind): counts["beyond"][kind] for kind in Kind},
        }
        for name, counts in sorted(mates.items(), key=lambda item: (item[0] != "test", item[0]))
    ]


def _several(images: pd.DataFrame, column: str) -> pd.DataFrame:
    """The images in sets that share a value of the column with another one, by name."""
    rows = images[(images["set"] != "") & (images[column] != "")].drop_duplicates("image")
    return rows[rows.groupby(column)["image"].transform("size") > 1].sort_values("image")


def _strip(rows: pd.DataFrame, says: str) -> Group:
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_IN_GROUP)).round().astype(int))
    shown = list(rows.iloc[places][["image", "label", "set"]].itertuples(index=False, name=None))
    return {"images": len(rows), "shown": shown, "more": len(rows) - len(shown), "says": says}


def _weakest(rows: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """By burst the `similarity` of its weakest tie, and the `chance` that independent images look as alike."""
    burst = links["image"].map(rows.set_index("image")["burst"])
    ties = links.assign(burst=burst).dropna(subset=["burst", "chance"]).sort_values("chance", ascending=False)
    return ties.drop_duplicates("burst").set_index("burst")[["similarity", "chance"]].astype(float)
