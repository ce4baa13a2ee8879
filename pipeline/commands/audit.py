"""`wallaby audit`: draws served images by chance, and records what people say of the answers."""

import time
from pathlib import Path

from sqlalchemy import Engine

from pipeline.commands import Answer, user
from pipeline.errors import DataError, UsageError
from pipeline.evaluation import independence
from pipeline.files import read_table
from pipeline.sections import Serve
from pipeline.serving import audits, evaluations
from pipeline.serving.store.opening import open_existing
from pipeline.workspace import Workspace


def draw(workspace: Workspace, number: int, *, store: str = "", dry_run: bool = False) -> Answer:
    """Draws images from what was served since the last draw.

    Args:
      number: how many.
      store: its address; by default that of serve.store.

    Raises:
      UsageError: for a number below 1.
      DataError: if nothing has been served.
    """
    engine = _engine(workspace, store)
    if number < 1:
        raise UsageError(f"cannot draw {number}", where="wallaby audit --draw", mend="name a number of pictures")
    drawn = audits.draw(engine, number, at=_now(), known=_at_hand(workspace), dry_run=dry_run)
    figures = {
        "drawn": drawn.drawn,
        "independent": drawn.independent,
        "population": drawn.population,
        "uncovered": drawn.uncovered,
        "strata": drawn.strata,
    }
    if not drawn.population:
        text = "nothing new can be judged: no answer since the last draw whose picture is at hand"
        return Answer(figures, f"{text} (serve.pictures_share says how many are kept)")
    verb = "would draw" if dry_run else "drew"
    of = f" ({drawn.independent:,} independent)" if drawn.independent < drawn.drawn else ""
    text = f"{verb} {drawn.drawn} of {drawn.population} pictures in {len(drawn.strata)} strata{of}"
    if drawn.uncovered:
        text += f"; {drawn.uncovered} answers could not be drawn, since no image like theirs is kept"
        text += " (serve.pictures_share)"
    return Answer(figures, f"{text}; next: wallaby review, or wallaby audit --sheet CSV")


def write_sheet(workspace: Workspace, sheet: Path, *, store: str = "") -> Answer:
    """Writes what waits for a verdict as a table to fill.

    Raises:
      DataError: if nothing has been served.
    """
    kept = Path(workspace.params(Serve).pictures)
    engine, index = _engine(workspace, store), workspace.index
    number = evaluations.write_sheet(sheet, engine, kept=kept, index=index, folders=workspace.folders)
    text = f"{number} images in {sheet}: fill `verdict` and, if it is known, `truth`; then\n"
    return Answer({"pictures": number}, f"{text}  wallaby audit --take {sheet} --by YOUR-NAME")


def take_sheet(workspace: Workspace, sheet: Path, *, by: str = "", store: str = "") -> Answer:
    """Records the verdicts of a filled table.

    Args:
      by: who judges; by default whom git takes for the author.

    Raises:
      UsageError: if there is no such table.
      DataError: if nothing has been served, or the table is not readable.
    """
    engine, by = _engine(workspace, store), by or user()
    if not sheet.exists():
        raise UsageError("there is no such table", where=sheet, mend="`wallaby audit --sheet CSV` writes one")
    drawn, chosen = evaluations.take_sheet(sheet, engine, by=by, at=_now())
    text = f"{drawn} verdicts of the audit and {chosen} others recorded; next: wallaby report"
    return Answer({"audit": drawn, "chosen": chosen}, text)


def record(
    workspace: Workspace,
    answer: str,
    verdict: str,
    *,
    truth: str = "",
    note: str = "",
    by: str = "",
    store: str = "",
) -> Answer:
    """Records one verdict.

    Args:
      answer: REQUEST, or REQUEST:POSITION of an image of several.
      verdict: right, wrong, not-in-classes or unusable.
      truth: the class that the image shows.
      by: who judges; by default whom git takes for the author.

    Raises:
      UsageError: for what names no answer, or is no verdict.
      DataError: if nothing has been served.
    """
    engine = _engine(workspace, store)
    request, _, position = answer.partition(":")
    if position and not position.isdigit():
        raise UsageError(f"'{position}' is no picture's number", where=answer, mend="REQUEST:0 is the first")
    evaluation = {"request_id": request, "position": position or "0", "verdict": verdict, "truth": truth, "note": note}
    evaluations.record(engine, [evaluation], by=by or user(), at=_now())
    return Answer(evaluation, f"recorded: {verdict}")


def waiting(workspace: Workspace, *, store: str = "") -> Answer:
    """Counts the drawn images that wait for a verdict, and the decisions that they take.

    Raises:
      DataError: if nothing has been served.
    """
    left = audits.waiting(_engine(workspace, store))
    number = independence.images(left.images, left.decisions, word=" pictures")
    text = f"{number}{',' if ',' in number else ''} wait to be judged: wallaby review, or wallaby audit --sheet CSV"
    figures = {"waiting": left.images, "independent": left.decisions}
    return Answer(figures, text if left.images else "nothing waits: wallaby audit --draw NUMBER")


def _engine(workspace: Workspace, store: str) -> Engine:
    url = store or workspace.params(Serve).store
    engine = open_existing(url)
    if engine is None:
        raise DataError("nothing has been served yet", where=url, mend="`wallaby serve`, and ask it something")
    return engine


def _at_hand(workspace: Workspace) -> set[str]:
    """The content of the images that the library and the pool have, which the service keeps no second time."""
    tables = [path for path in (workspace.library_table, workspace.pool_table) if path.exists()]
    return {sha256 for path in tables for sha256 in read_table(path, ["sha256"])["sha256"]}


def _now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000
