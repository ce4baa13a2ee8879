"""The mistakes worth a look: small tables out of all scores, for people."""

import numpy as np
import pandas as pd

from pipeline.evaluation import cosine
from pipeline.evaluation.scores import OUT_OF_CLASS, Matrix, known

MISTAKE = ["image", "set", "label", "predicted", "score", "label_score"]
NEAREST = 3  # training images beside a mistake
IN_A_PAIR = 12  # images of a pair of classes
SHOWN = 48  # images of unknown classes
NEAR = ["of", "image", "label", "cosine"]
OUTSIDE = ["set", "label", "n", "refused"]


def gather(scores: pd.DataFrame, embeddings: Matrix, *, worst_mistakes: int) -> dict[str, pd.DataFrame]:
    """What the error report shows (`pages.report.write`).

    Args:
      scores: a row an image, in the order of `embeddings` (N, F).
    """
    found = worst(scores, number=worst_mistakes)
    return {
        "mistakes": found,
        "neighbours": nearest_trained(found, scores, embeddings, number=NEAREST),
        "confused": of_pairs(scores, number=IN_A_PAIR),
        "outside": outside(scores),
        "outside_shown": outside_shown(scores, number=SHOWN),
    }


def worst(scores: pd.DataFrame, *, number: int) -> pd.DataFrame:
    """The most confident mistakes outside the training set first, then those within; the index is that of `scores`."""
    wrong = known(scores).loc[lambda rows: rows["label_rank"] > 1]
    order = wrong.assign(trained=wrong["set"] == "train")
    order = order.sort_values(["trained", "score", "image"], ascending=[True, False, True])
    return order.head(number)[MISTAKE]


def nearest_trained(mistakes: pd.DataFrame, scores: pd.DataFrame, embeddings: Matrix, *, number: int) -> pd.DataFrame:
    """For each of the `mistakes` the training images nearest to it by features, columns `NEAR`.

    Args:
      mistakes: rows of `scores`, with its index.
      scores: a row an image, in the order of `embeddings` (N, F).
    """
    trained = np.flatnonzero(scores["set"] == "train")
    if mistakes.empty or not len(trained):
        return pd.DataFrame(columns=NEAR)
    rows, cosines = cosine.nearest(embeddings, mistakes.index.to_numpy(), trained, number=number)
    found = scores.loc[rows.ravel(), ["image", "label"]].reset_index(drop=True)
    found = found.assign(of=np.repeat(mistakes["image"].to_numpy(), rows.shape[1]), cosine=cosines.ravel())
    return found[np.isfinite(found["cosine"])][NEAR].reset_index(drop=True)


def of_pairs(scores: pd.DataFrame, *, number: int) -> pd.DataFrame:
    """The `number` surest mistakes of each set, class and class it is taken for."""
    wrong = known(scores).loc[lambda rows: rows["label_rank"] > 1]
    wrong = wrong.sort_values(["score", "image"], ascending=[False, True])
    return wrong.groupby(["set", "label", "predicted"]).head(number)[MISTAKE].reset_index(drop=True)


def outside(scores: pd.DataFrame) -> pd.DataFrame:
    """A row a set and class that the model does not know, columns `OUTSIDE`, the largest first; "" has no class."""
    rows = scores[scores["label_rank"] == OUT_OF_CLASS]
    table = rows.groupby(["set", "label"])["shown"].agg(n="size", refused=lambda shown: 1 - shown.mean())
    table = table.reset_index().sort_values(["n", "set", "label"], ascending=[False, True, True], ignore_index=True)
    return table[OUTSIDE]


def outside_shown(scores: pd.DataFrame, *, number: int) -> pd.DataFrame:
    """The surest answers that are shown although the model has no class for the image."""
    rows = scores[(scores["label_rank"] == OUT_OF_CLASS) & scores["shown"]]
    return rows.sort_values(["score", "image"], ascending=[False, True]).head(number)[MISTAKE].reset_index(drop=True)
