"""What the commands show on a terminal."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDTH = 124


def board(table: pd.DataFrame, classes: int) -> None:
    """The cutoff board, near-cutoff classes first and standing out."""
    shown = Table(title=f"Board: {classes} classes, lower cutoff {table['cutoff'].iloc[0] if len(table) else '-'}")
    shown.add_column("class")
    for name in ("images", "groups", "staged share", "cutoff", "short by", "grew"):
        shown.add_column(name, justify="right")
    shown.add_column("standing")
    style = {"near": "bold yellow", "below": "dim", "in": ""}
    for row in table.itertuples():
        short = str(row.short_by) if row.short_by else ""
        share = "all" if row.wholly_staged else f"{row.staged_share:.0%}" if row.staged_share else ""
        grew = "now" if row.grew == 0 else f"{row.grew} round{'s' if row.grew > 1 else ''} ago"
        cells = [escape(row.label), str(row.images), str(row.groups), share, str(row.cutoff), short, grew, row.standing]
        shown.add_row(*cells, style=style[row.standing])
    _console().print(shown)
    if len(table) < classes:
        _console().print(f"{classes - len(table)} more with --all")


def class_images(standing: dict[str, Any], images: pd.DataFrame, *, limit: int | None) -> None:
    """One class: where it stands, what became of its images, and each of them."""
    console = _console()
    console.rule(standing["label"])
    if "groups" in standing:
        origins = ", ".join(f"{name} {standing[name]}" for name in ("real", "staged", "synthetic"))
        short = f", short by {standing['short_by']}" if standing["short_by"] else ""
        console.print(f"{standing['groups']} groups of {standing['images']} images ({origins})")
        console.print(f"lower cutoff {standing['cutoff']}{short}")
    console.print(", ".join(f"{number} {state}" for state, number in images["state"].value_counts().items()))
    shown = Table()
    for column in images.columns:
        shown.add_column(column, overflow="fold")
    for row in images.head(limit if limit is not None else len(images)).itertuples(index=False):
        shown.add_row(*(escape(str(value)) for value in row))
    console.print(shown)
    if limit is not None and len(images) > limit:
        console.print(f"{len(images) - limit} more with --all")


def events(table: pd.DataFrame) -> None:
    """The class events, oldest first."""
    if table.empty:
        _console().print("no class events: every class is called as the label table calls it")
        return
    shown = Table(title="Class events")
    for column in table.columns:
        shown.add_column(column)
    for row in table.itertuples(index=False):
        shown.add_row(*(escape(str(value)) for value in row))
    _console().print(shown)


def why(told: dict[str, Any]) -> None:
    """All that is known of one image."""
    console = _console()
    if "near" in told:
        console.print(f"{told['image']} is not indexed (content {told['sha256'][:16]})", markup=False)
        for row in told["near"]:
            console.print(f"  near-duplicate, {row['bits']} bits apart: {row['image']}", markup=False)
        if not told["near"]:
            console.print("  and no image of the library is near it")
        return
    console.rule(escape(told["image"]))
    for name, text in _passport(told):
        console.print(f"{name:>14}  {text}", markup=False, soft_wrap=True)


def _passport(told: dict[str, Any]) -> list[tuple[str, str]]:
    quality = ", ".join(f"{name} {value:g}" for name, value in told["quality"].items())
    lines = [
        ("file", told["file"]),
        ("content", f"{told['sha256'][:16] or 'unread'}, perceptual hash {told['phash'] or 'none'}"),
        ("picture", told["failure"] or f"{told['width']} x {told['height']} {told['format']}; {quality}"),
    ]
    label = told["label"]
    if label:
        named = " / ".join(name for name in (label["label"], label["subclass"]) if name) or "none"
        said = f"{named}, {label['origin']}, {label['status']}"
        by = f"; by {label['by']}" if label["by"] else ""
        by += f" at {label['at']}" if label["at"] else ""
        by += f", as model {label['model'][:12]} suggested" if label["model"] else ""
        today = f"; today it counts as {label['class']}" if label["class"] != label["label"] else ""
        lines.append(("label", said + by + today + (f"; {label['note']}" if label["note"] else "")))
    else:
        lines.append(("label", "none"))
    for row in told["history"]:
        suggested = f", suggested {row['suggested']} by {row['model'][:12]}" if row["suggested"] else ""
        lines.append(
            ("decided", f"{row['at']} {row['by']}: {row['decision']} {row['label']} ({row['recipe']}{suggested})")
        )
    today = told["today"]
    if today is None:
        lines.append(("today", f"in the {told['from']}, in no set"))
    elif "set" in today:
        lines.append(("today", f"in {today['set']}"))
    else:
        lines.append(("today", f"excluded: {today['reason']}{' (' + today['detail'] + ')' if today['detail'] else ''}"))
    if told["last_round"]:
        last = told["last_round"]
        lines.append(("last round", f"{last['label']}: {last['set'] or last['reason']}"))
    seen = told["lineage"]
    if seen:
        rounds = (
            f"round {seen['first_round']}"
            if seen["first_round"] == seen["last_round"]
            else (f"rounds {seen['first_round']} to {seen['last_round']}")
        )
        lines.append(("models", f"the models of {rounds} had it in {seen['role']}"))
    else:
        lines.append(("models", "no model has been trained or measured on it"))
    for other in told["same_content"]:
        lines.append(("same content", other))
    for row in (told["group"] or {}).get("others", []):
        lines.append(("group", f"{row['image']}: {row['label']}, {row['state']}"))
    for row in told["predictions"]:
        score = f" {row['score']:.1%}" if not pd.isna(row["score"]) else f" failed: {row.get('failure', '')}"
        lines.append(("prediction", f"{row['label']}{score} by model {row['model'][:12]} ({row['from']})"))
    return lines


def runs(table: pd.DataFrame, sets: pd.DataFrame) -> None:
    """The model versions side by side, throw-aways apart (`versions.table`), and their scores (`versions.sets`)."""
    if table.empty:
        _console().print("no rounds yet: run `dvc repro`")
        return
    for title, rows in (("Rounds", table[~table["throw-away"]]), ("Throw-aways", table[table["throw-away"]])):
        if rows.empty:
            continue
        shown = Table(title=title)
        for name in ("round", "started", "model", "parent"):
            shown.add_column(name)
        for name in ("classes", "train", "images", "epochs", "minutes"):
            shown.add_column(name, justify="right")
        for name in ("gate", "champion"):
            shown.add_column(name)
        for row in rows.to_dict("records"):
            shown.add_row(
                *(escape(_cell(row[name])) for name in ("round", "started", "model", "parent")),
                _grown(row["classes"], row["new classes"]),
                _cell(row["train"]),
                _grown(row["images"], row["new images"]),
                *(_cell(row["epochs"]), "" if pd.isna(row["minutes"]) else f"{row['minutes']:.1f}"),
                *(_cell(row["gate"]), {"yes": "now", "no": "once"}.get(row["champion"], "")),
            )
        _console().print(shown)
    measured = sets[~sets["set"].isin(["train", "val"])]
    if len(measured):
        frame(
            "Scores",
            [
                {
                    "round": f"{row['round']}{' (throw-away)' if row['throwaway'] else ''}",
                    "run": row["run_id"][:8],
                    "set": row["set"],
                    "version": row["version"],
                    "images": _cell(row["n"]) if pd.isna(row["n"]) else f"{row['n']:.0f}",
                    "right": f"{row['top1']:.1%}",
                    "interval": "" if pd.isna(row["low"]) else f"{row['low']:.1%} to {row['high']:.1%}",
                    **{
                        name: "" if pd.isna(row[name]) else f"{row[name]:.3f}"
                        for name in ("macro_f1", "log_loss", "ece")
                    },
                }
                for row in measured.to_dict("records")
            ],
        )


def difference(told: dict[str, Any], *, limit: int = 20) -> None:
    """What differs between two versions (`versions.as_records`), with `before` and `after`, their names."""
    console = _console()
    console.rule(f"{escape(told['before'])} and {escape(told['after'])}")
    frame("Images", told["sets"])
    for name, words in (("entered", "classes that entered"), ("left", "classes that left")):
        if told[name]:
            console.print(f"{words}: {', '.join(told[name])}", markup=False)
    columns = ["label", "n", "champion", "candidate", "difference", "gained", "lost"]
    changed = [row for row in told["classes"] if row["gained"] or row["lost"]]
    names = {"champion": "before", "candidate": "after"}
    rows = [
        {names.get(key, key): _cell(row[key]) for key in columns} | {"": "surely lost" if row["lost_for_sure"] else ""}
        for row in changed
    ]
    half = limit // 2
    shown = rows if len(rows) <= limit else rows[:half] + rows[-half:]
    frame(f"Classes that lost and gained: {len(changed)}", shown)
    if len(rows) > limit:
        console.print(f"{len(rows) - limit} between them with --json")
    console.print(f"{len(told['flips'])} images flipped: one of the two is right")


def ledger(told: dict[str, Any]) -> None:
    """What each round cost and brought, and for which classes more labels no longer pay."""

    def points(value: Any) -> str:
        return "" if pd.isna(value) else f"{100 * value:+.2f}"

    frame(
        "Ledger: points of accuracy gained",
        [
            {
                "set": row["set"],
                "round": str(row["round"]),
                "images more": "" if pd.isna(row["labelled"]) else f"{row['labelled']:+.0f}",
                "minutes": "" if pd.isna(row["minutes"]) else f"{row['minutes']:.0f}",
                "gain": points(row["gain"]) + ("" if row["exact"] or pd.isna(row["gain"]) else " (other images)"),
                "per 100 images": points(row["per_100_images"]),
                "per hour": points(row["per_hour"]),
            }
            for row in told["ledger"]
        ],
    )
    for row in told["hints"]:
        _console().print(hint(row), markup=False, soft_wrap=True)


def hint(row: dict[str, Any]) -> str:
    """Why more labels of a class no longer pay, in a sentence (`versions.worth_labelling`)."""
    if row["hint"] == "saturated":
        return f"{row['label']}: found at {row['now']:.1%}, surely above {row['low']:.1%}: more labels bring little"
    return (
        f"{row['label']}: {row['grew']:.0f} training images more, and its recall went from {row['before']:.1%} to"
        f" {row['now']:.1%} of {row['n']:.0f}: more labels did not help; look at its labels and its look-alikes"
    )


def frame(title: str, rows: list[dict[str, Any]]) -> None:
    """A plain table, its columns named by the rows' keys; numbers right, nothing for no rows."""
    if not rows:
        return
    shown = Table(title=title)
    for name in rows[0]:
        text = all(isinstance(row[name], str) and not row[name][:1].isdigit() for row in rows)
        shown.add_column(name, justify="left" if text else "right")
    for row in rows:
        shown.add_row(*(escape(_cell(value)) for value in row.values()))
    _console().print(shown)


def summary(told: dict[str, Any]) -> None:
    """The last round in a few lines, and the commands that come next."""
    curated, training, predictions = told["curated"], told["training"], told["predictions"]
    excluded = ", ".join(f"{number} {reason}" for reason, number in curated["excluded"].items())
    lines = [
        ("data", f"{curated['kept']} of {curated['images']} images kept, {curated['classes']} classes ({excluded})"),
    ]
    if curated["near_classes"]:
        lines.append(("near the cutoff", ", ".join(curated["near_classes"])))
    lines.append(
        (
            "training",
            f"plateau at epoch {training['best_epoch']} of {training['epochs']},"
            f" {training['seconds'] / 60:.1f} minutes",
        )
    )
    for name, metrics in sorted(told["metrics"].items(), key=lambda item: (item[0] != "test", item[0])):
        if name not in ("train", "val") and metrics["n"]:
            outside = f", {metrics['out_of_class']} of no known class" if metrics["out_of_class"] else ""
            lines.append(
                (name.replace("benchmark:", "benchmark "), f"{metrics['top1']:.1%} of {metrics['n']} right{outside}")
            )
    lines += [
        ("gate", f"{told['gate']['verdict']}: {told['gate']['reason']}"),
        (
            "pool",
            f"{predictions['identified']} of {predictions['pool']} images identified"
            f" ({predictions['failed']} failed), {predictions['images_per_second']:.0f} a second",
        ),
        (
            "worth relabelling",
            ", ".join(
                f"{name} {queue['images']} ({queue['decisions']} decisions)" for name, queue in told["queue"].items()
            ),
        ),
    ]
    console = _console()
    console.rule(f"Round {told['round']}, model {told['model']}")
    for name, text in lines:
        console.print(f"{name:>17}  {text}", soft_wrap=True)
    console.rule("next")
    for command, why in [
        ("wallaby review", "look at the queue, decide it (the demo: wallaby demo --review)"),
        ("wallaby apply", "bring the decisions into data/labels.csv"),
        ("wallaby promote", "make this model the next round's base"),
        ("scripts/round", "the next round"),
        ("wallaby release", "make this model the champion, if the gate passed it"),
        ("mlflow ui --backend-store-uri sqlite:///mlflow.db", "all runs and their curves"),
    ]:
        console.print(f"  {command:<52}{why}", soft_wrap=True)


def _grown(number: Any, more: Any) -> str:
    return _cell(number) + ("" if pd.isna(more) or not more else f" ({more:+d})")


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.1%}" if isinstance(value, float) else str(value)


def _console() -> Console:
    return Console(highlight=False, width=None if Console().is_terminal else WIDTH)
