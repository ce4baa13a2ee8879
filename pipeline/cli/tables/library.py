"""What the commands about pictures, labels and classes show on a terminal."""

from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from pipeline.cli.tables import console
from pipeline.evaluation import class_mix
from pipeline.evaluation.ensembling import short
from pipeline.library.exclusion import Reason
from pipeline.review.decisions import CHANGED_RECIPE

if TYPE_CHECKING:  # it brings along what one image's account has no need of
    from pipeline.commands.board import Board

ROWS = 40  # of a table, unless everything is asked for
SHARES = 6  # classes whose shares of library and pool are named


def board(standing: "Board", *, everything: bool) -> None:
    """The cutoff board, near-cutoff classes first and standing out; and what short classes may gain from the pool."""
    _classes(standing.classes if everything else standing.classes.head(ROWS), len(standing.classes))
    replaced(standing.other_content)
    _mix(standing.mix)
    _gains(standing.gains if everything else standing.gains.head(ROWS), len(standing.gains))


def _classes(table: pd.DataFrame, classes: int) -> None:
    shown = Table(title=f"Board: {classes} classes, lower cutoff {table['cutoff'].iloc[0] if len(table) else '-'}")
    shown.add_column("class")
    for name in ("images", "groups", "bursts", "staged share", "cutoff", "short by", "grew"):
        shown.add_column(name, justify="right")
    shown.add_column("standing")
    style = {"near": "bold yellow", "below": "dim", "in": ""}
    for row in table.itertuples():
        short = str(row.short_by) if row.short_by else ""
        share = "all" if row.wholly_staged else f"{row.staged_share:.0%}" if row.staged_share else ""
        grew = "now" if row.grew == 0 else f"{row.grew} round{'s' if row.grew > 1 else ''} ago"
        few = getattr(row, "too_few_independent", False)
        bursts = f"{getattr(row, 'bursts', row.groups)}{' (too few)' if few else ''}"
        counts = [str(row.images), str(row.groups), bursts, share, str(row.cutoff), short, grew]
        shown.add_row(escape(row.label), *counts, row.standing, style=style[row.standing])
    console().print(shown)
    if len(table) < classes:
        console().print(f"{classes - len(table)} more with --all")


def _mix(table: pd.DataFrame) -> None:
    """The classes whose share of the pool is far from that of the library."""
    far = class_mix.unlike(table, class_mix.POOL)
    if far.empty:
        return
    named = [f"{row.label} {row.library_share:.0%} and {row.pool_share:.0%}" for row in far.head(SHARES).itertuples()]
    more = f", and {len(far) - SHARES} more" if len(far) > SHARES else ""
    console().print(f"share of the library, and of the pool as the model names it: {escape(', '.join(named))}{more}")


def replaced(other_content: dict[str, Any] | None) -> None:
    """How many images are on no class's account, because their file was replaced, and which classes they had."""
    if other_content and other_content["images"]:
        text = replaced_text(other_content)
        console().print(f"{text}: they count for none; `wallaby queue {CHANGED_RECIPE}` shows them")


def replaced_text(other_content: dict[str, Any]) -> str:
    """How many images have another content than was labelled (section `other_content` of curation's summary)."""
    of = ", ".join(f"{number} {name}" for name, number in other_content["classes"].items())
    return f"{other_content['images']} images have {Reason.OTHER_CONTENT}{f' ({of})' if of else ''}"


def _gains(table: pd.DataFrame, classes: int) -> None:
    """What classes that are short of images may gain from the pool, and what the last review brought (`yields`)."""
    if table.empty:
        return
    shown = Table(title="Expected from the pool, by calibrated scores, and what the review brought")
    shown.add_column("class")
    for name in ("short by", "candidates", "expected", "interval", "decided", "expected right", "right", "gained"):
        shown.add_column(name, justify="right")
    for row in table.itertuples():
        interval = ["" if pd.isna(value) else f"{value:.0f}" for value in (row.low, row.high)]
        cells = [
            *(escape(row.label), str(row.short_by or ""), str(row.candidates) if row.known else "not known"),
            *("" if pd.isna(row.expected) else f"{row.expected:.0f}", " to ".join(filter(None, interval))),
            *((f"{row.decided}", f"{row.decided_expected:.1f}", f"{row.right}") if row.decided else ("", "", "")),
            f"{row.gained}" if row.gained else "",
        ]
        shown.add_row(*cells)
    console().print(shown)
    if len(table) < classes:
        console().print(f"{classes - len(table)} more with --all")
    if not table["known"].all():
        console().print("not known: the model has no score for the class; a throw-away run at a lower cutoff has one")


def class_images(explained: dict[str, Any], *, everything: bool) -> None:
    """One class: where it stands, what became of its images, and each of them."""
    row, images = explained["board"], explained["images"]
    screen = console()
    screen.rule(row["label"])
    if "groups" in row:
        origins = ", ".join(f"{name} {row[name]}" for name in ("real", "staged", "synthetic"))
        short = f", short by {row['short_by']}" if row["short_by"] else ""
        screen.print(f"{row['groups']} groups of {row['images']} images ({origins})")
        screen.print(f"lower cutoff {row['cutoff']}{short}")
        if row.get("too_few_independent"):
            screen.print(f"{row['bursts']} bursts: too few independent images to measure the class")
    screen.print(", ".join(f"{number} {state}" for state, number in images["state"].value_counts().items()))
    shown = Table()
    for column in images.columns:
        shown.add_column(column, overflow="fold")
    for image in (images if everything else images.head(ROWS)).itertuples(index=False):
        shown.add_row(*(escape(str(value)) for value in image))
    screen.print(shown)
    if not everything and len(images) > ROWS:
        screen.print(f"{len(images) - ROWS} more with --all")


def events(table: pd.DataFrame) -> None:
    """The class events, oldest first."""
    if table.empty:
        console().print("no class events: every class is called as the label table calls it")
        return
    shown = Table(title="Class events")
    for column in table.columns:
        shown.add_column(column)
    for row in table.itertuples(index=False):
        shown.add_row(*(escape(str(value)) for value in row))
    console().print(shown)


def why(facts: dict[str, Any]) -> None:
    """All that is known of one image."""
    screen = console()
    if "near" in facts:
        screen.print(f"{facts['image']} is not indexed (content {facts['sha256'][:16]})", markup=False)
        for row in facts["near"]:
            screen.print(f"  near-duplicate, {row['bits']} bits apart: {row['image']}", markup=False)
        if not facts["near"]:
            screen.print("  and no image of the library is near it")
        return
    screen.rule(escape(facts["image"]))
    for name, text in _lines(facts):
        screen.print(f"{name:>14}  {text}", markup=False, soft_wrap=True)


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    quality = ", ".join(f"{name} {value:g}" for name, value in facts["quality"].items())
    lines = [
        ("file", facts["file"]),
        ("content", f"{facts['sha256'][:16] or 'unread'}, perceptual hash {facts['phash'] or 'none'}"),
        ("picture", facts["failure"] or f"{facts['width']} x {facts['height']} {facts['format']}; {quality}"),
    ]
    if facts["taken"] or facts["camera"]:
        camera = f", by {facts['camera']}" if facts["camera"] else ""
        lines.append(("taken", f"{facts['taken'].replace('T', ' ') or 'at an unknown time'}{camera}"))
    if facts["changed_since"]:
        lines.append(
            ("file", "it was replaced since the index was made: all below is about what it held then; run `dvc repro`")
        )
    label = facts["label"]
    if label and label["other_content"]:
        named = label["label"] or label["status"]
        by = (f" by {label['by']}" if label["by"] else "") + (f" at {label['at']}" if label["at"] else "")
        text = f"none for what the file holds now; another content ({label['sha256'][:12]}) was called {named}{by}"
        lines.append(("label", f"{text}. Until a person confirms it (`wallaby review`), the image is in no set"))
    elif label:
        named = " / ".join(name for name in (label["label"], label["subclass"]) if name) or "none"
        text = f"{named}, {label['origin']}, {label['status']}"
        by = f"; by {label['by']}" if label["by"] else ""
        by += f" at {label['at']}" if label["at"] else ""
        by += f", as model {short(label['model'])} suggested" if label["model"] else ""
        today = f"; today it counts as {label['class']}" if label["class"] != label["label"] else ""
        lines.append(("label", text + by + today + (f"; {label['note']}" if label["note"] else "")))
    else:
        lines.append(("label", "none"))
    for row in facts["history"]:
        suggested = f", suggested {row['suggested']} by {short(row['model'])}" if row["suggested"] else ""
        text = f"{row['at']} {row['by']}: {row['decision']} {row['label']} ({row['recipe']}{suggested})"
        other = "; about another content" if row["other_content"] else ""
        lines.append(("decided", f"{text}, id {row['id']}{other}"))
    today = facts["today"]
    if today is None:
        lines.append(("today", f"in the {facts['from']}, in no set"))
    elif "set" in today:
        lines.append(("today", f"in {today['set']}"))
    else:
        lines.append(("today", f"excluded: {today['reason']}{' (' + today['detail'] + ')' if today['detail'] else ''}"))
    if facts["last_round"]:
        last = facts["last_round"]
        lines.append(("last round", f"{last['label']}: {last['set'] or last['reason']}"))
    seen = facts["lineage"]
    if seen:
        rounds = (
            f"round {seen['first_round']}"
            if seen["first_round"] == seen["last_round"]
            else (f"rounds {seen['first_round']} to {seen['last_round']}")
        )
        lines.append(("models", f"the models of {rounds} had it in {seen['role']}"))
    else:
        lines.append(("models", "no model has been trained or measured on it"))
    for other in facts["same_content"]:
        lines.append(("same content", other))
    for row in (facts["group"] or {}).get("others", []):
        lines.append(("group", f"{row['image']}: {row['label']}, {row['state']}"))
    burst = facts["burst"]
    if burst and burst["images"] > 1:
        torn = "; a mate is trained on, and it leaves every figure" if burst["torn"] else ""
        lines.append(("burst", f"of {burst['images']:,} images{torn}"))
        if "label" in burst:
            lines.append(("as a whole", f"{burst['label']} {burst['score']:.1%}; tied by {burst['evidence']}"))
    for link in burst["links"] if burst else []:
        chance = "" if pd.isna(link["chance"]) else f", so alike by chance: {link['chance']:.2g}"
        detail = f" ({link['detail']})" if link["detail"] else ""
        lines.append(("tied to", f"{link['other']} by {link['evidence']}{detail}{chance}"))
    for row in facts["predictions"]:
        score = f" {row['score']:.1%}" if not pd.isna(row["score"]) else f" failed: {row.get('failure', '')}"
        lines.append(("prediction", f"{row['label']}{score} by model {short(row['model'])} ({row['from']})"))
    return lines
