"""Which runtime identifies the pool: the fastest on this machine that agrees with Keras.

How `auto` decides; the first rule that applies:
  1. begun   more than a tenth of the pool is predicted already, by a runtime that this machine has: it continues
  2. GPU     Keras computes on it; the others would on the CPU
  3. kept    the same models were tried before, on this machine and within the same limits
  4. small   Keras will be done sooner than the others could be tried
  5. tried   everything that this machine has, on pictures of the validation set and of the pool
Predictions of different runtimes are never in one store: their keys differ. Another machine may choose another one,
whose scores are slightly different; where that matters, name the runtime in the params.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.bundle import Stored
from pipeline.errors import DataError
from pipeline.evaluation import ensembling
from pipeline.evaluation.scores import clusters_of
from pipeline.evaluation.thresholds import Thresholds
from pipeline.files import read_json, write_json
from pipeline.inference import ensemble, machine, shards, trials
from pipeline.inference.runtimes import Runtime, converted, kinds
from pipeline.inference.runtimes.converted import Calibration
from pipeline.inference.trials import Answers, Comparison, Limits, Trial
from pipeline.library import labels

BEGUN = 0.1  # share of the pool
WORTH_IT = 2.0  # times the trial that Keras must take for the pool
CONVERSION = 30.0  # seconds that preparing a runtime takes, about
FASTER = 1.05  # times Keras: less is no reason to leave it
PACKAGES = ("keras", "tensorflow", "openvino", "nncf", "onnxruntime", "tf2onnx")
NAMED = "named in the params"


@dataclass(frozen=True)
class Choice:
    """The runtime that was chosen, why, and what was measured of each."""

    runtime: str
    why: str
    tried: dict[str, Trial] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(
            [f"runtime {self.runtime}: {self.why}", *(f"  {name}: {trial}" for name, trial in self.tried.items())]
        )


@dataclass(frozen=True)
class Candidates:
    """The runtimes of a model, or of several that speak together.

    Attributes:
      members: their bundles, the model's first.
      calibration: the pictures that int8 is fitted to.
      batch_size: of Keras.
      cache: the folder that keeps converted networks, and what was tried.
      temperature: of what several say together.
    """

    members: list[Stored]
    calibration: Calibration
    batch_size: int
    cache: Path
    temperature: float = 1.0

    def load(self, name: str) -> Runtime:
        """As `kinds.load`."""
        return kinds.load(
            name,
            self.members,
            self.calibration,
            batch_size=self.batch_size,
            cache=self.cache,
            temperature=self.temperature,
        )

    def is_prepared(self, name: str) -> bool:
        """Whether `load` takes seconds: no network need be converted first."""
        return all(kinds.is_prepared(name, member, self.calibration, self.cache) for member in self.members)

    def key(self, name: str) -> str:
        """The key of the runtime, which is not loaded for it."""
        return ensemble.key([kinds.key(name, member, self.calibration) for member in self.members], self.temperature)

    @property
    def model(self) -> str:
        """The digest of the model, or those of several."""
        return ensembling.AND.join(member.card.model_digest for member in self.members)


def choose(
    name: str,
    candidates: Candidates,
    *,
    sample: Callable[[], pd.DataFrame],
    comparison: Comparison,
    total: int,
    begun: dict[str, int],
) -> tuple[Choice, Runtime]:
    """Takes the runtime `name`, without a trial, or decides by the rules above; what was tried is kept in the cache.

    Args:
      name: of a runtime, or auto.
      sample: gives the pictures to try on, see `sampled`.
      comparison: what a runtime must give as Keras gives it.
      total: images of the pool.
      begun: how many of them are predicted, by the key of the runtime that did it.

    Raises:
      UsageError: if this machine cannot run what is named.
      DataError: if the network cannot be converted to it.
    """
    if name != kinds.AUTO:
        return Choice(name, NAMED), candidates.load(name)
    choice = _begun(candidates, total, begun) or decided(candidates, comparison)
    if choice is None:
        choice = _try_all(candidates, sample, comparison, total)
        if choice.tried:
            facts = {"model": [member.card.model_digest for member in candidates.members], **comparison.facts()}
            write_json(asdict(choice) | facts | {"machine": machine.describe()}, _file(candidates, comparison))
    return choice, candidates.load(choice.runtime)


def decided(candidates: Candidates, comparison: Comparison) -> Choice | None:
    """What `auto` takes without a trial, by the rules 2 and 3; None if the runtimes must be tried."""
    return _on_gpu() or _kept(_file(candidates, comparison))


def answers(candidates: Candidates, thresholds: Thresholds | None, limits: Limits) -> Answers:
    """The comparison of answers; thresholds of other models' scores than these are left out."""
    known = thresholds is not None and thresholds.model == candidates.model
    return Answers(limits, thresholds if known else None)


def begun(folder: Path) -> dict[str, int]:
    """How many images are predicted in a store, by the key of their runtime."""
    found: dict[str, int] = {}
    for shard in shards.listed(folder):
        try:
            metadata = pq.read_metadata(shard)
        except (pa.ArrowInvalid, OSError):  # cut short
            continue
        key = (metadata.metadata or {}).get(shards.MODEL_KEY, b"").decode()
        found[key] = found.get(key, 0) + metadata.num_rows
    return found


def calibration(val: pd.DataFrame, folders: dict[str, Path]) -> Calibration:
    """What int8 is fitted to on this machine: the pictures of the validation set with the lowest hashes.

    Args:
      val: columns `image`, `sha256`.
      folders: of the roots.
    """
    first = val.drop_duplicates("sha256").sort_values("sha256").head(converted.PICTURES)
    return fitted_to(first.assign(path=[labels.locate(image, folders) for image in first["image"]]))


def fitted_to(rows: pd.DataFrame) -> Calibration:
    """What int8 is fitted to on this machine: at most 128 of these pictures.

    Args:
      rows: columns `sha256`, `path`.
    """
    first = rows.head(converted.PICTURES)
    return Calibration(list(first["sha256"]), list(first["path"]), 8 if machine.adds_up_int8() else 7)


def sampled(val: pd.DataFrame, pool: Iterable[pd.DataFrame], folders: dict[str, Path], *, number: int) -> pd.DataFrame:
    """Images to try runtimes on: `sha256`, `path`, `label`, which is empty for those of the pool, and `cluster`.

    Half are of the validation set: those with the highest hashes, so that int8 is fitted to others where there are
    enough. A hash is as good as a draw, and draws the same again.

    Args:
      val: columns `image`, `sha256`, `label` and, if it is known, `cluster`: what belongs together.
      pool: pieces with `image`, `sha256`, `failure`.
      number: of pictures, at most.
    """
    known = val.drop_duplicates("sha256").sort_values("sha256").tail(number // 2)
    others = known.head(0)
    for piece in pool:
        readable = piece.loc[piece["failure"] == "", ["image", "sha256"]].assign(label="")
        others = (
            pd.concat([others, readable]).drop_duplicates("sha256").sort_values("sha256").head(number - number // 2)
        )
    rows = pd.concat([known, others], ignore_index=True)
    rows = rows.assign(path=[labels.locate(image, folders) for image in rows["image"]], cluster=clusters_of(rows))
    return rows[["sha256", "path", "label", "cluster"]]


def _begun(candidates: Candidates, total: int, begun: dict[str, int]) -> Choice | None:
    for name in kinds.KINDS:
        number = begun.get(candidates.key(name), 0)
        if number > BEGUN * total and not kinds.missing(name):
            return Choice(name, f"{number} of {total} images are predicted by it")
    return None


def _on_gpu() -> Choice | None:
    return Choice(kinds.KERAS, "it computes on the GPU") if machine.has_gpu() else None


def _file(candidates: Candidates, comparison: Comparison) -> Path:
    return candidates.cache / f"choice-{_digest(candidates, comparison)}.json"


def _kept(path: Path) -> Choice | None:
    try:
        values = read_json(path)
        tried = {name: Trial(**trial) for name, trial in values["tried"].items()}
        choice = Choice(values["runtime"], values["why"], tried)
        return None if kinds.missing(choice.runtime) else choice
    except (DataError, KeyError, TypeError, AttributeError):  # of an earlier version, cut short, or none
        return None


def _try_all(
    candidates: Candidates,
    sample: Callable[[], pd.DataFrame],
    comparison: Comparison,
    total: int,
) -> Choice:
    if total < WORTH_IT * comparison.images:
        return Choice(kinds.KERAS, f"{total} images are too few to try others on {comparison.images}")
    keras = candidates.load(kinds.KERAS)
    rows, pixels = trials.read(sample(), keras.image_sizes, candidates.batch_size)
    if not len(rows):
        return Choice(kinds.KERAS, "no picture to try others on can be read")
    _, rate = trials.measure(keras, pixels[:1], comparison)
    others = {name: kinds.missing(name) for name in kinds.KINDS if name != kinds.KERAS}
    able = [name for name, reason in others.items() if not reason]
    alone, trying = total / rate, (1 + len(able)) * len(rows) / rate + len(able) * CONVERSION
    if alone < WORTH_IT * trying:
        why = f"it takes about {alone:.0f} seconds for {total} images, and trying others about {trying:.0f}"
        return Choice(kinds.KERAS, why)
    expected, rate = trials.measure(keras, pixels, comparison)
    tried = {kinds.KERAS: Trial(images_per_second=round(rate, 1))}
    for name, reason in others.items():
        tried[name] = Trial(refused=reason)
        if not reason:
            load = partial(candidates.load, name)
            tried[name] = trials.run(load, pixels, rows, expected, comparison)
    return _fastest(tried)


def _fastest(tried: dict[str, Trial]) -> Choice:
    rates = {name: trial.images_per_second for name, trial in tried.items() if not trial.refused}
    best = max(rates, key=lambda name: rates[name])
    if rates[best] < FASTER * rates[kinds.KERAS]:
        return Choice(kinds.KERAS, "none that agrees with it is faster", tried)
    return Choice(best, f"the fastest that agrees, {rates[best] / rates[kinds.KERAS]:.1f} times Keras", tried)


def _digest(candidates: Candidates, comparison: Comparison) -> str:
    """Of all that a trial depends on, but the pictures of the pool: new ones do not make it another model."""
    facts = {
        "keys": [candidates.key(name) for name in kinds.KINDS],
        **comparison.facts(),
        "machine": machine.describe(),
        "packages": [_version(name) for name in PACKAGES],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
