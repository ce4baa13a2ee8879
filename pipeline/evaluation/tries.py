"""The tries of the gate: which candidates were judged on which benchmarks, and what a further one costs.

Who judges candidate after candidate on the same images will find a lucky one. So each try has a level of its own, and
all of them together spend no more than one would: try k has level / (k (k + 1)), whose sum over all k is the level
(alpha spending over a sequence without an end: Foster, Stine 2008, J R Stat Soc B 70: 429-444; Blum, Hardt 2015, "The
Ladder", on boards that are asked again and again). The first try, one-sided at level / 2, has the two-sided interval
that a single comparison has. New versions of the benchmarks are new images, and begin again.
"""

from pathlib import Path

import pandas as pd

from pipeline.library.tables import read_csv

COLUMNS = ["benchmarks", "champion", "model"]


def read(path: Path) -> pd.DataFrame:
    """The record, columns `COLUMNS`, in the order in which the candidates were judged; empty if there is none yet.

    Raises:
      DataError: if it is no such table.
    """
    return read_csv(path, COLUMNS)[COLUMNS] if path.exists() else pd.DataFrame(columns=COLUMNS, dtype=str)


def add(record: pd.DataFrame, *, benchmarks: str, champion: str, model: str) -> pd.DataFrame:
    """The record with one more try, unless it has it already.

    Args:
      benchmarks: their versions (`called`).
      champion, model: digests.
    """
    row = pd.DataFrame([[benchmarks, champion, model]], columns=COLUMNS, dtype=str)
    return pd.concat([record, row], ignore_index=True).drop_duplicates(ignore_index=True)


def called(versions: dict[str, str]) -> str:
    """How the record calls benchmarks: their names and versions."""
    return " ".join(f"{name}@{version}" for name, version in sorted(versions.items()))


def count(record: pd.DataFrame, *, benchmarks: str, model: str, champion: str | None = None) -> int:
    """Which try a model is that the record has, from 1 on.

    Args:
      champion: counts the tries against one champion; without, all on these benchmarks.
    """
    same = record[record["benchmarks"] == benchmarks]
    same = same if champion is None else same[same["champion"] == champion]
    models = list(same["model"].unique())
    return models.index(model) + 1 if model in models else len(models) + 1


def paid(confidence: float, number: int) -> float:
    """The two-sided confidence of the intervals of try `number`, each of whose ends is wrong at the level it may spend.

    All tries together are wrong in 1 - `confidence`.
    """
    return 1 - 2 * (1 - confidence) / (number * (number + 1))
