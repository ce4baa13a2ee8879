"""Model versions side by side: what is kept of each one's scores, and what differs between two."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation import intervals, paired_scores, paired_statistics
from pipeline.evaluation.scores import OPEN_SETS, clusters_of
from pipeline.library import benchmarks

KEPT = ["content", "set", "label", "predicted", "score", "label_rank", "cluster"]
SCORED = ["sha256", "set", "label", "predicted", "score", "label_rank"]  # what `compact` reads, and perhaps `cluster`
CONTENT_DIGITS = 16  # of a picture's digest: among a million pictures two share them once in 4e7 times
BANDS = [0.0, 0.5, 0.7, 0.9, 0.95, 0.99]  # lower ends
TRAIN = "train"
SATURATED, NO_GAIN, CANNOT_TELL = "saturated", "no gain", "cannot tell"  # hints
NOT_SHOWN = ("train", "val", *OPEN_SETS.values())  # sets that say little of how good a version is


@dataclass(frozen=True)
class Differences:
    """What differs between two versions, the older called `before`.

    Attributes:
      classes: as `paired_statistics.by_group` gives them, over the images that both were scored on and whose class both
        know, the greatest loss first.
      flips: columns `content`, `set`, `label`, `before`, `after` (what they said): one was right, the other wrong.
      sets: columns `set`, `before`, `after`, `added`, `removed`, `relabelled`: images, a row a set; without those of no
        known class.
      entered, left: classes of one training set and not of the other.
    """

    classes: pd.DataFrame
    flips: pd.DataFrame
    sets: pd.DataFrame
    entered: list[str]
    left: list[str]


def compact(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns `KEPT`: what is kept of a version's scores for all later comparisons, some 20 bytes per image."""
    kept = scores.assign(
        content=scores["sha256"].str[:CONTENT_DIGITS],
        score=scores["score"].astype(np.float32),
        label_rank=scores["label_rank"].astype(np.int16),
        cluster=clusters_of(scores).str[:CONTENT_DIGITS],
    )
    return kept[KEPT].sort_values(["set", "content", "label"], ignore_index=True)


def by_band(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns `set`, `band` (its lower end), `n`, `right`, `mean_score`: how often the model is right where it is how
    sure. An image of no known class is never right."""
    band = np.asarray(BANDS)[np.searchsorted(BANDS, scores["score"], side="right") - 1]
    rows = scores.assign(band=band, right=scores["label_rank"] == 1).groupby(["set", "band"])
    return rows.agg(n=("right", "size"), right=("right", "sum"), mean_score=("score", "mean")).reset_index()


def set_versions(scores: pd.DataFrame) -> dict[str, str]:
    """The version of each set that was scored, but train: a short digest of its contents and labels."""
    rows = scores[scores["set"] != TRAIN]
    found = benchmarks.versions(rows.assign(set=benchmarks.PREFIX + rows["set"])).items()
    return {name.removeprefix(benchmarks.PREFIX): version for name, version in found}


def differences(before: pd.DataFrame, after: pd.DataFrame, *, confidence: float, min_images: int) -> Differences:
    """What differs between two versions.

    Args:
      before, after: columns `KEPT`, labels by today's names; of earlier versions, without `cluster`.
      min_images: a class with fewer images in common is shown, not judged.
    """
    key = ["content", "set", "label"]
    tested = [rows[rows["set"] != TRAIN] for rows in (after, before)]
    pairs = paired_scores.shared(paired_scores.align(*tested, key=key, columns=["predicted"]))
    classes = paired_statistics.by_group(pairs, "label", confidence=confidence, min_images=min_images)
    flipped = pairs[paired_statistics.changes(pairs) != 0]
    flips = flipped.rename(columns={"predicted_before": "before", "predicted": "after"})
    trained = [set(rows.loc[rows["set"] == TRAIN, "label"]) for rows in (before, after)]
    return Differences(
        classes.rename_axis("label").reset_index().sort_values(["difference", "label"], ignore_index=True),
        flips[[*key, "before", "after"]].sort_values(key, ignore_index=True),
        _sets(before, after),
        sorted(trained[1] - trained[0]),
        sorted(trained[0] - trained[1]),
    )


def _sets(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    images = ["set", "content"]
    ordinary = [rows[~rows["set"].isin(OPEN_SETS.values())] for rows in (before, after)]
    older, newer = (rows.drop_duplicates(images)[[*images, "label"]] for rows in ordinary)
    both = older.merge(newer, on=images, how="outer", suffixes=("_before", "_after"), indicator="found")
    counts = {
        "before": both["found"] != "right_only",
        "after": both["found"] != "left_only",
        "added": both["found"] == "right_only",
        "removed": both["found"] == "left_only",
        "relabelled": (both["found"] == "both") & (both["label_before"] != both["label_after"]),
    }
    return both[["set"]].assign(**counts).groupby("set").sum().reset_index()


def ledger(
    rounds: pd.DataFrame,
    sets: pd.DataFrame,
    reviewed: pd.DataFrame,
    costs: pd.DataFrame | None = None,
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """What each round cost in labels, minutes and training, and what accuracy it brought.

    Args:
      rounds: columns `round`, `images` (in train, val and test), oldest first; no throw-aways.
      sets: columns `round`, `set`, `n`, `top1`, `version` and, if it is known, `effective`.
      reviewed: columns `round`, `minutes` (NaN if unknown): the reviewing that opened the round.
      costs: columns `round`, `training_hours`, `training_cost`; without, neither is known.

    Returns:
      Columns `set`, `round`, `labelled` (images more than in the round before), `minutes`, `gain` (of top-1, against
      the round before), `per_100_images`, `per_hour` (both of gain; NaN where no gain is shown, nothing was labelled,
      or less than a minute timed), `exact` (both were measured on the very same images, those of new classes not among
      them), `gain_low` and `gain_high` (`intervals.difference`), `training_hours`, `training_cost`. A gain is shown
      where its interval is above 0: of rounds that gained nothing, that is so in at most (1 - confidence) / 2.
    """
    if costs is None:
        costs = rounds[["round"]].assign(training_hours=np.nan, training_cost=np.nan)
    table = sets.merge(rounds[["round", "images"]], on="round").merge(reviewed, on="round", how="left")
    table = table.merge(costs[["round", "training_hours", "training_cost"]], on="round", how="left")
    table = table.sort_values(["set", "round"], ignore_index=True)
    table = with_independence(table)
    earlier = table.groupby("set")[["images", "n", "top1", "version", "effective"]].shift()
    labelled, gain = table["images"] - earlier["images"], table["top1"] - earlier["top1"]
    low, high = intervals.difference(
        table["top1"], table["effective"], earlier["top1"], earlier["effective"], confidence=confidence
    )
    shown = gain.where(low > 0)
    return pd.DataFrame(
        {
            "set": table["set"],
            "round": table["round"],
            "labelled": labelled,
            "minutes": table["minutes"],
            "gain": gain,
            "per_100_images": 100 * shown / labelled.where(labelled > 0),
            "per_hour": 60 * shown / table["minutes"].where(table["minutes"] >= 1),
            "exact": (table["version"] == earlier["version"]) & (table["version"] != "") & (table["n"] == earlier["n"]),
            "gain_low": low,
            "gain_high": high,
            "training_hours": table["training_hours"],
            "training_cost": table["training_cost"],
        }
    )


def minutes(decisions: pd.DataFrame, *, most: float = 2.0) -> pd.DataFrame:
    """How long each decision took, as the page measured it, or else the time since the same person's one before.

    Neither counts for more than `most` minutes: a longer gap was a pause. Decisions with the very same time were taken
    from a spreadsheet at once, and say nothing.

    Args:
      decisions: columns `by`, `at` (ISO 8601) and, if it was measured, `seconds`, a number or "".

    Returns:
      Columns `at` (UTC) and `minutes`, NaN for what says nothing; with the index of `decisions`.
    """
    timed = decisions.assign(at=pd.to_datetime(decisions["at"], utc=True, format="ISO8601")).sort_values(["by", "at"])
    known = timed.groupby("by")["at"].diff().dt.total_seconds() / 60
    known = known.where(~timed.duplicated(["by", "at"], keep=False))
    if "seconds" in timed:
        known = (pd.to_numeric(timed["seconds"].replace("", None)) / 60).fillna(known)
    return pd.DataFrame({"at": timed["at"], "minutes": known.clip(upper=most)})


def worth_labelling(
    per_class: pd.DataFrame,
    *,
    rounds: int = 2,
    grown: int = 20,
    measured: int = 20,
    high: float = 0.95,
    worth: float = 0.1,
    confidence: float,
) -> pd.DataFrame:
    """Finds the classes for which more labels no longer pay.

    Plain rules name a class; the first that holds counts:

      1. saturated   the interval of its recall lies above `high`, or rule 2 holds and the recall does: there is little
                     left to gain
      2. no gain     it grew by `grown` training images or more over the last `rounds` rounds, and its recall did not:
                     the interval of the difference (`intervals.difference`) leaves out a gain of `worth`
      3. cannot tell it grew so much, its recall did not, and too few images say that it truly gained less than `worth`

    Recall is that of all sets but train and val, over at least `measured` independent images. That a class which gained
    `worth` is said to have gained nothing happens in at most (1 - confidence) / 2. The images of the sets may have
    changed.

    Args:
      per_class: columns `round`, `set`, `label`, `n`, `recall`, labels by today's names, and `independent` and
        `effective` of `metrics.by_class`, which earlier versions lack.

    Returns:
      Columns `label`, `hint`, `grew`, `before`, `now`, `low`, `high`, `n`, `independent`, `gain_high` (how much it may
      have gained), sorted by label.
    """
    columns = ["label", "hint", "grew", "before", "now", "low", "high", "n", "independent", "gain_high"]
    numbers = sorted(per_class["round"].unique())
    if not numbers:
        return pd.DataFrame(columns=columns)
    last, then = numbers[-1], numbers[max(len(numbers) - 1 - rounds, 0)]
    tested = with_independence(per_class[~per_class["set"].isin([TRAIN, "val"])])
    tested = tested.assign(right=tested["recall"] * tested["n"]).groupby(["round", "label"])
    tested = tested[["n", "right", "independent", "effective"]].sum()
    trained = per_class[per_class["set"] == TRAIN].groupby(["round", "label"])["n"].sum()
    found = tested.loc[last].merge(
        tested.loc[then], how="left", left_index=True, right_index=True, suffixes=("", "_before")
    )
    found["grew"] = trained.get(last, pd.Series(dtype=float)).sub(trained.get(then, pd.Series(dtype=float)))
    now = found["right"] / found["n"]
    low, top = intervals.wilson(now * found["effective"], found["effective"], confidence=confidence)
    found = found.assign(now=now, before=found["right_before"] / found["n_before"], low=low, high=top)
    compared = found["now"], found["effective"], found["before"], found["effective_before"]
    found["gain_high"] = intervals.difference(*compared, confidence=confidence)[1]
    fell = (found["grew"] >= grown) & (found["now"] <= found["before"]) & (then != last)
    saturated = (found["low"] > high) | (fell & (found["now"] > high))
    hints = [SATURATED, NO_GAIN, CANNOT_TELL]
    found["hint"] = np.select([saturated, fell & (found["gain_high"] < worth), fell], hints, "")
    found = found[(found["independent"] >= measured) & (found["hint"] != "")].astype({"independent": int})
    return found.rename_axis("label").reset_index()[columns].sort_values("label", ignore_index=True)


def with_intervals(sets: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Adds `low` and `high` (Wilson, at `effective` images where that is known) to rows with `top1` and `n`."""
    sets = with_independence(sets)
    right = (sets["top1"] * sets["n"]).round() / sets["n"] * sets["effective"]
    low, high = intervals.wilson(right, sets["effective"], confidence=confidence)
    return sets.assign(low=low, high=high)


def with_independence(figures: pd.DataFrame) -> pd.DataFrame:
    """Stored figures with `independent` and `effective`; where earlier versions had neither, as many as `n`."""
    missing = pd.Series(np.nan, index=figures.index)
    known = {name: figures.get(name, missing).astype(float) for name in ("independent", "effective")}
    return figures.assign(**{name: values.fillna(figures["n"]) for name, values in known.items()})


def as_records(differences: Differences) -> dict[str, Any]:
    """For JSON."""
    tables = {name: getattr(differences, name) for name in ("classes", "flips", "sets")}
    plain = {name: table.astype(object).where(table.notna(), None).to_dict("records") for name, table in tables.items()}
    return plain | {"entered": differences.entered, "left": differences.left}
