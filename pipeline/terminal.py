"""What the commands show on a terminal."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.evaluation.ensembling import short

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
        by += f", as model {short(label['model'])} suggested" if label["model"] else ""
        today = f"; today it counts as {label['class']}" if label["class"] != label["label"] else ""
        lines.append(("label", said + by + today + (f"; {label['note']}" if label["note"] else "")))
    else:
        lines.append(("label", "none"))
    for row in told["history"]:
        suggested = f", suggested {row['suggested']} by {short(row['model'])}" if row["suggested"] else ""
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
        lines.append(("prediction", f"{row['label']}{score} by model {short(row['model'])} ({row['from']})"))
    return lines


def findings(found: list[dict[str, str]]) -> None:
    """What the doctor found, a line a check, and what to do about what did not pass."""
    shown = Table(title="Before a long run")
    for column in ("check", "", "measured"):
        shown.add_column(column, overflow="fold")
    style = {"pass": "green", "warn": "bold yellow", "FAIL": "bold red"}
    for finding in found:
        measured = escape(finding["measured"]) + (
            f"\n[bold]do:[/bold] {escape(finding['mend'])}" if finding["mend"] else ""
        )
        shown.add_row(escape(finding["check"]), f"[{style[finding['verdict']]}]{finding['verdict']}[/]", measured)
    console = _console()
    console.print(shown)
    failed = sum(finding["verdict"] == "FAIL" for finding in found)
    console.print(
        f"{failed} of {len(found)} checks failed: do not train yet" if failed else "ready to train: dvc repro"
    )


def runs(table: pd.DataFrame) -> None:
    """The model versions side by side."""
    if table.empty:
        _console().print("no rounds yet: run `dvc repro`")
        return
    shown = Table(title="Model versions")
    for column in table.columns:
        shown.add_column(str(column), justify="left" if column in ("started", "run", "base run") else "right")
    for row in table.itertuples(index=False):
        shown.add_row(*(_cell(value) for value in row))
    _console().print(shown)


def comparison(rows: list[dict[str, Any]], failed: dict[str, str]) -> None:
    """Networks trained for the same time; those on the Pareto front stand out."""
    shown = Table(title="Networks on your data, the most accurate first; in bold, those that none beats in both")
    shown.add_column("network", overflow="fold")
    for name in (
        "accuracy",
        "95 % interval",
        "macro F1",
        "images/s",
        "latency",
        "epochs",
        "training",
        "memory",
        "file",
    ):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            escape(row["name"]),
            f"{row['accuracy']:.1%} of {row['n']}",
            f"{row['low']:.1%} to {row['high']:.1%}",
            f"{row['macro_f1']:.3f}",
            f"{row['images_per_second']:.0f}",
            f"{row['latency_ms']:.1f} ms",
            f"{row['epochs']}",
            f"{row['train_seconds'] / 60:.1f} min",
            f"{row['memory_mb']:.0f} MB",
            f"{row['size_mb']:.1f} MB",
            style="bold" if row["pareto"] else "",
        )
    console = _console()
    console.print(shown)
    for name, reason in failed.items():
        console.print(f"not measured: {name}: {reason}", markup=False, soft_wrap=True)


def ablation(table: pd.DataFrame, failed: list[str], *, confidence: float) -> None:
    """What each setting is worth: its accuracies beside the baseline's, and by how much it differs."""
    console = _console()
    shown = Table(
        title=f"Ablation: one setting changed at a time; differences in points, with {confidence:.0%} intervals"
    )
    shown.add_column("setting", overflow="fold")
    shown.add_column("epochs", justify="right")
    shown.add_column("minutes", justify="right")
    shown.add_column("set", no_wrap=True)
    for name in ("images", "accuracy", "difference", "macro F1", "log loss"):
        shown.add_column(name, justify="right", no_wrap=True)
    for _, rows in table.groupby("setting", sort=False):
        for number, row in enumerate(rows.itertuples()):
            first = [escape(row.setting), f"{row.epochs:g}", f"{row.minutes:.1f}"] if number == 0 else ["", "", ""]
            known = not pd.isna(row.difference)  # the baseline's own is not
            shown.add_row(
                *first,
                row.set.replace("benchmark:", "benchmark "),
                str(row.n),
                f"{row.top1:.1%}",
                f"{100 * row.difference:+.1f} ({100 * row.low:+.1f} to {100 * row.high:+.1f})" if known else "",
                f"{row.macro_f1:.3f}",
                f"{row.log_loss:.3f}",
                style="bold" if known and (row.low > 0 or row.high < 0) else "",
                end_section=number == len(rows) - 1,
            )
    console.print(shown)
    for reason in failed:
        console.print(f"not trained: {reason}", markup=False, soft_wrap=True)


def rates(curve: pd.DataFrame, suggestion: float, *, rows: int = 25) -> None:
    """The loss over the learning rate, about `rows` of the steps, and the suggested rate among them."""
    shown = Table(title="Loss while the learning rate rises")
    for name in ("rate", "loss"):
        shown.add_column(name, justify="right")
    shown.add_column("")
    every = max(1, len(curve) // rows)
    lowest, highest = curve["loss"].min(), curve["loss"].max()
    for number, row in enumerate(curve.itertuples()):
        if number % every == 0 or row.rate == suggestion:
            length = round(40 * (row.loss - lowest) / ((highest - lowest) or 1))
            here = row.rate == suggestion
            mark = " falls fastest" if here else ""
            shown.add_row(f"{row.rate:.1e}", f"{row.loss:.3f}", "\u2588" * length + mark, style="bold" if here else "")
    _console().print(shown)


def models(table: pd.DataFrame, classes: int) -> None:
    """The presets side by side. What papers report stands apart: it was measured elsewhere, on ImageNet."""
    shown = Table(title=f"Networks, with a head for {classes} classes")
    shown.add_column("preset")
    shown.add_column("network")
    for name in ("pixels", "parameters", "GFLOPs", "MB on disk", "reported top-1"):
        shown.add_column(name, justify="right")
    for row in table.itertuples():
        if row.failure:
            shown.add_row(escape(row.preset), row.network, str(row.image_size), escape(row.failure), style="dim")
            continue
        reported = "" if pd.isna(row.reported_top1) else f"{row.reported_top1:.1%}"
        cells = [f"{row.parameters / 1e6:.1f} M", f"{row.gflops:.2f}", f"{row.megabytes:.1f}", reported]
        shown.add_row(escape(row.preset), row.network, str(row.image_size), *cells)
    console = _console()
    console.print(shown)
    console.print("reported: by the paper named in the preset, on ImageNet; `wallaby models NAME` shows which")


def model(row: dict[str, Any], options: dict[str, Any]) -> None:
    """One preset in detail."""
    console = _console()
    console.rule(escape(row["preset"]))
    lines = [
        ("network", row["network"]),
        ("options", ", ".join(f"{name} {value}" for name, value in options.items()) or "none"),
        ("pixels", f"{row['image_size']} x {row['image_size']}"),
    ]
    if row["failure"]:
        lines.append(("not built", row["failure"]))
    else:
        lines += [
            ("parameters", f"{row['parameters']:,}"),
            ("GFLOPs", f"{row['gflops']:.3f} a picture"),
            ("on disk", f"{row['megabytes']:.1f} MB"),
        ]
    if row["source"]:
        lines.append(("reported", f"{row['reported_top1']:.1%} top-1 on ImageNet ({row['source']})"))
    for name, text in lines:
        console.print(f"{name:>12}  {text}", markup=False, soft_wrap=True)


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


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.1%}" if isinstance(value, float) else str(value)


def _console() -> Console:
    return Console(highlight=False, width=None if Console().is_terminal else WIDTH)
