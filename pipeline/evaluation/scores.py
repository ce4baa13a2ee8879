"""From probabilities to tables: what a model says of each image, and how often it is right."""

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, precision_recall_fscore_support

TINY = 1e-12
OUT_OF_CLASS = -1  # rank of a label that the model does not know


def describe(probs: np.ndarray, classes: list[str], *, top_k: int) -> pd.DataFrame:
    """Says what the model makes of each row of `probs` (N, C).

    Returns:
      `label` (the predicted class), `score` (its probability), `margin` (to the second), `entropy` (nats),
      `top_labels` and `top_scores` (lists, the best first).
    """
    top_k = min(top_k, len(classes))
    names = np.asarray(classes, dtype=object)
    order = np.argsort(-probs, axis=1, kind="stable")[:, : max(top_k, 2)]
    best = np.take_along_axis(probs, order, axis=1).astype(np.float64)
    return pd.DataFrame(
        {
            "label": names[order[:, 0]],
            "score": best[:, 0],
            "margin": best[:, 0] - best[:, 1],
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
    own = np.full(len(rows), np.nan)
    own[known] = probs[known, targets[known]]
    order = np.argsort(-probs, axis=1, kind="stable")  # as `describe`: of equal probabilities the first class is said
    rank = np.where(known, 1 + (order == targets[:, None]).argmax(axis=1), OUT_OF_CLASS)
    scored = pd.concat([rows.reset_index(drop=True), said], axis=1)
    return scored.assign(label_score=own, label_rank=rank)


def by_set(scores: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The headline metrics of each set, over the images whose class the model knows.

    Returns:
      For each set `n`, `out_of_class` (images whose class the model does not know), `top1`, `top5`, `macro_f1`
      (over the classes the set has) and `log_loss`.
    """
    return {name: _metrics(rows) for name, rows in scores.groupby("set")}


def by_class(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns set, label, n, precision, recall, f1, mean_score (of the true class): a row a set and class."""
    tables = []
    for name, rows in _known(scores).groupby("set"):
        names = sorted(rows["label"].unique())
        precision, recall, f1, n = precision_recall_fscore_support(
            rows["label"], rows["predicted"], labels=names, zero_division=0.0
        )
        own = rows.groupby("label")["label_score"].mean()[names].to_numpy()
        measures = {"label": names, "n": n, "precision": precision, "recall": recall, "f1": f1, "mean_score": own}
        tables.append(pd.DataFrame(measures).assign(set=name))
    columns = ["set", "label", "n", "precision", "recall", "f1", "mean_score"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def confusions(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns set, label, predicted, n, share (of the class's images in that set): wrong pairs, most frequent first."""
    known = _known(scores)
    sizes = known.groupby(["set", "label"]).size().rename("of")
    wrong = known[known["label"] != known["predicted"]]
    pairs = wrong.groupby(["set", "label", "predicted"]).size().rename("n").reset_index()
    pairs = pairs.merge(sizes, on=["set", "label"])
    pairs["share"] = pairs["n"] / pairs["of"]
    pairs = pairs.sort_values(["n", "share", "set", "label", "predicted"], ascending=[False, False, True, True, True])
    return pairs[["set", "label", "predicted", "n", "share"]].reset_index(drop=True)


def _known(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["label_rank"] != OUT_OF_CLASS]


def _metrics(rows: pd.DataFrame) -> dict[str, float]:
    known = _known(rows)
    metrics: dict[str, float] = {"n": len(known), "out_of_class": len(rows) - len(known)}
    if len(known):
        macro = f1_score(
            known["label"],
            known["predicted"],
            labels=sorted(known["label"].unique()),
            average="macro",
            zero_division=0.0,
        )
        metrics |= {
            "top1": float((known["label_rank"] == 1).mean()),
            "top5": float((known["label_rank"] <= 5).mean()),
            "macro_f1": float(macro),
            "log_loss": float(-np.log(np.maximum(known["label_score"], TINY)).mean()),
        }
    return {key: value if isinstance(value, int) else round(value, 6) for key, value in metrics.items()}
