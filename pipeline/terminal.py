"""What the commands show on a terminal."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

WIDTH = 124


def board(table: pd.DataFrame, classes: int) -> None:
    """The cutoff board, near-cutoff classes first and standing out."""
    shown = Table(title=f"Board: {classes} classes, lower cutoff {table['cutoff'].iloc[0] if len(table) else '-'}")
    shown.add_column("class")
    for name in ("images", "groups", "staged share", "short by"):
        shown.add_column(name, justify="right")
    shown.add_column("standing")
    style = {"near": "bold yellow", "below": "dim", "in": ""}
    for row in table.itertuples():
        short = str(row.short_by) if row.short_by else ""
        share = f"{row.staged_share:.0%}" if row.staged_share else ""
        shown.add_row(
            row.label, str(row.images), str(row.groups), share, short, row.standing, style=style[row.standing]
        )
    _console().print(shown)
    if len(table) < classes:
        _console().print(f"{classes - len(table)} more with --all")


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
