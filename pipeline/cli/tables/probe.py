"""What a probe shows on a terminal."""

from rich.markup import escape
from rich.table import Table

from pipeline.cli.tables import console
from pipeline.commands.probe import Probe
from pipeline.evaluation.independence import images

NAMED = 6  # classes and recipes in a line


def probe(made: Probe) -> None:
    """The library, how well a linear head on frozen features tells its classes apart, and what to look at."""
    screen = console()
    screen.rule("Portrait of the library")
    library, sets = made.library, made.images
    left_out = ", ".join(f"{number} {reason}" for reason, number in library["excluded"].items())
    lines = [
        ("images", f"{images(library['images'], library['independent'])}; {library['bursts']} bursts"),
        ("left out", left_out),
        ("classes", f"{made.classes} above the cutoff; train {sets['train']}, val {sets['val']}, test {sets['test']}"),
        ("below the cutoff", _some([f"{row['label']} needs {row['short_by']} more" for row in made.short])),
        ("weak classes", _some([f"{row['label']} {row['recall']:.0%} of {row['n']}" for row in made.weak])),
        (
            "look at again",
            f"{made.suspects} labels, for example "
            + "; ".join(f"{row['image']} looks like {row['predicted']}" for row in made.examples[:2])
            if made.suspects
            else "",
        ),
        ("queue", _some([f"{name} {number}" for name, number in made.queue.items() if number])),
    ]
    for name, text in lines:
        if text:
            screen.print(f"{name:>18}  {text}", markup=False, soft_wrap=True)
    shown = Table(title=f"A linear head on features of {made.network}")
    shown.add_column("set")
    for name in ("images", "right", "interval", "by the likest", "by the largest class"):
        shown.add_column(name, justify="right")
    for row in made.sets:
        shown.add_row(
            escape(row["set"]),
            images(row["n"], row["independent"], word=""),
            f"{row['top1']:.1%}",
            f"{row['top1_low']:.1%} to {row['top1_high']:.1%}",
            f"{row['nearest']:.1%}",
            f"{row['majority']:.1%}",
        )
    screen.print(shown)
    screen.print("no network was trained: this is no round, no base and no champion", markup=False)
    following = (
        "wallaby import pool DIR, then wallaby probe, which fills a queue; or wallaby init-base, then scripts/round"
    )
    if made.queue:
        following = f"wallaby review --queue {made.queue_folder}"
    screen.print(f"next: {following}", markup=False, soft_wrap=True)


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more
