"""Forecasts the next round after a review: only the head is refit, on stored features."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import bundle, sections
from pipeline.commands import Answer
from pipeline.commands.apply import contents, guarded
from pipeline.errors import DataError
from pipeline.evaluation import forecast
from pipeline.files import read_json, read_table, write_json
from pipeline.inference import evaluated, frozen_features, pool_predictions
from pipeline.library import benchmarks, board, classes, history, index, labels, lineage, look_store, splits
from pipeline.library.benchmarks import PREFIX
from pipeline.review import applying, decisions
from pipeline.stages import curate, split
from pipeline.workspace import Workspace

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
        training images today and then, and nothing forecast of known classes that need not change
        (`forecast.silent`).
    """

    round: int
    model: str
    enter: list[str]
    leave: list[str]
    images: dict[str, int]
    board: list[dict[str, Any]]
    sets: list[dict[str, Any]]
    classes: list[dict[str, Any]]


def forecast_round(workspace: Workspace) -> Answer:
    """Forecasts the next round from today's labels and reviews, applied or not; keeps the forecast in `.wallaby`.

    Returns:
      A `Preview`.

    Raises:
      DataError: if the round is not complete, nothing was decided since, or the pool was identified without features
        or by another model.
      LeakageError: if an image would change sides.
    """
    card = bundle.check(workspace.model)
    seen = lineage.read(workspace.model / bundle.LINEAGE)
    scores = read_table(workspace.scores, ["sha256", "predicted", "set"])
    today = read_table(workspace.splits_table)
    coming = next_inputs(workspace, seen)
    curated = curate.compute(coming, workspace.params(sections.Curate), workspace.params(sections.Bursts))
    rows = split.compute(
        split.Inputs(curated.images, curated.bursts, coming.library, coming.marked, seen, coming.events),
        workspace.params(sections.Split),
        workspace.params(sections.Bursts),
        near_duplicate_distance=workspace.near_duplicate_distance,
        where=workspace.benchmarks,
    ).rows
    key = ["sha256", "label", "set"]
    if set(rows[key].itertuples(index=False)) == set(today[key].itertuples(index=False)):
        raise DataError(
            "the next round's sets would be this one's: nothing was decided since",
            where=workspace.reviews,
            mend="`wallaby review --sheet FILE`, then `wallaby review --take FILE --by NAME`",
        )
    wanted = {*rows["sha256"], *today["sha256"]}
    features = _Features(workspace, card.model_digest, scores["sha256"].drop_duplicates(), wanted)

    now, then = bundle.read_classes(workspace.model), sorted(rows.loc[rows["set"] == "train", "label"].unique())
    tested = splits.untorn(rows[rows["set"] != "train"])
    judged = tested[tested["label"].isin(then)].drop_duplicates(["sha256", "set"])
    judged = judged[features.has(judged)].reset_index(drop=True)
    named = {
        name: forecast.say(features.of(learnt), learnt["label"].to_numpy(dtype=str), features.of(judged))
        for name, learnt in (("before", _learnt(today, features)), ("after", _learnt(rows, features)))
    }
    predicted = scores.drop_duplicates("sha256").set_index("sha256")["predicted"]
    right = (judged["sha256"].map(predicted) == judged["label"]).astype(float)
    known = judged["label"].isin(now) & judged["sha256"].isin(predicted.index)
    judged = judged.assign(right_now=right.where(known))
    judged = judged.assign(**{name: label == judged["label"] for name, label in named.items()})

    still = bool(workspace.params(sections.Train).freeze)  # a network whose layers stand still is as good as its head
    params = {
        "confidence": workspace.confidence,
        "flips": 0.0 if still else FLIPS,
        "recovered": 0.0 if still else RECOVERED,
    }
    trained = [frame.loc[frame["set"] == "train", "label"].value_counts() for frame in (today, rows)]
    by_class = forecast.by(_class_judges(judged), "label", **params)
    for name, counts in zip(("train", "train_next"), trained, strict=True):
        by_class[name] = by_class["label"].map(counts).fillna(0).astype(int)
    made = Preview(
        round=card.round + 1,
        model=card.model_digest,
        enter=sorted(set(then) - set(now)),
        leave=sorted(set(now) - set(then)),
        images={
            "train": int(trained[0].sum()),
            "train_next": int(trained[1].sum()),
            "without_features": int((~features.has(rows)).sum()),
        },
        board=_crossing(curated.board, board.read(workspace.board)),
        sets=records(forecast.by(judged, "set", **params)),
        classes=records(forecast.silent(by_class)),
    )
    write_json(asdict(made), file_of(workspace, made.round))
    return Answer(made)


def next_inputs(workspace: Workspace, seen: pd.DataFrame) -> curate.Inputs:
    """What the next round's stage curate will read: the reviews are applied in memory, as `wallaby apply` will,
    and images of the pool that join the library bring their features along.

    Images that came after the index are not in it.

    Args:
      seen: the lineage of the next round's base.

    Raises:
      DataError: for sources that the stages would refuse, or without an index.
    """
    names, roots = workspace.root_names, workspace.params(sections.Roots)
    log, replaced = decisions.read_log(workspace.reviews, names), applying.read_replaced(workspace.replaced)
    table = labels.read(workspace.labels, names)
    table = applying.apply(table, log, replaced, guarded(workspace), land=contents(workspace).land).table
    marked = benchmarks.read_all(workspace.benchmarks, names)
    tables = [read_table(workspace.index / name) for name in index.TABLES if (workspace.index / name).exists()]
    scanned = pd.concat(tables, ignore_index=True)
    library, _ = index.divide(scanned, pd.concat([table["image"], marked["image"]]), [*roots.library, *roots.benchmark])
    folders, params = workspace.folders, workspace.params(sections.Index)

    def look_of(image: str) -> tuple[str, bytes]:
        return index.look_of(image, folders, params.max_megapixels)

    inputs = curate.Inputs(
        labels=table,
        library=library,
        marked=marked,
        lineage=seen,
        boards=history.empty()[1],
        images_before=images_before(workspace),
        decisions=decisions.in_force(log),
        events=classes.read(workspace.classes),
        features=frozen_features.read(workspace.library_features, workspace.pool_features),
        looks=look_store.Completed(
            look_store.Stored(workspace.looks), library.drop_duplicates("sha256").set_index("sha256")["image"], look_of
        ),
    )
    curate.refuse_words(inputs, workspace)
    return inputs


def images_before(workspace: Workspace) -> pd.DataFrame:
    """The images of the present round, as the base will have them once its model is promoted."""
    tables = (workspace.splits_table, workspace.left_out, workspace.excluded)
    if not all(path.exists() for path in tables):
        return history.empty()[0]
    return history.snapshot(*(read_table(path) for path in tables))


def compared(workspace: Workspace) -> Answer:
    """The forecast that was made of the present round, beside what it really became: `sets` and `classes`.

    Returns:
      Rows of what was forecast with `real` (accuracy on the same images' sets), and `within`, whether it is in the
      interval.

    Raises:
      DataError: if none was made, or the round is not complete.
    """
    card = bundle.check(workspace.model)
    file = file_of(workspace, card.round)
    if not file.exists():
        mend = "`wallaby preview` forecasts the next one"
        raise DataError(f"no preview was made of round {card.round}", where=file, mend=mend)
    made = read_json(file)
    if made["model"] != card.parent_digest:
        raise DataError(f"the preview of round {card.round} is of another base", where=file, mend="make a new one")
    scores = read_table(workspace.scores, ["sha256", "label", "set", "label_rank"])
    scores = scores[scores["label_rank"] > 0].drop_duplicates(["sha256", "set"])
    right = scores.assign(right=scores["label_rank"] == 1)
    real = {"sets": right.groupby("set")["right"], "classes": _class_judges(right).groupby("label")["right"]}
    columns = {"sets": "set", "classes": "label"}
    return Answer(
        {
            name: records(_beside(pd.DataFrame(made[name]), columns[name], real[name].agg(["mean", "size"])))
            for name in columns
        }
    )


def file_of(workspace: Workspace, round_: int) -> Path:
    """Where the forecast of a round is kept."""
    return workspace.cache("preview") / f"round-{round_}.json"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows, None where there is nothing."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


class _Features:
    """What the present model's head gets of images, by content: those of its sets, and of the pool as far as wanted."""

    def __init__(self, workspace: Workspace, model: str, contents: pd.Series, wanted: set[str]):
        self._places = pd.Series(np.arange(len(contents)), index=contents.to_numpy())
        self._values = evaluated.read(workspace.evaluation / "outputs", contents).features[:]
        missing = wanted - set(self._places.index)
        if missing:
            self._add(workspace.predictions, model, missing)

    def _add(self, folder: Path, model: str, missing: set[str]) -> None:
        predictions = pool_predictions.read(folder)
        rows = predictions.rows[predictions.rows["sha256"].isin(missing)].drop_duplicates("sha256")
        if rows.empty:
            return
        if predictions.model != model:
            what = f"the pool was identified by {predictions.model[:12]}, the model is {model[:12]}"
            raise DataError(what, where=folder, mend="run `dvc repro identify`")
        if predictions.features is None:
            raise DataError(
                "the pool was identified without features",
                where="configs/params.yaml, identify.embeddings",
                mend="set it to true, then `dvc repro identify`",
            )
        places = pd.Series(np.arange(len(rows)) + len(self._values), index=rows["sha256"].to_numpy())
        self._places = pd.concat([self._places, places])
        self._values = np.concatenate([self._values, predictions.features[rows.index.to_numpy()]])

    def has(self, rows: pd.DataFrame) -> pd.Series:
        return rows["sha256"].isin(self._places.index)

    def of(self, rows: pd.DataFrame) -> np.ndarray:
        """Features (N, F) float32 of rows that have them."""
        return self._values[self._places[rows["sha256"]].to_numpy()].astype(np.float32)


def _learnt(rows: pd.DataFrame, features: _Features) -> pd.DataFrame:
    return rows[(rows["set"] == "train") & features.has(rows)]


def _class_judges(rows: pd.DataFrame) -> pd.DataFrame:
    """The images that classes are judged on: those of test and of the benchmarks."""
    return rows[rows["set"].eq("test") | rows["set"].str.startswith(PREFIX)]


def _crossing(coming: pd.DataFrame, present: pd.DataFrame) -> list[dict[str, Any]]:
    before = present.set_index("label")["groups"]
    table = coming.assign(had=coming["label"].map(before).fillna(0).astype(int), now=coming["groups"])
    short = (table["had"] < table["cutoff"]) | (table["now"] < table["cutoff"])
    moved = table[short & (table["had"] != table["now"])].sort_values(["now", "label"], ascending=[False, True])
    return records(moved[["label", "cutoff", "had", "now"]])


def _beside(made: pd.DataFrame, column: str, real: pd.DataFrame) -> pd.DataFrame:
    made = made[made["forecast"].notna()]
    table = made.assign(real=made[column].map(real["mean"]).round(4), n_real=made[column].map(real["size"]))
    return table.assign(within=(table["real"] >= table["low"]) & (table["real"] <= table["high"]))
