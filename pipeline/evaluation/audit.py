"""The label audit: images whose label the model contradicts with confidence, ranked (Northcutt, Jiang, Chuang 2021).

A model does not contradict what it has overfit. Images it was trained on are judged by their likest images instead, by
features of a frozen network, which no label has touched (`neighbours`); where there are none, by the others of their
class (`prototypes`), which sees little of what was overfit. They are ranked apart, after the others, and say so. Images
that no network was trained on are judged by both, by the product of their probabilities (Kittler, Hatef, Duin, Matas
1998, IEEE PAMI 20: 226-239, "On combining classifiers"), and those of classes below the cutoff, which no network knows,
by their likest images alone.

An error that all images of a kind share, in a class or in several bursts, is not seen: nothing contradicts it.

Images that belong together are asked together and count once: a person decides on them in one go.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.evaluation.neighbours import Neighbours
from pipeline.evaluation.prototypes import Prototypes
from pipeline.evaluation.scores import BLOCK, OPEN_SETS, TINY, Matrix, clusters_of, known, probs_of
from pipeline.library.benchmarks import PREFIX
from pipeline.library.exclusion import Reason

FILE = "audit.parquet"
COLUMNS = [
    "image", "sha256", "group", "set", "label", "predicted", "score", "label_score", "trained", "frozen", "verdict_at",
    "contradicted", "asked", "rank", "reason", "model", "cluster",
]  # fmt: skip
TRAINED = ["train"]
FROZEN = ("test", PREFIX)  # beginnings of sets that only a person corrects, which makes a new version
NOT_RANKED = 0
STRONG = 8  # times as likely as the label is what likest images say instead (Jeffreys 1961 calls 10 strong evidence)
BELOW_CUTOFF = OPEN_SETS[Reason.BELOW_CUTOFF]

Opinion = Callable[[slice | np.ndarray], np.ndarray]  # probabilities (M, C) of some images


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
    frozen_features: Matrix | None = None,
) -> pd.DataFrame:
    """Finds the labels that are worth a second look.

    Rules:
      1. Confident learning says how many labels are wrong, from the images whose score for a class reaches that
         class's usual one, and takes so many of those that the model finds least likely (cleanlab); among them, only
         those that it calls by another name, and, where likest images judge, `STRONG` times as likely. Images that the
         model was trained on or has no class for, images it was not, and those of frozen sets are judged apart.
      2. An image that a person has decided on, and whose label is what they decided, is asked again only when
         `ask_again_after` models in a row, none of them the one that it was decided beside, contradict the label.
      3. Of each part at most `max_share` of its clusters are asked, the most confident first. Classes below the cutoff
         are a part of their own.

    Args:
      scores: one row per image, in the order of `log_probs` (N, C) and of `embeddings` (N, F), and perhaps with
        `cluster`, what belongs together.
      frozen_features: of a network that no round trains (N, F), zeros where an image has none.
      verdicts: columns `image`, `at`, `model` and `label` (what was decided; "" for: as it is).
      before: the audit that came with the base (`COLUMNS`), or an empty table.

    Returns:
      `COLUMNS`: `predicted`, `score` and `label_score` are those of whoever judges, as `reason` says; `frozen`,
      corrected by a person in a new version of the set only; `contradicted`, by how many models in a row since the
      verdict; `asked`, or silenced by rule 2 or 3; `rank` of the cluster from 1 among those asked of a part, else 0.
    """
    judges = _judges(scores, log_probs, embeddings, classes, frozen_features)
    judged = judges.rows[judges.able]
    frozen = judged["set"].str.startswith(FROZEN)
    taught = judged["set"].isin([*TRAINED, BELOW_CUTOFF])
    found = []
    for part in (judged[~frozen & ~taught], judged[taught], judged[frozen]):
        doubted = _suspects(part, judges) if len(part) else part
        doubted = doubted.assign(trained=doubted["set"].isin(TRAINED), frozen=doubted["set"].str.startswith(FROZEN))
        for below, suspects in ((flag, doubted[(doubted["set"] == BELOW_CUTOFF) == flag]) for flag in (False, True)):
            suspects = _remember(suspects, verdicts, before)
            asked = (suspects["verdict_at"] == "") | (suspects["contradicted"] >= ask_again_after)
            place = pd.Series(pd.factorize(suspects["cluster"].where(asked))[0] + 1, suspects.index)
            clusters = part.loc[(part["set"] == BELOW_CUTOFF) == below, "cluster"].nunique()
            asked &= place <= np.ceil(max_share * clusters)
            rank = place.where(asked, NOT_RANKED)
            found.append(suspects.assign(asked=asked, rank=rank, reason=_reasons(suspects)))
    return pd.concat(found)[COLUMNS].reset_index(drop=True)


def nothing() -> pd.DataFrame:
    """The audit before the first round."""
    return pd.DataFrame(columns=COLUMNS)


def first(audit: pd.DataFrame, *, number: int) -> pd.DataFrame:
    """Of each part the first `number` clusters asked: the likeliest image of each, and how many `more` are asked."""
    asked = audit[audit["asked"] & (audit["rank"] <= number)]
    key = ["trained", "frozen", "rank", "below"]
    asked = asked.assign(below=asked["set"] == BELOW_CUTOFF)
    more = asked.groupby(key)["image"].transform("size") - 1
    return asked.assign(more=more).drop_duplicates(key).drop(columns="below")


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


@dataclass(frozen=True)
class _Judges:
    """Who has an opinion on labels.

    Attributes:
      rows: the images that can be judged, with the index of `log_probs` and `embeddings`, and `cluster`.
      classes: those of the model first, then those below the cutoff.
      known: how many the model knows.
      neighbours: over `rows`; None without frozen features.
    """

    rows: pd.DataFrame
    log_probs: Matrix
    embeddings: Matrix
    classes: list[str]
    known: int
    neighbours: Neighbours | None

    @property
    def able(self) -> np.ndarray:
        """Which of the rows somebody can judge (N,)."""
        if self.neighbours is None:
            return np.ones(len(self.rows), bool)
        return self.neighbours.judged | self.by_model(self.rows)

    def by_model(self, rows: pd.DataFrame) -> np.ndarray:
        """On which rows (M,) the model has an opinion that it was not taught."""
        return ~rows["set"].isin([*TRAINED, BELOW_CUTOFF]).to_numpy()

    def targets(self, rows: pd.DataFrame) -> np.ndarray:
        return pd.Index(self.classes).get_indexer(rows["label"])

    def of(self, rows: pd.DataFrame) -> Opinion:
        """The opinion on some of the rows."""
        places, neighbours = rows.index.to_numpy(), self.neighbours
        model = lambda some: probs_of(self.log_probs[places[some]])  # noqa: E731
        if neighbours is None:
            if self.by_model(rows).all():
                return model
            number, targets = len(self.classes), self.targets(rows)
            return Prototypes(self.embeddings, places, targets, num_classes=number, cluster=rows["cluster"]).probs
        within, untaught = self.rows.index.get_indexer(places), self.by_model(rows)

        def opinion(some: "slice | np.ndarray") -> np.ndarray:
            likest, both = neighbours.probs(within[some]), np.arange(len(places))[some]
            alone = ~neighbours.judged[within[some]]
            if untaught[some].any():
                said, asked = model(both[untaught[some]]), np.flatnonzero(untaught[some])
                theirs = likest[asked, : self.known]
                share = np.where(alone[asked, None], 1.0, theirs.sum(axis=1, keepdims=True))
                pooled = np.where(alone[asked, None], said, said * theirs)
                likest[np.flatnonzero(alone)] = 0.0
                likest[asked, : self.known] = share * pooled / np.maximum(pooled.sum(axis=1, keepdims=True), TINY)
            return likest

        return opinion


def _judges(
    scores: pd.DataFrame, log_probs: Matrix, embeddings: Matrix, classes: list[str], frozen_features: Matrix | None
) -> _Judges:
    judged = known(scores)
    if frozen_features is None:
        judged = judged.assign(cluster=clusters_of(judged))
        return _Judges(judged, log_probs, embeddings, classes, len(classes), None)
    below = (scores["set"] == BELOW_CUTOFF) & (scores["label"] != "")
    judged = scores[scores.index.isin(judged.index) | below]
    judged = judged.assign(cluster=clusters_of(judged))
    further = sorted(set(judged["label"]) - set(classes))
    judges = _Judges(judged, log_probs, embeddings, [*classes, *further], len(classes), None)
    neighbours = Neighbours(
        frozen_features,
        judged.index.to_numpy(),
        judges.targets(judged),
        num_classes=len(judges.classes),
        cluster=judged["cluster"],
        votes=~judged["set"].str.startswith(FROZEN).to_numpy(bool),
    )
    return replace(judges, neighbours=neighbours)


def _suspects(rows: pd.DataFrame, judges: _Judges) -> pd.DataFrame:
    """The rows whose labels are likely wrong, the likeliest first, with what speaks against them."""
    from cleanlab.experimental.label_issues_batched import LabelInspector

    classes, targets, opinion = judges.classes, judges.targets(rows), judges.of(rows)
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
        likest=judges.neighbours is not None,
    )
    strong = suspects["score"] >= STRONG * suspects["label_score"]
    return suspects[(best != targets[found]) & (strong | (judges.neighbours is None))]


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
        taught = row.trained or row.set == BELOW_CUTOFF
        if not row.likest:
            who = "the model was trained on it; the others of these classes say" if taught else "the model sees"
        else:
            who = "its likest images, by frozen features, say" if taught else "the model and its likest images say"
        said.append(f"labelled {row.label} ({row.label_score:.0%}); {who} {row.predicted} ({row.score:.0%})")
    return said
