"""`wallaby models compare`: networks trained for the same time on the user's own splits, side by side."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline import config, paths, sections, tracking
from pipeline.errors import DataError, UsageError, WallabyError
from pipeline.evaluation import contenders as networks
from pipeline.files import digest, read_json, read_table, write_csv, write_json, write_text
from pipeline.pages.comparison import comparison

BASE = "base"  # the contender that is data/base, weights and all
FROZEN = "+frozen"
RANDOM = "random"
STEP = {"batch_size", "learning_rate", "continued_learning_rate"}
FIT = {"optimizer", "weight_decay", "min_delta", "label_smoothing"}


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
        """PRESET, PRESET=WEIGHTS, either with +frozen behind it, or base.

        Raises:
          UsageError: if there is no such preset (the nearest is offered), or weights are given for the base.
        """
        preset, _, weights = text.removesuffix(FROZEN).partition("=")
        if preset != BASE:
            config.load_preset(preset)
        elif weights:
            raise UsageError(f"{text}: the base has weights of its own", where="wallaby models compare", mend=BASE)
        return cls(preset, weights or RANDOM, text.endswith(FROZEN))


def compare(names: list[str], *, seconds: float, seed: int) -> dict[str, Any]:
    """Trains and measures each contender in a process of its own; a table and a page lie in .wallaby/compare.

    What was measured before, on the same splits for the same time, is not measured again.

    Returns:
      `rows` (a record a network), `failed` (name and reason of those that could not be measured), `advice`, `page`.

    Raises:
      DataError: if there are no splits yet, or none of the contenders could be measured.
      UsageError: for no contender, one named twice, an unknown preset, or no time.
    """
    if not names or seconds <= 0:
        raise UsageError("name the networks to compare, and some minutes", where="wallaby models compare")
    out, splits = config.cache("compare"), paths.SPLITS / "splits.parquet"
    contenders = [Contender.parse(name) for name in names]
    if not splits.exists():
        first = "" if paths.BASE.exists() else "`wallaby init-base --model inception_v4_small`, then "
        raise DataError("there are no data sets yet", where=splits, mend=f"run {first}`dvc repro split`")
    shown = [contender.name for contender in contenders]
    twice = sorted({name for name in shown if shown.count(name) > 1})
    if twice:
        raise UsageError(f"named twice: {', '.join(twice)}", where="wallaby models compare")
    measured, failed = [], {}
    for contender in contenders:
        result = _measured(contender, splits, seconds=seconds, seed=seed)
        if "failure" in result:
            failed[contender.name] = result["failure"]
            _tell(f"{contender.name} could not be measured: {result['failure']}")
        else:
            measured.append({"name": contender.name, "reported": _reported(contender)} | result)
    if not measured:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise DataError("none of the networks could be measured", where=reasons)
    confidence = config.load(sections.Evaluate).confidence
    table = networks.compare(measured, confidence=confidence)
    rows = read_table(splits)
    per_class = float(rows.loc[rows["set"] == "train", "label"].value_counts().median())
    advice = networks.advice(table, per_class, confidence=confidence)
    page = comparison(
        table,
        title="Which network fits",
        advice=advice,
        facts={
            "Training": f"{seconds / 60:g} minute{'' if seconds == 60 else 's'} each",
            "Training set": f"{(rows['set'] == 'train').sum():,} images, {per_class:.0f} a class in the middle",
            "Validation set": f"{table['n'].iloc[0]:,} images",
            "Machine": f"{os.cpu_count()} cores",
        },
        failed=failed,
        confidence=confidence,
    )
    write_csv(table, out / "comparison.csv")
    write_text(page, out / "index.html")
    tracking.log_comparison(table, [out / "comparison.csv", out / "index.html"])
    return {
        "rows": table.to_dict("records"),
        "failed": failed,
        "advice": advice,
        "page": (out / "index.html").resolve().as_uri(),
    }


def _measured(contender: Contender, splits: Path, *, seconds: float, seed: int) -> dict[str, Any]:
    params = config.load(sections.Train)
    settings = params.model_dump(include=STEP | FIT) | params.augmentation()
    preset = None if contender.preset == BASE else config.load_preset(contender.preset).model_dump()
    base = read_json(paths.BASE / "card.json")["model_digest"] if contender.preset == BASE else ""
    inputs = [asdict(contender), preset, base, digest(splits), seconds, seed, settings]
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    note = config.cache("compare") / f"{key}.json"
    if note.exists():
        _tell(f"{contender.name} was measured before")
        return read_json(note)
    _tell(contender.name)
    context = multiprocessing.get_context("spawn")  # one process a network: its memory is its own
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        try:
            result = executor.submit(_trial, contender, splits, seconds, seed).result()
        except BrokenProcessPool:
            return {"failure": "its process was killed; memory was too small, most likely"}
    if "failure" not in result:
        write_json(result, note)
    return result


def _trial(contender: Contender, splits: Path, seconds: float, seed: int) -> dict[str, Any]:
    from pipeline import bundle
    from pipeline.models import presets
    from pipeline.models.head import renew_head
    from pipeline.training import hardware, trial
    from pipeline.training.augmentation import Augmentation
    from pipeline.training.fitting import set_seed

    params = config.load(sections.Train)
    rows = read_table(splits)
    rows = rows[rows["set"].isin(["train", "val"])]
    classes = sorted(rows.loc[rows["set"] == "train", "label"].unique())
    rows = rows[rows["label"].isin(classes)].reset_index(drop=True)
    set_seed(seed)
    try:
        if contender.preset == BASE:
            base = bundle.load(paths.BASE)
            model = renew_head(base.model, classes, old_classes=base.classes, seed=seed)
            learnt = base.has_learnt
        else:
            preset = config.load_preset(contender.preset)
            model = presets.build(preset, len(classes), seed=seed, weights=contender.weights)
            learnt = contender.weights != RANDOM
        with TemporaryDirectory() as work, contextlib.redirect_stdout(sys.stderr):
            return trial.run(
                model,
                rows,
                classes,
                trial.TrialSettings(
                    seconds=seconds,
                    frozen=contender.frozen,
                    batch_size=params.batch_size or 32,
                    seed=seed,
                    learning_rate=params.training(learnt=learnt and not contender.frozen)["learning_rate"],
                    **params.model_dump(include=FIT),
                ),
                folders=config.load(sections.Roots).folders,
                work=Path(work),
                augmentation=Augmentation(**params.augmentation()),
            )
    except WallabyError as error:
        return {"failure": f"{error.what}; {error.mend}" if error.mend else error.what}
    except Exception as error:
        if not hardware.is_out_of_memory(error):
            raise
        return {"failure": "memory was too small"}


def _tell(line: str) -> None:
    print(f"compare: {line}", file=sys.stderr, flush=True)  # stdout is the answer's, which may be JSON


def _reported(contender: Contender) -> str:
    """What a paper says of it on ImageNet: never to be mixed with what is measured."""
    if contender.preset == BASE:
        return ""
    reported = config.load_preset(contender.preset).reported
    return f"{reported.top1:.1%} ({reported.source})" if reported else ""
