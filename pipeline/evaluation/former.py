"""What former champions named on the benchmarks: kept beside the champion, one row per image and champion.

No image is scored again: a champion whose successors were each a little worse still stands against the next candidate,
under today's names and labels.
"""

from pathlib import Path

import pandas as pd

from pipeline.evaluation import paired_scores
from pipeline.evaluation.scores import OUT_OF_CLASS
from pipeline.files import read_table
from pipeline.library.benchmarks import PREFIX
from pipeline.library.classes import Classes

FILE = "former.parquet"
SCORED = ["set", "sha256", "label", "predicted", "label_rank"]
COLUMNS = ["champion", "model", *SCORED]


def read(path: Path) -> pd.DataFrame:
    """Columns `COLUMNS`; empty if no former champion is known.

    Raises:
      DataError: if the table cannot be read.
    """
    return read_table(path, COLUMNS) if path.exists() else pd.DataFrame(columns=COLUMNS)


def extend(table: pd.DataFrame, scores: pd.DataFrame, *, champion: str, model: str) -> pd.DataFrame:
    """Adds a champion, unless the table has it.

    Args:
      table: `COLUMNS`.
      scores: its scores, as evaluate stores them.
      champion: what it is called.
      model: its digest.
    """
    if scores.empty or (table["model"] == model).any():
        return table
    rows = scores[scores["set"].str.startswith(PREFIX)].drop_duplicates(paired_scores.KEY)
    rows = rows.assign(champion=champion, model=model)[COLUMNS]
    return pd.concat([table, rows], ignore_index=True) if len(table) else rows.reset_index(drop=True)


def of_today(table: pd.DataFrame, truth: pd.DataFrame, events: Classes) -> dict[str, pd.DataFrame]:
    """The scores of each former champion under today's names and labels, by what it is called.

    An image whose label was corrected is right where the champion named today's class. A class that it neither named
    nor had on any benchmark is one that it did not know.

    Args:
      table: `COLUMNS`.
      truth: columns `set`, `sha256` and `label`: the benchmarks as they are today.
      events: the class events.
    """
    today = truth.drop_duplicates(["set", "sha256"]).set_index(["set", "sha256"])["label"]
    found = {}
    for name, stored in table.groupby("champion", sort=True):
        rows = paired_scores.by_todays_names(stored, events)
        label = today.reindex(pd.MultiIndex.from_frame(rows[["set", "sha256"]])).set_axis(rows.index)
        known = set(rows.loc[rows["label_rank"] > 0, "label"]) | set(rows["predicted"])
        rows = rows.assign(label=label.where(label.notna(), rows["label"]))
        right = rows["label"] == rows["predicted"]
        rank = rows["label"].isin(known).map({True: 2, False: OUT_OF_CLASS}).mask(right, 1)
        found[str(name)] = rows.assign(label_rank=rank).drop_duplicates(paired_scores.KEY)
    return found
