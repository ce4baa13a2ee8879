"""What the model that serves can do, and what it cannot, class by class."""

from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation import intervals

WEAK = 0.8  # a class that is surely found less often than this is weak
LEAST = 10  # independent images: fewer tell nothing
SEPARATOR = ", "
COLUMNS = [
    *("label", "tested", "recall", "recall_low", "recall_high", "real_n", "real_found", "real_low", "real_high"),
    *("real_said", "threshold", "images", "staged_share", "says", "tested_independent", "real_independent"),
]


class Doubt(StrEnum):
    """Why a class is not to be relied on; `says` lists them, with a comma between."""

    NEVER_SHOWN = "never shown"
    WHOLLY_STAGED = "wholly staged"
    WEAK_IN_USE = "weak in use"
    WEAK_ON_TEST = "weak on test"
    UNTESTED = "untested"


def of(
    release: dict[str, Any],
    by_class: pd.DataFrame,
    *,
    thresholds: dict[str, float],
    board: pd.DataFrame | None,
    confidence: float,
) -> pd.DataFrame:
    """Describes how well the model knows each of its classes, and why a class is not to be relied on.

    Args:
      release: a row of `Log.releases`; `expected` has of each set the `classes`, and of each of these `n`, `top1`
        and perhaps `independent` and `effective` (`served.expectation`).
      by_class: in real use, as `accuracy.by_class`, of this model alone.
      thresholds: of classes that have their own; infinite where none is ever shown.
      board: of the library, if it is at hand: `label`, `images`, `staged_share`, `wholly_staged`.

    Returns:
      `COLUMNS`, weakest first; `says` why a class is weak: never shown, wholly staged, weak in use, weak on
      test and benchmarks (surely below `WEAK`), or untested; "" for one that is none of it.
    """
    table = pd.DataFrame({"label": release["classes"]}).set_index("label")
    tested = _tested(release["expected"]).reindex(table.index)
    table["tested"] = tested["n"].fillna(0).astype(int)
    table["tested_independent"] = tested["independent"].fillna(0).astype(int)
    table["recall"] = tested["right"] / tested["n"]
    table["recall_low"], table["recall_high"] = intervals.wilson(
        table["recall"] * tested["worth"], tested["worth"], confidence=confidence
    )
    real = by_class.set_index("label").reindex(table.index)
    table["real_n"] = real["found_n"].fillna(0).astype(int)
    table["real_independent"] = real["found_independent"].fillna(0).astype(int)
    for name in ("found", "said"):
        table[f"real_{name}"] = real[name]
    table["real_low"], table["real_high"] = real["found_low"], real["found_high"]
    table["threshold"] = pd.Series(table.index.map(thresholds), table.index, dtype=float).fillna(
        np.inf if release["threshold"] is None else release["threshold"]
    )
    known = None if board is None else board.set_index("label").reindex(table.index)
    table["images"] = np.nan if known is None else known["images"]
    table["staged_share"] = np.nan if known is None else known["staged_share"]
    doubts = {
        Doubt.NEVER_SHOWN: np.isinf(table["threshold"]),
        Doubt.WHOLLY_STAGED: table["staged_share"] >= 1,
        Doubt.WEAK_IN_USE: (table["real_independent"] >= LEAST) & (table["real_high"] < WEAK),
        Doubt.WEAK_ON_TEST: (table["tested_independent"] >= LEAST) & (table["recall_high"] < WEAK),
        Doubt.UNTESTED: (table["tested_independent"] < LEAST) & (table["real_independent"] < LEAST),
    }
    table["says"] = [SEPARATOR.join(doubt for doubt, holds in doubts.items() if holds[label]) for label in table.index]
    worst = table[["real_found", "recall"]].min(axis=1).fillna(1.0)
    order = table.assign(plain=table["says"] == "", worst=worst).sort_values(["plain", "worst"], kind="stable").index
    return table.loc[order].reset_index()[COLUMNS]


def is_weak(table: pd.DataFrame) -> pd.Series:
    """Which classes of the table (C,) are known to be weak, and not only untested, bool."""
    weak = set(Doubt) - {Doubt.UNTESTED}
    return table["says"].map(lambda says: not weak.isdisjoint(says.split(SEPARATOR))).astype(bool)


def _tested(expected: dict[str, Any]) -> pd.DataFrame:
    """By class, over test and benchmarks together: `n`, `right`, `independent` ones, and what the `n` are `worth`."""
    found = []
    for of_set in expected.values():
        for label, figures in of_set["classes"].items():
            n = figures["n"]  # of which, in earlier releases, every image was its own cluster
            worth = [figures.get(name, n) for name in ("independent", "effective")]
            found.append([label, n, n * figures["top1"], *worth])
    return pd.DataFrame(found, columns=["label", "n", "right", "independent", "worth"]).groupby("label").sum()
