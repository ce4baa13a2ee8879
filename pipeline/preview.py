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
from pipeline.inference import pool, stored
from pipeline.library import board
from pipeline.library.benchmarks import PREFIX

FLIPS = 0.08  # of the images, between two rounds that train all weights: measured, as RECOVERED is (docs/throwaway.md)
RECOVERED = 0.4  # of the errors that a head on the present features makes


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
        raise DataError(
            "the next round's sets would be this one's: nothing was decided since",
            where=paths.REVIEWS,
            mend="`wallaby review --sheet FILE`, then `wallaby review --take FILE --by NAME`",
        )
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
    asked = asked.assign(right_now=right.where(known))
    asked = asked.assign(**{name: label == asked["label"] for name, label in said.items()})

    still = bool(config.load(sections.Train).freeze)  # a network whose layers stand still is as good as its head
    params = {
        "confidence": config.load(sections.Evaluate).confidence,
        "flips": 0.0 if still else FLIPS,
        "recovered": 0.0 if still else RECOVERED,
    }
    trained = [frame.loc[frame["set"] == "train", "label"].value_counts() for frame in (today, rows)]
    classes = forecast.by(_judged(asked), "label", **params)
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


def held() -> dict[str, list[dict[str, Any]]]:
    """The forecast that was made of the present round, beside what it really became: `sets` and `classes`.

    Returns:
      Rows of the forecast with `real` (accuracy on the same images' sets), and `within`, whether it is in the interval.

    Raises:
      DataError: if none was made, or the round is not complete.
    """
    card = bundle.check(paths.MODEL)
    file = kept(card.round)
    if not file.exists():
        mend = "`wallaby preview` forecasts the next one"
        raise DataError(f"no preview was made of round {card.round}", where=file, mend=mend)
    told = read_json(file)
    if told["model"] != card.parent_digest:
        raise DataError(f"the preview of round {card.round} is of another base", where=file, mend="make a new one")
    scores = read_table(paths.EVALUATION / assessment.SCORES, ["sha256", "label", "set", "label_rank"])
    scores = scores[scores["label_rank"] > 0].drop_duplicates(["sha256", "set"])
    right = scores.assign(right=scores["label_rank"] == 1)
    real = {"sets": right.groupby("set")["right"], "classes": _judged(right).groupby("label")["right"]}
    columns = {"sets": "set", "classes": "label"}
    return {
        name: records(_beside(pd.DataFrame(told[name]), columns[name], real[name].agg(["mean", "size"])))
        for name in columns
    }


def kept(round_: int) -> Path:
    """Where the forecast of a round is kept."""
    return config.cache("preview") / f"round-{round_}.json"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows, None where there is nothing."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


class _Features:
    """What the present model's head gets of images, by content: those of its sets, and of the pool as far as wanted."""

    def __init__(self, model: str, wanted: set[str]):
        found = stored.read(paths.EVALUATION / "outputs")
        self._places = pd.Series(np.arange(len(found.sha256)), index=found.sha256.to_numpy())
        self._places = self._places[~self._places.index.duplicated()]
        self._values = np.asarray(found.embeddings)
        missing = wanted - set(self._places.index)
        if missing:
            self._add(pool.read(paths.PREDICTIONS), model, missing)

    def _add(self, predictions: pool.Pool, model: str, missing: set[str]) -> None:
        rows = predictions.rows[predictions.rows["sha256"].isin(missing)].drop_duplicates("sha256")
        if rows.empty:
            return
        if predictions.model != model:
            what = f"the pool was identified by {predictions.model[:12]}, the model is {model[:12]}"
            raise DataError(what, where=paths.PREDICTIONS, mend="run `dvc repro identify`")
        found = pool.embeddings_of(predictions, rows.index.to_numpy())
        if found is None:
            raise DataError(
                "the pool was identified without features",
                where="configs/params.yaml, identify.embeddings",
                mend="set it to true, then `dvc repro identify`",
            )
        names = rows.loc[found.index, "sha256"].to_numpy()
        self._places = pd.concat([self._places, pd.Series(np.arange(len(names)) + len(self._values), index=names)])
        self._values = np.concatenate([self._values, *(np.asarray(own, np.float16)[None] for own in found)])

    def has(self, rows: pd.DataFrame) -> pd.Series:
        return rows["sha256"].isin(self._places.index)

    def of(self, rows: pd.DataFrame) -> np.ndarray:
        """Features (N, F) float32 of rows that have them."""
        return self._values[self._places[rows["sha256"]].to_numpy()].astype(np.float32)


def _learnt(rows: pd.DataFrame, features: _Features) -> pd.DataFrame:
    return rows[(rows["set"] == "train") & features.has(rows)]


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """The images that classes are judged on: those of test and of the benchmarks."""
    return rows[rows["set"].eq("test") | rows["set"].str.startswith(PREFIX)]


def _crossing(standing: pd.DataFrame) -> list[dict[str, Any]]:
    before = board.read(paths.CURATED / "board.csv").set_index("label")["groups"]
    table = standing.assign(had=standing["label"].map(before).fillna(0).astype(int), now=standing["groups"])
    short = (table["had"] < table["cutoff"]) | (table["now"] < table["cutoff"])
    moved = table[short & (table["had"] != table["now"])].sort_values(["now", "label"], ascending=[False, True])
    return records(moved[["label", "cutoff", "had", "now"]])


def _beside(told: pd.DataFrame, column: str, real: pd.DataFrame) -> pd.DataFrame:
    table = told.assign(real=told[column].map(real["mean"]).round(4), n_real=told[column].map(real["size"]))
    return table.assign(within=(table["real"] >= table["low"]) & (table["real"] <= table["high"]))
