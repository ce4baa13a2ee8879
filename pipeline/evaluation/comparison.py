"""What changed: a model's scores beside those of the champion, on the images that both were shown under one label."""

import pandas as pd

from pipeline.evaluation.scores import known

COLUMNS = ["n", "before", "now", "gained", "lost"]
KEYS = ["sha256", "set", "label"]


def against(scores: pd.DataFrame, champion: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What changed in each set, `changed_sets`, and class, `changed_classes`, training set left out.

    Args:
      champion: by today's class names; it was right where `label` and `predicted` are one.

    Returns:
      Columns `set`, (`label`,) `n` images, share right `before` and `now`, images `gained` and `lost`; the class that
      lost most comes first.
    """
    pairs = _pair(scores, champion)
    by_class = _count(pairs, ["set", "label"]).assign(net=lambda rows: rows["gained"] - rows["lost"])
    by_class = by_class.sort_values(["net", "set", "label"], ignore_index=True).drop(columns="net")
    return {"changed_sets": _count(pairs, ["set"]), "changed_classes": by_class}


def _pair(scores: pd.DataFrame, champion: pd.DataFrame) -> pd.DataFrame:
    ours, theirs = (rows[rows["set"] != "train"].drop_duplicates(KEYS) for rows in (known(scores), known(champion)))
    ours = ours[KEYS].assign(right=ours["label_rank"] == 1)
    theirs = theirs[KEYS].assign(right_before=theirs["label"] == theirs["predicted"])
    return ours.merge(theirs, on=KEYS)


def _count(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    said = pairs.assign(gained=pairs["right"] & ~pairs["right_before"], lost=~pairs["right"] & pairs["right_before"])
    table = said.groupby(by).agg(
        n=("right", "size"),
        before=("right_before", "mean"),
        now=("right", "mean"),
        gained=("gained", "sum"),
        lost=("lost", "sum"),
    )
    return table.reset_index()[by + COLUMNS]
