"""A throw-away run: the round's graph at a lowered cutoff, in a copy of the workspace; what is kept of it is its queue.

Folder `.wallaby/throwaway/NAME`, written as a whole when the run is over:

    run.json      what it was made from
    classes.csv   the near-cutoff classes and what they may expect (`near_cutoff.CLASS_COLUMNS`)
    queue/        near-cutoff.parquet and index.html, as in `data/queue`
    predictions/  what its model says of the candidates, as in `data/predictions`
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import bundle, config, experiments, pages, paths, sections, upcoming
from pipeline.errors import DataError, UsageError, closest
from pipeline.evaluation import assessment, trust
from pipeline.files import atomic_folder, read_json, read_table, write_csv, write_json, write_table, write_text
from pipeline.inference import store
from pipeline.library import board, classes, labels
from pipeline.review import landing, near_cutoff

COUNTED, MODELLED = ["index", "curate"], ["split", "train", "evaluate", "identify"]
COPIES = "throwaway-"  # begins the names of their experiments
RUN, CLASSES, QUEUE, PREDICTIONS = "run.json", "classes.csv", "queue", "predictions"
NAMEABLE = re.compile(r"[A-Za-z0-9][\w.=-]*")
INDEXED = ("library", "pool")
SAID = ["image", "sha256", "top_labels", "top_scores", "failure"]


def run(name: str, min_images: int, *, at: str, told: Callable[[str], None]) -> Path:
    """Runs a throw-away, or continues the one of that name; returns its folder. One that is finished stays as it is.

    Args:
      name: without one, it is called by its cutoff.
      min_images: the lowered cutoff, in groups.
      at: now; decisions on its candidates count from here.

    Raises:
      UsageError: if the cutoff is not below the real one, no class lies between the two, or another run has the name.
      DataError: without a base, or with labels that no round can be made of.
      ResumableError: if another experiment runs.
    """
    name = name or f"min-{min_images}"
    _check(name, min_images)
    if folder(name).exists():
        return folder(name)
    work: dict[str, Any] = {"inputs": _inputs(), "changes": {"curate": {"min_images": min_images}}, "told": told}
    with experiments.alone():
        copy = experiments.proceed(COPIES + name, COUNTED, **work)
        near = near_classes(copy)
        if near.empty:
            error = _nothing_between(copy, min_images)
            experiments.remove(COPIES + name)
            raise error
        told(f"throwaway: {len(near)} classes near the cutoff: {', '.join(near['label'])}")
        experiments.proceed(COPIES + name, MODELLED, **work)
        with atomic_folder(folder(name)) as new:
            keep(copy, new, near, facts={"name": name, "min_images": min_images, "at": at})
        experiments.remove(COPIES + name)
    return folder(name)


def folder(name: str) -> Path:
    """Where a finished one lies."""
    return config.cache("throwaway") / name


def find(name: str) -> Path:
    """The folder of the finished one of that name; without a name, of the only one.

    Raises:
      UsageError: if there is none; the nearest name is offered.
    """
    known = {row["name"] for row in listed() if row["finished"]}
    return folder(_named(name, known))


def listed() -> list[dict[str, Any]]:
    """All, by name: what each was made from (`run.json`), its number of near `classes`, and how many would `clear`.

    One that was interrupted, or runs now, is not `finished` and has `name` and `min_images` alone.
    """
    rows = {}
    for copy in experiments.folder("").glob(f"{COPIES}*"):
        params = config.load(sections.Curate, copy / config.PARAMS)
        name = copy.name.removeprefix(COPIES)
        rows[name] = {"name": name, "min_images": params.min_images, "finished": False}
    for file in config.cache("throwaway").glob(f"[!.]*/{RUN}"):
        told = near_cutoff.read_classes(file.with_name(CLASSES))
        counts = {"classes": len(told), "clear": int(told["clears"].isin(near_cutoff.HOPEFUL).sum())}
        rows[file.parent.name] = read_json(file) | counts | {"finished": True}
    return [rows[name] for name in sorted(rows)]


def report(name: str) -> pd.DataFrame:
    """Expected and real yield of a finished one (`near_cutoff.REPORT_COLUMNS`); reviews count, applied or not.

    Raises:
      UsageError: if there is none of that name.
    """
    of = find(name)
    seen = next(path for path in (paths.MODEL, paths.BASE) if path.exists())
    coming = upcoming.read(read_table(seen / bundle.LINEAGE))
    told, queue = near_cutoff.read_classes(of / CLASSES), read_table(of / QUEUE / f"{near_cutoff.RECIPE}.parquet")
    since = coming.decisions[coming.decisions["at"] >= read_json(of / RUN)["at"]]
    since = landing.land(since, queue).rows
    return near_cutoff.report(told, queue, since, coming.events, coming.curated.board)


def remove(name: str) -> str:
    """Takes one away, finished or not, with all it has made; its MLflow run and decisions on its candidates stay.

    Raises:
      UsageError: if there is none of that name.
      ResumableError: if an experiment runs.
    """
    name = _named(name, {row["name"] for row in listed()})
    with experiments.alone():
        parent = experiments.folder("")
        for left in [parent / f"{COPIES}{name}", *parent.glob(f".{COPIES}{name}.*"), folder(name)]:
            shutil.rmtree(left, ignore_errors=True)
    return name


def near_classes(copy: Path) -> pd.DataFrame:
    """The near-cutoff classes (`near_cutoff.classes`) of a copy that is curated at the lowered cutoff."""
    return near_cutoff.classes(
        board.read(copy / paths.CURATED / "board.csv"),
        min_images=config.load(sections.Curate).min_images,
        cutoffs=classes.read(copy / paths.CLASSES).cutoffs,
    )


def keep(copy: Path, out: Path, near: pd.DataFrame, *, facts: dict[str, Any]) -> None:
    """Writes into `out` what a review needs of a finished copy, and what is expected of it."""
    params, curate = config.load(sections.Throwaway), config.load(sections.Curate)
    confidence = config.load(sections.Evaluate).confidence
    folders = config.load(sections.Roots).folders
    shards = sorted((copy / paths.PREDICTIONS).glob("part-*.parquet"))
    found = pd.concat(
        [
            near_cutoff.candidates(rows[rows["failure"] == ""], near, least=params.least_score)
            for rows in (read_table(shard, SAID) for shard in shards)
        ],
        ignore_index=True,
    )
    hashes = pd.concat(read_table(copy / paths.INDEX / f"{name}.parquet", ["image", "phash"]) for name in INDEXED)
    found = near_cutoff.grouped(
        found,
        _labelled(copy / paths.CURATED),
        hashes.set_index("image")["phash"],
        distance=curate.near_duplicate_distance,
        max_rows=params.max_rows,
    )
    scores = read_table(copy / paths.EVALUATION / assessment.SCORES)
    held = trust.held(scores, least=params.least_score)
    told = near_cutoff.outlook(near, found, held, confidence=confidence)
    queue = near_cutoff.queue(found, told, held)

    card = bundle.check(copy / paths.MODEL)
    model = read_json(copy / paths.PREDICTIONS / "summary.json")
    of = {"round": card.round, "model": card.model_digest, "base": card.parent_digest, "run_id": card.run_id}
    write_csv(told, out / CLASSES)
    write_table(queue, out / QUEUE / f"{near_cutoff.RECIPE}.parquet")
    page = pages.queue(
        title=f"Throw-away run {facts['name']}",
        recipes=[pages.Recipe(near_cutoff.RECIPE, near_cutoff.FINDS, queue)],
        picture=lambda image: pages.picture_uri(labels.locate(image, folders)),
    )
    write_text(page, out / QUEUE / "index.html")
    predictions = store.Store(out / PREDICTIONS, model["model"])
    for shard in shards:
        rows = read_table(shard)
        rows = rows[rows["image"].isin(queue["image"])]
        if len(rows):
            predictions.append(rows)
    write_json(model, out / PREDICTIONS / "summary.json")
    write_json(facts | of | {"cutoff": curate.min_images, "pool": model["pool"]}, out / RUN)


def _check(name: str, min_images: int) -> None:
    if not NAMEABLE.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot name a throw-away", mend="use letters, digits and . = _ -, no other sign first"
        )
    real = config.load(sections.Curate).min_images
    config.changed(sections.Curate, {"min_images": min_images})
    if min_images >= real:
        raise UsageError(
            f"a cutoff of {min_images} is not below the real one, {real}",
            where="--min-images",
            mend="name a lower one: `wallaby board` shows what the classes have",
        )
    if not paths.BASE.exists():
        raise DataError(
            "there is no base to start from", where=paths.BASE, mend="`wallaby init-base`, or `dvc checkout`"
        )
    for row in listed():
        if row["name"] != name:
            continue
        base = row.get("base") or bundle.check(experiments.folder(COPIES + name) / paths.BASE).model_digest
        if row["min_images"] != min_images or base != bundle.check(paths.BASE).model_digest:
            what = "another base" if row["min_images"] == min_images else f"a cutoff of {row['min_images']}"
            raise UsageError(
                f"the throw-away '{name}' has {what}",
                where=config.cache("throwaway"),
                mend=f"name another (--name), or `wallaby throwaway remove {name}`",
            )


def _inputs() -> list[Path]:
    """What all the stages read of `data`, a folder's files with it."""
    read = config.dependencies([*COUNTED, *MODELLED])
    return [path for path in read if path.parts[0] == paths.BASE.parts[0] and not set(path.parents) & set(read)]


def _nothing_between(copy: Path, min_images: int) -> UsageError:
    standing = board.read(copy / paths.CURATED / "board.csv")
    real = config.load(sections.Curate).min_images
    below = standing[standing["groups"] < min_images].sort_values("groups", ascending=False)
    nearest = f"the next below is {below['label'].iloc[0]} with {below['groups'].iloc[0]}" if len(below) else ""
    return UsageError(
        f"no class has {min_images} to {real - 1} groups of images",
        where="--min-images",
        mend=nearest or "every class is above the cutoff: there is nothing to find",
    )


def _named(name: str, known: set[str]) -> str:
    if not name and len(known) == 1:
        return next(iter(known))
    if name in known:
        return name
    if not known:
        raise UsageError("there is no throw-away", mend="`wallaby throwaway --min-images N` makes one")
    if not name:
        raise UsageError(f"which of them? {', '.join(sorted(known))}", where="wallaby throwaway", mend="name one")
    raise UsageError(f"no throw-away is called '{name}'", where="wallaby throwaway", mend=closest(name, known))


def _labelled(curated: Path) -> pd.DataFrame:
    columns = ["image", "sha256", "phash", "label"]
    tables = [read_table(curated / name, columns) for name in ("images.parquet", "excluded.parquet")]
    both = pd.concat(tables, ignore_index=True)
    return both[(both["label"] != "") & (both["phash"] != "")]
