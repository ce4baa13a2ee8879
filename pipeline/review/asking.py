"""One recipe, asked over the present predictions, with parameters of one's own; nothing of the round is changed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from pipeline import bundle, config, pages, paths, sections
from pipeline.errors import DataError, UsageError, closest
from pipeline.files import read_table, write_csv, write_table, write_text
from pipeline.library import labels
from pipeline.review import decisions, recipes, sheets
from pipeline.review.decisions import PURGE_RECIPE
from pipeline.review.recipes import Recipe, gathering
from pipeline.review.recipes.asked import Settings
from pipeline.review.recipes.material import Found, Material

SUFFIXES = {".csv": "a table", ".parquet": "a table", ".html": "a page with pictures"}


@dataclass(frozen=True)
class Answer:
    """What was found, with which parameters, and in words why it is not more."""

    recipe: Recipe
    found: Found
    params: dict[str, Any]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        rows = pa.Table.from_pandas(self.found.rows, preserve_index=False).to_pylist()
        whole = None if self.found.whole is None else len(self.found.whole)
        return {"recipe": self.recipe.name, "params": self.params, "notes": self.notes, "whole": whole, "rows": rows}


def ask(name: str, *, classes: list[str], look_alike: list[str], given: dict[str, Any], max_rows: int | None) -> Answer:
    """Asks a recipe.

    Args:
      name: of the recipe.
      classes, look_alike: see `recipes.ask`.
      given: values of the recipe's options, by their names on the command line.

    Raises:
      UsageError: for an unknown recipe or class, the nearest is offered; an option that the recipe does not have, or a
        value out of range.
      DataError: if there are no predictions yet, or they are those of another model than the board's.
    """
    recipe = recipes.named(name)
    for option in [*given, *(["look_alike"] if look_alike else [])]:
        if option not in recipe.options:
            takes = ", ".join(f"--{known.replace('_', '-')}" for known in recipe.options) or "none but --max-rows"
            flag = option.replace("_", "-")
            raise UsageError(f"{name} takes no --{flag}", where=f"wallaby queue {name}", mend=f"it takes {takes}")
    changes = {recipe.options[option]: value for option, value in given.items()}
    params = config.changed(sections.Queue, changes | ({"max_rows": max_rows} if max_rows else {}))
    curate, names = config.load(sections.Curate), list(config.load(sections.Roots).folders)
    decided = decisions.read_all(paths.REVIEWS, names)
    last = decided.drop_duplicates("image", keep="last")
    bad = last.loc[last["decision"] == decisions.BAD, "sha256"]
    decided = decided.loc[decided["decision"] != decisions.KEEP, "sha256"]
    material = gathering.gather(
        *(paths.PREDICTIONS, paths.CURATED, paths.INDEX, paths.EVALUATION, paths.RELEASED, paths.CLASSES),
        cache_folder=config.own("vectors"),
        limits=curate.limits(),
        decided=decided[decided != ""],
        bad=bad[bad != ""],
    )
    _refuse_another_model(material)
    _refuse_unknown([*classes, *look_alike], {*material.board["label"], *material.classes})
    taken = _shown_by_others() if name == PURGE_RECIPE else frozenset()
    found = recipes.ask(
        material,
        recipe,
        Settings(**params.model_dump()),
        taken=taken,
        classes=classes,
        look_alike=look_alike,
        near_duplicate_distance=curate.near_duplicate_distance,
    )
    own = {key: value for key, value in params.model_dump().items() if key in {"max_rows", *recipe.options.values()}}
    notes = [found.note] if found.note else []
    if found.rows.empty and not notes:
        limits = ", ".join(f"{key} {value}" for key, value in own.items() if key != "max_rows")
        of = f" of {', '.join(classes)}" if classes else ""
        notes.append(f"No image{of} is of this kind{f', with {limits}' if limits else ''}.")
    return Answer(recipe, found, own, notes)


def write(answer: Answer, path: Path) -> None:
    """Writes the answer as a table (.csv, .parquet) or as a page with pictures (.html).

    Raises:
      UsageError: for another ending.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"unknown ending '{path.suffix}'", where=path, mend=closest(path.suffix, set(SUFFIXES)))
    rows, folders = answer.found.rows, config.load(sections.Roots).folders
    if path.suffix == ".csv":
        write_csv(sheets.to_sheet({answer.recipe.name: rows}), path)
    elif path.suffix == ".parquet":
        write_table(rows, path)
    else:
        section = pages.Recipe(answer.recipe.name, answer.recipe.finds, rows, " ".join(answer.notes))
        page = pages.queue(
            title=answer.recipe.name,
            recipes=[section],
            picture=lambda image: pages.picture_uri(labels.locate(image, folders)),
        )
        write_text(page, path)


def _refuse_another_model(material: Material) -> None:
    card, said = bundle.check(paths.MODEL), material.pool.model
    if not said.startswith(card.model_digest):
        raise DataError(
            f"the predictions are those of another model, {said[:12]}, than the board's, {card.model_digest[:12]}",
            where=paths.PREDICTIONS,
            mend="run `dvc repro`",
        )
    today = set(material.board.loc[material.board["standing"] == "in", "label"])
    gone = [name for name in bundle.read_classes(paths.MODEL) if name not in today]
    if gone:
        raise DataError(
            f"the model knows {len(gone)} classes that the board no longer has: {', '.join(gone[:3])}",
            where=paths.CURATED / "board.csv",
            mend="run `dvc repro`: labels, class events or the cutoff have changed since",
        )


def _refuse_unknown(asked: list[str], known: set[str]) -> None:
    for name in asked:
        if name not in known:
            raise UsageError(f"unknown class '{name}'", where=paths.CURATED / "board.csv", mend=closest(name, known))


def _shown_by_others() -> frozenset[str]:
    """The images that the queue's other recipes show: they are not put away unseen."""
    found: list[pd.Series] = []
    for recipe in recipes.RECIPES:
        if recipe.name != PURGE_RECIPE:
            found.append(read_table(paths.QUEUE / f"{recipe.name}.parquet", ["image"])["image"])
    return frozenset(pd.concat(found))
