"""Two models' scores of the same images, side by side: aligned by set, content and label, under today's names."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.errors import DataError
from pipeline.evaluation.scores import OUT_OF_CLASS, clusters_of
from pipeline.library.benchmarks import PREFIX
from pipeline.library.classes import Classes

KEY = ["set", "sha256", "label"]
CLUSTER = ["cluster"]  # read where it is there: scores of older models have none
SHARED, NEW, RETIRED = "shared", "new class", "retired class"
OUTSIDE, CANDIDATES, CHAMPIONS = "no known class", "only the candidate's", "only the champion's"
STANDINGS = [SHARED, NEW, RETIRED, OUTSIDE, CANDIDATES, CHAMPIONS]


def check(scores: pd.DataFrame, source: object, *, mend: str) -> pd.DataFrame:
    """Returns the benchmarks' rows of one model's `scores`, each image of a set once.

    Raises:
      DataError: if a score is missing or no probability, a rank is none, or the rows are of several models; it names
        the first image.
    """
    rows = scores[scores["set"].str.startswith(PREFIX)]
    if scores["model"].nunique() > 1:
        raise DataError("the scores are of several models", where=source, mend=mend)
    faults = {
        "a score is no probability": ~rows["score"].between(0, 1),
        "a rank is missing": ~((rows["label_rank"] >= 1) | (rows["label_rank"] == OUT_OF_CLASS)),
        "a prediction is missing": rows["predicted"].isna() | (rows["predicted"] == ""),
    }
    for what, wrong in faults.items():
        if wrong.any():
            first = rows[wrong].iloc[0]
            raise DataError(
                f"{what}: {int(wrong.sum())} images, first {first['image']}",
                where=f"{source}, {first['set']}",
                mend=mend,
            )
    return rows.drop_duplicates(KEY)


def by_todays_names(scores: pd.DataFrame, classes: Classes) -> pd.DataFrame:
    """Renames an older model's scores: within two classes that were merged since then, it was right."""
    named = scores.assign(label=classes.names(scores["label"]), predicted=classes.names(scores["predicted"]))
    right = (named["label"] == named["predicted"]) & (named["label_rank"] > 0)
    return named.assign(label_rank=named["label_rank"].mask(right, 1))


def relabel(scores: pd.DataFrame, truth: pd.DataFrame, known: set[str], classes: Classes) -> pd.DataFrame:
    """Puts stored scores under the labels that people have corrected since, without looking at an image again.

    Rank and score of a new label come from the stored best classes. A class that the model knows but that is not
    among them has the next rank, which it has at best, and no score.

    Args:
      scores: of an older model, by today's names; columns `set`, `sha256`, `label`, `predicted`, `top_labels`,
        `top_scores`, `label_rank` and `label_score`.
      truth: columns `set`, `sha256`, `label`: the benchmarks as they are today.
      known: the classes of the older model, by today's names.
      classes: the class events, for the names in `top_labels`.
    """
    unchanged = pd.MultiIndex.from_frame(scores[KEY]).isin(pd.MultiIndex.from_frame(truth[KEY]))
    today = truth.drop_duplicates(["set", "sha256"]).set_index(["set", "sha256"])["label"]
    label = today.reindex(pd.MultiIndex.from_frame(scores[["set", "sha256"]])).set_axis(scores.index)
    corrected = label.notna() & ~unchanged  # an image may be in a set twice, under two labels
    if not corrected.any():
        return scores
    rows = scores[corrected]
    stored = pd.Series(rows["top_labels"].explode().unique(), dtype=str)
    today_of = dict(zip(stored, classes.names(stored), strict=True))
    ranks, label_scores = [], []
    for new, top, top_scores in zip(label[corrected], rows["top_labels"], rows["top_scores"], strict=True):
        names = [today_of[name] for name in top]
        if new in names:
            ranks.append(names.index(new) + 1)
            label_scores.append(float(sum(part for name, part in zip(names, top_scores, strict=True) if name == new)))
        else:
            ranks.append(len(names) + 1 if new in known else OUT_OF_CLASS)
            label_scores.append(np.nan)
    changed = scores.assign(label=label.where(corrected, scores["label"]))
    changed.loc[corrected, "label_rank"] = ranks
    changed.loc[corrected, "label_score"] = label_scores
    return changed


def align(
    scores: pd.DataFrame, before: pd.DataFrame, *, key: Sequence[str] = KEY, columns: Sequence[str] = ()
) -> pd.DataFrame:
    """Puts what two models make of each image side by side.

    Args:
      scores, before: columns `key`, `label_rank`, `columns` and perhaps `cluster`, both by today's names
        (`by_todays_names`); an image that is in a set twice counts once.
      key: what makes two rows one image of a set under one label.
      columns: what else each model has to say, the second one's with the suffix `_before`.

    Returns:
      One row per image and label that either has, sorted by `key`: `key`, `columns` of both, `right`, `right_before`,
      `cluster` (the first model's, where it has the image: it knows today's) and `standing` (of `STANDINGS`, the first
      model being the candidate). Images are shared if both models know their
      class; of others, one model's accuracy says nothing about the other's.
    """
    tables = [
        table[list(dict.fromkeys([*key, *columns, "label_rank"]))]
        .assign(cluster=clusters_of(table))
        .drop_duplicates(key)
        for table in (scores, before)
    ]
    pairs = tables[0].merge(tables[1], on=key, how="outer", suffixes=("", "_before"), indicator="source")
    knows, knew = pairs["label_rank"] > 0, pairs["label_rank_before"] > 0
    standing = np.select(
        [pairs["source"] == "left_only", pairs["source"] == "right_only", knows & knew, knows, knew],
        [CANDIDATES, CHAMPIONS, SHARED, NEW, RETIRED],
        OUTSIDE,
    )
    pairs = pairs.assign(
        cluster=pairs["cluster"].fillna(pairs["cluster_before"]),
        standing=standing,
        right=pairs["label_rank"] == 1,
        right_before=pairs["label_rank_before"] == 1,
    )
    ranks = [] if "label_rank" in columns else ["label_rank", "label_rank_before"]
    return pairs.drop(columns=["source", *ranks, "cluster_before"])


def shared(pairs: pd.DataFrame) -> pd.DataFrame:
    """The images of `align` on which the two models can be compared: both were scored on them, and know the class."""
    return pairs[pairs["standing"] == SHARED]
