"""What the commands about the pool show on a terminal."""

from pathlib import Path
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from pipeline.cli.tables import console
from pipeline.commands.queue import Listing


def recipes(known: list[dict[str, Any]]) -> None:
    """The recipes, with their options, in the order in which they are run."""
    shown = Table(title="Recipes: wallaby queue RECIPE [CLASS ...]")
    for name in ("recipe", "finds", "options"):
        shown.add_column(name)
    for recipe in known:
        options = " ".join(f"--{option.replace('_', '-')}" for option in recipe["options"])
        shown.add_row(recipe["recipe"], recipe["finds"], options)
    console().print(shown)


def listing(listing: Listing, *, limit: int | None, written: Path | None) -> None:
    """What a recipe found, at most `limit` rows of it, and where it is `written`."""
    screen = console()
    limits = ", ".join(f"{key} {value}" for key, value in listing.params.items())
    screen.print(f"{listing.recipe.name}: {listing.recipe.finds} ({limits})", markup=False, soft_wrap=True)
    for note in listing.notes:
        screen.print(note, markup=False, soft_wrap=True)
    if len(listing.found.rows):
        _rows(listing, limit=limit)
    if written:
        print(f"written: {written}")


def _rows(listing: Listing, *, limit: int | None) -> None:
    screen, rows = console(), listing.found.rows
    shown = Table()
    clustered = bool((rows["cluster"] != "").any())
    for name in ("rank", "image", "label", "score", "reason"):
        shown.add_column(name, justify="right" if name in ("rank", "score") else "left", overflow="fold")
    before = ""
    for row in rows.head(limit if limit is not None else len(rows)).itertuples():
        if clustered and row.cluster != before:
            shown.add_section()
            shown.add_row("", f"[bold]{escape(row.cluster) or 'alone'}[/bold]", "", "", "")
            before = row.cluster
        score = "" if pd.isna(row.score) else f"{row.score:.0%}"
        shown.add_row(str(row.rank), escape(row.image), escape(row.label), score, escape(row.reason))
    screen.print(shown)
    if limit is not None and len(rows) > limit:
        screen.print(f"{len(rows) - limit} more with --all")
    if listing.found.whole is not None:
        screen.print(f"a sample of {len(listing.found.whole)} images")


def nearest(answer: dict[str, Any]) -> None:
    """The images nearest to one."""
    screen = console()
    for note in answer["notes"]:
        screen.print(note, markup=False, soft_wrap=True)
    for where, columns in {
        "pool": ["image", "cosine", "label", "score"],
        "library": ["image", "cosine", "label", "set"],
    }.items():
        if not answer[where]:
            continue
        shown = Table(title=f"Nearest in the {where}, by the features of {answer['features']}")
        for name in columns:
            shown.add_column(name, justify="right" if name in ("cosine", "score") else "left", overflow="fold")
        for row in answer[where]:
            numbers = {"cosine": f"{row['cosine']:.3f}", "score": f"{row['score']:.0%}" if "score" in row else ""}
            shown.add_row(*(escape(numbers.get(name, str(row.get(name, "")))) for name in columns))
        screen.print(shown)
