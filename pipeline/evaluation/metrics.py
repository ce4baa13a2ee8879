"""How often a model is right: in each set, class, sub-class and origin, with intervals and sample sizes."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from pipeline.evaluation import calibration, independence, intervals
from pipeline.evaluation.scores import TINY, clusters_of, known
from pipeline.library.benchmarks import PREFIX

BY_CLASS = [
    "set", "label", "n", "precision", "recall", "f1", "mean_score", "recall_low", "recall_high", "said",
    "precision_low", "precision_high", "independent", "effective",
]  # fmt: skip
SLICES = ["set", "slice", "label", "value", "n", "top1", "top1_low", "top1_high", "independent"]
SIMILARITY, ISOLATED = "similarity", "isolated"
QUARTERS = [f"{part} alike to training" for part in ("least", "less", "more", "most")]
FEWEST_COMPARED = 20  # images whose similarity to training says anything
CONFUSIONS = ["set", "label", "predicted", "n", "share"]


def by_set(scores: pd.DataFrame, *, confidence: float) -> dict[str, dict[str, Any]]:
    """The headline metrics of each set, over the images whose class the model knows.

    Returns:
      For each set `n`, `out_of_class` (images whose class the model does not know) and, if `n` is not 0, `independent`
      (clusters among them), `top1`, `top5`, `macro_f1` and `weighted_f1` (over the classes the set has) and `log_loss`,
      each with its interval as `NAME_low` and `NAME_high` (where one can be right, see `intervals`), `effective` (how
      many images, drawn one by one, would tell as much of `top1`), `ece`, and beside it what a perfect model has by
      chance, `ece_perfect`, at most `ece_perfect_high` (`calibration`).
    """
    return {str(name): _metrics(rows, confidence) for name, rows in scores.groupby("set")}


def by_class(scores: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """One row per set and class, columns `BY_CLASS`: `n` images, `said` of so many; `mean_score` is of the true class.

    `independent` counts the clusters among the `n`, and `effective` what they are worth for the recall.
    """
    tables = [pd.DataFrame(columns=BY_CLASS)]
    for name, rows in known(scores).groupby("set"):
        targets, predicted, names = _codes(rows)
        cluster = clusters_of(rows)
        present = np.unique(targets)
        precision, recall, f1, n = precision_recall_fscore_support(
            targets, predicted, labels=present, zero_division=0.0
        )
        said = np.bincount(predicted, minlength=len(names))[present]
        own = np.bincount(targets, rows["label_score"], minlength=len(names))[present] / n
        table = pd.DataFrame(
            {
                "set": name,
                "label": names[present],
                "n": n,
                "precision": precision,
                "recall": recall,
                "f1": f1,
                "mean_score": own,
                "said": said,
            }
        )
        right = targets == predicted
        recalled, precise = (
            independence.gather(right, cluster, part, parts=len(names))[present] for part in (targets, predicted)
        )
        table["recall_low"], table["recall_high"] = intervals.share(recalled, confidence=confidence)
        table["precision_low"], table["precision_high"] = intervals.share(precise, confidence=confidence)
        table["independent"] = recalled.clusters.astype(int)
        table["effective"] = independence.effective(recalled, confidence=confidence)
        tables.append(table)
    return pd.concat(tables[1:] or tables, ignore_index=True)[BY_CLASS]


def slices(scores: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Accuracy of parts of a set, columns `SLICES`: by origin (`label` is empty), and by sub-class within a class.

    Where `scores` have a `similarity` (to the most alike training image), also by its quarters over all sets, and of
    the `ISOLATED` images: those that are no more alike to training than most benchmark images are, or without
    benchmarks the least alike quarter. A test set whose isolated images fare much worse is too near to training.
    """
    rows = known(scores)
    rows = rows.assign(right=rows["label_rank"] == 1, cluster=clusters_of(rows))
    by_origin = rows.assign(slice="origin", value=rows["origin"], label="")
    by_subclass = rows[rows["subclass"] != ""].assign(slice="subclass")
    both = pd.concat([by_origin, by_subclass.assign(value=by_subclass["subclass"]), *_by_similarity(rows)])
    groups = both.groupby(SLICES[:4])
    table = groups["right"].agg(n="size", top1="mean").reset_index()
    sums = independence.gather(both["right"], both["cluster"], groups.ngroup(), parts=len(table))
    low, high = intervals.share(sums, confidence=confidence)
    return table.assign(top1_low=low, top1_high=high, independent=sums.clusters.astype(int))[SLICES]


def _by_similarity(rows: pd.DataFrame) -> list[pd.DataFrame]:
    if "similarity" not in rows or rows["similarity"].notna().sum() < FEWEST_COMPARED:
        return []
    compared = rows[rows["similarity"].notna()].assign(label="")
    of_benchmarks = compared.loc[compared["set"].str.startswith(PREFIX), "similarity"]
    enough = len(of_benchmarks) >= FEWEST_COMPARED
    limit = of_benchmarks.median() if enough else compared["similarity"].quantile(0.25)
    edges = compared["similarity"].quantile([0.25, 0.5, 0.75]).to_numpy()
    quarter = np.searchsorted(edges, compared["similarity"])
    names = np.array(QUARTERS)
    isolated = compared[compared["similarity"] <= limit]
    return [
        compared.assign(slice=SIMILARITY, value=names[quarter]),
        isolated.assign(slice=ISOLATED, value=f"{ISOLATED}: at most {limit:.2f} alike to training"),
    ]


def confusions(scores: pd.DataFrame) -> pd.DataFrame:
    """Wrong pairs, columns `CONFUSIONS`, most frequent first; `share` is of the class's images in that set."""
    rows = known(scores)
    sizes = rows.groupby(["set", "label"]).size().rename("of")
    wrong = rows[rows["label_rank"] != 1]
    pairs = wrong.groupby(["set", "label", "predicted"]).size().rename("n").reset_index()
    pairs = pairs.merge(sizes, on=["set", "label"])
    pairs["share"] = pairs["n"] / pairs["of"]
    pairs = pairs.sort_values(["n", "share", "set", "label", "predicted"], ascending=[False, False, True, True, True])
    return pairs[CONFUSIONS].reset_index(drop=True)


def merged(*figures: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All figures of each set of the first, without those not known, floats to 6 places."""
    return {
        name: _rounded({key: value for part in figures for key, value in part.get(name, {}).items()})
        for name in figures[0]
    }


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    told = {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}
    return {
        key: round(value, 6) if isinstance(value, float) else value
        for key, value in told.items()
        if not (isinstance(value, float) and np.isnan(value))
    }


def _metrics(rows: pd.DataFrame, confidence: float) -> dict[str, Any]:
    inside = known(rows)
    n, cluster = len(inside), clusters_of(inside)
    metrics: dict[str, Any] = {"n": n, "out_of_class": len(rows) - n}
    if not n:
        return metrics
    metrics["independent"] = int(cluster.nunique())
    for name, k in {"top5": 5, "top1": 1}.items():
        sums = independence.gather(inside["label_rank"] <= k, cluster)
        (low,), (high,) = intervals.share(sums, confidence=confidence)
        metrics |= {name: float(sums.mean[0]), f"{name}_low": low, f"{name}_high": high}
    metrics["effective"] = float(independence.effective(sums, confidence=confidence)[0])  # of top1, the last

    targets, predicted, _ = _codes(inside)
    _, _, f1, sizes = precision_recall_fscore_support(targets, predicted, labels=np.unique(targets), zero_division=0.0)
    log_losses = -np.log(np.maximum(inside["label_score"].to_numpy(), TINY))
    bounds = intervals.f1(targets, predicted, cluster, confidence=confidence)
    bounds["log_loss"] = intervals.mean(log_losses, cluster, confidence=confidence)
    metrics |= {
        "macro_f1": f1.mean(),
        "weighted_f1": np.average(f1, weights=sizes),
        "log_loss": log_losses.mean() + 0.0,  # a zero without a sign
    }
    metrics |= {
        f"{name}_{end}": value
        for name, pair in bounds.items()
        for end, value in zip(("low", "high"), pair, strict=True)
    }
    bins = calibration.reliability(inside["score"], inside["label_rank"] == 1, cluster, confidence=confidence)
    perfect = calibration.expected_error_of_a_perfect_model(inside["score"], cluster, confidence=confidence)
    by_chance = dict(zip(("ece_perfect", "ece_perfect_high"), perfect, strict=True))
    return _rounded(metrics | {"ece": calibration.expected_error(bins)} | by_chance)


def _codes(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and predictions as numbers, and the sorted names that they stand for."""
    codes, names = pd.factorize(pd.concat([rows["label"], rows["predicted"]]), sort=True)
    return codes[: len(rows)], codes[len(rows) :], np.asarray(names, dtype=object)
