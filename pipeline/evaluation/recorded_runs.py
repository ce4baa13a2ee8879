"""Records of rounds as the runs that `pipeline.evaluation.runs` tabulates, and runs of an older store as records."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.evaluation import headline, intervals, round_record
from pipeline.evaluation.over_rounds import NOT_SHOWN
from pipeline.evaluation.round_record import Gate, Record, Release
from pipeline.evaluation.runs import MEASURES, METRIC

COUNTS = ("classes", "images_train", "images_val", "images_test")
TRAINING = ("epochs", "best_epoch", "seconds")
NO_SETTING = re.compile(r"(images|lineage)_.*|images|classes|preset|data_digest|round|parent|recipe")
NAMED_BY_SET = re.compile(r"^(benchmark|open)/")  # where the colon of a set's name was, which no metric may have
UNNAMEABLE = re.compile(r"[^\w\-. /]")


def as_runs(records: Sequence[Record]) -> pd.DataFrame:
    """One row per record, oldest first, in the columns of `Tracking.runs`."""
    by_model, serving = {record.model_digest: record for record in records}, round_record.champion(records)
    rows = []
    for record in round_record.in_order(records):
        parent = by_model.get(record.parent_digest)
        became = {True: "yes", False: "no"}[record.model_digest == serving] if record.releases else ""
        tags = {
            "round": str(record.round),
            "throwaway": "false",
            "base_run_id": run_id(parent) if parent else "",
            "model_digest": record.model_digest,
            "gate": record.gate.verdict,
            "gate_reason": record.gate.reason,
            "champion": became,
        } | {f"version.{metric_name(name)}": version for name, version in record.versions.items()}
        metrics = {f"training/{key}": record.training.get(key) for key in TRAINING}
        metrics |= {"cost": record.training.get("cost")}
        metrics |= {
            f"{metric_name(name)}/{key}": figures.get(key)
            for name, figures in record.measured.items()
            for key in MEASURES
            if key in figures
        }
        rows.append(
            {"run_id": run_id(record), "start_time": record.started or None}
            | {f"params.{key}": record.parameters.get(key) for key in COUNTS}
            | {f"tags.{key}": value for key, value in tags.items()}
            | {f"metrics.{key}": value for key, value in metrics.items()}
        )
    if not rows:
        return pd.DataFrame(columns=["run_id", "start_time"])
    table = pd.DataFrame(rows)
    table = table.astype({name: float for name in table if str(name).startswith("metrics.")})
    table["start_time"] = pd.to_datetime(table["start_time"], utc=True, format="ISO8601")
    return table.copy()  # its columns in one block


def run_id(record: Record) -> str:
    """The id of the record's MLflow run; of a round without one, the model's digest."""
    return record.run_id or record.model_digest


def metric_name(set_name: str) -> str:
    """How a set is called in the name of a metric: `benchmark/field` for `benchmark:field`."""
    return UNNAMEABLE.sub("_", set_name.replace(":", "/"))


def of_run(
    run: Mapping[str, Any],
    *,
    per_class: pd.DataFrame | None,
    bands: pd.DataFrame | None,
    curve: Mapping[str, Sequence[float]],
    recipe: Mapping[str, Any] | None = None,
    scores_md5: str = "",
    gate: Gate | None = None,
) -> Record | None:
    """The record of a round that an older program logged in MLflow; None for a run that is no evaluated round.

    Args:
      run: a row of `Tracking.runs`.
      per_class, bands: the tables that were logged with it; None where they are gone.
      curve: the values of each metric of the training, one per epoch.
      recipe: every setting of the training, where it was logged apart from the parameters.
      scores_md5, gate: what git knows of the model; the verdict that was logged counts first.
    """
    known = {str(key): value for key, value in run.items() if not _is_missing(value)}
    tags = _below(known, "tags.")
    digest, number = tags.get("model_digest", ""), tags.get("round", "")
    measured = _measured(known)
    if tags.get("throwaway") == "true" or not re.fullmatch(r"[0-9a-f]{64}", digest) or not number.isdigit():
        return None
    if not measured:
        return None
    params = {key: _value(text) for key, text in _below(known, "params.").items()}
    metrics = _below(known, "metrics.")
    training = {key: metrics[f"training/{key}"] for key in TRAINING if f"training/{key}" in metrics}
    training = {key: int(value) if key != "seconds" else value for key, value in training.items()}
    if "cost" in metrics:
        training["cost"] = metrics["cost"]
    settings = dict(recipe or {}) or {key: value for key, value in params.items() if not NO_SETTING.fullmatch(key)}
    card = {
        "round": int(number),
        "preset": params.get("preset", ""),
        "parent_digest": tags.get("base_digest", ""),
        "data_digest": params.get("data_digest", ""),
    }
    by_set = {name: params.get(f"images_{name}", 0) for name in headline.SETS}
    labels = [] if per_class is None else sorted(set(per_class["label"].astype("str")))
    versions = {set_name(key): text for key, text in _below(tags, "version.").items()}
    logged = Gate(verdict=tags.get("gate", ""), reason=tags.get("gate_reason", ""))
    figures = headline.metrics(measured, training) | headline.counts(measured)
    return Record(
        **{key: card[key] for key in ("round", "parent_digest", "data_digest")},
        model_digest=digest,
        scores_md5=scores_md5,
        run_id=known["run_id"],
        started=pd.Timestamp(known["start_time"]).isoformat() if "start_time" in known else "",
        parameters=headline.parameters(
            card, classes=int(params.get("classes", 0)), images_by_set=by_set, recipe=settings
        ),
        headline=figures | ({"cost": training["cost"]} if "cost" in training else {}),
        recipe=settings,
        measured=measured,
        versions=versions,
        classes=labels,
        per_class={} if per_class is None else round_record.by_class(per_class, labels),
        bands={} if bands is None else round_record.by_band(bands),
        curve={name: [round_record.rounded(value) for value in values] for name, values in curve.items()},
        training=training,
        gate=logged if logged.verdict or gate is None else gate,
        releases=_releases(tags),
    )


def set_name(metric: str) -> str:
    """The set whose figures are logged under such a name: the inverse of `metric_name`, as far as there is one."""
    return NAMED_BY_SET.sub(r"\1:", metric)


def compared(before: Record, after: Record, *, confidence: float) -> dict[str, Any]:
    """What differs between two rounds by their records alone: no image is compared with itself.

    Returns:
      `sets`, one record per set that either was measured on (`set`, `before` and `after`, each with `n`, `top1`, `low`
      and `high`, their `difference`, and whether they are the `same images`), `classes` (`label`, `n`, `before`,
      `after`, `difference`: the recall over all sets but train and val, the greatest loss first), `entered`, `left`.
    """
    sets = []
    for name in sorted((before.measured.keys() | after.measured.keys()) - set(NOT_SHOWN)):
        then, now = (record.measured.get(name, {}) for record in (before, after))
        shares = [figures.get("top1") for figures in (then, now)]
        known = [share for share in shares if share is not None]
        if not known:
            continue
        sets.append(
            {
                "set": metric_name(name),
                "before": _interval(then, confidence),
                "after": _interval(now, confidence),
                "difference": known[1] - known[0] if len(known) == 2 else None,
                "same images": _same(before, after, name),
            }
        )
    recalls = [_recalls(record) for record in (before, after)]
    both = recalls[1].merge(recalls[0], left_index=True, right_index=True, suffixes=("_after", "_before"))
    both = both.assign(difference=both["recall_after"] - both["recall_before"]).sort_values(["difference", "label"])
    names = {"n_after": "n", "recall_before": "before", "recall_after": "after"}
    return {
        "sets": sets,
        "classes": both.reset_index()
        .rename(columns=names)[["label", "n", "before", "after", "difference"]]
        .to_dict("records"),
        "entered": sorted(set(after.classes) - set(before.classes)),
        "left": sorted(set(before.classes) - set(after.classes)),
    }


def changed_settings(before: Record, after: Record) -> list[dict[str, str]]:
    """The settings of the training that two rounds differ in: `setting`, `before`, `after`, as text."""
    names = sorted(before.recipe.keys() | after.recipe.keys())
    both = [(name, *(_text(record.recipe.get(name)) for record in (before, after))) for name in names]
    return [{"setting": name, "before": then, "after": now} for name, then, now in both if then != now]


def _same(before: Record, after: Record, name: str) -> bool:
    """Whether two rounds were measured on the very same images of a set; those of new classes are others."""
    versions = [record.versions.get(name) for record in (before, after)]
    numbers = [record.measured.get(name, {}).get("n") for record in (before, after)]
    return bool(versions[0]) and versions[0] == versions[1] and numbers[0] == numbers[1]


def _interval(figures: Mapping[str, Any], confidence: float) -> dict[str, Any]:
    share, n = figures.get("top1"), figures.get("n")
    if share is None:
        return {"n": n, "top1": None, "low": None, "high": None}
    effective = figures.get("effective") or n or 0
    low, high = intervals.wilson(pd.Series([share * effective]), pd.Series([effective]), confidence=confidence)
    return {"n": n, "top1": share, "low": float(low[0]), "high": float(high[0])}


def _recalls(record: Record) -> pd.DataFrame:
    """Columns `n`, `recall`, by label, over all sets but train and val."""
    table = round_record.per_class_table(record)
    table = table[~table["set"].isin(["train", "val"])]
    sums = table.assign(right=table["recall"].astype(float) * table["n"]).groupby("label")[["n", "right"]].sum()
    return pd.DataFrame({"n": sums["n"].astype(int), "recall": sums["right"] / sums["n"].astype(float)})


def _measured(known: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    by_set: dict[str, dict[str, Any]] = {}
    for key, value in known.items():
        parts = METRIC.match(key)
        if parts and parts["set"] != "training":
            whole = (
                parts["measure"] in ("n", "out_of_class", "independent", "audit_asked") and float(value).is_integer()
            )
            by_set.setdefault(set_name(parts["set"]), {})[parts["measure"]] = int(value) if whole else float(value)
    return {name: figures for name, figures in by_set.items() if "n" in figures or "top1" in figures}


def _releases(tags: Mapping[str, str]) -> list[Release]:
    if not tags.get("champion") or not tags.get("released"):
        return []
    fields = {"at": "released", "by": "released_by", "action": "released_as", "reason": "released_for"}
    return [Release(**{field: tags.get(tag, "") for field, tag in fields.items()})]


def _below(values: Mapping[str, Any], beginning: str) -> dict[str, Any]:
    return {key.removeprefix(beginning): value for key, value in values.items() if key.startswith(beginning)}


def _value(text: Any) -> Any:
    """A parameter as it was before MLflow made a text of it."""
    plain = {"True": True, "False": False, "None": None}
    if text in plain:
        return plain[text]
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def _is_missing(value: Any) -> bool:
    return value is None or (not isinstance(value, list | dict) and bool(pd.isna(value)))


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
