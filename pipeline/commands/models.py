"""Lists the networks with what they cost, and compares some on the user's splits, trained for the same time each."""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from typing import Any

from pipeline import bundle, sections
from pipeline.commands import Answer, log
from pipeline.errors import DataError, Exit, UsageError
from pipeline.evaluation import networks
from pipeline.evaluation.independence import images
from pipeline.evaluation.scores import clusters_of
from pipeline.files import digest, read_json, read_table, write_csv, write_json, write_text
from pipeline.pages.comparison import comparison
from pipeline.sections import Preset
from pipeline.tracking import Tracking
from pipeline.workspace import Workspace

IMAGENET_CLASSES = 1000  # of the papers; the networks are listed with so many before there are classes of one's own
BASE = "base"  # the contender that is the workspace's base, weights and all
FROZEN = "+frozen"
RANDOM = "random"
STEP = {"batch_size", "learning_rate", "continued_learning_rate"}
FIT = {"optimizer", "weight_decay", "min_delta", "label_smoothing"}


def listed(workspace: Workspace) -> Answer:
    """Lists all presets: parameters, arithmetic and size with a head for `classes` classes."""
    return _costs(workspace, workspace.presets())


def shown(workspace: Workspace, name: str) -> Answer:
    """Lists one preset.

    Raises:
      UsageError: if there is no such preset; the nearest name is offered.
    """
    return _costs(workspace, [name])


def classes(workspace: Workspace) -> int:
    """For how many classes the networks are listed."""
    curated = workspace.curated / bundle.CLASSES
    return len(bundle.read_classes(workspace.curated)) if curated.exists() else IMAGENET_CLASSES


def _costs(workspace: Workspace, names: list[str]) -> Answer:
    from pipeline.models import catalogue

    table = catalogue.listing(
        {name: workspace.preset(name) for name in names},
        num_classes=classes(workspace),
        cache=workspace.cache("models.json"),
    )
    return Answer(table.astype("object").where(table.notna(), None))


@dataclass(frozen=True)
class Contender:
    """`preset` with `weights` as `presets.build` takes them; `frozen`: only its head is trained."""

    preset: str
    weights: str
    frozen: bool

    @property
    def name(self) -> str:
        """How it is called in the table: of weights in a file or folder, the last part."""
        weights = "" if self.weights == RANDOM else f" {self.weights.rstrip('/').rpartition('/')[2]}"
        return f"{self.preset}{weights}{' frozen' if self.frozen else ''}"

    @classmethod
    def parse(cls, text: str) -> "Contender":
        """Reads PRESET, PRESET=WEIGHTS, either with +frozen behind it, or base.

        Raises:
          UsageError: if weights are given for the base.
        """
        preset, _, weights = text.removesuffix(FROZEN).partition("=")
        if preset == BASE and weights:
            raise UsageError(f"{text}: the base has weights of its own", where="wallaby models compare", mend=BASE)
        return cls(preset, weights or RANDOM, text.endswith(FROZEN))


def compare(workspace: Workspace, names: list[str], *, seconds: float, seed: int) -> Answer:
    """Trains and measures each contender in a process of its own; a table and a page lie in .wallaby/compare.

    What was measured before, on the same splits for the same time, is not measured again.

    Returns:
      `rows` (one record per network), `failed` (name and reason of those that could not be measured), `advice`, `page`.

    Raises:
      DataError: if there are no splits yet, or none of the contenders could be measured.
      UsageError: for no contender, one named twice, an unknown preset (the nearest is offered), or no time.
    """
    if not names or seconds <= 0:
        raise UsageError("name the networks to compare, and some minutes", where="wallaby models compare")
    contenders = [Contender.parse(name) for name in names]
    presets = {entry.preset: workspace.preset(entry.preset) for entry in contenders if entry.preset != BASE}
    out, splits = workspace.cache("compare"), workspace.splits_table
    if not splits.exists():
        first = "" if workspace.base.exists() else "`wallaby init-base --model inception_v4_small`, then "
        raise DataError("there are no data sets yet", where=splits, mend=f"run {first}`dvc repro split`")
    titles = [contender.name for contender in contenders]
    twice = sorted({name for name in titles if titles.count(name) > 1})
    if twice:
        raise UsageError(f"named twice: {', '.join(twice)}", where="wallaby models compare")
    measured, failed = [], {}
    for contender in contenders:
        preset = presets.get(contender.preset)
        result = _measured(workspace, contender, preset, seconds=seconds, seed=seed)
        if "failure" in result:
            failed[contender.name] = result["failure"]
            _log(f"{contender.name} could not be measured: {result['failure']}")
        else:
            measured.append({"name": contender.name, "reported": _reported(preset)} | result)
    if not measured:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise DataError("none of the networks could be measured", where=reasons)
    rows = read_table(splits)
    clusters = clusters_of(rows[rows["set"] == "val"]).tolist()
    whole = all(len(network["right"]) == len(clusters) for network in measured)  # else their order is not known
    table = networks.compare(measured, clusters if whole else None, confidence=workspace.confidence)
    per_class = float(rows.loc[rows["set"] == "train", "label"].value_counts().median())
    advice = networks.advice(table, per_class, confidence=workspace.confidence)
    page = comparison(
        table,
        title="Which network fits",
        advice=advice,
        facts={
            "Training": f"{seconds / 60:g} minute{'' if seconds == 60 else 's'} each",
            "Training set": f"{(rows['set'] == 'train').sum():,} images, {per_class:.0f} a class in the middle",
            "Validation set": images(int(table["n"].iloc[0]), table["independent"].iloc[0]),
            "Machine": f"{os.cpu_count()} cores",
        },
        failed=failed,
        confidence=workspace.confidence,
    )
    write_csv(table, out / "comparison.csv")
    write_text(page, out / "index.html")
    Tracking(workspace.home).log_comparison(table, [out / "comparison.csv", out / "index.html"])
    return Answer(
        {
            "rows": table.to_dict("records"),
            "failed": failed,
            "advice": advice,
            "page": (out / "index.html").resolve().as_uri(),
        },
        code=Exit.SOME_FAILED if failed else Exit.DONE,
    )


def _measured(
    workspace: Workspace, contender: Contender, preset: Preset | None, *, seconds: float, seed: int
) -> dict[str, Any]:
    params, splits = workspace.params(sections.Train), workspace.splits_table
    settings = params.model_dump(include=STEP | FIT) | params.augmentation()
    base = read_json(workspace.base / bundle.CARD) if preset is None else {}
    values = preset.model_dump() if preset else None
    inputs = [asdict(contender), values, base.get("model_digest", ""), digest(splits), seconds, seed, settings]
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    note = workspace.cache("compare") / f"{key}.json"
    if note.exists():
        _log(f"{contender.name} was measured before")
        return read_json(note)
    _log(contender.name)
    work: dict[str, Any] = {
        "preset": preset,
        "weights": contender.weights,
        "frozen": contender.frozen,
        "base": workspace.base,
        "base_size": workspace.preset_size(base["preset"]) if base else None,
        "splits": splits,
        "folders": workspace.folders,
        "cache": workspace.cache("hub"),
        "batch_size": params.batch_size or 32,
        "rates": {learnt: params.training(learnt=learnt)["learning_rate"] for learnt in (False, True)},
        "seconds": seconds,
        "seed": seed,
        "augmentation": params.augmentation(),
        "settings": params.model_dump(include=FIT),
    }
    context = multiprocessing.get_context("spawn")  # one process per network: its memory is its own
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        try:
            result = executor.submit(_trial, work).result()
        except BrokenProcessPool:
            return {"failure": "its process was killed; memory was too small, most likely"}
    if "failure" not in result:
        write_json(result, note)
    return result


def _trial(work: Mapping[str, Any]) -> dict[str, Any]:
    from pipeline.training import trial  # Keras is imported in the process that trains, and in no other

    return trial.compete(**work)


def _log(line: str) -> None:
    log(f"compare: {line}")


def _reported(preset: Preset | None) -> str:
    """What a paper says of it on ImageNet: never to be mixed with what is measured."""
    reported = preset.reported if preset else None
    return f"{reported.top1:.1%} ({reported.source})" if reported else ""
