"""What the commands about decisions show on a terminal."""

import pandas as pd
from rich.markup import escape
from rich.table import Table

from pipeline.cli.tables import console
from pipeline.commands.apply import Report

SHOWN = 10
CROSSES = {"in": "comes in", "out": "drops out", "": ""}


def applied(report: Report, *, dry_run: bool) -> None:
    """What was done, what it does to classes and sets, and what is left to people."""
    screen, done = console(), report.applied
    if len(report.classes):
        screen.print(_classes(report.classes))
    for word, number in report.unlabelled.items():
        screen.print(f"{number} images: {word}")
    for name, (old, new) in report.versions.items():
        screen.print(f"a new version of {escape(name)}: {old} -> {new or 'none'}")
    restored = f", {done.restored} as they were before" if done.restored else ""
    written = f"{done.added} added, {done.changed} changed, {done.confirmed} confirmed"
    screen.print(f"{written}{restored}, {done.before} were there before")
    if report.copied:
        screen.print(f"{report.copied} pictures copied")
    _listed("test and benchmark images, corrected", done.corrected)
    _listed("test and benchmark images, left alone; `wallaby apply --corrections` corrects them", done.refused)
    _listed("changed by hand since, or applied before replaced rows were kept: left alone", done.stuck)
    _listed(
        "left alone, for no image has the content now that was decided on (one that was moved is found again after"
        " `dvc repro index`)",
        done.other_content,
    )
    _listed("not there to be copied", report.missing)
    _conflicts(done.conflicts)
    screen.print("nothing is written" if dry_run else "next: wallaby promote, then dvc repro")


def reviewers(table: pd.DataFrame) -> None:
    """Each reviewer's decisions, pace and own error."""
    shown = Table(title="Reviewers")
    shown.add_column("by")
    for name in ("decisions", "minutes", "a minute", "blind checks", "differ", "own error", "shared", "differ", "lost"):
        shown.add_column(name, justify="right")
    for row in table.itertuples():
        timed = pd.notna(row.minutes) and row.minutes_per_label > 0
        error = f"{row.error:.1%} ({row.low:.1%} to {row.high:.1%})" if row.checked else "no checks yet"
        shown.add_row(
            escape(row.by), str(row.decisions), f"{row.minutes:.1f}" if timed else "",
            f"{1 / row.minutes_per_label:.0f}" if timed else "", str(row.checked), str(row.differing), error,
            str(row.shared), str(row.disputed), str(row.overruled),
        )  # fmt: skip
    console().print(shown)


def _classes(table: pd.DataFrame) -> Table:
    shown = Table(title="Classes, now and then (estimated from the last round's board)")
    shown.add_column("class")
    for name in ("gained", "lost", "images", "groups", "cutoff"):
        shown.add_column(name, justify="right")
    shown.add_column("")
    for row in table.itertuples():
        change = (f"{row.images} -> {row.images_then}", f"{row.groups} -> {row.groups_then}", str(row.cutoff))
        gain = (f"+{row.gained}" if row.gained else "", f"-{row.lost}" if row.lost else "")
        style = "bold yellow" if row.crosses else ""
        shown.add_row(escape(row.label), *gain, *change, CROSSES[row.crosses], style=style)
    return shown


def _conflicts(table: pd.DataFrame) -> None:
    images = table["image"].drop_duplicates()
    screen = console()
    if len(images):
        screen.print(f"{len(images)} images on which reviewers differ, left alone:")
    for image in images.head(SHOWN):
        rows = table[table["image"] == image].itertuples()
        said = [f"{row.by}{f' ({row.tool})' if row.tool else ''}: {_answer(row)}" for row in rows]
        screen.print(f"  {escape(image)}   {escape('; '.join(said))}")
    if len(images) > SHOWN:
        screen.print(f"  and {len(images) - SHOWN} more; --json has all")
    if len(images):
        screen.print(f"settle one: wallaby apply --settle {escape(repr(images.iloc[0] + '=CLASS'))} --by YOUR-NAME")


def _answer(row) -> str:
    return ", ".join(filter(None, (row.label or row.decision, row.subclass)))


def _listed(what: str, images: list[str]) -> None:
    if images:
        more = f" and {len(images) - SHOWN} more" if len(images) > SHOWN else ""
        console().print(f"{len(images)} {what}:\n  {escape(', '.join(images[:SHOWN]))}{more}")
