"""Near-cutoff classes: the images of the pool that may lift a class over the lower cutoff, and whether they will."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.evaluation import reliability
from pipeline.inference.store import LISTS
from pipeline.library import board as boards
from pipeline.library import duplicates
from pipeline.library.classes import Classes
from pipeline.review.recipes import BURST_COLUMNS, COLUMNS
from pipeline.review.recipes.inputs import two_best
from pipeline.review.recipes.units import evenly_spaced

RECIPE = "near-cutoff"
FINDS = "Pool images that may lift a class over the lower cutoff, the likeliest classes first. Confirm, or correct."
CLASS_COLUMNS = [
    "label", "cutoff", "had", "short_by", "candidates", "groups", "if_all", "expected", "low", "high", "chance",
    "clears",
]  # fmt: skip
REPORT_COLUMNS = [
    "label", "cutoff", "had", "candidates", "expected", "low", "high", "decided", "expected_decided", "accepted", "now",
    "clears",
]  # fmt: skip
CLEARS, LIKELY, PERHAPS, NEVER = "yes", "likely", "perhaps", "no"
HOPEFUL = (CLEARS, LIKELY)
SURE = 0.95  # chance from which a class clears, and below 1 - SURE does not


def classes(board: pd.DataFrame, *, min_images: int, cutoffs: dict[str, int]) -> pd.DataFrame:
    """The classes that only the lowered cutoff takes in: columns `label`, `cutoff` (the real one), `had`, `short_by`.

    Args:
      board: at the lowered cutoff.
      min_images: the real lower cutoff, in what `board` counts.
      cutoffs: those of a class's own, which are not lowered.
    """
    real = board["label"].map(cutoffs).fillna(min_images).astype(int)
    counted = boards.counted(board)
    near = board[(counted >= board["cutoff"]) & (counted < real)]
    table = near[["label"]].assign(cutoff=real[near.index], had=counted[near.index])
    table["short_by"] = table["cutoff"] - table["had"]
    return table.sort_values(["short_by", "label"], ignore_index=True)


def read_classes(path: Path) -> pd.DataFrame:
    """Reads what `outlook` told, as it was kept; a class may be called 007, or NA."""
    return pd.read_csv(path, dtype={"label": "str", "clears": "str"}, keep_default_na=False)


def candidates(predictions: pd.DataFrame, near: pd.DataFrame, *, least: float) -> pd.DataFrame:
    """The images to which the model gives a near class a score of at least `least`, whether or not another has more.

    Args:
      predictions: columns `image`, `sha256`, `top_labels`, `top_scores`; failures left out.

    Returns:
      `image`, `sha256`, `label`, `score`, `top_labels`, `top_scores`; an image stands for the near class that it fits
      best. With what `with_bursts` adds, where it did.
    """
    pairs = predictions[["top_labels", "top_scores"]].explode(["top_labels", "top_scores"])
    pairs = pairs.set_axis(["label", "score"], axis=1).astype({"label": "str", "score": "float64"})
    pairs = pairs[pairs["label"].isin(near["label"]) & (pairs["score"] >= least)]
    best = pairs.sort_values("score", ascending=False, kind="stable")
    best = best[~best.index.duplicated()].sort_index()
    more = [name for name in ("burst", "own_label", "own_score") if name in predictions]
    return predictions.loc[best.index, ["image", "sha256", "top_labels", "top_scores", *more]].join(best)


def with_bursts(predictions: pd.DataFrame, bursts: pd.DataFrame) -> pd.DataFrame:
    """Predictions in which each frame of a burst has the `top_labels` and `top_scores` of the burst as a whole.

    Args:
      predictions: columns `image`, `sha256`, `top_labels`, `top_scores`.
      bursts: as identification writes them (`judged_bursts`).

    Returns:
      Also the `burst` ("": none), and what the model makes of a frame alone: `own_label`, `own_score`.
    """
    columns = ["burst", "burst_top_labels", "burst_top_scores"]
    whole = bursts.set_index(["image", "sha256"])[columns]
    rows = predictions.join(whole[~whole.index.duplicated()], on=["image", "sha256"])
    inside = rows["burst"].notna()
    own = rows["top_labels"].str[0].where(inside, ""), rows["top_scores"].str[0].where(inside)
    for name in ("top_labels", "top_scores"):
        rows[name] = rows[f"burst_{name}"].where(inside, rows[name])
    rows = rows.assign(burst=rows["burst"].fillna(""), own_label=own[0], own_score=own[1])
    return rows.drop(columns=columns[1:])


def grouped(
    found: pd.DataFrame, library: pd.DataFrame, phashes: pd.Series, *, distance: int, max_rows: int
) -> pd.DataFrame:
    """Adds `group` to candidates, and leaves out those whose near-duplicate is labelled: they bring no new group.

    A burst is one group; which of its frames are near-duplicates is told by `near_duplicates`.

    Args:
      library: labelled images; columns `sha256`, `phash`.
      phashes: of the candidates, by image.
      max_rows: images kept of a class, the surest; with bursts, groups.
    """
    hashed = found.assign(phash=found["image"].map(phashes).astype("str").fillna(""))
    both = pd.concat([hashed[["sha256", "phash"]], library[["sha256", "phash"]]], ignore_index=True)
    name = duplicates.group(both, distance, duplicates.BITS).name
    own, theirs = name.iloc[: len(hashed)], set(name.iloc[len(hashed) :])
    new = hashed.drop(columns="phash").assign(group=own.to_numpy())[~own.isin(theirs).to_numpy()]
    new = new.sort_values(["score", "image"], ascending=[False, True])
    if "burst" not in new:
        return new[new.groupby("label").cumcount() < max_rows].reset_index(drop=True)
    new = new.assign(near_duplicates=new["group"], group=new["group"].mask(new["burst"] != "", new["burst"]))
    decisions = new[["label", "group"]].drop_duplicates()
    decisions = decisions[decisions.groupby("label").cumcount() < max_rows]
    new = new.merge(decisions, on=["label", "group"])
    new = new[(new["burst"] == "") | evenly_spaced(new["group"])]
    return new.reset_index(drop=True)


def outlook(
    near: pd.DataFrame,
    found: pd.DataFrame,
    held: reliability.Trust,
    *,
    confidence: float,
    of_bursts: reliability.Trust | None = None,
    count: Literal["images", "bursts"] = "images",
    reviewer_error: tuple[float, float] = (0, 0),
) -> pd.DataFrame:
    """What each near class may expect of its candidates (`CLASS_COLUMNS`), the likeliest to clear the cutoff first.

    Args:
      held, of_bursts: how far the scores of images, and of bursts, are to be trusted.
      count: what the cutoff counts: of images a burst brings several groups, or none of them.
      reviewer_error: as in `reliability.expect`.
    """
    rows = []
    for of in near.to_dict("records"):
        own = found[found["label"] == of["label"]]
        best = own.groupby("group")["score"].max()
        brings, burst = np.ones(len(best), int), np.zeros(len(best), bool)
        if "burst" in own:
            burst = own.groupby("group")["burst"].first().to_numpy() != ""
            brings = own.groupby("group")["near_duplicates"].nunique().to_numpy() if count == "images" else brings
        told = reliability.expect(
            held,
            best.to_numpy(),
            short_by=of["short_by"],
            confidence=confidence,
            brings=brings,
            burst=burst,
            of_bursts=of_bursts,
            label=of["label"],
            reviewer_error=reviewer_error,
        )
        groups = int(brings.sum())
        counts = {"candidates": len(own), "groups": groups, "if_all": of["had"] + groups}
        rows.append(of | counts | vars(told) | {"clears": _clears(told.chance, enough=groups >= of["short_by"])})
    table = pd.DataFrame(rows, columns=CLASS_COLUMNS)
    table[["expected", "chance"]] = table[["expected", "chance"]].round(3)
    return table.sort_values(["chance", "short_by", "label"], ascending=[False, True, True], ignore_index=True)


def _clears(chance: float, *, enough: bool) -> str:
    if not enough:
        return NEVER
    return CLEARS if chance >= SURE else LIKELY if chance >= 0.5 else PERHAPS if chance > 1 - SURE else NEVER


def queue(
    found: pd.DataFrame, told: pd.DataFrame, held: reliability.Trust, of_bursts: reliability.Trust | None = None
) -> pd.DataFrame:
    """The candidates as a queue (`recipes.COLUMNS`): class by class as in `told`, the surest first.

    Its further column `likely` says how likely a suggestion is right.
    """
    place = pd.Series(told.index, index=told["label"])
    rows = found.assign(place=found["label"].map(place))
    bursts = BURST_COLUMNS if "burst" in found else []
    first = rows.groupby("group")["image"].transform("min") if bursts else rows["image"]
    first = first.where(rows["burst"] != "", rows["image"]) if bursts else first
    rows = rows.assign(first=first).sort_values(
        ["place", "score", "first", "image"], ascending=[True, False, True, True], ignore_index=True
    )
    short = rows["label"].map(told.set_index("label")["short_by"]).astype("str")
    reason = rows["label"] + " is short by " + short + "; the model sees " + two_best(rows)
    if bursts:
        size = rows.groupby("group")["image"].transform("size").astype("str")
        together = (rows["burst"] != "") & (size != "1")
        reason = reason.mask(together, reason + "; one of " + size + " frames of one event, decided together")
    suggested = rows["label"].to_numpy(object)
    likely = reliability.likely(held, rows["score"].to_numpy(), suggested).round(4)
    if bursts and of_bursts is not None:
        inside = (rows["burst"] != "").to_numpy()
        likely[inside] = reliability.likely(of_bursts, rows["score"].to_numpy()[inside], suggested[inside]).round(4)
    ranked = rows.assign(rank=range(1, len(rows) + 1), reason=reason.astype("str"), cluster="", likely=likely)
    typed = ranked.astype({"cluster": "str"} | dict.fromkeys(LISTS, "object")).astype(LISTS)
    return typed[[*COLUMNS, *bursts, "likely"]]


def report(
    told: pd.DataFrame, queue: pd.DataFrame, decisions: pd.DataFrame, events: Classes, board: pd.DataFrame
) -> pd.DataFrame:
    """What each near class expected and what it got (`REPORT_COLUMNS`), in groups but for `candidates`.

    `decided` are those of its candidates that people decided on, of which `expected_decided` were expected to be its
    own, and `accepted` were; `now` is what it has, from wherever, and `clears` whether that reaches the cutoff.

    Args:
      told: as `outlook` returned it.
      queue: as `queue` returned it.
      decisions: since then, oldest first.
      events: classes may be called otherwise today.
      board: today's.
    """
    last = decisions.drop_duplicates("image", keep="last").set_index("image")
    said = queue["image"].map(events.names(last["label"]).where(last["decision"] == "label", "")).astype("str")
    rows = queue.assign(decided=queue["image"].isin(last.index), accepted=said == events.names(queue["label"]))
    counted_as = "near_duplicates" if "near_duplicates" in rows else "group"
    groups = rows.sort_values("score", ascending=False).groupby(["label", counted_as])
    counted = groups.agg(decided=("decided", "any"), accepted=("accepted", "any"), likely=("likely", "max"))
    counted["expected_decided"] = counted["likely"].where(counted["decided"], 0.0)
    counted = counted.groupby("label")[["decided", "accepted", "expected_decided"]].sum()
    today = board.set_index("label")
    of = told.merge(counted, on="label", how="left").fillna(dict.fromkeys(counted.columns, 0))
    name = events.names(of["label"])
    now, cutoff = name.map(boards.counted(today)).fillna(0).astype(int), name.map(today["cutoff"]).fillna(of["cutoff"])
    of = of.assign(now=now, cutoff=cutoff, clears=now >= cutoff, expected_decided=of["expected_decided"].round(3))
    whole = ["cutoff", "decided", "accepted"]
    return of.astype(dict.fromkeys(whole, int))[REPORT_COLUMNS]
