"""Decisions, one a line."""

import pandas as pd

from pipeline.review import decisions

ROOTS = ["library", "pool"]


def said(image: str, label: str = "", decision: str = "label", by: str = "ann", day: int = 1, **more: str) -> dict:
    return {"image": image, "label": label, "decision": decision, "by": by, "at": f"2026-03-{day:02d}T12:00:00"} | more


def table(*rows: dict) -> pd.DataFrame:
    """Decisions as `read_log` gives them: the oldest first."""
    made = pd.DataFrame(list(rows), columns=decisions.COLUMNS, dtype="object")
    made = decisions.check(made, ROOTS, "reviews", session="monday")
    return made.sort_values(["at", "image", "id"], ignore_index=True)
