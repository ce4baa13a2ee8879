"""`wallaby review`: people decide the queue on the page, in a spreadsheet or in another tool."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from pipeline import sections
from pipeline.commands import Answer, now
from pipeline.commands.apply import contents
from pipeline.errors import DataError, Exit, UsageError, closest
from pipeline.files import write_csv
from pipeline.library import labels, sheets
from pipeline.review import decisions, near_cutoff, other_tools, spreadsheets
from pipeline.review.page import serving
from pipeline.review.page.auditing import Auditing
from pipeline.review.page.image_context import ImageContext
from pipeline.review.page.reviewing import Reviewing
from pipeline.review.page.trying import Places, Trial
from pipeline.workspace import Workspace

SHOWN = 10  # images that are left out


def page(
    workspace: Workspace,
    *,
    queue: Path,
    host: str,
    port: int | None,
    by: str,
    browser: bool,
    say: Callable[[str], None],
) -> Answer:
    """Serves the review page of a queue until the user stops it (`serving.serve`)."""
    place = reviewing(workspace, queue)
    models = trial(workspace, place.context)
    serving.serve(place, models, auditing(workspace), host=host, port=port, by=by, browser=browser, say=say)
    return Answer(None)


def write_sheet(workspace: Workspace, path: Path, *, queue: Path, throwaway: bool = False) -> Answer:
    """Writes a queue as a table with an empty column `decision`.

    Args:
      throwaway: whether the queue is a throw-away run's.

    Raises:
      UsageError: if the file exists: it may hold decisions.
    """
    if path.exists():
        raise UsageError("the file exists and may hold decisions", where=path, mend="name another file")
    sheet = spreadsheets.for_people(spreadsheets.to_sheet(spreadsheets.queues(queue)), workspace.folders)
    write_csv(sheet, path)
    of = f" --throwaway {queue.parent.name}" if throwaway else ""
    text = f"{len(sheet)} images in {path}: fill `decision` with yes, a class, keep, unknown or bad; then\n"
    return Answer({"images": len(sheet)}, f"{text}  wallaby review{of} --take {path} --by YOUR-NAME")


def write_out(workspace: Workspace, format_: str, path: Path, *, recipes: Sequence[str] = ()) -> Answer:
    """Writes the round's queue, or some of its recipes, for another tool.

    Raises:
      UsageError: if the path exists: it may hold answers; or for a recipe or format that there is not.
    """
    if format_ not in other_tools.FORMATS:
        mend = closest(format_, other_tools.FORMATS)
        raise UsageError(f"'{format_}' is no format that a queue is written in", where="--out", mend=mend)
    if path.exists() or path.is_symlink():
        raise UsageError("it exists and may hold answers", where=path, mend="name another place")
    queues = spreadsheets.queues(workspace.queue)
    for name in recipes:
        if name not in queues:
            raise UsageError(f"no recipe is called '{name}'", where="--recipe", mend=closest(name, set(queues)))
    rows = spreadsheets.to_sheet({name: queues[name] for name in recipes or queues})
    rows = rows.assign(model=spreadsheets.model_digest(workspace.queue))
    classes = labels.read(workspace.labels, workspace.root_names)["label"].tolist()
    steps = other_tools.write(rows, format_, path, classes=classes, folders=workspace.folders)
    return Answer({"images": len(rows), "path": str(path)}, f"{len(rows)} images in {path}\n{steps}")


def take(workspace: Workspace, path: Path, *, queue: Path, by: str, at: str) -> Answer:
    """Takes a filled sheet, or another tool's answers, as a review table.

    Each decision lands on the image that has today the content that was decided on; the others are left out.

    Args:
      queue: the one that a sheet is of.
      by: who decided, where the tool does not say.
      at: when, where the tool does not say.

    Raises:
      UsageError: if nobody knows who decided, or the sheet is another queue's, which another model has suggested.
      DataError: with file and row, if there is no decision, an image has an unknown root, a content hash was changed, a
        class is misspelt or called like a word of a decision, or one person decided an image twice at one moment.
    """
    tool = other_tools.recognise(path)
    known = labels.read(workspace.labels, workspace.root_names)["label"]
    files = contents(workspace)
    if tool:
        landed = files.land(other_tools.read(path, tool, classes=known, by=by, at=at))
        rows = other_tools.as_decisions(landed.rows, path, tool=tool, classes=known)
    else:
        of_round = not (queue / f"{near_cutoff.RECIPE}.parquet").exists()
        filled = _filled_sheet(path, queue, by=by, at=at, of_round=of_round)
        filled = decisions.check_new(filled, workspace.root_names, path, session=path.stem)
        labels.check_spelling(filled, path, known=known)
        landed = files.land(filled.assign(id=""))  # it is named where it lands
        rows = landed.rows
    file = decisions.write(rows, workspace.reviews, path.stem) if len(rows) else None
    missing = landed.gone["image"].drop_duplicates().tolist()
    data = {"decisions": len(rows), "file": file, "missing": missing}
    return Answer(data, _taken(len(rows), file, missing), Exit.SOME_FAILED if missing else Exit.DONE)


def reviewers(workspace: Workspace) -> Answer:
    """Each reviewer's pace and own error (`reviewers.measure`)."""
    from pipeline.review import reviewers as measured  # here: it brings scipy along

    log = decisions.read_log(workspace.reviews, workspace.root_names)
    return Answer(measured.measure(log, confidence=workspace.confidence))


def reviewing(workspace: Workspace, queue: Path, clock: Callable[[], str] = now) -> Reviewing:
    """The queue as the page shows it, with what is known of its images and classes."""

    def beside(product: Path) -> Path:
        """A throw-away run keeps some of its products next to its queue; the rest is the round's."""
        own = queue.parent / product.name
        return own if own.exists() else product

    context = ImageContext(
        labels_table=workspace.labels,
        curated=beside(workspace.curated),
        evaluation=beside(workspace.evaluation),
        predictions=beside(workspace.predictions),
        library_features=workspace.library_features,
        pool_features=workspace.pool_features,
        index_cache=workspace.index_cache,
        folders=workspace.folders,
        cache=workspace.own("vectors"),
    )
    return Reviewing(
        queue=queue,
        predictions=beside(workspace.predictions),
        reviews=workspace.reviews,
        quarantined=workspace.quarantine,
        context=context,
        folders=workspace.folders,
        cache=workspace.cache("review"),
        blind_share=workspace.params(sections.Review).blind_share,
        confidence=workspace.confidence,
        now=clock,
    )


def trial(workspace: Workspace, context: ImageContext) -> Trial:
    """The models to which the page shows an image."""
    models = Places(workspace.released, workspace.model, workspace.evaluation, workspace.classes)
    return Trial(models, context, max_megapixels=workspace.params(sections.Index).max_megapixels)


def auditing(workspace: Workspace) -> Auditing:
    """The random audit of the service that belongs to the workspace."""
    served = workspace.params(sections.Serve)
    return Auditing(
        url=served.store,
        kept=Path(served.pictures),
        folders=workspace.folders,
        index=workspace.index,
        cache=workspace.cache("review") / "served",
    )


def _filled_sheet(path: Path, queue: Path, *, by: str, at: str, of_round: bool) -> pd.DataFrame:
    if not by:
        raise UsageError("who decided?", mend="--by NAME")
    sheet = sheets.as_meant(labels.read_csv(path, ["decision", "image"]))
    filled = spreadsheets.from_sheet(sheet, path, by=by, at=at, model=spreadsheets.model_digest(queue))
    if filled.empty:
        advice = "fill the column with yes, a class, keep, unknown or bad"
        raise DataError("no row has a decision", where=path, mend=advice)
    if (near_cutoff.RECIPE in set(filled["recipe"])) == of_round:
        advice = "--throwaway NAME, if a throw-away made it; without, if the round did"
        raise UsageError("the sheet is not of this queue", where=path, mend=advice)
    return filled


def _taken(number: int, file: Path | None, missing: list[str]) -> str:
    lines = [f"{number} decisions in {file or 'no table'}; next: wallaby apply"]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        lines.append(f"{len(missing)} left out: no image has the content any more that was decided on")
        lines.append(f"  {', '.join(missing[:SHOWN])}{more}")
        lines.append("an image that was moved since the index was made is found again after `dvc repro index`")
    return "\n".join(lines)
