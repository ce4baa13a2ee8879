"""`wallaby find`: the images nearest to one, of the pool and of the library, by the features that the model sees."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import bundle
from pipeline.commands import Answer, why
from pipeline.errors import DataError
from pipeline.inference import evaluated, pool_predictions, vectors
from pipeline.library import labels, pictures
from pipeline.review.recipes import reading
from pipeline.review.recipes.inputs import Library
from pipeline.workspace import Workspace

MORE = 20  # neighbours asked for beyond those shown: the image itself is among them, and so are its copies


def find(workspace: Workspace, image: str, *, number: int) -> Answer:
    """Finds the nearest images.

    Args:
      image: an image's name ROOT/path, its file, or the beginning of a content hash (8 digits or more).
      number: of images from each of pool and library.

    Returns:
      `image`, `pool` and `library`, rows with `image`, `cosine`, `label` and `score` (what the model sees) or `set`;
      and `notes`, sentences on what could not be searched.

    Raises:
      DataError: if there is no such image, or neither pool nor library have features.
    """
    row = why.find(workspace, image)
    predictions = pool_predictions.read(workspace.predictions)
    model = str(predictions.at(np.array([0]), ["model"])["model"].iloc[0])
    of_pool = vectors.of(predictions.features, workspace.own("vectors") / "pool")
    known = reading.library(workspace.evaluation, model=model)
    of_library = None
    if known is not None:
        stored = evaluated.read(workspace.evaluation / "outputs", known.rows["sha256"])
        of_library = vectors.of(stored.features, workspace.own("vectors") / "library")
    notes = []
    if of_pool is None:
        notes.append("The pool's predictions hold no embeddings: `dvc repro identify` stores them.")
    if of_library is None:
        notes.append("The library's features are not those of the model that identified the pool: run `dvc repro`.")
    if of_pool is None and of_library is None:
        raise DataError("nothing can be searched: no features are stored", where=workspace.predictions, mend=notes[0])
    query = _stored(row["sha256"], predictions, of_pool, known)
    if query is None:
        query = _embed(workspace, row)
    nearest: dict[str, Any] = {"image": row["image"], "sha256": row["sha256"], "notes": notes}
    nearest |= {"pool": [], "library": []}
    if of_pool is not None:
        places, cosines = of_pool.nearest(query[None], number=number + MORE)
        near = predictions.at(places[0], ["image", "sha256", "label", "score"]).assign(cosine=cosines[0])
        nearest["pool"] = _rows(near, row["image"], number)
    if of_library is not None and known is not None:
        places, cosines = of_library.nearest(query[None], number=number + MORE)
        nearest["library"] = _rows(known.rows.iloc[places[0]].assign(cosine=cosines[0]), row["image"], number)
    return Answer(nearest)


def _stored(
    sha256: str, predictions: pool_predictions.Pool, of_pool: vectors.Vectors | None, known: Library | None
) -> np.ndarray | None:
    """The image's features, where they are stored."""
    if known is not None:
        same = np.flatnonzero((known.rows["sha256"] == sha256).to_numpy())
        if len(same):
            return known.embeddings[same[0]]
    place = predictions.place_of(sha256)
    return None if place is None or of_pool is None else of_pool.exact[place]


def _embed(workspace: Workspace, row: dict[str, Any]) -> np.ndarray:
    """The features that the model sees in an image that it was not shown yet."""
    file = Path(row["image"])
    if "near" not in row:
        file = labels.locate(row["image"], workspace.folders)
    model = bundle.load(workspace.model)
    from pipeline.inference.runtimes.keras import KerasRuntime

    try:
        pixels = pictures.read(file, model.card.image_size)
    except pictures.PictureError as reason:
        raise DataError(f"not a picture: {reason}", where=file) from None
    return KerasRuntime(model, 1).predict_with_features(pixels[None])[1][0]


def _rows(near: pd.DataFrame, image: str, number: int) -> list[dict[str, Any]]:
    near = near[near["image"] != image].head(number)
    return near.astype({"cosine": float}).to_dict("records")
