"""What a class may gain from the pool, from calibrated scores; and, after a review, what it did gain."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.files import read_table
from pipeline.library import duplicates
from pipeline.review import landing
from pipeline.review.decisions import CHANGED_RECIPE, CONFLICT_RECIPE, LABEL
from pipeline.review.recipes.inputs import Found, Material

if TYPE_CHECKING:  # it brings scipy along, and the review page only reads
    from pipeline.evaluation import reliability

FILE = "yield.csv"
COLUMNS = ["label", "short_by", "known", "candidates", "expected", "low", "high", "queued", "queued_expected", "model"]
REVIEWED = ["label", "decided", "decided_expected", "right", "gained"]
NO_SUGGESTION = [CHANGED_RECIPE, CONFLICT_RECIPE, "suspect-label"]  # of pool images


def expected(
    material: Material,
    found: dict[str, Found],
    held: "reliability.Trust",
    *,
    near_duplicate_distance: int,
    low_count_below: float,
    confidence: float,
) -> pd.DataFrame:
    """How many images of each short class people would find among those that the model names so.

    Each near-duplicate group of candidates counts once, with its highest score, which is believed as far as scores
    held on images that the model has not learnt from (`reliability.expect`, as in a throw-away run). A class that the
    model does not know has no score, and no yield.

    Args:
      found: of each recipe, `likely` with it.
      held: how far the score of the model's first suggestion is to be trusted.
      confidence: of the interval of what is expected.

    Returns:
      `COLUMNS`, in the board's order; `queued` images stand in the queue as this class, `queued_expected` of them are
      expected to be of it (NaN for a class that the model does not know).
    """
    from pipeline.evaluation import reliability

    board = material.board[material.board["groups"] < low_count_below * material.board["cutoff"]]
    pool = material.candidates(material.labelled(list(board["label"])))
    pool = material.named(pool).astype({"label": "str"})
    pool["phash"] = material.phashes(pool["image"])
    pool["group"] = duplicates.group(pool, near_duplicate_distance, duplicates.BITS).name if len(pool) else ""
    best = pool.groupby(["label", "group"])["score"].max().groupby("label").agg(list)
    shown = pd.concat([answer.rows for answer in found.values()])
    shown = shown[~shown["image"].isin([*material.suspects["image"], *material.changed["image"]])]
    counted = shown.groupby("label")["likely"].agg(["size", "sum"]).reindex(board["label"]).fillna(0)
    rows = []
    for label, short_by in zip(board["label"], board["short_by"], strict=True):
        row = {"label": label, "short_by": short_by, "known": label in material.classes, "candidates": 0}
        if label in best.index:
            told = reliability.expect(held, best[label], short_by=short_by, confidence=confidence)
            row |= {"candidates": len(best[label]), "expected": told.expected, "low": told.low, "high": told.high}
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table[["queued", "queued_expected"]] = counted.to_numpy()
    table["queued_expected"] = table["queued_expected"].where(table["known"].astype(bool))
    table = table.astype({"queued": int, "expected": float}).round({"expected": 1, "queued_expected": 1})
    return table.assign(model=material.pool.model)


def likely(found: dict[str, Found], held: "reliability.Trust") -> dict[str, Found]:
    """Adds to the rows of each recipe how `likely` what the model sees is right; NaN where it has no score for it."""
    from pipeline.evaluation import reliability

    return {
        name: replace(answer, rows=answer.rows.assign(likely=reliability.likely(held, answer.rows["score"].to_numpy())))
        for name, answer in found.items()
    }


def read(queue: Path) -> pd.DataFrame:
    """What `expected` said; nothing where the round has not come so far."""
    path = queue / FILE
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    numbers = {name: [""] for name in ("expected", "low", "high", "queued_expected")}
    return pd.read_csv(path, dtype={"label": "str", "model": "str"}, keep_default_na=False, na_values=numbers)


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
      right, how many were; and how many images the class `gained` in all, whatever was suggested. A near-duplicate
      group counts once.
    """
    columns = ["image", "sha256", "group", "label", "score", "likely"]
    files = sorted(path for path in queue.glob("*.parquet") if path.stem not in NO_SUGGESTION)
    tables = [read_table(path, columns) for path in files]
    rows = pd.concat(tables) if tables else pd.DataFrame(columns=columns)
    last = landing.land(decisions, rows).rows.drop_duplicates("image", keep="last").set_index("image")
    rows = rows[rows["image"].isin(last.index)]
    said = last.loc[rows["image"], "label"].where(last.loc[rows["image"], "decision"] == LABEL, "").to_numpy()
    rows = rows.assign(said=said, right=said == rows["label"].to_numpy()).sort_values("score", ascending=False)
    scored = rows[rows["score"].notna()].drop_duplicates(["label", "group"])
    told = scored.groupby("label").agg(
        decided=("image", "size"), decided_expected=("likely", "sum"), right=("right", "sum")
    )
    gained = rows[rows["said"] != ""].groupby("said")["group"].nunique().rename("gained")
    both = told.join(gained, how="outer").rename_axis("label").fillna(0).reset_index()
    return both.astype({"decided": int, "right": int, "gained": int})[REVIEWED]
