"""The label audit: images whose label the model contradicts with confidence, ranked (Northcutt, Jiang, Chuang 2021).

A model does not contradict what it has overfit. Images it was trained on are compared with the others of their class
instead (`prototypes`); they are ranked apart, after the others, and say so.

Images that belong together are asked together and count once: a person decides on them in one go.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from pipeline.evaluation.prototypes import Prototypes
from pipeline.evaluation.scores import BLOCK, Matrix, clusters_of, known, probs_of
from pipeline.library.benchmarks import PREFIX

FILE = "audit.parquet"
COLUMNS = [
    "image", "sha256", "group", "set", "label", "predicted", "score", "label_score", "trained", "frozen", "verdict_at",
    "contradicted", "asked", "rank", "reason", "model", "cluster",
]  # fmt: skip
TRAINED = ["train"]
FROZEN = ("test", PREFIX)  # beginnings of sets that only a person corrects, which makes a new version
NOT_RANKED = 0


def find(
    scores: pd.DataFrame,
    log_probs: Matrix,
    embeddings: Matrix,
    classes: list[str],
    verdicts: pd.DataFrame,
    before: pd.DataFrame,
    *,
    max_share: float,
    ask_again_after: int,
) -> pd.DataFrame:
    """Finds the labels that are worth a second look.

    Rules:
      1. Confident learning says how many labels are wrong, from the images whose score for a class reaches that
         class's usual one, and takes so many of those that the model finds least likely (cleanlab); among them, only
         those that it calls by another name. Images that the model was trained on, images it was not, and those of
         frozen sets are judged apart.
      2. An image that a person has decided on, and whose label is what they decided, is asked again only when
         `ask_again_after` models in a row, none of them the one that it was decided beside, contradict the label.
      3. Of each part at most `max_share` of its clusters are asked, the most confident first.

    Args:
      scores: one row per image, in the order of `log_probs` (N, C) and of `embeddings` (N, F), and perhaps with
        `cluster`, what belongs together.
      verdicts: columns `image`, `at`, `model` and `label` (what was decided; "" for: as it is).
      before: the audit that came with the base (`COLUMNS`), or an empty table.

    Returns:
      `COLUMNS`: `predicted`, `score` and `label_score` are the model's, or the class means' where `trained`; `frozen`,
      corrected by a person in a new version of the set only; `contradicted`, by how many models in a row since the
      verdict; `asked`, or silenced by rule 2 or 3; `rank` of the cluster from 1 among those asked of a part, else 0.
    """
    judged = known(scores)
    judged = judged.assign(cluster=clusters_of(judged))
    frozen = judged["set"].str.startswith(FROZEN)
    trained = judged["set"].isin(TRAINED)
    found = []
    for part in (judged[~frozen & ~trained], judged[~frozen & trained], judged[frozen]):
        suspects = _suspects(part, log_probs, embeddings, classes) if len(part) else part
        suspects = suspects.assign(trained=suspects["set"].isin(TRAINED), frozen=suspects["set"].str.startswith(FROZEN))
        suspects = _remember(suspects, verdicts, before)
        asked = (suspects["verdict_at"] == "") | (suspects["contradicted"] >= ask_again_after)
        place = pd.Series(pd.factorize(suspects["cluster"].where(asked))[0] + 1, suspects.index)
        asked &= place <= np.ceil(max_share * part["cluster"].nunique())
        rank = place.where(asked, NOT_RANKED)
        found.append(suspects.assign(asked=asked, rank=rank, reason=_reasons(suspects)))
    return pd.concat(found)[COLUMNS].reset_index(drop=True)


def nothing() -> pd.DataFrame:
    """The audit before the first round."""
    return pd.DataFrame(columns=COLUMNS)


def first(audit: pd.DataFrame, *, number: int) -> pd.DataFrame:
    """Of each part the first `number` clusters asked: the likeliest image of each, and how many `more` are asked."""
    asked = audit[audit["asked"] & (audit["rank"] <= number)]
    key = ["trained", "frozen", "rank"]
    more = asked.groupby(key)["image"].transform("size") - 1
    return asked.assign(more=more).drop_duplicates(key)


def figures(scores: pd.DataFrame, audit: pd.DataFrame) -> dict[str, dict[str, float]]:
    """For each set, how many of its images are asked (`audit_asked`), what share of it they are, and how many of them
    are independent (`audit_independent`)."""
    sizes = known(scores)["set"].value_counts()
    rows = audit[audit["asked"].astype(bool)]
    asked, clusters = rows["set"].value_counts(), rows.groupby("set")["cluster"].nunique()
    return {
        str(name): {
            "audit_asked": int(asked.get(name, 0)),
            "audit_share": float(asked.get(name, 0) / n),
            "audit_independent": int(clusters.get(name, 0)),
        }
        for name, n in sizes.items()
    }


def _suspects(rows: pd.DataFrame, log_probs: Matrix, embeddings: Matrix, classes: list[str]) -> pd.DataFrame:
    """The rows whose labels are likely wrong, the likeliest first, with what speaks against them."""
    from cleanlab.experimental.label_issues_batched import LabelInspector

    places, targets = rows.index.to_numpy(), pd.Index(classes).get_indexer(rows["label"])
    opinion: Callable[[slice | np.ndarray], np.ndarray]
    if rows["set"].isin(TRAINED).all():
        opinion = Prototypes(embeddings, places, targets, num_classes=len(classes), cluster=rows["cluster"]).probs
    else:
        opinion = lambda some: probs_of(log_probs[places[some]])  # noqa: E731
    inspector = LabelInspector(num_class=len(classes), verbose=False, n_jobs=1)
    for judge in (inspector.update_confident_thresholds, inspector.score_label_quality):
        for start in range(0, len(rows), BLOCK):
            some = slice(start, start + BLOCK)
            judge(targets[some], opinion(some))
    found = inspector.get_label_issues()
    probs = opinion(found)
    best = probs.argmax(axis=1)
    suspects = rows.iloc[found].assign(
        predicted=np.asarray(classes, dtype=object)[best],
        score=probs.max(axis=1).astype(float),
        label_score=probs[np.arange(len(found)), targets[found]].astype(float),
    )
    return suspects[best != targets[found]]


def _remember(suspects: pd.DataFrame, verdicts: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    latest = verdicts.sort_values("at", kind="stable").drop_duplicates("image", keep="last")
    said = suspects[["image", "label", "model"]].merge(
        latest.rename(columns={"label": "decided", "model": "beside"}), on="image", how="left"
    )
    stands = said["at"].notna() & ((said["decided"] == "") | (said["decided"] == said["label"]))
    at = said["at"].where(stands).astype("str").fillna("").to_numpy()
    earlier = before.drop_duplicates("image").set_index("image")
    counted = suspects["image"].map(earlier["contradicted"]).astype(float).fillna(0).to_numpy(int)
    since = (
        suspects["image"].map(earlier["verdict_at"]).astype("str").fillna("").to_numpy() == at
    )  # not an older verdict's count
    once_more = 1 - (said["beside"] == said["model"]).to_numpy(int)
    contradicted = np.where(at == "", 0, np.where(since, counted, 0) + once_more)
    return suspects.assign(verdict_at=at, contradicted=contradicted)


def _reasons(suspects: pd.DataFrame) -> list[str]:
    said = []
    for row in suspects.itertuples():
        who = "the model was trained on it; the others of these classes say" if row.trained else "the model sees"
        said.append(f"labelled {row.label} ({row.label_score:.0%}); {who} {row.predicted} ({row.score:.0%})")
    return said
