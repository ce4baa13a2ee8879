"""Reads what recipes query, from the round's tables; what only some of them need is read when they ask for it."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.evaluation import audit
from pipeline.files import read_table
from pipeline.inference import evaluated, judged_bursts, pool_predictions, vectors
from pipeline.library import benchmarks, board, classes, quality
from pipeline.library.exclusion import Reason
from pipeline.review.recipes.inputs import Library, Material

DIGEST = 64  # digits: of an ensemble's name, those of the first member, whose features are kept


def gather(
    predictions: Path,
    curated: Path,
    index: Path,
    evaluation: Path,
    released: Path,
    events: Path,
    *,
    cache_folder: Path,
    limits: dict[str, Any],
    bursts: Path | None = None,
    decided: "pd.Series | None" = None,
    bad: "pd.Series | None" = None,
) -> Material:
    """Reads the material.

    Args:
      predictions, curated, index, evaluation, released, events: the round's folders, and the class events.
      cache_folder: where what finds nearest images is kept.
      limits: what `quality.verdicts` takes.
      bursts: the table of bursts that are judged as a whole; without it, every image is decided by itself.
      decided: further contents that nobody need look at.
      bad: further contents that people called bad.

    Raises:
      DataError: if a table is missing, or predictions come from different models.
    """
    found = pool_predictions.read(predictions)
    excluded = read_table(curated / "excluded.parquet")
    known = read_table(curated / "images.parquet", ["sha256"])["sha256"]
    called_bad = excluded.loc[excluded["reason"] == Reason.BAD, "sha256"]

    @cache
    def of_pool() -> vectors.Vectors | None:
        return vectors.of(found.features, cache_folder / "pool")

    def champion() -> pd.DataFrame | str:
        said = pool_predictions.read_opinions(released / pool_predictions.OPINIONS, model=found.model)
        return said if isinstance(said, str) else said.assign(label=classes.read(events).names(said["label"]))

    return Material(
        pool=found,
        bursts=judged_bursts.read(bursts, predictions) if bursts else None,
        board=board.read(curated / "board.csv"),
        unknown=set(excluded.loc[excluded["reason"] == Reason.UNKNOWN, "image"]),
        changed=excluded.loc[excluded["reason"] == Reason.OTHER_CONTENT],
        conflicts=excluded[excluded["reason"] == Reason.LABEL_CONFLICT],
        suspects=suspects(read_table(evaluation / audit.FILE)),
        known=pd.concat([known, called_bad] if decided is None else [known, called_bad, decided]),
        bad=called_bad if bad is None else pd.concat([called_bad, bad]),
        poor=cache(lambda: poor(index, limits)),
        phashes=phashes(index),
        vectors=of_pool,
        library=cache(lambda: library(evaluation, model=found.model)),
        champion=champion,
    )


def phashes(index: Path) -> Callable[[pd.Series], pd.Series]:
    """Looks up the perceptual hashes of images in the index, which is read when it is asked for the first time."""

    @cache
    def hashes() -> pa.Table:
        return pa.concat_tables(
            [pq.read_table(index / f"{name}.parquet", columns=["image", "phash"]) for name in ("library", "pool")]
        )

    def of(images: pd.Series) -> pd.Series:
        wanted = hashes().filter(pc.is_in(hashes()["image"], pa.array(images, hashes()["image"].type)))
        found = wanted.to_pandas(ignore_metadata=True).drop_duplicates("image").set_index("image")["phash"]
        return images.map(found).fillna("").astype("str")

    return of


def poor(index: Path, limits: dict[str, Any]) -> pd.Series:
    """Of the pool images that `quality.verdicts` finds fault with: by image, in words which."""
    table = pq.read_table(index / "pool.parquet", columns=quality.MEASURED)
    rows = table.to_pandas(ignore_metadata=True)
    verdicts = quality.verdicts(rows, **limits)
    verdicts = verdicts[verdicts != ""]
    images = pq.read_table(index / "pool.parquet", columns=["image"])["image"].take(verdicts.index.to_numpy())
    said = verdicts + " (" + quality.details(rows.loc[verdicts.index], verdicts) + ")"
    return pd.Series(said.to_numpy(), index=images.to_pandas(), dtype="str")


def suspects(audited: pd.DataFrame) -> pd.DataFrame:
    """What the audit asks of labels; those of benchmarks are not among the labels, and stand in the report alone."""
    asked = _asked(audited).drop(columns=["label", "cluster"], errors="ignore")  # what counts once is no look-alike
    return asked.rename(columns={"predicted": "label"})


def labelled(evaluation: Path) -> dict[str, str]:
    """What the images are labelled that the audit asks about, by image; empty where there was no audit."""
    if not (evaluation / audit.FILE).exists():
        return {}
    asked = _asked(read_table(evaluation / audit.FILE))
    return dict(zip(asked["image"], asked["label"], strict=True))


def _asked(audited: pd.DataFrame) -> pd.DataFrame:
    return audited[audited["asked"].astype(bool) & ~audited["set"].str.startswith(benchmarks.PREFIX)]


def library(evaluation: Path, *, model: str) -> Library | None:
    """The features of the labelled images but for benchmarks; None if they are not those of `model`."""
    folder, scores = evaluation / "outputs", evaluation / "scores.parquet"
    if not scores.exists() or not evaluated.model_of(folder).startswith(model[:DIGEST]):
        return None
    rows = read_table(scores, ["image", "sha256", "label", "set"])
    rows["label"] = rows["label"].mask(rows["set"].str.startswith(benchmarks.PREFIX), "")
    try:
        return Library(rows, evaluated.read(folder, rows["sha256"]).features)
    except DataError:  # the scores are not those of the outputs
        return None
