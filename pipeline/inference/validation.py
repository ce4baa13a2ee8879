"""Whether a prediction store is what it says: readable, of one model, complete, and consistent row by row."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.files import read_arrow, read_json
from pipeline.inference import migration, shards, store
from pipeline.inference.shards import FEATURES

SUMMARY = "summary.json"
EPSILON = 1e-4  # probabilities are made in single precision, and the entropy is a sum of many
TEXTS = ["image", "sha256", "label", "failure", "model"]
NUMBERS = ["score", "margin", "entropy"]


@dataclass(frozen=True)
class Fault:
    """One kind of fault in one file: the first row that has it, from 1 (0: the whole file), and how many have it."""

    file: str
    row: int
    rows: int
    what: str

    def __str__(self) -> str:
        place = f"{self.file}, row {self.row}" if self.row else self.file
        return f"{place}: {self.what}" + (f" (and {self.rows - 1} more)" if self.rows > 1 else "")


def validate(path: Path) -> tuple[dict[str, int], list[Fault]]:
    """Looks at a store's folder, or at one shard. In memory are 8 bytes an image, and a shard.

    Returns:
      The images it has, `pool` and of these `identified`, `failed` and `skipped`; and what is wrong.

    Raises:
      DataError: if there is nothing to look at.
    """
    parts = migration.opened(path) if path.is_dir() else [path]
    if not parts or not path.exists():
        raise DataError("there are no predictions", where=path, mend="run `dvc repro identify`")
    counts = {"pool": 0, "identified": 0, "failed": 0, "skipped": 0}
    faults: list[Fault] = []
    images: dict[Path, np.ndarray] = {}
    model = ""
    width = 0
    for shard in parts:
        try:
            table = read_arrow(shard)
        except DataError as error:
            faults.append(Fault(shard.name, 0, 0, error.what))
            continue
        if wrong := list(_types(table)):
            faults += [Fault(shard.name, 0, 0, what) for what in wrong]
            continue
        named = (table.schema.metadata or {}).get(shards.MODEL_KEY, b"").decode()
        model = model or named
        if named != model or not named:
            faults.append(Fault(shard.name, 0, 0, f"it is of model '{named}', {parts[0].name} of '{model}'"))
        rows = table.to_pandas()
        faults += [
            Fault(shard.name, int(np.argmax(bad)) + 1, int(bad.sum()), what)
            for bad, what in [*_texts(rows), *_scores(rows[rows["failure"] == ""], rows["failure"] == "")]
            if bad.any()
        ]
        features = shards.array_file(shard, FEATURES)
        if features.exists() != shards.array_file(parts[0], FEATURES).exists():
            faults.append(Fault(features.name, 0, 0, f"only some shards have features, {parts[0].name} for example"))
        elif features.exists():
            wrong_values, width = _features(features, (rows["failure"] != "").to_numpy(), width)
            faults += wrong_values
        images[shard] = pd.util.hash_pandas_object(rows["image"], index=False).to_numpy()
        for name, number in ({"pool": len(rows)} | store.count(rows)).items():
            counts[name] += number
    faults += _twice(images)
    if path.is_dir():
        faults += [Fault(SUMMARY, 0, 0, what) for what in _against_summary(path / SUMMARY, counts)]
    return counts, faults


def _types(table: pa.Table) -> Iterator[str]:
    for name in store.COLUMNS:
        if name not in table.column_names:
            yield f"column '{name}' is missing"
            continue
        kind = table.schema.field(name).type
        values = kind.value_type if pa.types.is_list(kind) else kind
        is_text = pa.types.is_string(values) or pa.types.is_large_string(values)
        fits = is_text if name in (*TEXTS, "top_labels") else pa.types.is_float64(values)
        if not fits or pa.types.is_list(kind) != (name in store.LISTS):
            yield f"column '{name}' is of type {kind}"


def _texts(rows: pd.DataFrame) -> Iterator[tuple[np.ndarray, str]]:
    """What must hold for every row, whatever it says."""
    failed = (rows["failure"] != "").to_numpy()
    yield ~rows["image"].str.contains("/").to_numpy(bool), "the image is not called ROOT/path"
    known = rows["sha256"].str.fullmatch("[0-9a-f]{64}").to_numpy(bool) | (failed & (rows["sha256"] == ""))
    yield ~known, "sha256 is no content hash"
    yield (rows["model"] != rows["model"].iloc[0]).to_numpy() | (rows["model"] == "").to_numpy(), "another model"
    given = rows[["score", "margin", "entropy", "top_labels", "top_scores"]].notna().to_numpy()
    yield failed & (given.any(axis=1) | (rows["label"] != "").to_numpy()), "a failure with a prediction"
    yield ~failed & (~given.all(axis=1) | (rows["label"] == "").to_numpy()), "neither a prediction nor a failure"


def _features(path: Path, failed: np.ndarray, width: int) -> tuple[list[Fault], int]:
    """What is wrong with the features of a shard's rows, and their number; `width` is that of the shards before."""
    try:
        values = shards.read_array(path)
    except DataError as error:
        return [Fault(path.name, 0, 0, error.what)], width
    if len(values) != len(failed):
        return [Fault(path.name, 0, 0, f"it has {len(values)} rows, its shard has {len(failed)}")], width
    number = values.shape[1]
    if number != (width or number) and not failed.all():
        return [Fault(path.name, 0, 0, f"{number} features of an image, {width} in the shards before")], width
    checks = [
        (~np.isfinite(values).all(axis=1), "features that are no numbers"),
        (failed & values.any(axis=1), "features of a failure"),
    ]
    wrong = [Fault(path.name, int(np.argmax(bad)) + 1, int(bad.sum()), what) for bad, what in checks if bad.any()]
    return wrong, width or number


def _scores(said: pd.DataFrame, where: pd.Series) -> Iterator[tuple[np.ndarray, str]]:
    """What must hold where there is a prediction."""

    def at(bad: np.ndarray) -> np.ndarray:
        found = np.zeros(len(where), bool)
        found[where.to_numpy()] = bad
        return found

    said = said[said[["top_labels", "top_scores"]].notna().all(axis=1) & (said["top_scores"].str.len() > 0)]
    where = where & where.index.isin(said.index)
    if said.empty:
        return
    numbers, labels = said["top_scores"].str.len(), said["top_labels"].str.len()
    uneven = (numbers != numbers.max()) | (labels != numbers.max())
    yield at(uneven.to_numpy()), "top_labels and top_scores are not of one length"
    if uneven.any():
        return
    top = np.stack(said["top_scores"].to_list())
    score, margin, entropy = (said[name].to_numpy() for name in NUMBERS)
    yield at(~((score >= 0) & (score <= 1))), "the score is not between 0 and 1"
    yield at((top.min(axis=1) < 0) | (top.sum(axis=1) > 1 + EPSILON)), "top_scores are no probabilities"
    yield at(np.diff(top, axis=1).max(axis=1, initial=0) > 0), "top_scores are not sorted"
    yield at((said["top_labels"].str.get(0) != said["label"]).to_numpy()), "the label is not the first of top_labels"
    yield at(np.abs(top[:, 0] - score) > EPSILON), "the score is not the first of top_scores"
    if top.shape[1] > 1:
        yield at(np.abs(top[:, 0] - top[:, 1] - margin) > EPSILON), "the margin is not between the first two scores"
    known = -(top * np.log(np.maximum(top, 1e-12))).sum(axis=1)
    yield at(~(entropy >= known - EPSILON)), "the entropy is below that of top_scores"


def _twice(images: dict[Path, np.ndarray]) -> Iterator[Fault]:
    """Names each shard that repeats an image which stands before."""
    together = np.sort(np.concatenate([np.empty(0, np.uint64), *images.values()]))
    repeated = np.unique(together[1:][together[1:] == together[:-1]])
    seen = np.zeros(len(repeated), bool)
    for shard, keys in images.items():
        at = store.place(keys, repeated)
        rows = np.flatnonzero(at >= 0)
        _, first = np.unique(at[rows], return_index=True)
        again = np.ones(len(rows), bool)
        again[first] = seen[at[rows[first]]]
        seen[at[rows]] = True
        if again.any():
            row = int(rows[again][0])
            image = read_arrow(shard, ["image"])["image"][row].as_py()
            yield Fault(shard.name, row + 1, int(again.sum()), f"{image} stands twice")


def _against_summary(path: Path, counts: dict[str, int]) -> Iterator[str]:
    if not path.exists():
        yield "there is none: the identification has not finished"
        return
    summary = read_json(path)
    for name, number in counts.items():
        if summary.get(name) != number:
            yield f"{name} is {summary.get(name)}, the shards have {number}"
