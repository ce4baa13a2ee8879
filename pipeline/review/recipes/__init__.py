"""Recipes: saved queries over labels, board and predictions; each ranks images worth a person's time, with a reason."""

from collections.abc import Callable, Set
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import UsageError, closest
from pipeline.inference.store import LISTS
from pipeline.library import duplicates
from pipeline.review.decisions import CHANGED_RECIPE, CONFLICT_RECIPE, PURGE_RECIPE
from pipeline.review.recipes import (
    changed_content,
    disagree,
    label_conflict,
    look_alike,
    low_count,
    purge_low,
    replace_staged,
    suspect_label,
    unknown,
)
from pipeline.review.recipes.inputs import Found, Material
from pipeline.review.recipes.settings import Asked, OfClasses, Settings

COLUMNS = ["image", "sha256", "group", "rank", "label", "score", "reason", "cluster", "top_labels", "top_scores"]
TEXTS = ["image", "sha256", "group", "label", "reason", "cluster"]
BURST_COLUMNS = ["burst", "own_label", "own_score", "near_duplicates"]  # beside them where a pool has bursts


@dataclass(frozen=True)
class Recipe:
    """A saved query.

    Attributes:
      finds: in a sentence, what it finds and what to do with it.
      query: gives what it finds.
      takes: what the query uses of what is asked.
      options: its parameters, what the command line calls them and what the params do.
    """

    name: str
    finds: str
    query: Callable[[Material, Any], Found]
    takes: type[Asked] = OfClasses
    options: dict[str, str] = field(default_factory=dict)


RECIPES = [
    Recipe(
        CHANGED_RECIPE,
        "Files that were replaced since they were labelled. Say yes if the old label is right, or what they show now.",
        changed_content.changed_content,
    ),
    Recipe(
        CONFLICT_RECIPE,
        "The same picture under different labels. Say of each what it shows: yes, if the label it has is right.",
        label_conflict.label_conflict,
    ),
    Recipe(
        "suspect-label",
        "Labels that the model contradicts. Say yes to what it sees, name another class, keep, or call it bad.",
        suspect_label.suspect_label,
    ),
    Recipe(
        "unknown",
        "Good pictures in the library that nobody could name, beside their like. Name them, or leave them unknown.",
        unknown.unknown,
        unknown.Unknown,
        {"look_alike": "look_alike", "beside": "unknown_beside"},
    ),
    Recipe(
        "low-count",
        "Pool images of classes that have few images. Confirm the label, or correct it.",
        low_count.low_count,
        low_count.LowCount,
        {"below": "low_count_below", "min_score": "low_count_score"},
    ),
    Recipe(
        "replace-staged",
        "Real images of classes that live on staged or synthetic ones. Confirm the label, or correct it.",
        replace_staged.replace_staged,
        replace_staged.ReplaceStaged,
        {"share": "replace_staged_share", "min_score": "replace_staged_score"},
    ),
    Recipe(
        "look-alike",
        "Pool images that the model hesitates over: a class that it does not know may hide here. Name what you see.",
        look_alike.look_alike,
        look_alike.LookAlike,
        {"max_score": "look_alike_score", "images": "look_alike_images"},
    ),
    Recipe(
        "disagree",
        "Pool images that the champion names otherwise. Say yes to what this model sees, or name what you see.",
        disagree.disagree,
        disagree.Disagree,
        {"min_score": "disagree_score"},
    ),
    Recipe(
        PURGE_RECIPE,
        "A sample of images not worth labelling. Call each bad, or name what it shows: then `wallaby quarantine`.",
        purge_low.purge_low,
        purge_low.PurgeLow,
        {
            "far": "purge_far",
            "images": "purge_images",
            "share": "purge_share",
            "sample": "purge_sample",
            "max_score": "purge_score",
        },
    ),
]


def named(name: str) -> Recipe:
    """Returns the recipe of this name.

    Raises:
      UsageError: if there is no such recipe; the nearest is offered.
    """
    known = {recipe.name: recipe for recipe in RECIPES}
    if name not in known:
        raise UsageError(f"unknown recipe '{name}'", where="wallaby queue", mend=closest(name, set(known)))
    return known[name]


def run(material: Material, settings: Settings, *, near_duplicate_distance: int) -> dict[str, Found]:
    """Runs every recipe; an image stands in the first that finds it, so that purge-low comes last."""
    found: dict[str, Found] = {}
    taken: set[str] = set()
    for recipe in RECIPES:
        found[recipe.name] = ask(
            material, recipe, settings, near_duplicate_distance=near_duplicate_distance, taken=taken
        )
        taken |= set(found[recipe.name].rows["image"])
    return found


def ask(
    material: Material,
    recipe: Recipe,
    settings: Settings,
    *,
    near_duplicate_distance: int,
    taken: Set[str] = frozenset(),
    classes: list[str] | None = None,
    look_alike: list[str] | None = None,
) -> Found:
    """Runs one recipe.

    Args:
      near_duplicate_distance: in bits.
      taken: images that other recipes show already.
      classes: only images of these.
      look_alike: see `unknown.Unknown`.

    Returns:
      Its rows as `COLUMNS`, ranked from 1; near-duplicates share their `group`, and so do the frames of a burst, which
      have the burst's `label` and `score`. Where there are bursts, `BURST_COLUMNS` say of each row what names its
      `burst` ("": none), what the model makes of the frame alone, and which rows are `near_duplicates`.
    """
    values = vars(settings) | {
        "near_duplicate_distance": near_duplicate_distance,
        "taken": taken,
        "classes": classes or [],
        "look_alike": look_alike or [],
    }
    asked = recipe.takes(**{key.name: values[key.name] for key in fields(recipe.takes)})
    # Without them first: taken out of the answer, some classes would be left without rows.
    found = recipe.query(material.without(taken), asked)
    rows = found.rows.reset_index(drop=True)
    hashed = rows.assign(phash=material.phashes(rows["image"]))
    group = duplicates.group(hashed, near_duplicate_distance, duplicates.BITS).name if len(rows) else ""
    rows, columns, texts = rows.assign(group=group), COLUMNS, TEXTS
    if material.bursts is not None:
        rows = _with_frames(material.image_by_image() if found.by_image else material, rows, near_duplicate_distance)
        columns, texts = [*COLUMNS, *BURST_COLUMNS], [*TEXTS, "burst", "own_label", "near_duplicates"]
    rows = rows.assign(rank=range(1, len(rows) + 1)).reindex(columns=columns)
    rows[texts] = rows[texts].astype("object").fillna("").astype("str")
    typed = rows.astype({"rank": "int64", "score": "float64"} | dict.fromkeys(LISTS, "object")).astype(LISTS)
    return replace(found, rows=typed)


def _with_frames(material: Material, rows: pd.DataFrame, near_duplicate_distance: int) -> pd.DataFrame:
    """Puts the frames of each burst in the place of its row; `BURST_COLUMNS`."""
    frames = material.frames_of(rows)
    unit, size = frames["unit"].to_numpy(), frames["of_burst"].to_numpy()
    whole = rows.iloc[unit].assign(
        **{name: frames[name].to_numpy() for name in ("image", "sha256", "burst")},
        own_label=frames["label"].to_numpy(object),
        own_score=frames["score"].to_numpy(),
    )
    first = np.append(True, unit[1:] != unit[:-1])[: len(unit)]
    leader = whole["image"].to_numpy(object)[np.maximum.accumulate(np.arange(len(unit)) * first)]
    shown = np.bincount(unit, minlength=len(rows))[unit]
    many = [f"{n}" if n == total else f"{n} of {total:,}" for n, total in zip(shown, size, strict=True)]
    alone = [f"{label} ({score:.0%})" for label, score in zip(whole["own_label"], whole["own_score"], strict=True)]
    reasons = [
        reason
        if total == 1
        else f"{reason}; {n} frames of one event, decided together"
        if leads
        else f"of one event with {image}; of this frame alone the model says {view}"
        for reason, total, leads, n, image, view in zip(whole["reason"], size, first, many, leader, alone, strict=True)
    ]
    whole["reason"] = pd.Series(reasons, index=whole.index, dtype="str")
    single = rows.drop(index=np.unique(unit)).assign(burst="", own_label="", own_score=np.nan)
    both = pd.concat([single, whole]).sort_index(kind="stable").reset_index(drop=True)
    hashed = both.assign(phash=material.phashes(both["image"]))
    near = duplicates.group(hashed, near_duplicate_distance, duplicates.BITS).name if len(both) else ""
    return both.assign(near_duplicates=near)
