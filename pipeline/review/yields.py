"""What a class may gain from the pool, from calibrated scores; and, after a review, what it did gain."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from pipeline.files import read_table
from pipeline.library import duplicates
from pipeline.review import landing
from pipeline.review.decisions import CHANGED_RECIPE, CONFLICT_RECIPE, LABEL
from pipeline.review.recipes.inputs import Found, Material

if TYPE_CHECKING:  # it brings scipy along, and the review page only reads
    from pipeline.evaluation import reliability

FILE = "yield.csv"
COLUMNS = [
    "label", "short_by", "known", "candidates", "expected", "low", "high", "queued", "queued_expected", "model",
    "queued_low", "queued_high",
]  # fmt: skip
REVIEWED = ["label", "decided", "decided_expected", "right", "gained"]
NEAR = "near_duplicates"  # a column of queues with bursts, whose frames are decided together and look different
NO_SUGGESTION = [CHANGED_RECIPE, CONFLICT_RECIPE, "suspect-label"]  # of pool images


def expected(
    material: Material,
    found: dict[str, Found],
    held: "reliability.Trust",
    *,
    near_duplicate_distance: int,
    low_count_below: float,
    confidence: float,
    of_bursts: "reliability.Trust | None" = None,
    count: Literal["images", "bursts"] = "images",
) -> pd.DataFrame:
    """How many images of each short class people would find among those that the model names so.

    Each near-duplicate group of candidates counts once, with its highest score, which is believed as far as scores
    held on images that the model has not learnt from (`reliability.expect`, as in a throw-away run). All groups of a
    burst are found, or none. A class that the model does not know has no score, and no yield.

    Args:
      found: of each recipe, `likely` with it.
      held: how far the score of the model's first suggestion is to be trusted.
      confidence: of the interval of what is expected.
      of_bursts: as `held`, for the scores of bursts.
      count: what the board counts; with bursts, one brings one.

    Returns:
      `COLUMNS`, in the board's order; `queued` images stand in the queue as this class, `queued_expected` of them are
      expected to be of it, from `queued_low` to `queued_high` (NaN for a class that the model does not know).
    """
    from pipeline.evaluation import reliability

    board = material.board[material.board["groups"] < low_count_below * material.board["cutoff"]]
    pool = material.candidates(material.labelled(list(board["label"])))
    pool = material.named(pool).astype({"label": "str"}).reset_index(drop=True)
    units = _units(material, pool, near_duplicate_distance).set_index("label")
    if count == "bursts":
        units["brings"] = 1
    shown = pd.concat([answer.rows for answer in found.values()])
    shown = shown[~shown["image"].isin([*material.suspects["image"], *material.changed["image"]])]
    counted = shown.groupby("label")["likely"].agg(["size", "sum"]).reindex(board["label"]).fillna(0)
    queued = {str(name): some for name, some in shown[shown["score"].notna()].groupby("label")}
    rows = []
    for label, short_by in zip(board["label"], board["short_by"], strict=True):
        row = {"label": label, "short_by": short_by, "known": label in material.classes, "candidates": 0}
        if label in units.index:
            best = units.loc[[label]]
            score, brings, burst = (best[name].to_numpy() for name in ("score", "brings", "burst"))
            told = reliability.expect(
                held,
                score,
                short_by=short_by,
                confidence=confidence,
                brings=brings,
                burst=burst,
                of_bursts=of_bursts,
                label=label,
            )
            row |= {"candidates": brings.sum(), "expected": told.expected, "low": told.low, "high": told.high}
        if label in queued and row["known"]:
            told = _of_queued(queued[label], held, of_bursts, label=label, confidence=confidence)
            row |= {"queued_low": told.low, "queued_high": told.high}
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table[["queued", "queued_expected"]] = counted.to_numpy()
    table["queued_expected"] = table["queued_expected"].where(table["known"].astype(bool))
    table = table.astype({"queued": int, "expected": float}).round({"expected": 1, "queued_expected": 1})
    return table.assign(model=material.pool.model)


def _of_queued(
    rows: pd.DataFrame,
    held: "reliability.Trust",
    of_bursts: "reliability.Trust | None",
    *,
    label: str,
    confidence: float,
) -> "reliability.Yield":
    """How many queued images are of the class that they stand for; the frames of a burst are so together."""
    from pipeline.evaluation import reliability

    burst = rows["burst"] if "burst" in rows else pd.Series("", rows.index)
    unit = burst.where(burst != "", rows["image"])
    units = rows.assign(inside=burst != "", unit=unit).groupby("unit")
    each = units.agg(score=("score", "max"), inside=("inside", "first"), brings=("image", "size"))
    score, inside, brings = (each[name].to_numpy() for name in ("score", "inside", "brings"))
    return reliability.expect(
        held, score, short_by=0, confidence=confidence, brings=brings, burst=inside, of_bursts=of_bursts, label=label
    )


def _units(material: Material, pool: pd.DataFrame, near_duplicate_distance: int) -> pd.DataFrame:
    """What may be found at once: `label`, `score`, whether it is a `burst`, how many near-duplicate groups it `brings`.

    A group that several of them have counts for the one with the highest score.

    Args:
      pool: candidates, numbered from 0; columns `image`, `sha256`, `label`, `score`.
    """
    frames = pool.assign(unit=pool.index, burst=False)
    if material.bursts is not None:
        inside = material.frames_of(pool)
        of = inside["unit"].to_numpy()
        whole = pool.iloc[of].assign(image=inside["image"].to_numpy(), sha256=inside["sha256"].to_numpy())
        frames = pd.concat([frames.drop(index=np.unique(of)), whole.assign(unit=of, burst=True)], ignore_index=True)
    frames["phash"] = material.phashes(frames["image"])
    frames["group"] = duplicates.group(frames, near_duplicate_distance, duplicates.BITS).name if len(frames) else ""
    best = frames.sort_values("score", ascending=False, kind="stable").drop_duplicates(["label", "group"])
    units = best.groupby(["label", "unit"]).agg(
        score=("score", "first"), burst=("burst", "first"), brings=("group", "size"), group=("group", "min")
    )
    return units.reset_index().sort_values(["label", "group"], ignore_index=True)


def likely(
    found: dict[str, Found], held: "reliability.Trust", of_bursts: "reliability.Trust | None" = None
) -> dict[str, Found]:
    """Adds to the rows of each recipe how `likely` what the model sees is right; NaN where it has no score for it."""
    from pipeline.evaluation import reliability

    def of(rows: pd.DataFrame) -> np.ndarray:
        label = rows["label"].to_numpy(object)
        values = reliability.likely(held, rows["score"].to_numpy(), label)
        if of_bursts is not None and "burst" in rows:
            burst = (rows["burst"] != "").to_numpy()
            values[burst] = reliability.likely(of_bursts, rows["score"].to_numpy()[burst], label[burst])
        return values

    return {name: replace(answer, rows=answer.rows.assign(likely=of(answer.rows))) for name, answer in found.items()}


def read(queue: Path) -> pd.DataFrame:
    """What `expected` said; nothing where the round has not come so far."""
    path = queue / FILE
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    counted = ("expected", "low", "high", "queued_expected", "queued_low", "queued_high")
    numbers = {name: [""] for name in counted}
    table = pd.read_csv(path, dtype={"label": "str", "model": "str"}, keep_default_na=False, na_values=numbers)
    return table.reindex(columns=COLUMNS)


def standing(queue: Path, decisions: pd.DataFrame) -> pd.DataFrame:
    """What each short class may gain (`COLUMNS`), beside what the review of the queue brought (`REVIEWED`)."""
    both = read(queue).merge(reviewed(queue, decisions), on="label", how="left")
    return both.fillna(dict.fromkeys(REVIEWED[1:], 0)).astype({"decided": int, "right": int, "gained": int})


def reviewed(queue: Path, decisions: pd.DataFrame) -> pd.DataFrame:
    """What people made of the present queue, class by class.

    Args:
      queue: the folder of its tables.
      decisions: all that people decided.

    Returns:
      `REVIEWED`: of the images suggested as the class, how many are `decided`, how many of these were expected to be
      right, how many were; and how many images the class `gained` in all, whatever was suggested. What is decided
      together counts once as a decision, and near-duplicates once as a gain.
    """
    columns = ["image", "sha256", "group", "label", "score", "likely"]
    files = sorted(path for path in queue.glob("*.parquet") if path.stem not in NO_SUGGESTION)
    tables = [read_table(path, columns, optional=[NEAR]) for path in files]
    tables = [table.assign(**{NEAR: table.get(NEAR, table["group"])}) for table in tables]
    rows = pd.concat(tables) if tables else pd.DataFrame(columns=[*columns, NEAR])
    last = landing.land(decisions, rows).rows.drop_duplicates("image", keep="last").set_index("image")
    rows = rows[rows["image"].isin(last.index)]
    said = last.loc[rows["image"], "label"].where(last.loc[rows["image"], "decision"] == LABEL, "").to_numpy()
    rows = rows.assign(said=said, right=said == rows["label"].to_numpy()).sort_values("score", ascending=False)
    scored = rows[rows["score"].notna()].drop_duplicates(["label", "group"])
    told = scored.groupby("label").agg(
        decided=("image", "size"), decided_expected=("likely", "sum"), right=("right", "sum")
    )
    gained = rows[rows["said"] != ""].groupby("said")[NEAR].nunique().rename("gained")
    both = told.join(gained, how="outer").rename_axis("label").fillna(0).reset_index()
    return both.astype({"decided": int, "right": int, "gained": int})[REVIEWED]
