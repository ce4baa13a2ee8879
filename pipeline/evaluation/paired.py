"""Two models on the same images: by how much one is better, and how sure that is."""

from statistics import NormalDist

import numpy as np
import pandas as pd

IMAGE = ["sha256", "label"]


def pair(scores: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The images of one set that both models were shown, of classes that both know.

    Args:
      scores, others: columns `sha256`, `label`, `label_rank`; a picture that stands twice counts once.

    Returns:
      `sha256`, `label`, and whether each model is right: `right`, `right_before` (the other one).
    """
    first, second = (table.drop_duplicates(IMAGE)[[*IMAGE, "label_rank"]] for table in (scores, others))
    pairs = first.merge(second, on=IMAGE, suffixes=("", "_before"))
    pairs = pairs[(pairs["label_rank"] > 0) & (pairs["label_rank_before"] > 0)].reset_index(drop=True)
    return pairs[IMAGE].assign(right=pairs["label_rank"] == 1, right_before=pairs["label_rank_before"] == 1)


def mean_difference(change: np.ndarray, *, confidence: float) -> tuple[float, float, float]:
    """The mean of a change an image, and the ends of its interval.

    With changes of -1, 0 and 1 it is the difference of two paired proportions (Agresti 2013, "Categorical Data
    Analysis", 11.1.3); with those of several seeds, each image has the mean of its changes.

    Args:
      change: right now less right before, of each image (N,), N at least 1.
    """
    change = np.asarray(change, float)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * float(change.std()) / np.sqrt(len(change))
    mean = float(change.mean())
    return mean, mean - half, mean + half


def by_set(trials: list[pd.DataFrame], baselines: list[pd.DataFrame], *, confidence: float) -> dict[str, dict]:
    """Each set's difference in accuracy between trials and baselines, paired by seed and by image.

    The interval speaks of the images: which ones happened to be in the set. Of the luck of a training, another seed's
    would be another, only several seeds tell.

    Args:
      trials, baselines: scores of all sets, one table a seed, in the same order.

    Returns:
      For each set `difference`, `low`, `high`, `gained` and `lost` (images, over all seeds) and `paired` (images).
    """
    changes = []
    for trial, baseline in zip(trials, baselines, strict=True):
        for name in sorted(set(trial["set"]) & set(baseline["set"])):
            pairs = pair(trial[trial["set"] == name], baseline[baseline["set"] == name])
            changes.append(
                pairs[IMAGE].assign(set=name, change=pairs["right"].astype(int) - pairs["right_before"].astype(int))
            )
    found = {}
    for name, rows in pd.concat(changes, ignore_index=True).groupby("set"):
        images = rows.groupby(IMAGE)["change"].mean()
        difference, low, high = mean_difference(images.to_numpy(), confidence=confidence)
        found[str(name)] = {
            "paired": len(images),
            "difference": round(difference, 6),
            "low": round(low, 6),
            "high": round(high, 6),
            "gained": int((rows["change"] > 0).sum()),
            "lost": int((rows["change"] < 0).sum()),
        }
    return found
