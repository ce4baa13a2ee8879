"""From probabilities to tables: what a model says of each image, held against its label."""

from typing import Any, Protocol

import numpy as np
import pandas as pd

from pipeline.library.exclusion import Reason

TINY = 1e-12
OUT_OF_CLASS = -1  # rank of a label that the model does not know
OPEN_SETS = {Reason.BELOW_CUTOFF: "open:below-cutoff", Reason.UNKNOWN: "open:unknown"}
BLOCK = 4096  # rows of probabilities in memory at once


class Matrix(Protocol):
    """An array (N, F), in memory or in files, of which some rows are read at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def with_open_sets(rows: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
    """Adds to the images of all sets those that curation left out because the model has no class for them.

    They test for nothing what the model does with a picture that it cannot know: `open:below-cutoff` has the classes
    below the cutoff, `open:unknown` good pictures that nobody can name, among which there may be some it does know.

    Args:
      rows: columns `image`, `sha256`, `set`, `label` and more.
      excluded: with `reason`; those in no set for other reasons are passed over.

    Returns:
      The rows of both; where they have a column `cluster`, that of an added image is its near-duplicate group.
    """
    excluded = excluded.assign(cluster=excluded["group"].mask(excluded["group"] == "", excluded["sha256"]))
    extra = excluded.assign(set=excluded["reason"].map(OPEN_SETS)).dropna(subset="set")
    extra = extra.assign(label=extra["label"].mask(extra["set"] == OPEN_SETS[Reason.UNKNOWN], ""))
    return pd.concat([rows, extra[[column for column in rows if column in extra]]], ignore_index=True)


def clusters_of(scores: pd.DataFrame) -> pd.Series:
    """The cluster of each image (N,): what belongs together with it, and is one independent observation.

    Scores of older models have none: each content is then its own; and where not even that is known, each row.

    Args:
      scores: perhaps with columns `cluster` ("" or missing: not known), and `sha256` or, of compact scores, `content`.
    """
    content = next((scores[name] for name in ("sha256", "content") if name in scores), None)
    alone = pd.Series(np.arange(len(scores)), scores.index).astype("str") if content is None else content.astype("str")
    if "cluster" not in scores:
        return alone
    cluster = scores["cluster"].astype("str")
    return cluster.mask(cluster.isna() | (cluster == ""), alone)


def describe(probs: np.ndarray, classes: list[str], *, top_k: int) -> pd.DataFrame:
    """Says what the model makes of each row of `probs` (N, C).

    Returns:
      `label` (the predicted class), `score` (its probability), `margin` (to the second), `entropy` (nats),
      `top_labels` and `top_scores` (lists, the best first; of equal probabilities, the first class).
    """
    top_k = min(top_k, len(classes))
    names = np.asarray(classes, dtype=object)
    order = _best(probs, max(top_k, 2))
    best = np.take_along_axis(probs, order, axis=1).astype(np.float64)
    return pd.DataFrame(
        {
            "label": names[order[:, 0]],
            "score": best[:, 0],
            "margin": best[:, 0] - (best[:, 1] if len(classes) > 1 else 0.0),
            "entropy": -(probs * np.log(np.maximum(probs, TINY))).sum(axis=1, dtype=np.float64),
            "top_labels": list(names[order[:, :top_k]]),
            "top_scores": list(best[:, :top_k]),
        }
    )


def score(rows: pd.DataFrame, probs: np.ndarray, classes: list[str], *, top_k: int) -> pd.DataFrame:
    """Holds the predictions of `probs` (N, C) against the labels of `rows` (N).

    Returns:
      `rows` with `predicted`, `score`, `margin`, `entropy`, `top_labels`, `top_scores`, `label_score` (probability of
      the true class; NaN where the model does not know it) and `label_rank` (1 is best; `OUT_OF_CLASS`).
    """
    said = describe(probs, classes, top_k=top_k).rename(columns={"label": "predicted"})
    targets = pd.Index(classes).get_indexer(rows["label"])
    known = targets >= 0
    own = np.where(known, probs[np.arange(len(rows)), np.where(known, targets, 0)], 0).astype(probs.dtype)[:, None]
    ahead = (probs > own) | ((probs == own) & (np.arange(len(classes)) < targets[:, None]))
    rank = np.where(known, 1 + ahead.sum(axis=1), OUT_OF_CLASS)
    scored = pd.concat([rows.reset_index(drop=True), said], axis=1)
    return scored.assign(label_score=np.where(known, own[:, 0], np.nan), label_rank=rank)


def from_log_probs(rows: pd.DataFrame, log_probs: Matrix, classes: list[str], *, top_k: int) -> pd.DataFrame:
    """As `score`, from stored log probabilities (N, C), a block at a time: they may lie in a file."""
    blocks = [
        score(rows.iloc[start : start + BLOCK], probs_of(log_probs[start : start + BLOCK]), classes, top_k=top_k)
        for start in range(0, max(len(rows), 1), BLOCK)
    ]
    return pd.concat(blocks, ignore_index=True)


def to_log_probs(probs: np.ndarray) -> np.ndarray:
    """Log probabilities as they are stored, float16 (N, C): 1,500 classes and 500,000 images are 1.5 GB.

    The logarithm keeps 3 digits of the smallest probabilities, which a change of temperature brings back to life;
    in float16 itself they would be 0.
    """
    return np.log(np.maximum(probs, TINY)).astype(np.float16)


def probs_of(log_probs: np.ndarray) -> np.ndarray:
    """Probabilities, float32 (N, C), of stored log probabilities."""
    probs = np.exp(log_probs.astype(np.float32))
    return probs / probs.sum(axis=1, keepdims=True)


def known(scores: pd.DataFrame) -> pd.DataFrame:
    """The images whose class the model knows."""
    return scores[scores["label_rank"] != OUT_OF_CLASS]


def _best(probs: np.ndarray, number: int) -> np.ndarray:
    """Columns (N, number) of the highest values, highest first, without sorting all of them."""
    number = min(number, probs.shape[1])
    rest, rows = probs.copy(), np.arange(len(probs))
    order = np.empty((len(probs), number), int)
    for place in range(number):
        order[:, place] = rest.argmax(axis=1)
        rest[rows, order[:, place]] = -1.0
    return order
