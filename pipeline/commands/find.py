"""`wallaby find`: the images nearest to one, of the pool and of the library, by frozen features or by the model's."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import bundle, sections
from pipeline.commands import Answer, why
from pipeline.errors import DataError
from pipeline.inference import evaluated, frozen_features, pool_predictions, vectors
from pipeline.inference.frozen_features import FrozenFeatures
from pipeline.inference.runtimes import Runtime, kinds
from pipeline.inference.trials import Features
from pipeline.library import labels, lookup, pictures
from pipeline.review.recipes import reading
from pipeline.review.recipes.inputs import Library
from pipeline.stages import embed
from pipeline.workspace import Workspace

MORE = 20  # neighbours asked for beyond those shown: the image itself is among them, and so are its copies


def find(workspace: Workspace, image: str, *, number: int) -> Answer:
    """Finds the nearest images.

    Args:
      image: an image's name ROOT/path, its file, or the beginning of a content hash (8 digits or more).
      number: of images from each of pool and library.

    Returns:
      `image`, `pool` and `library`, rows with `image`, `cosine`, `label` and `score` (what the model sees) or `set`;
      `features`, whose they are; and `notes`, sentences on what could not be searched.

    Raises:
      DataError: if there is no such image, or neither pool nor library have features.
    """
    row = why.find(workspace, image)
    stores = {"pool": workspace.pool_features, "library": workspace.library_features}
    frozen = {name: features for name, folder in stores.items() if (features := frozen_features.read(folder))}
    keys = [features.key for features in frozen.values()]  # while another network is new, the two may differ
    frozen = {name: features for name, features in frozen.items() if features.key == keys[0]}
    nearest = _by_frozen(workspace, row, frozen, number) if frozen else _by_model(workspace, row, number)
    return Answer({"image": row["image"], "sha256": row["sha256"], **nearest})


def _by_frozen(
    workspace: Workspace, row: dict[str, Any], frozen: dict[str, FrozenFeatures], number: int
) -> dict[str, Any]:
    """The nearest by the features of the frozen network, which exist before any model does."""
    used = next(iter(frozen.values()))
    stage = {"pool": "embed-pool", "library": "embed"}
    notes = [
        f"The {name} has no features of {used.name}: `dvc repro {stage[name]}` computes them."
        for name in stage
        if name not in frozen
    ]
    stored = (features.features_of(row["sha256"]) for features in frozen.values())
    query = next((values for values in stored if values is not None), None)
    if query is None:
        query = _embed(workspace, row, _backbone_runtime(workspace, used))
    nearest: dict[str, Any] = {"features": used.name, "notes": notes, "pool": [], "library": []}
    for name, features in frozen.items():
        searchable = vectors.of(features.features, workspace.own("vectors") / f"frozen-{name}")
        if searchable is None:
            continue
        places, cosines = searchable.nearest(query[None], number=number + MORE)
        hashes = features.contents.take(places[0]).to_pylist()
        near = _images(workspace, name, dict(zip(hashes, cosines[0].astype(float), strict=True)))
        nearest[name] = _rows(near, row["image"], number)
    return nearest


def _images(workspace: Workspace, name: str, cosines: dict[str, float]) -> pd.DataFrame:
    """The images of pool or library that have these contents, with what is known of them, the nearest first.

    Args:
      name: pool or library.
      cosines: by content.
    """
    tables = {"pool": workspace.pool_table, "library": workspace.library_table}
    wanted = pc.field("sha256").isin(list(cosines))
    rows = pd.DataFrame(lookup.rows(tables[name], wanted), columns=["image", "sha256"])
    source, columns = workspace.splits_table, ["image", "label", "set"]
    if name == "pool":
        source, columns = workspace.predictions, ["image", "label", "score"]
    of_these = pc.field("image").isin(pa.array(rows["image"], pa.string()))
    known = pd.DataFrame(lookup.rows(source, of_these), columns=columns).drop_duplicates("image")
    texts = [column for column in columns if column != "score"]
    near = rows.merge(known, on="image", how="left")
    near[texts] = near[texts].fillna("")
    near["score"] = near["score"].fillna(0.0) if "score" in near else 0.0
    near = near.assign(cosine=near["sha256"].map(cosines))
    return near.sort_values("cosine", ascending=False, kind="stable")[["image", "sha256", *columns[1:], "cosine"]]


def _backbone_runtime(workspace: Workspace, used: FrozenFeatures) -> Runtime:
    """What runs the frozen network on one image."""
    params = workspace.params(sections.Embed)
    backbone = embed.chosen_backbone(workspace, params)
    if backbone is None or backbone.key != used.key:
        raise DataError(
            f"the stored features are those of {used.name}, and the params name another network",
            where=f"{workspace.params_file}, section embed",
            mend="run `dvc repro embed embed-pool`",
        )
    nothing = pd.DataFrame(columns=["sha256", "path", "label"])
    comparison = Features(params.trial_images, params.min_cosine)
    return backbone.choose(kinds.AUTO, lambda: nothing, comparison=comparison, total=1).runtime


def _by_model(workspace: Workspace, row: dict[str, Any], number: int) -> dict[str, Any]:
    """The nearest by the features that the trained model sees."""
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
        from pipeline.inference.runtimes.keras import KerasRuntime

        query = _embed(workspace, row, KerasRuntime(bundle.load(workspace.model), 1))
    nearest: dict[str, Any] = {"features": "the trained model", "notes": notes, "pool": [], "library": []}
    if of_pool is not None:
        places, cosines = of_pool.nearest(query[None], number=number + MORE)
        near = predictions.at(places[0], ["image", "sha256", "label", "score"]).assign(cosine=cosines[0])
        nearest["pool"] = _rows(near, row["image"], number)
    if of_library is not None and known is not None:
        places, cosines = of_library.nearest(query[None], number=number + MORE)
        nearest["library"] = _rows(known.rows.iloc[places[0]].assign(cosine=cosines[0]), row["image"], number)
    return nearest


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


def _embed(workspace: Workspace, row: dict[str, Any], runtime: Runtime) -> np.ndarray:
    """The features of an image for which none are stored."""
    file = Path(row["image"])
    if "near" not in row:
        file = labels.locate(row["image"], workspace.folders)
    try:
        pixels = [pictures.read(file, size)[None] for size in runtime.image_sizes]
    except pictures.PictureError as reason:
        raise DataError(f"not a picture: {reason}", where=file) from None
    return runtime.predict_with_features(*pixels)[1][0]


def _rows(near: pd.DataFrame, image: str, number: int) -> list[dict[str, Any]]:
    near = near[near["image"] != image].head(number)
    return near.astype({"cosine": float}).to_dict("records")
