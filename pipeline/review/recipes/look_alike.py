"""Recipe look-alike: hesitant pool images that are alike, where a class that the model does not know may hide."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation.cosine import highest, unit
from pipeline.inference.vectors import Vectors
from pipeline.review.recipes import nearness
from pipeline.review.recipes.inputs import NO_FEATURES, Found, Library, Material, two_best
from pipeline.review.recipes.settings import OfClasses

COMPONENTS = 32  # of the features that are clustered: in more, every picture is about as far from every other
FEWEST = 5  # images of a cluster
NEIGHBOURS = 3  # that an image needs to be more than noise
OWN, LABELLED = 5, 10  # nearest hesitant images, and nearest labelled ones, that tell how new an image is
FEW = 3  # pictures shown of a cluster that is like nothing labelled: once named, they let low-count find the others
SPACE = 27  # rows before the next such cluster: they take a tenth of the rows
NO_LIBRARY = "The library's features are missing: how far clusters are from known classes is not told."


@dataclass(frozen=True, kw_only=True)
class LookAlike(OfClasses):
    """What `look_alike` takes."""

    look_alike_score: float
    look_alike_images: int
    purge_far: float


def look_alike(material: Material, asked: LookAlike) -> Found:
    """Pool images that the model names at a hesitant score: where a class it does not know may hide.

    `look_alike_images` of them are looked at, of each class that the model names about as many, the most hesitant.
    An image is the newer, the nearer it is to others of these, and the farther from labelled images (mean cosines to
    the `OWN` and `LABELLED` nearest). Those alike are clustered (HDBSCAN on principal components of their features);
    a cluster stands where its mean does. Without embeddings, the most hesitant come first.

    Junk is alike, too, and farther from all labels than any new class. So what `purge_low` lists is left to it: what is
    nearer to an image that people called bad than to any labelled one, and what is like nothing labelled (`purge_far`).
    But of a cluster of these, `FEW` pictures stand among the rows: it may be a class.
    """
    hesitant = (material.rows["score"] <= asked.look_alike_score).to_numpy()
    pool = material.candidates(hesitant & material.labelled(asked.classes) if asked.classes else hesitant)
    vectors, library = material.vectors(), material.library()
    if vectors is None:
        rows = material.with_details(material.first(pool, [pool["score"].to_numpy()], asked.max_rows))
        return Found(rows.assign(label=rows["label"].astype("str"), reason=_hesitates(rows)), NO_FEATURES)
    pool = _of_each_class(material, pool, asked.look_alike_images).sort_values("image").astype({"label": "str"})
    units = unit(vectors.exact[pool.index.to_numpy()])
    like_bad, far = _worthless(material, units, vectors, library, share=asked.purge_far)
    pool, units = pool[~like_bad], units[~like_bad]
    new = _novelty(units, library)
    pool = pool.assign(new=new, far=far[~like_bad], **_clusters(units, new, library))
    pool["standing"] = pool["standing"].where(pool["cluster"] != "", pool["new"])
    rows = pool.sort_values(["standing", "cluster", "new", "image"], ascending=[False, True, False, True])
    rows = material.with_details(_in_turn(rows).head(asked.max_rows))
    alone = rows["cluster"] == ""
    reason = _hesitates(rows).where(alone, rows["said"] + "; the model hesitates between " + two_best(rows))
    return Found(rows.assign(reason=reason.astype("str")), NO_LIBRARY if library is None else "")


def _of_each_class(material: Material, pool: pd.DataFrame, number: int) -> pd.DataFrame:
    """`number` candidates, of each label about as many, the most hesitant of each."""
    codes, scores = pool["label"].cat.codes.to_numpy(), pool["score"].to_numpy()
    ranked = np.lexsort([scores, codes])
    starts = np.searchsorted(codes[ranked], codes[ranked])
    turn = np.empty(len(pool), int)
    turn[ranked] = np.arange(len(pool)) - starts
    return material.first(pool, [turn, scores], number)


def _worthless(
    material: Material, units: np.ndarray, vectors: Vectors, library: Library | None, *, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each image (N, F) is nearer to a bad one than to any labelled one, and whether far from all these."""
    known = None if library is None else nearness.known(library, far=share)
    if known is None:
        return np.zeros(len(units), bool), np.zeros(len(units), bool)
    near = units @ known.features.T
    like_bad = nearness.to_bad(units, nearness.called_bad(material)[1], vectors) > near.max(axis=1)
    return like_bad, highest(near, known.neighbour)[:, -1] < known.limit


def _in_turn(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in their order; of each cluster that is `far` as a whole a few, between the others; no single far ones."""
    whose = rows["cluster"].where(rows["cluster"] != "", rows["image"])
    apart = rows["far"].groupby(whose).transform("all")
    usual, few = rows[~apart], rows[apart & (rows["cluster"] != "")].groupby("cluster", sort=False).head(FEW)
    begins = pd.Series(np.arange(len(usual)), index=usual.index).groupby(whose[usual.index]).transform("min")
    between = SPACE * (few.groupby("cluster", sort=False).ngroup() + 1) - 0.5
    return rows.loc[pd.concat([begins, between]).sort_values(kind="stable").index]


def _novelty(units: np.ndarray, library: Library | None) -> np.ndarray:
    """How much nearer each image (N, F) is to others of these than to labelled ones."""
    own = units @ units.T
    np.fill_diagonal(own, -1.0)
    novelty = _mean_of_highest(own, OWN)
    if library is None:
        return novelty
    some = library.sample(nearness.HELD_AGAINST, least=3)
    return novelty - _mean_of_highest(units @ unit(library.embeddings[some]).T, LABELLED)


def _mean_of_highest(cosines: np.ndarray, number: int) -> np.ndarray:
    number = min(number, cosines.shape[1])
    return highest(cosines, number).mean(axis=1) if number else np.zeros(len(cosines))


def _clusters(units: np.ndarray, new: np.ndarray, library: Library | None) -> dict[str, np.ndarray]:
    """For each image (N,) its `cluster` in words, "" for none; the mean of `new` in it; and what is `said` of it."""
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA

    text, standing, said = np.full(len(units), "", object), np.zeros(len(units)), np.full(len(units), "", object)
    found = {"cluster": text, "standing": standing, "said": said}
    if len(units) < 2 * FEWEST:
        return found
    components = min(COMPONENTS, len(units) - 1, units.shape[1])
    pca = PCA(
        components, svd_solver="randomized", iterated_power=7, random_state=0
    )  # all axes would take 20 times as long
    reduced = unit(pca.fit_transform(units))
    hdbscan = HDBSCAN(min_cluster_size=FEWEST, min_samples=NEIGHBOURS, cluster_selection_method="leaf", copy=True)
    of = hdbscan.fit_predict(reduced)
    members = [np.flatnonzero(of == number) for number in range(of.max() + 1)]
    members.sort(key=lambda own: (-new[own].mean(), own[0]))
    centres = np.array([units[own].mean(axis=0) for own in members]).reshape(-1, units.shape[1])
    names = [] if library is None else list(library.means.index)
    cosines = np.empty((len(members), 0)) if library is None else library.directions(centres) @ library.mean_of(names).T
    for number, (own, centre, near) in enumerate(zip(members, centres, cosines, strict=True), 1):
        text[own] = f"{number}: {len(own)} alike (coherence {(units[own] @ unit(centre)).mean():.2f})"
        if len(near):
            text[own] += f", nearest to {names[int(near.argmax())]} ({near.max():.2f})"
        said[own] = f"one of {len(own)} pictures that are alike, perhaps a class of their own"
        standing[own] = new[own].mean()
    return found


def _hesitates(rows: pd.DataFrame) -> pd.Series:
    return ("perhaps none of the model's classes; it hesitates between " + two_best(rows)).astype("str")
