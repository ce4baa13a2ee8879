"""Recipes for what the model has no class for: hesitant pictures that are alike, and unknown ones beside their like."""

import numpy as np
import pandas as pd

from pipeline.inference.vectors import unit
from pipeline.review.recipes.material import Found, Material, first, two_best

COMPONENTS = 32  # of the features that are clustered: in more, every picture is about as far from every other
FEWEST = 5  # images of a cluster
NEIGHBOURS = 3  # that an image needs to be more than noise
NO_EMBEDDINGS = "The predictions hold no embeddings, so that nothing is clustered: run `dvc repro` for that."


def look_alike(
    material: Material, *, number: int, classes: list[str], look_alike_score: float, look_alike_images: int, **_
) -> Found:
    """Pool images that the model names at a hesitant score: where a class it does not know may hide.

    Of `look_alike_images` of them, of each class it names as many as there are, those that look alike to the model
    are clustered (HDBSCAN on principal components of their features). A cluster that is tight, and far from every
    class, is likely a class of its own: such come first. Images of no cluster follow, the most hesitant first.
    """
    hesitant = (material.rows["score"] <= look_alike_score).to_numpy()
    pool = material.candidates(hesitant & material.labelled(classes) if classes else hesitant)
    vectors = material.vectors()
    if vectors is None:
        rows = material.pool.with_details(first(pool, [pool["score"].to_numpy()], number))
        return Found(rows.assign(label=rows["label"].astype("str"), reason=_hesitates(rows)), NO_EMBEDDINGS)
    pool = _of_each_class(pool, look_alike_images).sort_values("image")
    features = vectors.exact[pool.index.to_numpy()]
    described = _clusters(material, unit(features))
    pool = pool.assign(**described).astype({"label": "str"})
    rows = pool.sort_values(["standing", "depth", "score", "image"]).head(number)
    rows = material.pool.with_details(rows)
    alone = rows["cluster"] == ""
    reason = _hesitates(rows).where(alone, rows["said"] + "; the model hesitates between " + two_best(rows))
    return Found(rows.assign(reason=reason.astype("str")), "" if not alone.all() else "No cluster was found.")


def unknown(material: Material, *, number: int, look_alike: list[str], unknown_beside: int, **_) -> Found:
    """The library's unknown images, those the model is surest of first, each beside the pool images nearest to it.

    Args:
      look_alike: classes; only images that the model sees as one of these.
      unknown_beside: pool images for each.
    """
    rows = material.rows[material.rows["is_unknown"].to_numpy()]
    rows = rows[material.labelled(look_alike)[material.rows["is_unknown"]]] if look_alike else rows
    rows = rows.sort_values(["score", "image"], ascending=[False, True]).head(number)
    rows = material.pool.with_details(rows.assign(label=rows["label"].astype("str")))
    rows["reason"] = ("unknown until now; the model sees " + two_best(rows)).astype("str")
    vectors = material.vectors()
    if vectors is None or rows.empty or not unknown_beside:
        return Found(rows, NO_EMBEDDINGS if vectors is None and len(rows) and unknown_beside else "")
    beside = material.pool.with_details(_beside(material, rows, unknown_beside))
    near = beside["near"].map("{:.2f}".format).astype("str")
    seen = "; the model sees " + two_best(beside)
    beside["reason"] = ("alike (cosine " + near + ") to the unknown " + beside["to"] + seen).astype("str")
    rows = rows.assign(turn=np.arange(len(rows)), near=np.inf, cluster=rows["image"])
    both = pd.concat([rows, beside.assign(cluster=beside["to"])])
    several = both.groupby("cluster")["image"].transform("size") > 1
    both["cluster"] = both["cluster"].where(several, "")
    return Found(both.sort_values(["turn", "near", "image"], ascending=[True, False, True]).head(number))


def _of_each_class(pool: pd.DataFrame, number: int) -> pd.DataFrame:
    """`number` rows, of each label about as many, the most hesitant of each."""
    codes, scores = pool["label"].cat.codes.to_numpy(), pool["score"].to_numpy()
    ranked = np.lexsort([scores, codes])
    starts = np.searchsorted(codes[ranked], codes[ranked])
    turn = np.empty(len(pool), int)
    turn[ranked] = np.arange(len(pool)) - starts
    return first(pool, [turn, scores], number)


def _clusters(material: Material, units: np.ndarray) -> dict[str, np.ndarray]:
    """For each image (N,) its `cluster` in words, "" for none; where that stands in the queue; how deep the image lies
    in it; and what is `said` of it."""
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA

    none = np.full(len(units), "", object)
    found = {
        "cluster": none,
        "standing": np.full(len(units), np.inf),
        "depth": np.zeros(len(units)),
        "said": none.copy(),
    }
    if len(units) < 2 * FEWEST:
        return found
    components = min(COMPONENTS, len(units) - 1, units.shape[1])
    reduced = unit(PCA(components, svd_solver="covariance_eigh").fit_transform(units))
    hdbscan = HDBSCAN(min_cluster_size=FEWEST, min_samples=NEIGHBOURS, cluster_selection_method="leaf", copy=True)
    of = hdbscan.fit_predict(reduced)
    library = material.library()
    told = []
    for number in range(of.max() + 1):
        members = np.flatnonzero(of == number)
        centre = unit(units[members].mean(axis=0))
        found["depth"][members] = -(units[members] @ centre)
        coherence = float((units[members] @ centre).mean())
        nearest, cosine = "", 0.0
        if library is not None:
            names = list(library.means.index)
            cosines = library.mean_of(names) @ library.directions(units[members].mean(axis=0))
            nearest, cosine = names[int(cosines.argmax())], float(cosines.max())
        told.append((cosine - coherence, members, coherence, nearest, cosine))
    for place, (_, members, coherence, nearest, cosine) in enumerate(
        sorted(told, key=lambda row: (row[0], row[1][0])), 1
    ):
        words = f"{place}: {len(members)} alike (coherence {coherence:.2f})"
        found["cluster"][members] = words + (f", nearest to {nearest} ({cosine:.2f})" if nearest else "")
        found["said"][members] = f"one of {len(members)} pictures that are alike, perhaps a class of their own"
        found["standing"][members] = place
    return found


def _hesitates(rows: pd.DataFrame) -> pd.Series:
    return ("perhaps none of the model's classes; it hesitates between " + two_best(rows)).astype("str")


def _beside(material: Material, unknown: pd.DataFrame, number: int) -> pd.DataFrame:
    """For each of the unknown images, the nearest pool images that the model sees as the same class; `to`, `near`."""
    vectors = material.vectors()
    assert vectors is not None
    found, taken = [], np.empty(0, int)
    turns = pd.Series(np.arange(len(unknown)), index=unknown.index)
    for label, alike in unknown.groupby("label", sort=True):
        among = np.setdiff1d(material.candidates(material.labelled([str(label)])).index.to_numpy(), taken)
        if not len(among):
            continue
        places, cosines = vectors.nearest(vectors.exact[alike.index.to_numpy()], number=number, among=among)
        near = pd.DataFrame(
            {
                "place": places.ravel(),
                "near": cosines.ravel(),
                "to": np.repeat(alike["image"].to_numpy(object), places.shape[1]),
                "turn": np.repeat(turns[alike.index].to_numpy(), places.shape[1]),
            }
        )
        near = near.sort_values(["near", "to"], ascending=[False, True]).drop_duplicates("place")
        taken = np.append(taken, near["place"])
        found.append(near.set_index("place"))
    if not found:
        return unknown.head(0).drop(columns=["top_labels", "top_scores"]).assign(near=0.0, to="", turn=0)
    near = pd.concat(found)
    return material.rows.loc[near.index].astype({"label": "str"}).join(near)
