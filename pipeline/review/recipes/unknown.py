"""Recipe unknown: the library's unknown images beside the pool images that are like them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.review.recipes.inputs import NO_FEATURES, Found, Material, two_best
from pipeline.review.recipes.settings import Asked

SHORTLIST = 50  # images that are compared with an unknown one, of those whose codes are near


@dataclass(frozen=True, kw_only=True)
class Unknown(Asked):
    """What `unknown` takes.

    Attributes:
      look_alike: classes; only images that the model sees as one of these.
      unknown_beside: pool images for each.
    """

    look_alike: list[str]
    unknown_beside: int


def unknown(material: Material, asked: Unknown) -> Found:
    """The library's unknown images, those the model is surest of first, each beside the pool images nearest to it."""
    wanted = material.rows["is_unknown"].to_numpy() & material.free
    rows = material.rows[wanted & material.labelled(asked.look_alike) if asked.look_alike else wanted]
    rows = rows.sort_values(["score", "image"], ascending=[False, True]).head(asked.max_rows)
    rows = material.with_details(rows.assign(label=rows["label"].astype("str")))
    rows["reason"] = ("unknown until now; the model sees " + two_best(rows)).astype("str")
    vectors = material.vectors()
    if vectors is None or rows.empty or not asked.unknown_beside:
        return Found(rows, NO_FEATURES if vectors is None and len(rows) and asked.unknown_beside else "")
    beside = material.with_details(_beside(material, rows, asked.unknown_beside))
    near = beside["near"].map("{:.2f}".format).astype("str")
    seen = "; the model sees " + two_best(beside)
    beside["reason"] = ("alike (cosine " + near + ") to the unknown " + beside["to"] + seen).astype("str")
    rows = rows.assign(turn=np.arange(len(rows)), near=np.inf, cluster=rows["image"])
    both = pd.concat([rows, beside.assign(cluster=beside["to"])])
    several = both.groupby("cluster")["image"].transform("size") > 1
    both["cluster"] = both["cluster"].where(several, "")
    return Found(both.sort_values(["turn", "near", "image"], ascending=[True, False, True]).head(asked.max_rows))


def _beside(material: Material, unknown: pd.DataFrame, number: int) -> pd.DataFrame:
    """For each of the unknown images, the nearest pool images that the model sees as the same class; `to`, `near`."""
    vectors = material.vectors()
    assert vectors is not None
    pool = material.candidates(material.labelled(set(unknown["label"])))
    of_label = pool.index.to_series().groupby(pool["label"], observed=True).indices
    places, cosines, turns = [np.empty(0, int)], [np.empty(0, np.float32)], [np.empty(0, int)]
    for label, alike in unknown.groupby("label").indices.items():
        if label not in of_label:
            continue
        among, queries = pool.index.to_numpy()[of_label[label]], vectors.exact[unknown.index.to_numpy()[alike]]
        found, near = vectors.nearest(queries, number=number, among=among, shortlist=SHORTLIST)
        places.append(found.ravel())
        cosines.append(near.ravel())
        turns.append(np.repeat(alike, found.shape[1]))
    turn = np.concatenate(turns)
    beside = pd.DataFrame({"near": np.concatenate(cosines), "turn": turn}, index=np.concatenate(places))
    beside = beside.assign(to=unknown["image"].to_numpy(object)[turn])
    beside = beside.sort_values(["near", "to"], ascending=[False, True])
    beside = beside[~beside.index.duplicated()]
    return material.named(beside.join(pool)).astype({"label": "str"})
