"""`wallaby probe`: what a linear head on the frozen network's features makes of today's library, within a minute.

No network is trained and none is needed: it is no round, no base and no champion. Folder `.wallaby/probe`, written as a
whole, is a copy of the workspace with products as a round has them (curated tables, splits, evaluation, predictions,
queue), so that `wallaby review --queue` shows what it found.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import bundle, files, sections
from pipeline.commands import Answer
from pipeline.errors import DataError, UsageError, WallabyError
from pipeline.evaluation import assessment, audit, linear_head, scores
from pipeline.files import atomic_folder, read_json, write_json
from pipeline.inference import frozen_features, judged_bursts, prediction, store
from pipeline.inference.frozen_features import FrozenFeatures
from pipeline.inference.shards import ARRAYS, FEATURES, LOG_PROBS, as_lists
from pipeline.library import board, history, labels, lineage
from pipeline.library.benchmarks import PREFIX
from pipeline.review import decisions, landing
from pipeline.stages import curate, embed, embed_pool, evaluate, identify, index, queue, split
from pipeline.workspace import Workspace

TABLES = ("labels.csv", "classes.csv", "benchmarks", "reviews")  # of data/, that the copy has for itself
SHARED = ("index", "embed")  # that it reads where they are
BLOCK = 50_000  # images in memory at once
AT_ONCE = 5000  # images of which an import makes a portrait unasked
MEASURED = ("test", PREFIX)
FEWEST = 2  # classes
NAMED = 5  # classes and labels that are named


@dataclass(frozen=True)
class Probe:
    """What a probe found.

    Attributes:
      network: the frozen network's name.
      library: `images`, `kept`, `independent` (bursts and copies count once), `bursts`, and of images that are in no
        set the number by reason (`excluded`).
      images: of the library in `train`, `val`, `test`; `classes`: that the head knows.
      short: rows of `label`, `groups`, `cutoff` and `short_by` of classes below the cutoff, the nearest to it first.
      sets: rows of `set`, `n`, `independent`, `top1`, `top1_low`, `top1_high`, and on the same images `nearest` (the
        likest training images decide) and `majority` (all are of the largest class).
      weak: rows of `label`, `n`, `recall`, `recall_high` of classes that are surely worse than all together.
      suspects: how many labels are to be looked at again; `examples` of them, the surest first.
      queue: images that each recipe found.
      pool: images of the pool that have features.
      seconds: by step.
      queue_folder: where the queue lies, for `wallaby review --queue`.
    """

    network: str
    library: dict[str, Any]
    images: dict[str, int]
    classes: int
    short: list[dict[str, Any]]
    sets: list[dict[str, Any]]
    weak: list[dict[str, Any]]
    suspects: int
    examples: list[dict[str, Any]]
    queue: dict[str, int]
    pool: int
    queue_folder: str
    seconds: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 1)


def probe(workspace: Workspace, *, pool: bool = True) -> Answer:
    """Probes the library as it is now, and fills a queue.

    Args:
      pool: whether the pool is looked at, too; its features are computed once.

    Returns:
      A `Probe`.

    Raises:
      UsageError: if no frozen network is named (`embed.model: none`).
      DataError: if there are no labels, or fewer than two classes are above the cutoff.
      LeakageError: as the stage split.
    """
    if workspace.params(sections.Embed).model == embed.NONE:
        mend = "name a frozen network: `embed.model: efficientnet_lite0`"
        raise UsageError("a probe needs features of a frozen network", where="embed.model", mend=mend)
    clock, folder = _Clock(), workspace.cache("probe")
    with files.alone(workspace.cache("probe.lock"), "probe"), contextlib.redirect_stdout(sys.stderr):
        with clock.step("index"):
            index.main(workspace)
        with clock.step("features"):
            embed.main(workspace)
        if pool:
            with clock.step("features of the pool"):
                embed_pool.main(workspace)
        with atomic_folder(folder) as new, _named_as_in(workspace, new):
            copy = _copy(workspace, new)
            with clock.step("sets"):
                curate.main(copy)
                split.main(copy)
            with clock.step("head"):
                found = _fit(copy)
            with clock.step("measuring"):
                made = _measure(copy, found)
            with clock.step("queue"):
                identified = _identify(copy, found, pool=pool)
                recipes = queue.fill(copy) if identified else {}
            result = made | {
                "queue": {name: len(rows) for name, rows in recipes.items()},
                "pool": identified,
                "queue_folder": str(folder / "data" / "queue"),
                "seconds": clock.seconds,
            }
            write_json(result, new / "probe.json")
            for name in SHARED:
                (copy.root / "data" / name).unlink()
    return Answer(Probe(**result))


def after_import(workspace: Workspace, imported: Answer, table: Callable[[Probe], None]) -> Answer:
    """What an import ends with: a portrait of the library, where that takes no more than about a minute.

    Whatever speaks against a probe is no fault of the import, whose exit code stands.
    """
    later = "`wallaby probe` says how well the classes can be told apart"
    if len(labels.read(workspace.labels, workspace.root_names)) > AT_ONCE:
        return replace(imported, text=later)
    try:
        return replace(probe(workspace, pool=False).as_table(table), code=imported.code)
    except (WallabyError, OSError) as error:
        return replace(imported, text=f"no portrait yet: {getattr(error, 'what', error)}\n{later}")


@dataclass(frozen=True)
class _Found:
    """A head, the features in use, and what it says of the `rows` of all sets: `probs` (N, C), `features` (N, F)."""

    head: linear_head.Head
    frozen: FrozenFeatures
    rows: pd.DataFrame
    features: np.ndarray
    probs: np.ndarray

    @property
    def key(self) -> str:
        return f"{self.head.digest} of {self.frozen.key}"


@contextlib.contextmanager
def _named_as_in(workspace: Workspace, folder: Path) -> Iterator[None]:
    """Lets errors about files of the copy name those that they are copies of."""
    try:
        yield
    except WallabyError as error:
        named = str(error.where).replace(str(folder), str(workspace.root))
        error.where = named.removeprefix("./")
        raise


def _copy(workspace: Workspace, folder: Path) -> Workspace:
    """A workspace that reads the tables of today, and writes what is its own."""
    data = folder / "data"
    shutil.copytree(workspace.params_file.parent, folder / "configs")
    data.mkdir(parents=True)
    for name in TABLES:
        source = workspace.labels.parent / name
        if source.is_dir():
            shutil.copytree(source, data / name)
        elif source.exists():
            shutil.copyfile(source, data / name)
    for name in SHARED:
        (data / name).symlink_to((workspace.labels.parent / name).resolve(), target_is_directory=True)
    copy = Workspace(folder, home=workspace.home, experiment="probe")
    seen = lineage.read(workspace.base / bundle.LINEAGE) if workspace.base.exists() else lineage.empty()
    files.write_table(seen, copy.base / bundle.LINEAGE)
    history.write(copy.base, *history.empty())
    return copy


def _fit(copy: Workspace) -> _Found:
    frozen = frozen_features.read(copy.library_features)
    rows = evaluate.rows_of(copy)
    if frozen is None or rows.empty:
        what = "no labelled image has features" if frozen is None else "no class is above the cutoff"
        raise DataError(what, where=copy.home / "data/labels.csv", mend="`wallaby import library`, or `wallaby board`")
    units = frozen.units(rows["sha256"])
    features = np.concatenate([units[some] for some in _blocks(len(rows))])
    seen = (features != 0).any(axis=1)
    rows, features = rows[seen].reset_index(drop=True), features[seen]
    learnt, val = (rows["set"] == "train").to_numpy(), (rows["set"] == "val").to_numpy()
    names = rows["label"].to_numpy(dtype=str)
    if len(set(names[learnt])) < FEWEST:
        what = f"{len(set(names[learnt]))} classes are above the cutoff, a probe needs {FEWEST}"
        mend = "label more images, or lower curate.min_images"
        raise DataError(what, where=copy.home / "data/labels.csv", mend=mend)
    head = linear_head.calibrated(features[learnt], names[learnt], features[val], names[val])
    probs = np.concatenate([head.probs(features[some]) for some in _blocks(len(rows))])
    return _Found(head, frozen, rows, features, probs)


def _measure(copy: Workspace, found: _Found) -> dict[str, Any]:
    """Writes the evaluation of the head, and returns what a `Probe` has of it."""
    head, rows, params = found.head, found.rows, copy.params(sections.Evaluate)
    log_probs = scores.to_log_probs(found.probs)
    log_decisions = decisions.read_all(copy.reviews, copy.root_names)
    assessed = assessment.assess(
        rows,
        log_probs,
        found.features,
        head.classes,
        model=head.digest,
        temperature=head.temperature,
        verdicts=decisions.verdicts(landing.land(log_decisions, rows).rows),
        audited_before=audit.nothing(),
        frozen_features=found.features,
        **params.model_dump(exclude={"batch_size", "worst_mistakes", "ensemble"}),
    )
    assessment.write(assessed, copy.evaluation)
    outputs = store.Store(copy.evaluation / "outputs", found.key, by=store.BY_CONTENT, arrays=ARRAYS)
    contents = rows["sha256"].drop_duplicates()
    for some in _blocks(len(contents)):
        part = contents.iloc[some]
        arrays = {LOG_PROBS: as_lists(log_probs[part.index]), FEATURES: as_lists(found.features[part.index])}
        outputs.append(pd.DataFrame({"sha256": part.to_numpy()}).assign(**arrays))
    asked = assessed.audit[assessed.audit["asked"].astype(bool)]
    counts = rows["set"].value_counts()
    curated, standing = read_json(copy.curated / "summary.json"), board.read(copy.board)
    short = standing[standing["short_by"] > 0].sort_values(["short_by", "label"])
    return {
        "network": found.frozen.name,
        "library": {
            **{key: curated[key] for key in ("images", "kept", "excluded")},
            **{key: curated["bursts"][key] for key in ("independent", "bursts")},
        },
        "images": {name: int(counts.get(name, 0)) for name in ("train", "val", "test")},
        "classes": len(head.classes),
        "short": short[["label", "groups", "cutoff", "short_by"]].to_dict("records"),
        "sets": _sets(found, assessed.metrics),
        "weak": _weak(assessed),
        "suspects": len(asked),
        "examples": asked.head(NAMED)[["image", "label", "predicted"]].astype(str).to_dict("records"),
    }


def _sets(found: _Found, metrics: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    rows, names = found.rows, found.rows["label"].to_numpy(dtype=str)
    learnt = (rows["set"] == "train").to_numpy()
    largest = pd.Series(names[learnt]).value_counts().index[0]
    measured = []
    for name, figures in metrics.items():
        known = ((rows["set"] == name) & rows["label"].isin(found.head.classes)).to_numpy()
        if not name.startswith(MEASURED) or not figures["n"]:
            continue
        likest = linear_head.nearest(found.features[learnt], names[learnt], found.features[known])
        shown = {key: figures[key] for key in ("n", "independent", "top1", "top1_low", "top1_high")}
        beside = {"nearest": likest == names[known], "majority": names[known] == largest}
        measured.append({"set": name} | shown | {key: round(float(is_.mean()), 6) for key, is_ in beside.items()})
    return measured


def _weak(assessed: assessment.Assessment) -> list[dict[str, Any]]:
    """The classes whose recall on the test set is surely below the accuracy of all, the weakest first."""
    table = assessed.tables["per_class"]
    accuracy = assessed.metrics.get("test", {}).get("top1", 0.0)
    weak = table[(table["set"] == "test") & (table["recall_high"] < accuracy)].sort_values("recall")
    return weak.head(NAMED)[["label", "n", "recall", "recall_high"]].to_dict("records")


def _identify(copy: Workspace, found: _Found, *, pool: bool) -> int:
    """Names the pool's images, and those of the library that nobody could name; returns how many of the pool."""
    params = copy.params(sections.Identify)
    frozen = frozen_features.read(copy.library_features, *([copy.pool_features] if pool else []))
    assert frozen is not None
    inputs = identify.read(copy, params, known=found.head.classes)
    predictions = store.Store(copy.predictions, found.key, arrays=[FEATURES], digest=found.head.digest)
    named = 0
    for number, piece in enumerate([inputs.unnamed, *(inputs.pool() if pool else [])]):
        features = frozen.units(piece["sha256"])[np.arange(len(piece))]
        seen = (features != 0).any(axis=1)
        some = piece[seen]
        if some.empty:
            continue
        predictions.append(
            prediction.describe(
                list(some[prediction.ASKED].itertuples(index=False, name=None)),
                [""] * len(some),
                found.head.classes,
                found.head.probs(features[seen]),
                features[seen],
                model=found.head.digest,
                top_k=params.top_k,
                embeddings=True,
            )
        )
        named += len(some) if number else 0
    if not predictions.shards():
        return 0
    write_json({"model": found.head.digest, "pool": named}, copy.predictions / "summary.json")
    judged_bursts.write(copy.predictions, inputs.bursts, found.head.classes, top_k=params.top_k, out=copy.judged_bursts)
    return named


def _blocks(number: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + BLOCK, number)) for start in range(0, number, BLOCK)] or [np.arange(0)]
