"""What the commands about networks and their training show on a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from pipeline.cli.tables import console
from pipeline.evaluation.independence import images

if TYPE_CHECKING:  # Keras is slow to import
    from pipeline.training.doctor import Finding


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
    screen = console()
    screen.print(shown)
    screen.print("reported: by the paper named in the preset, on ImageNet; `wallaby models NAME` shows which")


def model(row: dict[str, Any], options: dict[str, Any]) -> None:
    """One preset in detail."""
    screen = console()
    screen.rule(escape(row["preset"]))
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
        screen.print(f"{name:>12}  {text}", markup=False, soft_wrap=True)


def findings(findings: list["Finding"]) -> None:
    """What the doctor found, one line per check, and what to do about what did not pass."""
    shown = Table(title="Before a long run")
    for column in ("check", "", "measured"):
        shown.add_column(column, overflow="fold")
    style = {"pass": "green", "warn": "bold yellow", "FAIL": "bold red"}
    for finding in findings:
        measured = escape(finding.measured) + (f"\n[bold]do:[/bold] {escape(finding.mend)}" if finding.mend else "")
        shown.add_row(escape(finding.check), f"[{style[finding.verdict]}]{finding.verdict}[/]", measured)
    screen = console()
    screen.print(shown)
    failed = sum(finding.verdict == "FAIL" for finding in findings)
    todo = f"{failed} of {len(findings)} checks failed: do not train yet"
    screen.print(todo if failed else "ready to train: dvc repro")


def comparison(compared: dict[str, Any], *, confidence: float) -> None:
    """Networks trained for the same time; those on the Pareto front stand out."""
    shown = Table(title="Networks on your validation images, the most accurate first; bold: none beats them in both")
    shown.add_column("network", overflow="fold")
    for name in (
        "accuracy",
        f"{100 * confidence:g} % interval",
        "macro F1",
        "images/s",
        "latency",
        "epochs",
        "training",
        "memory",
        "file",
    ):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in compared["rows"]:
        shown.add_row(
            escape(row["name"]),
            f"{row['accuracy']:.1%}",
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
    screen = console()
    screen.print(shown)
    for name, reason in compared["failed"].items():
        screen.print(f"not measured: {name}: {reason}", markup=False, soft_wrap=True)
    print(f"{compared['advice']}\nlook at {compared['page']}")


def ablation(result: dict[str, Any], *, confidence: float) -> None:
    """What each setting is worth: its accuracies beside the baseline's, and by how much it differs."""
    screen = console()
    shown = Table(
        title="Ablation: one setting changed at a time; differences in points, "
        f"with intervals that are all right at {confidence:.0%}"
    )
    shown.add_column("setting", overflow="fold")
    shown.add_column("epochs", justify="right")
    shown.add_column("minutes", justify="right")
    shown.add_column("set", no_wrap=True)
    for name in ("images", "accuracy", "difference", "macro F1", "log loss"):
        shown.add_column(name, justify="right", no_wrap=True)
    for _, rows in result["rows"].groupby("setting", sort=False):
        for number, row in enumerate(rows.itertuples()):
            first = [escape(row.setting), f"{row.epochs:g}", f"{row.minutes:.1f}"] if number == 0 else ["", "", ""]
            known = not pd.isna(row.difference)  # the baseline's own is not
            shown.add_row(
                *first,
                row.set.replace("benchmark:", "benchmark "),
                images(row.n, getattr(row, "independent", None), word=""),
                f"{row.top1:.1%}",
                f"{100 * row.difference:+.1f} ({100 * row.low:+.1f} to {100 * row.high:+.1f})" if known else "",
                f"{row.macro_f1:.3f}",
                f"{row.log_loss:.3f}",
                style="bold" if known and (row.low > 0 or row.high < 0) else "",
                end_section=number == len(rows) - 1,
            )
    screen.print(shown)
    if (result["rows"]["seeds"] == 1).any():
        print("one training each tells little of the luck of trainings, so intervals are wide: try --seeds 0,1,2")
    for reason in result["failed"]:
        screen.print(f"not trained: {reason}", markup=False, soft_wrap=True)
    print(f"the same with all columns: {result['page']}, {Path(result['page']).with_suffix('.csv')}")
