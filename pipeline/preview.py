"""A preview round: after a review, only the head is refit, on stored features, and the next round is forecast."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import bundle, config, paths, sections, upcoming
from pipeline.errors import DataError
from pipeline.evaluation import assessment, forecast
from pipeline.files import read_json, read_table, write_json
from pipeline.inference import outputs, store
from pipeline.library import board
from pipeline.library.benchmarks import PREFIX

MEASURED = ("val", "test")
JUDGED = "judged"  # what classes are judged on: test and benchmarks
FLIPS = 0.04  # of the images, between two trainings of all weights: measured (docs/throwaway.md)
BOARD = ["label", "cutoff", "had", "now"]


@dataclass(frozen=True)
class Preview:
    """The next round, before it is run.

    Attributes:
      round: its number.
      model: the present model's digest.
      enter, leave: classes that it will know and the present model does not, and the reverse.
      images: numbers: `train` images today and `train_next`, and how many of its images were `without_features`.
      board: classes that come closer to their cutoff or cross it: label, cutoff, groups they had and have now.
      sets, classes: the forecasts (`forecast.by`), classes over test and benchmarks together, with their number of
        training images today and then.
    """

    round: int
    model: str
    enter: list[str]
    leave: list[str]
    images: dict[str, int]
    board: list[dict[str, Any]]
    sets: list[dict[str, Any]]
    classes: list[dict[str, Any]]


def make() -> Preview:
    """Forecasts the next round from today's labels and reviews, applied or not; keeps the forecast in `.wallaby`.

    Raises:
      DataError: if the round is not complete, nothing was decided since, or the pool was identified without features
        or by another model.
      LeakageError: if an image would change sides.
    """
    card = bundle.check(paths.MODEL)
    seen = read_table(paths.MODEL / bundle.LINEAGE)
    scores = read_table(paths.EVALUATION / assessment.SCORES, ["sha256", "predicted", "set"])
    today = read_table(paths.SPLITS / "splits.parquet")
    coming = upcoming.read(seen)
    rows = upcoming.sets(coming, seen)
    key = ["sha256", "label", "set"]
    if set(rows[key].itertuples(index=False)) == set(today[key].itertuples(index=False)):
        raise DataError("no set would change: nothing was decided since the last round", where=paths.REVIEWS, mend="`wallaby review`")
    features = _Features(card.model_digest, wanted={*rows["sha256"], *today["sha256"]})

    now, then = bundle.read_classes(paths.MODEL), sorted(rows.loc[rows["set"] == "train", "label"].unique())
    asked = rows[(rows["set"] != "train") & rows["label"].isin(then)].drop_duplicates(["sha256", "set"])
    asked = asked[features.has(asked)].reset_index(drop=True)
    said = {
        name: forecast.say(features.of(learnt), learnt["label"].to_numpy(dtype=str), features.of(asked))
        for name, learnt in (("before", _learnt(today, features)), ("after", _learnt(rows, features)))
    }
    predicted = scores.drop_duplicates("sha256").set_index("sha256")["predicted"]
    right = (asked["sha256"].map(predicted) == asked["label"]).astype(float)
    known = asked["label"].isin(now) & asked["sha256"].isin(predicted.index)
    asked = asked.assign(right_now=right.where(known), **{name: label == asked["label"] for name, label in said.items()})

    params = {"confidence": config.load(sections.Evaluate).confidence, "flips": _flips()}
    judged = asked[asked["set"].eq("test") | asked["set"].str.startswith(PREFIX)]
    trained = [frame.loc[frame["set"] == "train", "label"].value_counts() for frame in (today, rows)]
    classes = forecast.by(judged, "label", **params)
    for name, counts in zip(("train", "train_next"), trained, strict=True):
        classes[name] = classes["label"].map(counts).fillna(0).astype(int)
    told = Preview(
        round=card.round + 1,
        model=card.model_digest,
        enter=sorted(set(then) - set(now)),
        leave=sorted(set(now) - set(then)),
        images={
            "train": int(trained[0].sum()),
            "train_next": int(trained[1].sum()),
            "without_features": int((~features.has(rows)).sum()),
        },
        board=_crossing(coming.curated.board),
        sets=records(forecast.by(asked, "set", **params)),
        classes=records(classes),
    )
    write_json(asdict(told), kept(told.round))
    return told
