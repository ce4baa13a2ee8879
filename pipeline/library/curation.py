"""Curation: which labelled images may be learnt from, and for every other one the reason why not."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipeline.library import board, duplicates, quality
from pipeline.library.exclusion import Reason
from pipeline.library.labels import ORIGINS
from pipeline.library.lineage import TIES

COLUMNS = ["image", "sha256", "phash", "group", "together", "label", "subclass", "origin", *TIES]
EXCLUDED_COLUMNS = [*COLUMNS, "reason", "detail", "label_then"]
DIVIDED, DIVIDED_SHOWN = 20, 8  # groups that a second look has divided, and images of each, in the summary
SEEN_FIRST = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True)
class Curated:
    """Kept and excluded images add up to all of them; the board counts the classes before the cutoffs.

    An image whose file has another content than was labelled has no `label`; `label_then` is what the other was called.
    `apart` says how many images with near hashes a second look kept apart (`images`, `groups`, the `first` image), and
    of the `largest` groups the number of `images` and `contents`, and the images `shown`.
    """

    images: pd.DataFrame
    excluded: pd.DataFrame
    board: pd.DataFrame
    apart: dict[str, Any]


def curate(
    labels: pd.DataFrame,
    library: pd.DataFrame,
    benchmarks: pd.DataFrame,
    lineage: pd.DataFrame,
    bursts: pd.DataFrame | None = None,
    confirm: duplicates.Confirm | None = None,
    *,
    min_images: int,
    max_images: int,
    near_duplicate_distance: int,
    chain_distance: int,
    max_per_group: int,
    min_side: int,
    min_brightness: float,
    min_contrast: float,
    min_sharpness: float,
    max_aspect_ratio: float,
    count: Literal["images", "bursts"] = "images",
    cutoffs: dict[str, int] | None = None,
    retired: frozenset[str] = frozenset(),
    settled: frozenset[str] = frozenset(),
) -> Curated:
    """Curates the library.

    Rules, in this order; an image is excluded by the first that names it:
      1. benchmark          it belongs to a benchmark set, or is a near-duplicate of one of its images, or, if no
                            ancestor has seen it, of the same burst
      2. unreadable         its file is missing or no picture
      3. another content    its label, or status, was given to another content than its file has now: a person decides
      4. unlabelled         nobody labelled it
      5. unknown, bad       people gave it that status
      6. retired class      people retired its class
      7. quality            too small, near-blank, too dark, blurred or of an odd shape (`quality.verdicts`)
      8. chain              it holds two groups of near-duplicates together (`duplicates.group`)
      9. label conflict     a near-duplicate has another label: a person decides
     10. duplicate          an image with the same content, or `max_per_group` near-duplicates, are kept already
     11. below the cutoff   its class has fewer than `min_images` groups of near-duplicates, or bursts
     12. above the cutoff   its class has `max_images` already; of bursts, all but the first images go first

    Nothing is excluded for being in a burst, and two labels in one are no conflict.

    Rules 7 and 8 leave an image alone that an ancestor was tested on: test sets are never cleaned automatically.
    Where a rule chooses, it keeps real before staged before synthetic images, and then what an ancestor was tested on,
    validated on and trained on before what is new, so that the choice stays the same from round to round.

    Args:
      labels: the label table, by today's class names.
      library: the index's library table.
      benchmarks: columns `image` and `sha256` (the content that it was listed with, or "").
      lineage: of the base.
      bursts: columns `image`, `burst` and `evidence`; None: every image is alone.
      confirm: the second look at near-duplicates (`duplicates.group`); without it, a near hash is enough.
      count: what the lower cutoff counts: images, of which near-duplicates count once, or bursts.
      cutoffs: lower cutoffs of a class's own, in groups.
      settled: images that people decided on beside their near-duplicates; among themselves, they are no conflict
        unless their content is equal.
    """
    rows = library.sort_values("image", ignore_index=True)
    given = labels.rename(columns={"sha256": "labelled", "group": "together"}).drop(columns=["model", "note"])
    rows = rows.merge(given, on="image", how="left")
    rows = rows.fillna({"label": "", "subclass": "", "origin": "real", "together": "", "status": "unlabelled"})
    rows = rows.fillna({"labelled": "", "by": "", "at": ""})
    rows["reason"], rows["detail"], rows["label_then"] = "", "", ""
    for name in TIES:
        known = pd.Series(dtype="str") if bursts is None else bursts.set_index("image")[name]
        rows[name] = rows["image"].map(known).astype("str").fillna("")
    replaced = (rows["failure"] == "") & (rows["labelled"] != "") & (rows["labelled"] != rows["sha256"])
    was = _was(rows[replaced])
    rows.loc[replaced, "label_then"] = rows["label"]
    rows.loc[replaced, ["label", "subclass", "together"]] = ""  # what people know of another content
    rows.loc[replaced, "origin"] = "real"
    role = rows["sha256"].map(lineage.set_index("sha256")["role"]).astype("str")

    readable = rows["failure"] == ""
    grouped = duplicates.group(rows[readable], near_duplicate_distance, chain_distance, confirm)
    rows["group"] = grouped.name.reindex(rows.index, fill_value="")

    in_benchmark = rows["image"].isin(benchmarks["image"])
    # Beside a benchmark a near hash is enough: what only a second look tells apart would still have been trained on.
    candidate = grouped.candidate.reindex(rows.index, fill_value="")
    benchmark_groups = set(candidate[in_benchmark & readable]) | set(rows.loc[in_benchmark & readable, "group"])
    listed = rows["image"].map(benchmarks.set_index("image")["sha256"]).astype("str").fillna("")
    not_measured = readable & (listed != "") & (listed != rows["sha256"])
    _exclude(rows, in_benchmark & not_measured, Reason.BENCHMARK, f"not measured: {Reason.OTHER_CONTENT}")
    _exclude(rows, in_benchmark, Reason.BENCHMARK)
    bridge = grouped.bridge.reindex(rows.index, fill_value=False)
    # A bridge bears the name of one of the groups that it holds together; what is near to it is in the others, too.
    beside = duplicates.near_any(rows["phash"], rows.loc[in_benchmark & bridge, "phash"], near_duplicate_distance)
    near_benchmark = candidate.isin(benchmark_groups) | rows["group"].isin(benchmark_groups) | beside
    _exclude(rows, near_benchmark, Reason.BENCHMARK, "a near-duplicate is in a benchmark set")
    of_burst = rows["burst"].isin(set(rows.loc[in_benchmark & readable, "burst"]) - {""})
    _exclude(rows, of_burst & role.isna(), Reason.BENCHMARK, "an image of the same burst is in a benchmark set")
    _exclude(rows, ~readable, Reason.UNREADABLE, rows["failure"])
    _exclude(rows, replaced, Reason.OTHER_CONTENT, was.reindex(rows.index, fill_value=""))
    for reason in (Reason.UNLABELLED, Reason.UNKNOWN, Reason.BAD):  # named as the status is
        _exclude(rows, rows["status"] == reason, reason)
    _exclude(rows, rows["label"].isin(retired), Reason.RETIRED_CLASS)
    whole = rows[readable]
    verdicts = quality.verdicts(
        whole,
        min_side=min_side,
        min_brightness=min_brightness,
        min_contrast=min_contrast,
        min_sharpness=min_sharpness,
        max_aspect_ratio=max_aspect_ratio,
    ).mask(role[readable] == "test", "")
    details = quality.details(whole, verdicts).reindex(rows.index, fill_value="")
    verdicts = verdicts.reindex(rows.index, fill_value="")
    _exclude(rows, verdicts != "", verdicts, details)
    _exclude(rows, bridge & (role != "test"), Reason.CHAIN, "holds groups of near-duplicates together")
    _exclude_conflicts(rows, settled)
    rows["rank"] = rows["origin"].map({origin: rank for rank, origin in enumerate(ORIGINS)})
    rows["turn"] = role.map(SEEN_FIRST).fillna(len(SEEN_FIRST))
    _exclude_duplicates(rows, max_per_group)

    whole = rows[readable]
    rows.loc[readable, "burst"] = duplicates.join(whole["sha256"], whole[["group", "together", "burst"]])
    standing = board.count(rows[rows["reason"] == ""], min_images=min_images, cutoffs=cutoffs, by=count)
    below = standing[standing["short_by"] > 0].set_index("label")["short_by"]
    short_by = rows["label"].map(below)
    _exclude(rows, short_by.notna(), Reason.BELOW_CUTOFF, "short by " + short_by.fillna(0).astype(int).astype(str))
    _exclude_above_cutoff(rows, max_images)

    whole = rows[readable]  # also of what is excluded, so that a group's members have one name
    rows.loc[readable, "group"] = duplicates.join(whole["sha256"], whole[["group", "together"]])
    kept = rows["reason"] == ""
    return Curated(
        rows.loc[kept, COLUMNS].reset_index(drop=True),
        rows.loc[~kept, EXCLUDED_COLUMNS].reset_index(drop=True),
        standing,
        _apart(rows[readable], grouped),
    )


def _apart(rows: pd.DataFrame, grouped: duplicates.Grouped) -> dict[str, Any]:
    """The groups by hash that the second look has divided, and one image of some contents of the largest."""
    groups = grouped.candidate[grouped.confirmed.groupby(grouped.candidate).transform("nunique") > 1]
    first = rows.loc[groups.index, "image"].min() if len(groups) else ""
    parts = pd.DataFrame(
        {"group": groups, "part": grouped.confirmed[groups.index], "image": rows.loc[groups.index, "image"]}
    )
    parts = parts.sort_values("image")
    counts = parts.groupby("group").agg(images=("image", "size"), contents=("part", "nunique")).reset_index()
    counts = counts.sort_values(["contents", "images", "group"], ascending=[False, False, True]).head(DIVIDED)
    firsts = parts[parts["group"].isin(counts["group"])].drop_duplicates(["group", "part"]).groupby("group")["image"]
    largest = [
        {"images": int(row.images), "contents": int(row.contents), "shown": _evenly(names.tolist())}
        for row in counts.itertuples()
        for names in [firsts.get_group(row.group)]
    ]
    return {"images": len(groups), "groups": groups.nunique(), "first": first, "largest": largest}


def _evenly(names: list[str]) -> list[str]:
    """At most `DIVIDED_SHOWN` of the names, at even distances."""
    places = np.unique(np.linspace(0, len(names) - 1, DIVIDED_SHOWN).round().astype(int))
    return [names[place] for place in places]


def _was(rows: pd.DataFrame) -> pd.Series:
    """What the other content of each of these images was called, by whom and when, in words."""
    status = rows["status"].mask(rows["status"] == "ok", rows["label"])
    by = (" by " + rows["by"]).where(rows["by"] != "", "") + (" at " + rows["at"]).where(rows["at"] != "", "")
    return ("the content " + rows["labelled"].str[:12] + " was called " + status + by).astype("str")


def _exclude(rows: pd.DataFrame, which: pd.Series, reason: "str | pd.Series", detail: "str | pd.Series" = "") -> None:
    which = which & (rows["reason"] == "")
    rows.loc[which, "reason"] = reason if isinstance(reason, str) else reason[which]
    rows.loc[which, "detail"] = detail if isinstance(detail, str) else detail[which]


def _exclude_conflicts(rows: pd.DataFrame, settled: frozenset[str]) -> None:
    left = rows[rows["reason"] == ""]
    said = pd.Series("", index=rows.index)
    for key in ("group", "sha256"):  # what people settled is a conflict only where the content is equal
        alike = left[left[key].duplicated(keep=False)]
        if key == "group":
            open_ = alike.loc[~alike["image"].isin(settled), "group"]
            alike = alike[alike["group"].isin(open_)]
        named = alike[[key, "label"]].drop_duplicates()
        several = named[named[key].duplicated(keep=False)].sort_values([key, "label"])
        spread = several.groupby(key)["label"].agg(" / ".join)
        among = alike[alike[key].isin(spread.index)]
        said[among.index] = among[key].map(spread)
    _exclude(rows, said != "", Reason.LABEL_CONFLICT, said)


def _exclude_duplicates(rows: pd.DataFrame, max_per_group: int) -> None:
    order = rows[rows["reason"] == ""]
    order = order.assign(pixels=-order["width"] * order["height"]).sort_values(["rank", "turn", "pixels", "image"])
    first = order.groupby("sha256")["image"].transform("first")
    again = order["image"] != first
    same = "same content as " + first.reindex(rows.index)
    _exclude(rows, _among(rows, order.index[again]), Reason.DUPLICATE, same)
    rest = order[~again]
    surplus = rest.index[rest.groupby(["group", "label"]).cumcount() >= max_per_group]
    _exclude(rows, _among(rows, surplus), Reason.DUPLICATE, "near-duplicates are kept already")


def _exclude_above_cutoff(rows: pd.DataFrame, max_images: int) -> None:
    """Drops synthetic, then staged images, then the most redundant of bursts, then what is new, over all sub-classes.

    Of what is not new, each side keeps its share: a lower cutoff must not leave a class tested and untrained.
    """
    kept = rows[rows["reason"] == ""]
    sizes = kept["label"].value_counts()
    kept = kept[kept["label"].isin(sizes.index[sizes > max_images])]
    position = [hashlib.sha256(content.encode()).hexdigest() for content in kept["sha256"]]
    kept = kept.assign(position=position, new=kept["turn"] == len(SEEN_FIRST)).sort_values("position")
    side = kept.groupby(["label", "rank", "subclass", "turn"])["position"]
    kept["share"] = (side.cumcount() + 0.5) / side.transform("size")
    kept = kept.sort_values(["rank", "new", "share", "turn", "position"])
    kept["near"] = kept.groupby(["label", "burst"]).cumcount()
    kept["round_robin"] = kept.groupby(["label", "rank", "near", "subclass"]).cumcount()
    kept = kept.sort_values(["label", "rank", "near", "round_robin", "new", "share", "turn", "position"])
    surplus = kept.index[kept.groupby("label").cumcount() >= max_images]
    _exclude(rows, _among(rows, surplus), Reason.ABOVE_CUTOFF, f"{max_images} are kept")


def _among(rows: pd.DataFrame, places: pd.Index) -> pd.Series:
    return pd.Series(rows.index.isin(places), index=rows.index)
