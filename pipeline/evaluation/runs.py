"""Every round and throw-away as tables: what it was made of, how good it is, what it became.

Its figures are enough: scores and tables that are no longer there are left out.
"""

import re

import numpy as np
import pandas as pd

from pipeline.errors import DataError, UsageError, closest
from pipeline.evaluation import over_rounds, paired_scores
from pipeline.library.classes import Classes

MEASURES = ["n", "independent", "effective", "top1", "macro_f1", "log_loss", "ece"]
METRIC = re.compile(r"metrics\.(?P<set>.+)/(?P<measure>[^/]+)$")
SET_COLUMNS = ["run_id", "round", "throwaway", "set", "version", *MEASURES, "low", "high"]
LEAST_DIGITS = 4  # of a digest or a run, to name a version by
SCORES, BANDS, PER_CLASS = "scores.parquet", "bands.parquet", "per_class.csv"  # artifacts


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a run, oldest first.

    Returns:
      Columns `round`, `started`, `run`, `model`, `base run`, `parent` (its round), `classes`, `train` (images),
      `images` (of train, val and test), `new classes` and `new images` (against the parent; NaN without one), `epochs`,
      `plateau`, `minutes`, `gate`, `reason`, `champion` (yes, no: it was once, or ""), `throw-away` (bool), `run_id`,
      and a column a set: its top-1.
    """
    if runs.empty:
        return pd.DataFrame()
    known = pd.DataFrame(index=runs.index)
    for name in ("round", "base_run_id", "throwaway", "model_digest", "gate", "gate_reason", "champion"):
        known[name] = _column(runs, f"tags.{name}").fillna("").astype("str")
    for name in ("classes", "images_train", "images_val", "images_test"):
        known[name] = pd.to_numeric(_column(runs, f"params.{name}"), errors="coerce")
    images = known[["images_train", "images_val", "images_test"]].sum(axis=1, min_count=1)
    seconds = _column(runs, "metrics.training/seconds").astype(float)
    by_run = pd.DataFrame({"round": known["round"], "classes": known["classes"], "images": images})
    parent = by_run.set_axis(runs["run_id"]).reindex(known["base_run_id"]).set_axis(runs.index)
    made = pd.DataFrame(
        {
            "round": known["round"],
            "started": pd.to_datetime(runs["start_time"]).dt.strftime("%Y-%m-%d"),
            "run": runs["run_id"].str[:8],
            "model": known["model_digest"].str[:12],
            "base run": known["base_run_id"].str[:8],
            "parent": parent["round"].astype("str").fillna(""),
            "classes": known["classes"].astype("Int64"),
            "train": known["images_train"].astype("Int64"),
            "images": images.astype("Int64"),
            "new classes": (known["classes"] - parent["classes"]).astype("Int64"),
            "new images": (images - parent["images"]).astype("Int64"),
            "epochs": _column(runs, "metrics.training/epochs").astype("Int64"),
            "plateau": _column(runs, "metrics.training/best_epoch").astype("Int64"),
            "minutes": (seconds / 60).round(1),
            "gate": known["gate"],
            "reason": known["gate_reason"],
            "champion": known["champion"],
            "throw-away": known["throwaway"] == "true",
            "run_id": runs["run_id"],
        }
    )
    top1 = _measures(runs)
    wide = top1[~top1["set"].isin(over_rounds.NOT_SHOWN)].pivot(index="run_id", columns="set", values="top1")
    return made.join(wide, on="run_id")


def sets(runs: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Columns `SET_COLUMNS`, one row per run and set: its measures, the interval of its top-1, the set's version."""
    wide = _measures(runs)
    if wide.empty:
        return pd.DataFrame(columns=SET_COLUMNS)
    order = runs.reset_index(drop=True).rename_axis("order").reset_index()[["run_id", "order"]]
    about = {
        "round": _column(runs, "tags.round").fillna("").astype("str"),
        "throwaway": _column(runs, "tags.throwaway").astype("str") == "true",
    }
    wide = wide.merge(runs[["run_id"]].assign(**about), on="run_id").merge(order, on="run_id")
    wide["version"] = [_version(runs, run_id, name) for run_id, name in zip(wide["run_id"], wide["set"], strict=True)]
    wide = over_rounds.with_intervals(wide, confidence=confidence)
    return wide.sort_values(["order", "set"], ignore_index=True)[SET_COLUMNS]


def _measures(runs: pd.DataFrame) -> pd.DataFrame:
    """Columns `run_id`, `set` and `MEASURES`, of the sets that a run was scored on."""
    rows = []
    for column in runs.columns:
        found = METRIC.match(column)
        if found and found["measure"] in MEASURES:
            values = runs[["run_id", column]].dropna()
            rows.append(values.set_axis(["run_id", "value"], axis=1).assign(**found.groupdict()))
    if not rows:
        return pd.DataFrame(columns=["run_id", "set", *MEASURES])
    wide = pd.concat(rows).pivot(index=["run_id", "set"], columns="measure", values="value").reset_index()
    wide = wide.reindex(columns=["run_id", "set", *MEASURES])
    return wide[wide["top1"].notna()]


def find(named: pd.DataFrame, name: str) -> pd.Series:
    """The row of `table` with this round, or this beginning of a digest or run; of a round's several, the last.

    Raises:
      UsageError: if there is none; the nearest name is offered.
    """
    rows = named[~named["throw-away"] & (named["round"] == name)]
    if rows.empty and len(name) >= LEAST_DIGITS:
        rows = named[named["model"].str.startswith(name[:12]) | named["run_id"].str.startswith(name)]
    if rows.empty:
        known = [text for column in ("round", "model", "run") for text in named[column] if text]
        raise UsageError(f"no version is called '{name}'", where="wallaby runs", mend=closest(name, known))
    return rows.iloc[-1]


def stored(found: pd.DataFrame | None, version: pd.Series, events: Classes) -> pd.DataFrame:
    """A version's compact scores, by today's names.

    Raises:
      DataError: if they are no longer there.
    """
    if found is None:
        raise DataError(
            f"there are no scores of round {version['round']}",
            where=f"run {version['run']}, {SCORES}",
            mend="they were deleted, or never kept; a difference needs those of both versions",
        )
    return paired_scores.by_todays_names(found, events)


def rounds_of(named: pd.DataFrame) -> pd.DataFrame:
    """The rounds among the rows of `table`: of each round the last run, `round` as a number, oldest first."""
    if named.empty:
        return pd.DataFrame(columns=["round", "run_id", "images", "started"])
    rows = named[~named["throw-away"] & named["round"].str.fullmatch(r"\d+")]
    rows = rows.drop_duplicates("round", keep="last")
    return rows.assign(round=rows["round"].astype(int)).sort_values("round", ignore_index=True)


def gather(tables: dict[int, pd.DataFrame | None], events: Classes) -> pd.DataFrame:
    """Tables of several rounds as one, with `round`, labels by today's names; what is missing is left out."""
    there = [rows.assign(round=number) for number, rows in tables.items() if rows is not None]
    if not there:
        return pd.DataFrame(columns=["round", "set", "label", "n", "recall", "band", "right", "mean_score"])
    whole = pd.concat(there, ignore_index=True)
    return whole.assign(label=events.names(whole["label"].astype("str"))) if "label" in whole else whole


def reviewed(decisions: pd.DataFrame, runs: pd.DataFrame, rounds: pd.DataFrame) -> pd.DataFrame:
    """Columns `round` and `minutes`: the time of the decisions taken between the run before and a round's own.

    Args:
      decisions: as people took them, with `by` and `at`.
      runs: MLflow's, for the time at which each started.
      rounds: as `rounds_of`.
    """
    started = pd.to_datetime(runs.set_index("run_id")["start_time"], utc=True).reindex(rounds["run_id"]).ffill()
    rounds, started = rounds[started.notna().to_numpy()], started[started.notna()]
    timed = over_rounds.minutes(decisions).dropna()
    opened = np.searchsorted(started.to_numpy(), timed["at"].to_numpy(), side="left")
    spent = timed.groupby(opened)["minutes"].sum().reindex(range(len(rounds)))
    return pd.DataFrame({"round": rounds["round"], "minutes": spent.to_numpy()})


def trained(runs: pd.DataFrame, rounds: pd.DataFrame) -> pd.DataFrame:
    """Columns `round`, `seconds` and `cost` of the training of each of the `rounds`, NaN where they are not known."""
    figures = pd.DataFrame(
        {
            "run_id": runs["run_id"],
            "seconds": _column(runs, "metrics.training/seconds").astype(float),
            "cost": _column(runs, "metrics.cost").astype(float),
        }
    ).drop_duplicates("run_id", keep="last")
    return rounds[["round", "run_id"]].merge(figures, on="run_id", how="left")[["round", "seconds", "cost"]]


def _column(runs: pd.DataFrame, name: str) -> pd.Series:
    return runs[name] if name in runs else pd.Series(np.nan, index=runs.index, dtype=object)


def _version(runs: pd.DataFrame, run_id: str, name: str) -> str:
    value = _column(runs, f"tags.version.{name}")[runs["run_id"] == run_id].iloc[0]
    return "" if pd.isna(value) else str(value)
