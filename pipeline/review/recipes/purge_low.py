"""Recipe purge-low: images not worth labelling, as a list for the quarantine and a random sample that people judge."""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation.cosine import highest, unit
from pipeline.inference.vectors import Vectors
from pipeline.library import duplicates
from pipeline.review.recipes import nearness
from pipeline.review.recipes.inputs import Found, Library, Material, two_best
from pipeline.review.recipes.settings import OfClasses

NO_FEATURES = (
    "The features of pool or library are missing: beside unusable pictures the list has the lowest scores, among "
    "which are good pictures of unknown classes. `dvc repro` with `identify.embeddings` stores them."
)


@dataclass(frozen=True, kw_only=True)
class PurgeLow(OfClasses):
    """What `purge_low` takes.

    Attributes:
      taken: images that other recipes show.
      near_duplicate_distance: in bits.
      purge_images: of what is like bad images, and of what is like nothing labelled, so many are compared exactly:
        those that seem nearest, or farthest.
    """

    taken: Set[str]
    near_duplicate_distance: int
    low_count_below: float
    purge_far: float
    purge_images: int
    purge_score: float
    purge_share: float
    purge_sample: int


def purge_low(material: Material, asked: PurgeLow) -> Found:
    """Pool images that no training could use, or that are like nothing labelled; at most `purge_share` of the pool.

    In this order: pictures that curation would exclude for their quality; those nearer to an image that people called
    bad than to any labelled one; and those farther from the labelled images than all but `purge_far` of the validation
    images are (`nearness.known`), the farthest first. Without features, in the place of the last two, scores of at most
    `purge_score`.

    Not among them: what another recipe shows (`taken`) and its near-duplicates, and images that the model sees as a
    class which is short of images. The rows are a random sample of the list, the same for the same model: what people
    say of it bounds how many good images the list holds. That is a share of images, so each image of a burst counts
    by itself here, and is judged by itself.
    """
    material = material.image_by_image()
    board = material.board.set_index("label")
    wanted = list(board.index[board["groups"] < asked.low_count_below * board["cutoff"]])
    others = ~material.labelled(wanted)
    pool = material.of_any_quality(others & material.labelled(asked.classes) if asked.classes else others)
    listed = int(asked.purge_share * len(material.rows))
    vectors, library = material.vectors(), material.library()
    poor = _unusable(material, pool)
    rest = pool.drop(poor.index)
    if vectors is None or library is None:
        low = rest[(rest["score"] <= asked.purge_score).to_numpy()]
        low = material.first(low, [low["score"].to_numpy()], listed)
        found = pd.concat([poor, low.assign(why="one of the lowest scores")])
    else:
        far = _unlike(material, rest, vectors, library, share=asked.purge_far, compared=asked.purge_images)
        found = pd.concat([poor, far])
    whole = found.head(listed)
    shown = material.phashes(pd.Series(sorted(asked.taken), dtype="str"))
    near = duplicates.near_any(material.phashes(whole["image"]), shown[shown != ""], asked.near_duplicate_distance)
    whole = whole[~near.to_numpy()].astype({"label": "str"})
    rows = draw(whole, material.pool.model, min(asked.purge_sample, asked.max_rows))
    rows = material.with_details(rows)
    reason = rows["why"] + f"; one of {len(rows)} drawn from {len(whole):,} images; the model sees " + two_best(rows)
    return Found(
        rows.assign(reason=reason.astype("str")),
        note=NO_FEATURES if vectors is None or library is None else "",
        whole=whole[["image", "sha256", "score"]].assign(model=material.pool.model),
        by_image=True,
    )


def draw(whole: pd.DataFrame, model: str, number: int) -> pd.DataFrame:
    """A random sample of a list without replacement, the same for the same model and contents.

    Args:
      whole: columns `image`, `sha256`.
    """
    # A copy is drawn by its name as well: copies that are drawn together are no random sample of images.
    named = whole["sha256"] + whole["image"].where(whole["sha256"].duplicated(), "")
    drawn = pd.util.hash_pandas_object(model + named, index=False).to_numpy()
    return whole.iloc[np.argsort(drawn, kind="stable")[:number]]


def _unusable(material: Material, pool: pd.DataFrame) -> pd.DataFrame:
    """Candidates that curation would exclude for their quality, by name; `why`."""
    poor = material.poor()
    rows = material.named(pool[material.rows.loc[pool.index, "image"].isin(poor.index).to_numpy()])
    return rows.assign(why=rows["image"].map(poor).astype("str")).sort_values("image")


def _unlike(
    material: Material, pool: pd.DataFrame, vectors: Vectors, library: Library, *, share: float, compared: int
) -> pd.DataFrame:
    """Candidates that are like what people called bad, then those that are like nothing labelled; `why`."""
    known = nearness.known(library, far=share)
    if known is None or pool.empty:
        return pool.head(0).assign(why="")

    everywhere = pool.index.to_numpy()
    own_class = unit(library.means.reindex(pool["label"].cat.categories).fillna(0).to_numpy())
    seems = vectors.roughly(own_class, pool["label"].cat.codes.to_numpy(), among=everywhere)
    places = everywhere[np.argpartition(seems, min(compared, len(seems)) - 1)[:compared]]
    said, bad = nearness.called_bad(material)
    if len(bad):
        each = max(compared // len(bad), 1)
        near = vectors.nearest(vectors.exact[bad], number=each, among=everywhere, shortlist=each)[0]
        places = np.setdiff1d(np.union1d(places, near), said)

    features = unit(vectors.exact[places])
    to_known, to_bad = features @ known.features.T, nearness.to_bad(features, bad, vectors)
    found = pool.loc[places].assign(
        bad=to_bad, nearer=to_bad - to_known.max(axis=1), far=highest(to_known, known.neighbour)[:, -1]
    )[features.any(axis=1)]
    alike = material.named(found[found["nearer"] > 0]).sort_values(["nearer", "image"], ascending=[False, True])
    apart = material.named(found[(found["nearer"] <= 0) & (found["far"] < known.limit)]).sort_values(["far", "image"])
    cosines = alike["bad"].map("{:.2f}".format).astype("str")
    alike["why"] = "nearer to a picture that people called bad (cosine " + cosines + ") than to any labelled one"
    usual = f"{1 - share:.1%} of the validation images have {known.limit:.2f} or more"
    cosines = apart["far"].map("{:.2f}".format).astype("str")
    apart["why"] = "like nothing labelled: cosine " + cosines + f" to the nearest but {known.neighbour - 1}, {usual}"
    return pd.concat([alike, apart])
