"""`wallaby queue`: one recipe over the present predictions, with parameters of one's own. It changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from pipeline import bundle, pages, sections
from pipeline.commands import Answer
from pipeline.errors import DataError, UsageError, closest
from pipeline.files import read_table, write_csv, write_table, write_text
from pipeline.library import labels
from pipeline.review import decisions, recipes, spreadsheets
from pipeline.review.decisions import PURGE_RECIPE
from pipeline.review.recipes import Recipe, reading
from pipeline.review.recipes.inputs import Found, Material
from pipeline.review.recipes.settings import Settings
from pipeline.workspace import Workspace

SUFFIXES = {".csv": "a table", ".parquet": "a table", ".html": "a page with pictures"}


@dataclass(frozen=True)
class Listing:
    """What was found, with which parameters, and in words why it is not more."""

    recipe: Recipe
    found: Found
    params: dict[str, Any]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        rows = pa.Table.from_pandas(self.found.rows, preserve_index=False).to_pylist()
        whole = None if self.found.whole is None else len(self.found.whole)
        return {"recipe": self.recipe.name, "params": self.params, "notes": self.notes, "whole": whole, "rows": rows}


def recipes_known(workspace: Workspace) -> Answer:
    """The recipes and their options, in the order in which they run."""
    known = [{"recipe": recipe.name, "finds": recipe.finds, "options": recipe.options} for recipe in recipes.RECIPES]
    return Answer(known)


def ask(
    workspace: Workspace,
    name: str,
    *,
    classes: Sequence[str] = (),
    look_alike: Sequence[str] = (),
    options: Mapping[str, Any],
    max_rows: int | None = None,
    out: Path | None = None,
) -> Answer:
    """Asks a recipe, and writes what it finds as a table (.csv, .parquet) or as a page with images (.html).

    Args:
      name: of the recipe.
      classes, look_alike: see `recipes.ask`.
      options: values of the recipe's options, by their names on the command line.
      max_rows: by default as the params say.
      out: where to write; nowhere by default.

    Raises:
      UsageError: for an unknown recipe or class, the nearest is offered; an option that the recipe does not have, a
        value out of range, or another ending of `out`.
      DataError: if there are no predictions yet, or they are those of another model than the board's.
    """
    recipe = recipes.named(name)
    for option in [*options, *(["look_alike"] if look_alike else [])]:
        if option not in recipe.options:
            takes = ", ".join(f"--{known.replace('_', '-')}" for known in recipe.options) or "none but --max-rows"
            flag = option.replace("_", "-")
            raise UsageError(f"{name} takes no --{flag}", where=f"wallaby queue {name}", mend=f"it takes {takes}")
    changes = {recipe.options[option]: value for option, value in options.items()}
    params = workspace.changed_params(sections.Queue, changes | ({"max_rows": max_rows} if max_rows else {}))
    material = _gather(workspace)
    _refuse_another_model(workspace, material)
    known = {*material.board["label"], *material.classes}
    for label in [*classes, *look_alike]:
        if label not in known:
            raise UsageError(f"unknown class '{label}'", where=workspace.board, mend=closest(label, known))
    found = recipes.ask(
        material,
        recipe,
        Settings(**params.model_dump()),
        taken=_shown_by_others(workspace.queue) if name == PURGE_RECIPE else frozenset(),
        classes=list(classes),
        look_alike=list(look_alike),
        near_duplicate_distance=workspace.near_duplicate_distance,
    )
    used = {key: value for key, value in params.model_dump().items() if key in {"max_rows", *recipe.options.values()}}
    notes = [found.note] if found.note else []
    if found.rows.empty and not notes:
        limits = ", ".join(f"{key} {value}" for key, value in used.items() if key != "max_rows")
        of = f" of {', '.join(classes)}" if classes else ""
        notes.append(f"No image{of} is of this kind{f', with {limits}' if limits else ''}.")
    listing = Listing(recipe, found, used, notes)
    if out:
        _write(listing, out, workspace)
    return Answer(listing)


def _gather(workspace: Workspace) -> Material:
    decided = decisions.read_all(workspace.reviews, workspace.root_names)
    last = decided.drop_duplicates("image", keep="last")
    bad = last.loc[last["decision"] == decisions.BAD, "sha256"]
    decided = decided.loc[decided["decision"] != decisions.KEEP, "sha256"]
    return reading.gather(
        *(workspace.predictions, workspace.curated, workspace.index, workspace.evaluation),
        *(workspace.released, workspace.classes),
        cache_folder=workspace.own("vectors"),
        limits=workspace.params(sections.Curate).limits(),
        bursts=workspace.judged_bursts,
        decided=decided[decided != ""],
        bad=bad[bad != ""],
    )


def _write(listing: Listing, path: Path, workspace: Workspace) -> None:
    if path.suffix not in SUFFIXES:
        raise UsageError(f"unknown ending '{path.suffix}'", where=path, mend=closest(path.suffix, set(SUFFIXES)))
    rows = listing.found.rows
    if path.suffix == ".csv":
        sheet = spreadsheets.to_sheet({listing.recipe.name: rows})
        write_csv(spreadsheets.for_people(sheet, workspace.folders), path)
    elif path.suffix == ".parquet":
        write_table(rows, path)
    else:
        folders, labelled = workspace.folders, reading.labelled(workspace.evaluation)
        section = pages.Recipe(listing.recipe.name, listing.recipe.finds, rows, " ".join(listing.notes), labelled)
        page = pages.queue(
            title=listing.recipe.name,
            recipes=[section],
            picture=lambda image: pages.picture_uri(labels.locate(image, folders)),
        )
        write_text(page, path)


def _refuse_another_model(workspace: Workspace, material: Material) -> None:
    card, model = bundle.check(workspace.model), material.pool.model
    if not model.startswith(card.model_digest):
        raise DataError(
            f"the predictions are those of another model, {model[:12]}, than the board's, {card.model_digest[:12]}",
            where=workspace.predictions,
            mend="run `dvc repro`",
        )
    today = set(material.board.loc[material.board["standing"] == "in", "label"])
    gone = [name for name in bundle.read_classes(workspace.model) if name not in today]
    if gone:
        raise DataError(
            f"the model knows {len(gone)} classes that the board no longer has: {', '.join(gone[:3])}",
            where=workspace.board,
            mend="run `dvc repro`: labels, class events or the cutoff have changed since",
        )


def _shown_by_others(queue: Path) -> frozenset[str]:
    """The images that the queue's other recipes show: they are not put away unseen."""
    others = [recipe.name for recipe in recipes.RECIPES if recipe.name != PURGE_RECIPE]
    return frozenset(pd.concat([read_table(queue / f"{name}.parquet", ["image"])["image"] for name in others]))
