"""Recipes: saved queries over board and predictions; each ranks images worth a person's time, with a reason."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.library import duplicates
from pipeline.review.decisions import CONFLICT_RECIPE

COLUMNS = ["image", "sha256", "group", "rank", "label", "score", "reason"]


@dataclass(frozen=True)
class Material:
    """What recipes query.

    Attributes:
      predictions: of every pool image and every unknown one of the library, failures left out.
      board: the cutoff board.
      unknown: names of the library's images with status unknown.
      conflicts: images of groups whose labels differ; columns `image`, `sha256`, `group`, `label`, `detail` (the labels
        of the group).
      suspects: labelled images that the label audit asks about; columns `image`, `sha256`, `rank`, `trained`, `label`
        (what it sees instead), `score`, `reason`.
    """

    predictions: pd.DataFrame
    board: pd.DataFrame
    unknown: set[str]
    conflicts: pd.DataFrame
    suspects: pd.DataFrame


@dataclass(frozen=True)
class Recipe:
    """`finds` says in a sentence what it finds and what to do with it."""

    name: str
    finds: str
    query: Callable[..., pd.DataFrame]


def unknown(material: Material, **_) -> pd.DataFrame:
    """The library's unknown images, those the model is surest of first."""
    rows = material.predictions[material.predictions["image"].isin(material.unknown)]
    rows = rows.sort_values(["score", "image"], ascending=[False, True])
    return rows.assign(reason="unknown until now; the model sees " + _two_best(rows))


def low_count(
    material: Material, *, min_images: int, low_count_below: float, low_count_score: float, **_
) -> pd.DataFrame:
    """Pool images predicted as a class of the model that has fewer than `low_count_below` x `min_images` groups.

    Classes shortest of images come first, each with the images the model is surest of.
    """
    board = material.board.set_index("label")["groups"]
    groups = _pool(material)["label"].map(board)
    short = (groups < low_count_below * min_images) & (_pool(material)["score"] >= low_count_score)
    rows = _pool(material)[short].assign(groups=groups[short])
    rows = rows.sort_values(["groups", "label", "score", "image"], ascending=[True, True, False, True])
    have = rows["groups"].astype(int).astype(str)
    return rows.assign(reason=rows["label"] + " has only " + have + " images; the model sees " + _two_best(rows))


def look_alike(material: Material, *, look_alike_score: float, **_) -> pd.DataFrame:
    """Pool images that the model names at a hesitant score: where a class it does not know may hide."""
    pool = _pool(material)
    rows = pool[pool["score"] <= look_alike_score].sort_values(["score", "image"])
    return rows.assign(reason="perhaps none of the model's classes; it hesitates between " + _two_best(rows))


def label_conflict(material: Material, **_) -> pd.DataFrame:
    """Near-duplicates with different labels: they stay out of every set until a person has looked at each."""
    rows = material.conflicts.sort_values(["group", "image"])
    return rows.assign(score=np.nan, reason=rows["label"] + " here; the same picture is called " + rows["detail"])


def suspect_label(material: Material, **_) -> pd.DataFrame:
    """Images whose label the model contradicts, first those it was not trained on (`evaluation.audit`)."""
    return material.suspects.sort_values(["trained", "rank", "image"])


RECIPES = [
    Recipe(
        CONFLICT_RECIPE,
        "The same picture under different labels. Say of each what it shows: yes, if the label it has is right.",
        label_conflict,
    ),
    Recipe(
        "suspect-label",
        "Labels that the model contradicts. Say yes to what it sees, name another class, keep, or call it bad.",
        suspect_label,
    ),
    Recipe(
        "unknown", "Good pictures in the library that nobody could name. Name them, or leave them unknown.", unknown
    ),
    Recipe("low-count", "Pool images of classes that have few images. Confirm the label, or correct it.", low_count),
    Recipe(
        "look-alike",
        "Pool images that the model hesitates over: a class that it does not know may hide here. Name what you see.",
        look_alike,
    ),
]


def run(
    material: Material, phashes: pd.Series, *, near_duplicate_distance: int, max_rows: int, **params
) -> dict[str, pd.DataFrame]:
    """Runs every recipe; an image stands in the first that finds it.

    Args:
      phashes: perceptual hash by image.
      max_rows: rows of each recipe.

    Returns:
      For each recipe `COLUMNS`, ranked from 1; near-duplicates share their `group`.
    """
    tables: dict[str, pd.DataFrame] = {}
    taken: set[str] = set()
    for recipe in RECIPES:
        rows = recipe.query(material, **params)
        rows = rows[~rows["image"].isin(taken)].head(max_rows).reset_index(drop=True)
        taken |= set(rows["image"])
        hashed = rows.assign(phash=rows["image"].map(phashes).astype("str").fillna(""))
        group = duplicates.group(hashed, near_duplicate_distance, duplicates.BITS).name if len(rows) else ""
        tables[recipe.name] = rows.assign(group=group, rank=range(1, len(rows) + 1))[COLUMNS]
    return tables


def _pool(material: Material) -> pd.DataFrame:
    return material.predictions[~material.predictions["image"].isin(material.unknown)]


def _two_best(rows: pd.DataFrame) -> pd.Series:
    said = [
        " or ".join(f"{label} ({score:.0%})" for label, score in list(zip(names, values, strict=True))[:2])
        for names, values in zip(rows["top_labels"], rows["top_scores"], strict=True)
    ]
    return pd.Series(said, index=rows.index, dtype="str")
