"""`wallaby apply`: brings the reviews into `data/labels.csv`, says what that does, and takes decisions back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import bundle, sections
from pipeline.commands import Answer, now, records, user
from pipeline.errors import DataError, Exit, UsageError, closest
from pipeline.files import in_turn, read_table, write_csv
from pipeline.library import classes, labels
from pipeline.library.tables import is_in
from pipeline.review import applying, copying, corrections, decisions, effect, spreadsheets
from pipeline.review.applying import Applied
from pipeline.review.contents import Contents
from pipeline.review.corrections import Guarded
from pipeline.review.decisions import BAD, KEEP, LABEL, SETTLING_RECIPE, UNDO, UNKNOWN
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Report:
    """What is applied, and what it does.

    Attributes:
      classes: `effect.COLUMNS`; empty before the first round.
      versions: the test sets that become new versions: today's and then.
      unlabelled: images that become unknown or bad, or lose their row, in numbers, by that word.
      copied: images copied, if that was asked for.
      missing: images that were to be copied and are not there.
    """

    applied: Applied
    classes: pd.DataFrame
    versions: dict[str, tuple[str, str]]
    unlabelled: dict[str, int]
    copied: int = 0
    missing: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many images a person has to look at."""
        applied = self.applied
        lists = applied.refused, applied.stuck, applied.other_content, self.missing
        return applied.conflicts["image"].nunique() + sum(map(len, lists))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = {name: value for name, value in vars(self.applied).items() if not isinstance(value, pd.DataFrame)}
        return plain | {
            "conflicts": self.applied.conflicts.to_dict("records"),
            "classes": self.classes.to_dict("records"),
            "versions": self.versions,
            "unlabelled": self.unlabelled,
            "copied": self.copied,
            "missing": self.missing,
        }


def apply(
    workspace: Workspace,
    *,
    undo: Sequence[str] = (),
    undo_session: str = "",
    settle: Sequence[str] = (),
    by: str = "",
    at: str | None = None,
    correct: bool = False,
    dry_run: bool = False,
    copy_to: Path | None = None,
) -> Answer:
    """Brings every review into the label table; doing so twice changes nothing.

    Args:
      undo, undo_session: the ids of decisions, or the session, that are taken back first.
      settle: disputes that end first, each as IMAGE=CLASS (or unknown, bad, keep), whatever was decided before.
      by: who takes back or settles; git's user.name by default.
      at: when; now by default.
      correct: whether test and benchmark images are corrected, too.
      copy_to: a folder for copies of the images that decisions gave a label; none: nothing is copied.

    Raises:
      UsageError: for an id or a session that there is not, or that was taken back before; if nobody knows who settles.
      DataError: for tables that no round can be made of, or an image that there is not.
    """
    new: list[dict[str, str]] = []
    if undo or undo_session or settle:
        stamp = {"by": by or user(), "at": at or now()}
        if undo or undo_session:
            new += [row | stamp for row in _take_back(workspace, names=undo, session=undo_session)]
        new += [_settle(workspace, text) | stamp for text in settle]
    with in_turn(workspace.labels_lock, str(workspace.labels)):
        report = _apply(workspace, new, correct=correct, dry_run=dry_run, copy_to=None if dry_run else copy_to)
    if not dry_run:
        records.keep(workspace)
    return Answer(report, code=Exit.SOME_FAILED if report.left else Exit.DONE)


def guarded(workspace: Workspace) -> Guarded:
    """What models are measured on: decisions leave it alone unless it is to be corrected."""
    sets = {"splits": workspace.splits_table, "lineage": workspace.base / bundle.LINEAGE}
    return corrections.read_guarded(workspace.benchmarks, workspace.root_names, **sets)


def _apply(
    workspace: Workspace, new: list[dict[str, str]], *, correct: bool, dry_run: bool, copy_to: Path | None
) -> Report:
    names = workspace.root_names
    table, log = labels.read(workspace.labels, names), decisions.read_log(workspace.reviews, names)
    events, holding = classes.read(workspace.classes), decisions.in_force(log)
    events.refuse_words(table.loc[table["status"] == "ok", "label"], workspace.labels)
    events.refuse_words(holding["label"], workspace.reviews)
    replaced = applying.read_replaced(workspace.replaced)
    if new:
        checked = decisions.check_new(pd.DataFrame(new), names, "the command", session=applying.SESSION)
        labels.check_spelling(checked, "the command", known=table["label"])
        log = pd.concat([log, checked]).sort_values(["at", "image", "id"], ignore_index=True)
    land = contents(workspace).land
    applied = applying.apply(table, log, replaced, guarded(workspace), correct=correct, land=land)
    report = _report(workspace, table, applied, events)
    if not dry_run:
        if new:
            decisions.append_all(new, workspace.reviews, applying.SESSION, names)
        _write(workspace, table, applied, replaced)
    if copy_to:
        ours = applied.table[applied.table["status"] == "ok"]
        ours = ours[is_in(ours["image"], log.loc[log["decision"] == LABEL, "image"])]
        copied, missing = copying.copy(ours, copy_to, workspace.folders)
        report = replace(report, copied=copied, missing=missing)
    return report


def contents(workspace: Workspace) -> Contents:
    """What the files of the workspace's roots hold now."""
    return Contents(workspace.folders, workspace.index_cache, workspace.index)


def _take_back(workspace: Workspace, *, names: Sequence[str], session: str) -> list[dict[str, str]]:
    """Decisions that take back those with these ids, or a whole session's."""
    log = decisions.read_log(workspace.reviews, workspace.root_names)
    holding = decisions.in_force(log)
    if session:
        if session not in set(log["session"]):
            raise UsageError(
                f"no session is called '{session}'",
                where=workspace.reviews,
                mend=closest(session, set(log["session"])),
            )
        wanted = holding[holding["session"] == session]
        if wanted.empty:
            raise UsageError("all its decisions were taken back before", where=f"session {session}")
    else:
        wanted = holding[is_in(holding["id"], names)]
        for name in names:
            if name not in set(wanted["id"]):
                known = "was taken back before" if name in set(log["id"]) else "is not there"
                advice = "`wallaby why IMAGE` shows an image's decisions with their ids"
                raise UsageError(f"the decision '{name}' {known}", where=workspace.reviews, mend=advice)
    return [
        {"image": row.image, "sha256": row.sha256, "decision": UNDO, "undoes": row.id} for row in wanted.itertuples()
    ]


def _settle(workspace: Workspace, text: str) -> dict[str, str]:
    """The decision IMAGE=CLASS that ends a dispute; it is about the content that the image has now."""
    image, _, answer = text.rpartition("=")
    answer = answer.strip()
    if not image or not answer:
        raise UsageError(
            f"'{text}' does not say IMAGE=CLASS", where="--settle", mend="for example, library/a.jpg=zebra"
        )
    sha256 = contents(workspace).now([image]).get(image, "")
    if not sha256:
        raise DataError(f"there is no image '{image}'", where="--settle", mend="name it as ROOT/path")
    word = answer.lower()
    plain = word in (UNKNOWN, BAD, KEEP)
    decision = {"decision": word, "label": ""} if plain else {"decision": LABEL, "label": answer}
    return {"image": image, "sha256": sha256, "recipe": SETTLING_RECIPE} | decision


def _report(workspace: Workspace, table: pd.DataFrame, applied: Applied, events: classes.Classes) -> Report:
    rows = effect.changed(table, applied.table)
    gone = rows["status"].replace("", "row removed")
    unlabelled = {str(word): int(n) for word, n in gone[gone != "ok"].value_counts().sort_index().items()}
    if not workspace.curated_images.exists():
        return Report(applied, pd.DataFrame(columns=effect.COLUMNS), {}, unlabelled)
    columns = ["image", "sha256", "group", "label"]
    found = effect.on_board(
        table,
        applied.table,
        read_table(workspace.curated_images, columns),
        read_table(workspace.excluded, [*columns, "reason"]),
        spreadsheets.groups(workspace.queue).drop_duplicates("image").set_index("image")["group"],
        events,
        min_images=workspace.params(sections.Curate).min_images,
    )
    versions: dict[str, tuple[str, str]] = {}
    if workspace.splits_table.exists():
        splits = read_table(workspace.splits_table, ["image", "sha256", "label", "set"])
        versions = effect.on_versions(splits, rows, applied.benchmarks, events)
    return Report(applied, found, versions, unlabelled)


def _write(workspace: Workspace, table: pd.DataFrame, applied: Applied, replaced: pd.DataFrame) -> None:
    """What is replaced is kept first: who is killed in between applies the same again."""
    if len(applied.replaced):
        applying.write_replaced(replaced, applied.replaced, workspace.replaced)
    if not applied.table.equals(table):
        labels.write(applied.table, workspace.labels)
    for file in sorted(workspace.benchmarks.glob("[!.]*.csv")):
        _correct(file, applied.benchmarks[applied.benchmarks["benchmark"] == file.stem])


def _correct(file: Path, rows: pd.DataFrame) -> None:
    """Gives a benchmark's table these images, labels and contents; its other columns stay, and its order."""
    listed = labels.read_csv(file, ["image", "label"])
    columns = ["label", *({"sha256"} & set(listed))] if (rows["sha256"] == "").all() else ["label", "sha256"]
    now = rows.set_index("image")[columns]
    then = listed[is_in(listed["image"], now.index)]
    then = then.assign(**{name: now.loc[then["image"], name].to_numpy() for name in columns})
    back = rows.loc[~is_in(rows["image"], listed["image"]), ["image", *columns]]
    then = pd.concat([then, back]).fillna("").reset_index(drop=True)
    if not then.equals(listed.reset_index(drop=True)):
        write_csv(then, file)
