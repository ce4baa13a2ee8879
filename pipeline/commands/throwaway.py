"""Runs a round at a lowered cutoff, in a copy of the workspace, for its queue alone: a throw-away run.

Folder `.wallaby/throwaway/NAME`, written as a whole when the run is over:

    run.json      what it was made from
    classes.csv   the near-cutoff classes and what they may expect (`near_cutoff.CLASS_COLUMNS`)
    queue/        near-cutoff.parquet and index.html, as in `data/queue`
    predictions/  how its model names the candidates, as in `data/predictions`
"""

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import bundle, pages, sections
from pipeline.commands import Answer, experiments, log, now, preview
from pipeline.errors import DataError, UsageError, closest
from pipeline.evaluation import reliability
from pipeline.files import atomic_folder, read_json, read_table, write_csv, write_json, write_table, write_text
from pipeline.inference import judged_bursts, migration, store
from pipeline.library import board, classes, labels, lineage
from pipeline.review import decisions, landing, near_cutoff, reviewers
from pipeline.stages import curate
from pipeline.workspace import Workspace

COUNTED, MODELLED = ["index", "curate"], ["split", "train", "evaluate", "identify"]
COPIES = "throwaway-"  # begins the names of their experiments
RUN, CLASSES, QUEUE, PREDICTIONS = "run.json", "classes.csv", "queue", "predictions"
NAMEABLE = re.compile(r"[A-Za-z0-9][\w.=-]*")
ROWS = ["image", "sha256", "top_labels", "top_scores", "failure"]


def run(workspace: Workspace, *, min_images: int | None, name: str = "") -> Answer:
    """Runs a throw-away, or continues the one of that name. One that is finished stays as it is.

    Args:
      min_images: the lowered cutoff, in groups.
      name: without one, it is called by its cutoff.

    Returns:
      What it was made from (`run.json`), with its near-cutoff `classes` and the address of its `page`.

    Raises:
      UsageError: if the cutoff is not below the real one, no class lies between the two, or another run has the name.
      DataError: without a base, or with labels that no round can be made of.
      ResumableError: if another experiment runs.
    """
    if min_images is None:
        raise UsageError("at which cutoff?", where="wallaby throwaway", mend="--min-images N, or list, report, remove")
    name = name or f"min-{min_images}"
    _check(workspace, name, min_images)
    finished = folder(workspace, name)
    if not finished.exists():
        _make(workspace, name, min_images)
    page = (finished / QUEUE / "index.html").as_uri()
    return Answer(read_json(finished / RUN) | {"classes": near_cutoff.read_classes(finished / CLASSES), "page": page})


def _make(workspace: Workspace, name: str, min_images: int) -> None:
    """Runs the stages, and keeps what a review needs."""
    at = now()  # decisions on its candidates count from here
    work: dict[str, Any] = {"of": [*COUNTED, *MODELLED], "changes": {"curate": {"min_images": min_images}}, "log": log}
    with experiments.alone(workspace):
        copy = experiments.proceed(workspace, COPIES + name, COUNTED, **work)
        near = near_classes(workspace, copy)
        if near.empty:
            error = _nothing_between(workspace, copy, min_images)
            experiments.remove(workspace, COPIES + name)
            raise error
        log(f"throwaway: {len(near)} classes near the cutoff: {', '.join(near['label'])}")
        experiments.proceed(workspace, COPIES + name, MODELLED, **work)
        with atomic_folder(folder(workspace, name)) as new:
            keep(workspace, copy, new, near, facts={"name": name, "min_images": min_images, "at": at})
        experiments.remove(workspace, COPIES + name)


def folder(workspace: Workspace, name: str = "") -> Path:
    """Where a finished one lies."""
    return workspace.cache("throwaway") / name


def find(workspace: Workspace, name: str) -> Path:
    """The folder of the finished one of that name; without a name, of the only one.

    Raises:
      UsageError: if there is none; the nearest name is offered.
    """
    known = {row["name"] for row in _all(workspace) if row["finished"]}
    return folder(workspace, _named(name, known))


def listed(workspace: Workspace) -> Answer:
    """All, by name: what each was made from (`run.json`), its number of near `classes`, and how many would `clear`.

    One that was interrupted, or runs now, is not `finished` and has `name` and `min_images` alone.
    """
    return Answer(_all(workspace))


def _all(workspace: Workspace) -> list[dict[str, Any]]:
    rows = {}
    for copy in experiments.folder(workspace).glob(f"{COPIES}*"):
        params = experiments.copy(workspace, copy.name).params(sections.Curate)
        name = copy.name.removeprefix(COPIES)
        rows[name] = {"name": name, "min_images": params.min_images, "finished": False}
    for file in folder(workspace).glob(f"[!.]*/{RUN}"):
        near = near_cutoff.read_classes(file.with_name(CLASSES))
        counts = {"classes": len(near), "clear": int(near["clears"].isin(near_cutoff.HOPEFUL).sum())}
        rows[file.parent.name] = read_json(file) | counts | {"finished": True}
    return [rows[name] for name in sorted(rows)]


def report(workspace: Workspace, name: str = "") -> Answer:
    """Expected and real yield of a finished one (`near_cutoff.REPORT_COLUMNS`); reviews count, applied or not.

    Raises:
      UsageError: if there is none of that name.
    """
    of = find(workspace, name)
    latest = next(path for path in (workspace.model, workspace.base) if path.exists())
    coming = preview.next_inputs(workspace, lineage.read(latest / bundle.LINEAGE))
    standing = curate.compute(coming, workspace.params(sections.Curate), workspace.params(sections.Bursts)).board
    expected, queue = near_cutoff.read_classes(of / CLASSES), read_table(of / QUEUE / f"{near_cutoff.RECIPE}.parquet")
    since = coming.decisions[coming.decisions["at"] >= read_json(of / RUN)["at"]]
    since = landing.land(since, queue).rows
    return Answer(near_cutoff.report(expected, queue, since, coming.events, standing))


def remove(workspace: Workspace, name: str = "") -> Answer:
    """Takes one away, finished or not, with all it has made; its MLflow run and decisions on its candidates stay.

    Raises:
      UsageError: if there is none of that name.
      ResumableError: if an experiment runs.
    """
    name = _named(name, {row["name"] for row in _all(workspace)})
    with experiments.alone(workspace):
        parent = experiments.folder(workspace)
        for left in [parent / f"{COPIES}{name}", *parent.glob(f".{COPIES}{name}.*"), folder(workspace, name)]:
            shutil.rmtree(left, ignore_errors=True)
    return Answer({"removed": name}, f"removed the throw-away '{name}'; decisions on its candidates stay")


def near_classes(workspace: Workspace, copy: Workspace) -> pd.DataFrame:
    """The near-cutoff classes (`near_cutoff.classes`) of a copy that is curated at the lowered cutoff."""
    return near_cutoff.classes(
        board.read(copy.board),
        min_images=workspace.params(sections.Curate).min_images,
        cutoffs=classes.read(copy.classes).cutoffs,
    )


def keep(workspace: Workspace, copy: Workspace, out: Path, near: pd.DataFrame, *, facts: dict[str, Any]) -> None:
    """Writes into `out` what a review needs of a finished copy, and what is expected of it."""
    params, folders = workspace.params(sections.Throwaway), workspace.folders
    confidence = workspace.confidence
    shards = migration.opened(copy.predictions)
    judged = judged_bursts.read(copy.judged_bursts, copy.predictions)
    bursts = None if judged is None else read_table(copy.judged_bursts)
    candidates = pd.concat(
        [near_cutoff.candidates(_of_shard(shard, bursts), near, least=params.least_score) for shard in shards],
        ignore_index=True,
    )
    hashes = pd.concat(read_table(table, ["image", "phash"]) for table in (copy.library_table, copy.pool_table))
    candidates = near_cutoff.grouped(
        candidates,
        _labelled(copy),
        hashes.set_index("image")["phash"],
        distance=workspace.near_duplicate_distance,
        max_rows=params.max_rows,
    )
    scores, counted = read_table(copy.scores), copy.params(sections.Curate).count
    pool = pd.concat([_of_shard(shard, None)["top_scores"].str[0] for shard in shards]).to_numpy(float)
    trusted, of_bursts = reliability.held(scores, least=params.least_score, pool=pool), None
    if judged is not None:
        known = {"classes": judged.classes, "places": len(scores["top_labels"].iloc[0])}
        of_bursts = reliability.held_of_bursts(scores, least=params.least_score, **known)
    log = decisions.read_log(workspace.reviews, workspace.root_names)
    expected = near_cutoff.outlook(
        near,
        candidates,
        trusted,
        confidence=confidence,
        of_bursts=of_bursts,
        count=counted,
        reviewer_error=reviewers.checks(log, confidence=confidence),
    )
    queue = near_cutoff.queue(candidates, expected, trusted, of_bursts)

    card = bundle.check(copy.model)
    model = read_json(copy.predictions / "summary.json")
    of = {"round": card.round, "model": card.model_digest, "base": card.parent_digest, "run_id": card.run_id}
    write_csv(expected, out / CLASSES)
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
    cutoff = workspace.params(sections.Curate).min_images
    write_json(facts | of | {"cutoff": cutoff, "pool": model["pool"]}, out / RUN)


def _of_shard(shard: Path, bursts: pd.DataFrame | None) -> pd.DataFrame:
    """What the model makes of the images of a shard that it could read; of bursts, of each as a whole."""
    rows = read_table(shard, ROWS)
    rows = rows[rows["failure"] == ""]
    return rows if bursts is None else near_cutoff.with_bursts(rows, bursts)


def _check(workspace: Workspace, name: str, min_images: int) -> None:
    if not NAMEABLE.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot name a throw-away", mend="use letters, digits and . = _ -, no other sign first"
        )
    real = workspace.params(sections.Curate).min_images
    workspace.changed_params(sections.Curate, {"min_images": min_images})
    if min_images >= real:
        raise UsageError(
            f"a cutoff of {min_images} is not below the real one, {real}",
            where="--min-images",
            mend="name a lower one: `wallaby board` shows what the classes have",
        )
    if not workspace.base.exists():
        raise DataError(
            "there is no base to start from", where=workspace.base, mend="`wallaby init-base`, or `dvc checkout`"
        )
    for row in _all(workspace):
        if row["name"] != name:
            continue
        base = row.get("base") or bundle.check(experiments.copy(workspace, COPIES + name).base).model_digest
        if row["min_images"] != min_images or base != bundle.check(workspace.base).model_digest:
            what = "another base" if row["min_images"] == min_images else f"a cutoff of {row['min_images']}"
            raise UsageError(
                f"the throw-away '{name}' has {what}",
                where=folder(workspace),
                mend=f"name another (--name), or `wallaby throwaway remove {name}`",
            )


def _nothing_between(workspace: Workspace, copy: Workspace, min_images: int) -> UsageError:
    standing = board.read(copy.board)
    real = workspace.params(sections.Curate).min_images
    standing = standing.assign(counted=board.counted(standing))
    below = standing[standing["counted"] < min_images].sort_values("counted", ascending=False)
    nearest = f"the next below is {below['label'].iloc[0]} with {below['counted'].iloc[0]}" if len(below) else ""
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


def _labelled(workspace: Workspace) -> pd.DataFrame:
    columns = ["image", "sha256", "phash", "label"]
    tables = [read_table(table, columns) for table in (workspace.curated_images, workspace.excluded)]
    both = pd.concat(tables, ignore_index=True)
    return both[(both["label"] != "") & (both["phash"] != "")]
