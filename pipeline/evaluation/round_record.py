"""The record of a round: one small JSON file in git with what the round was made of, measured, took and became.

Its headline figures and parameters have the names of `pipeline.evaluation.headline`. Whoever has the records has the
history: neither MLflow's store nor the round's products are needed to list, draw and compare the rounds.
"""

import hashlib
import json
import numbers
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import DataError
from pipeline.evaluation import headline, over_rounds
from pipeline.files import read_json

DIGITS = 6  # significant ones of a figure that is no count
BACK = "`git checkout -- FILE` brings its last version back"
SCORED = ["set", "sha256", "label", "score", "label_rank"]  # columns of the scores that a record is made of

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]*$")]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Figure = int | float


class Part(BaseModel):
    """A part of a record. What a newer program has added to it is kept."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class Gate(Part):
    """The gate's verdict on the model; "" before there is one."""

    verdict: str = ""
    reason: str = ""
    champion: Digest = ""


class Release(Part):
    """One time that the model became the champion: a row of the champion's history."""

    at: str
    by: str = ""
    action: str = ""
    reason: str = ""

    @model_validator(mode="after")
    def _has_a_time(self) -> "Release":
        datetime.fromisoformat(self.at)
        return self


class ByClass(Part):
    """Figures of each class on one set, in the order of the record's `classes`; None where the set has none of it."""

    n: list[Count | None]
    right: list[Count | None]
    independent: list[Figure | None] = []
    effective: list[Figure | None] = []


class Record(Part):
    """What one round was made of, measured, took and became.

    Attributes:
      format: of the file.
      scores_md5: of the table of all scores, by which DVC's cache and remotes know it; "" if it is not known.
      started: when training began, ISO 8601; "" if nobody noted it.
      parameters, headline: `headline.parameters`; `headline.metrics` and `headline.counts`.
      recipe: every setting of the training.
      measured: every figure of each set, as `data/evaluation/metrics.json` has them.
      versions: of each set that was scored.
      bands: rows of band, images, right ones and mean score (`over_rounds.by_band`), by set.
      curve: the training's history by column, one value per epoch.
      training: `epochs`, `best_epoch`, `seconds`, and `cost` where an hour has a price.
      pool: what identification counted; `queue`: images and decisions of each recipe.
    """

    format: Literal[1] = 1
    round: Count
    model_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]
    parent_digest: Digest = ""
    data_digest: Digest = ""
    scores_md5: Digest = ""
    run_id: str = ""
    started: str = ""
    parameters: dict[str, str | Figure] = {}
    headline: dict[str, Figure] = {}
    recipe: dict[str, Any] = {}
    measured: dict[str, dict[str, Figure | None]] = {}
    versions: dict[str, str] = {}
    classes: list[str] = []
    per_class: dict[str, ByClass] = {}
    bands: dict[str, list[tuple[Share, Count, Count, Share]]] = {}
    curve: dict[str, list[Figure | None]] = {}
    training: dict[str, Figure | str] = {}
    pool: dict[str, Any] = {}
    queue: dict[str, dict[str, Count]] = {}
    gate: Gate = Gate()
    releases: list[Release] = []

    @property
    def name(self) -> str:
        """The name of its file: the round and the beginning of the model's digest."""
        return f"{self.round}-{self.model_digest[: headline.SHORT]}.json"

    @model_validator(mode="after")
    def _adds_up(self) -> "Record":
        if self.started:
            datetime.fromisoformat(self.started)
        for name, figures in self.measured.items():
            for key, most in {"top1": 1.0, "n": None, "independent": None, "effective": None}.items():
                value = figures.get(key)
                if value is not None and (value < 0 or (most is not None and value > most)):
                    raise ValueError(f"measured.{name}.{key} cannot be {value}")
        for name, table in self.per_class.items():
            if {len(table.n), len(table.right)} | {len(table.independent or table.n)} != {len(self.classes)}:
                raise ValueError(f"per_class.{name} has not one value for each of {len(self.classes)} classes")
            if any((right or 0) > (n or 0) for right, n in zip(table.right, table.n, strict=True)):
                raise ValueError(f"per_class.{name}: more images right than there are")
        if len({len(values) for values in self.curve.values()}) > 1:
            raise ValueError("curve: its columns have different lengths")
        if self.curve and "epoch" not in self.curve:
            raise ValueError("curve: it has no column epoch")
        return self


def of_round(
    card: Mapping[str, Any],
    *,
    classes: Sequence[str],
    images_by_set: Mapping[str, int],
    recipe: Mapping[str, Any],
    history: pd.DataFrame,
    measured: Mapping[str, Mapping[str, Any]],
    per_class: pd.DataFrame,
    scores: pd.DataFrame,
    scores_md5: str,
    verdict: Mapping[str, Any],
    pool: Mapping[str, Any],
    queue: Mapping[str, pd.DataFrame],
) -> Record:
    """The record of a round that has come to its queue; equal products give an equal record.

    Args:
      card: of the model, as `card.json` has it.
      classes: that it knows.
      images_by_set: images of train, val, test and the benchmarks.
      recipe: every setting of the training, with the learning rate and number of epochs in force.
      history: the training's curves, one row per epoch.
      measured, per_class, scores: as the stage evaluate writes them.
      verdict: as the stage gate writes it; one on another model is left out.
      pool: the summary of identification.
      queue: the rows of each recipe, with `group`.
    """
    training = dict(card["training"])
    if "cost" in history and len(history):
        networks = training["seconds"] / history["seconds"].sum() if "members" in training else 1  # beside the curve's
        training["cost"] = round(float(history["cost"].iloc[-1]) * networks, 2)
    judged = verdict if verdict.get("model") == card["model_digest"] else {}
    figures = headline.metrics(measured, training) | headline.counts(measured)
    figures |= {headline.COST: training["cost"]} if "cost" in training else {}
    return Record(
        round=card["round"],
        model_digest=card["model_digest"],
        parent_digest=card["parent_digest"],
        data_digest=card["data_digest"],
        scores_md5=scores_md5,
        run_id=card["run_id"],
        started=training.pop("started", ""),
        parameters=headline.parameters(card, classes=len(classes), images_by_set=images_by_set, recipe=recipe),
        headline=figures,
        recipe=dict(recipe),
        measured={name: {key: known(value) for key, value in of.items()} for name, of in measured.items()},
        versions=over_rounds.set_versions(scores),
        classes=list(classes),
        per_class=by_class(per_class, classes),
        bands=by_band(over_rounds.by_band(scores)),
        curve={str(name): [rounded(value) for value in column] for name, column in history.items()},
        training=training,
        pool=dict(pool),
        queue={name: {"images": len(rows), "decisions": int(rows["group"].nunique())} for name, rows in queue.items()},
        gate=Gate(**{key: str(judged.get(key) or "") for key in ("verdict", "reason", "champion")}),
    )


def read_per_class(path: Path) -> pd.DataFrame:
    """The figures of each set and class as the stage evaluate writes them; a class may be called `NA`."""
    figures = ("n", "recall", "independent", "effective")
    return pd.read_csv(path, dtype={"label": "str"}, keep_default_na=False, na_values={name: [""] for name in figures})


def by_class(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, ByClass]:
    """The figures of each set and class (`metrics.by_class`; older tables lack `independent` and `effective`)."""
    tables = {}
    for name, rows in table.groupby("set"):
        rows = rows.set_index("label").reindex(list(classes))
        right = (rows["recall"].astype(float) * rows["n"].astype(float)).round()
        tables[str(name)] = ByClass(
            n=[None if pd.isna(value) else int(value) for value in rows["n"]],
            right=[None if pd.isna(value) else int(value) for value in right],
            **{key: [rounded(value) for value in rows[key]] for key in ("independent", "effective") if key in rows},
        )
    return tables


def by_band(table: pd.DataFrame) -> dict[str, list[tuple[float, int, int, float]]]:
    """The rows of `over_rounds.by_band`, by set."""
    return {
        str(name): [
            (float(row["band"]), int(row["n"]), int(row["right"]), float(rounded(row["mean_score"]) or 0))
            for row in rows.to_dict("records")
        ]
        for name, rows in table.groupby("set")
    }


def per_class_table(record: Record) -> pd.DataFrame:
    """Columns `set`, `label`, `n`, `recall`, and `independent` and `effective` where they are known."""
    tables = []
    for name, figures in record.per_class.items():
        table = pd.DataFrame({"label": record.classes, "n": figures.n, "right": figures.right}).astype({"label": "str"})
        for key in ("independent", "effective"):
            if values := getattr(figures, key):
                table[key] = pd.Series(values, dtype=float)
        tables.append(table[table["n"].notna()].assign(set=name))
    if not tables:
        return pd.DataFrame(columns=["set", "label", "n", "recall"])
    whole = pd.concat(tables, ignore_index=True).astype({"n": int})
    return whole.assign(recall=whole["right"].astype(float) / whole["n"])


def band_table(record: Record) -> pd.DataFrame:
    """As `over_rounds.by_band`."""
    rows = [(name, *row) for name, bands in record.bands.items() for row in bands]
    return pd.DataFrame(rows, columns=["set", "band", "n", "right", "mean_score"])


def to_text(record: Record) -> str:
    """The record as sorted JSON, in which each part of a table has a line of its own."""
    values = record.model_dump(exclude={"per_class"})
    values["per_class"] = {name: table.model_dump() for name, table in record.per_class.items()}
    return "{\n" + ",\n".join(f" {_json(key)}: {_block(values[key])}" for key in sorted(values)) + "\n}\n"


def read(path: Path, *, named: bool = True) -> Record:
    """Reads a record.

    Args:
      named: whether the file's name must be that of the record.

    Raises:
      DataError: if it is missing, cut short, or does not hold what a record holds.
    """
    back = BACK.replace("FILE", str(path)) if named else "run `dvc repro --force queue`"
    try:
        values = read_json(path)
        record = Record.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise DataError(f"no record of a round: {place + ': ' if place else ''}{what}", where=path, mend=back) from None
    except DataError as error:
        raise DataError(error.what, where=path, mend=back) from None
    except OSError as error:
        raise DataError(f"not readable: {error.strerror or error}", where=path, mend=back) from None
    if named and path.name != record.name:
        raise DataError(f"the record of another round, {record.name}", where=path, mend=back)
    return record


def read_all(folder: Path) -> tuple[list[Record], list[DataError]]:
    """Every record of a folder, oldest first, and what is wrong with each file that is none."""
    records: dict[str, Record] = {}
    faults = []
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            record = read(path)
        except DataError as error:
            faults.append(error)
            continue
        run = record.run_id or record.model_digest
        if run in records:
            twice = f"it names the MLflow run of {records[run].name}"
            faults.append(DataError(twice, where=path, mend=BACK.replace("FILE", str(path))))
        else:
            records[run] = record
    return in_order(records.values()), faults


def in_order(records: Iterable[Record]) -> list[Record]:
    """The records in the order in which their trainings began; of those that nobody timed, by round."""
    by_round = sorted(records, key=lambda record: (record.round, record.started, record.model_digest))
    latest, keyed = "", []
    for record in by_round:
        latest = _utc(record.started) or latest
        keyed.append((latest, record.round, record))
    return [record for *_, record in sorted(keyed, key=lambda item: item[:2])]


def _utc(when: str) -> str:
    return pd.Timestamp(when).tz_convert("UTC").isoformat() if when and datetime.fromisoformat(when).tzinfo else when


def champion(records: Iterable[Record]) -> str:
    """The digest of the model that was released last; "" if none was."""
    events = [(_utc(event.at), record.model_digest) for record in records for event in record.releases]
    return max(events, default=("", ""))[1]


def renewed(before: Record, now: Record) -> Record:
    """What a new evaluation of the same model makes of its record.

    What is known only here stays: when it began, and when it was released. So does the verdict on a model that has
    become the champion since: the gate then compares it with itself.
    """
    kept: dict[str, Any] = {"releases": before.releases, "started": now.started or before.started}
    if now.gate.champion == now.model_digest and before.gate.verdict:
        kept["gate"] = before.gate
    return now.model_copy(update=kept)


def md5(path: Path) -> str:
    """MD5 of a file's bytes, as DVC names it in its cache."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def known(value: Any) -> Any:
    """The figure as JSON keeps it; None if it is not known."""
    if value is None or pd.isna(value):
        return None
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def rounded(value: Any) -> Any:
    """As `known`, with six significant digits."""
    figure = known(value)
    return float(f"{figure:.{DIGITS}g}") if isinstance(figure, float) else figure


def _block(value: Any) -> str:
    if not isinstance(value, dict) or not any(isinstance(each, dict | list) for each in value.values()):
        return _json(value)
    return "{\n" + ",\n".join(f"  {_json(key)}: {_json(value[key])}" for key in sorted(value)) + "\n }"


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
