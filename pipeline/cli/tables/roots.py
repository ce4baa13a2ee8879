"""What the commands about roots and moved images show on a terminal."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from pipeline.cli.tables import console
from pipeline.cli.tables.rounds import frame

if TYPE_CHECKING:
    from pipeline.commands.moved import Relocation

NAMED = 5  # images of each reason


def roots(rows: list[dict[str, Any]]) -> None:
    """The roots, one row each (`roots.listed`)."""
    shown = [
        {
            "root": row["name"],
            "kind": row["kind"],
            "images in the last index": str(row["images"]),
            "now missing": str(row["missing"]),
            "folder": row["folder"] + ("" if row["exists"] else " (not there)"),
        }
        for row in rows
    ]
    frame("Roots", shown)


def relocation(plan: "Relocation") -> None:
    """What moves and what does not, before anything is written."""
    screen = console()

    def line(text: str) -> None:
        screen.print(text, markup=False, soft_wrap=True)

    for table, number in plan.rows.items():
        line(f"{table}: {number} row{'s' if number > 1 else ''}")
    for old, new in plan.examples:
        line(f"  {old} -> {new}")
    if plan.united:
        line(f"{plan.united} of them meet an equal row at the new place and become one with it")
    if plan.unverified:
        line(f"{plan.unverified} images move unverified: no table and no index says what content they had")
    for why, number in Counter(plan.left.values()).most_common():
        line(f"{number} images stay: {why}")
        for image in [image for image, reason in plan.left.items() if reason == why][:NAMED]:
            line(f"  {image}")
