"""The reviews' way into `data/labels.csv`: read, apply, say what it does, write."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import bundle, config, paths, sections
from pipeline.errors import DataError, UsageError, closest
from pipeline.files import in_turn, read_table, write_csv
from pipeline.library import benchmarks, classes, labels
from pipeline.review import applying, contents, copying, decisions, effect
from pipeline.review.applying import Applied
from pipeline.review.corrections import TEST, Guarded
from pipeline.review.decisions import BAD, KEEP, LABEL, SETTLING_RECIPE, UNDO, UNKNOWN

SESSION = "apply"  # of the decisions that are made on the command line


@dataclass(frozen=True)
class Report:
    """What is applied, and what it does.

    Attributes:
      classes: `effect.COLUMNS`; empty before the first round.
      versions: the test sets that become new versions: today's and then.
      unlabelled: images that become unknown or bad, or lose their row, in numbers, by that word.
      copied: pictures copied, if that was asked for.
      missing: pictures that were to be copied and are not there.
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


def apply(said: list[dict[str, str]], *, correct: bool, dry_run: bool, copy_to: Path | None = None) -> Report:
    """Brings every review into the label table.

    Args:
      said: decisions that are made with the command, and written before they are applied.
      correct: whether test and benchmark images are corrected, too.
      copy_to: a folder for copies of the pictures that decisions gave a label; none: nothing is copied.
    """
    with in_turn(config.own("labels.lock"), str(paths.LABELS)):
        return _apply(said, correct=correct, dry_run=dry_run, copy_to=copy_to)


def _apply(said: list[dict[str, str]], *, correct: bool, dry_run: bool, copy_to: Path | None) -> Report:
    folders = config.load(sections.Roots).folders
    names = list(folders)
    table, log = labels.read(paths.LABELS, names), decisions.read_log(paths.REVIEWS, names)
    events, holding = classes.read(paths.CLASSES), decisions.in_force(log)
    events.refuse_words(table.loc[table["status"] == "ok", "label"], paths.LABELS)
    events.refuse_words(holding["label"], paths.REVIEWS)
    replaced = applying.read_replaced(paths.REPLACED)
    if said:
        new = decisions.check_new(pd.DataFrame(said), names, "the command", session=SESSION)
        labels.check_spelling(new, "the command", known=table["label"])
        log = pd.concat([log, new]).sort_values(["at", "image", "id"], ignore_index=True)
    applied = applying.apply(table, log, replaced, guarded(names), correct=correct, land=contents.land)
    report = _report(table, applied)
    if not dry_run:
        if said:
            decisions.append_all(said, paths.REVIEWS, SESSION, names)
        _write(table, applied, replaced)
    if copy_to:
        ours = applied.table[applied.table["status"] == "ok"]
        ours = ours[ours["image"].isin(log.loc[log["decision"] == LABEL, "image"])]
        copied, missing = copying.copy(ours, copy_to, folders)
        report = replace(report, copied=copied, missing=missing)
    return report


def guarded(root_names: list[str]) -> Guarded:
    """The benchmarks, and the test set of the last round and of the base's ancestors."""
    listed = benchmarks.read_all(paths.BENCHMARKS, root_names)
    columns = ["image", "sha256"]
    tested = [pd.DataFrame(columns=columns, dtype="str")]
    splits, lineage = paths.SPLITS / "splits.parquet", paths.BASE / bundle.LINEAGE
    if splits.exists():
        rows = read_table(splits, [*columns, "set"])
        tested.append(rows.loc[rows["set"] == TEST, columns])
    if lineage.exists():
        rows = read_table(lineage, ["sha256", "role"])
        tested.append(rows.loc[rows["role"] == TEST, ["sha256"]].assign(image=""))
    return Guarded(listed, pd.concat(tested, ignore_index=True)[columns])


def take_back(*, names: list[str], session: str, by: str, at: str) -> list[dict[str, str]]:
    """Decisions that take back those with these ids, or a whole session's.

    Raises:
      UsageError: for an id or a session that there is not, or that was taken back before.
    """
    log = decisions.read_log(paths.REVIEWS, list(config.load(sections.Roots).folders))
    holding = decisions.in_force(log)
    if session:
        if session not in set(log["session"]):
            raise UsageError(
                f"no session is called '{session}'",
                where=paths.REVIEWS,
                mend=closest(session, set(log["session"])),
            )
        wanted = holding[holding["session"] == session]
        if wanted.empty:
            raise UsageError("all its decisions were taken back before", where=f"session {session}")
    else:
        wanted = holding[holding["id"].isin(names)]
        for name in names:
            if name not in set(wanted["id"]):
                known = "was taken back before" if name in set(log["id"]) else "is not there"
                advice = "`wallaby why IMAGE` shows an image's decisions with their ids"
                raise UsageError(f"the decision '{name}' {known}", where=paths.REVIEWS, mend=advice)
    return [
        {"image": row.image, "sha256": row.sha256, "decision": UNDO, "undoes": row.id, "by": by, "at": at}
        for row in wanted.itertuples()
    ]


def settle(said: str, *, by: str, at: str) -> dict[str, str]:
    """The decision `IMAGE=CLASS` (or unknown, bad, keep) that ends a dispute, whatever was said before.

    It is about the content that the image has now.

    Raises:
      UsageError: if it is not so written.
      DataError: if there is no such image.
    """
    image, _, answer = said.rpartition("=")
    if not image or not answer.strip():
        raise UsageError(
            f"'{said}' does not say IMAGE=CLASS", where="--settle", mend="for example, library/a.jpg=zebra"
        )
    sha256 = contents.now([image]).get(image, "")
    if not sha256:
        raise DataError(f"there is no image '{image}'", where="--settle", mend="name it as ROOT/path")
    word = answer.strip().lower()
    plain = word in (UNKNOWN, BAD, KEEP)
    return {
        "image": image,
        "sha256": sha256,
        "decision": word if plain else LABEL,
        "label": "" if plain else answer.strip(),
        "by": by,
        "at": at,
        "recipe": SETTLING_RECIPE,
    }


def _report(table: pd.DataFrame, applied: Applied) -> Report:
    rows = effect.changed(table, applied.table)
    events = classes.read(paths.CLASSES)
    gone = rows["status"].replace("", "row removed")
    unlabelled = {str(word): int(n) for word, n in gone[gone != "ok"].value_counts().sort_index().items()}
    if not (paths.CURATED / "images.parquet").exists():
        return Report(applied, pd.DataFrame(columns=effect.COLUMNS), {}, unlabelled)
    columns = ["image", "sha256", "group", "label"]
    found = effect.on_board(
        table,
        applied.table,
        read_table(paths.CURATED / "images.parquet", columns),
        read_table(paths.CURATED / "excluded.parquet", [*columns, "reason"]),
        _queue_groups(),
        events,
        min_images=config.load(sections.Curate).min_images,
    )
    splits = paths.SPLITS / "splits.parquet"
    versions = (
        effect.on_versions(read_table(splits, ["image", "sha256", "label", "set"]), rows, applied.benchmarks, events)
        if splits.exists()
        else {}
    )
    return Report(applied, found, versions, unlabelled)


def _queue_groups() -> pd.Series:
    """The near-duplicate group of each image in the queue."""
    tables = [read_table(file, ["image", "group"]) for file in sorted(paths.QUEUE.glob("*.parquet"))]
    rows = pd.concat([pd.DataFrame(columns=["image", "group"], dtype="str"), *tables]).drop_duplicates("image")
    return rows.set_index("image")["group"]


def _write(table: pd.DataFrame, applied: Applied, replaced: pd.DataFrame) -> None:
    """What is replaced is kept first: who is killed in between applies the same again."""
    if len(applied.replaced):
        applying.write_replaced(replaced, applied.replaced, paths.REPLACED)
    if not applied.table.equals(table):
        labels.write(applied.table, paths.LABELS)
    for file in sorted(paths.BENCHMARKS.glob("[!.]*.csv")):
        _correct(file, applied.benchmarks[applied.benchmarks["benchmark"] == file.stem])


def _correct(file: Path, rows: pd.DataFrame) -> None:
    """Gives a benchmark's table these images, labels and contents; its other columns stay, and its order."""
    listed = labels.read_csv(file, ["image", "label"])
    columns = ["label", *({"sha256"} & set(listed))] if (rows["sha256"] == "").all() else ["label", "sha256"]
    now = rows.set_index("image")[columns]
    then = listed[listed["image"].isin(now.index)]
    then = then.assign(**{name: now.loc[then["image"], name].to_numpy() for name in columns})
    back = rows.loc[~rows["image"].isin(listed["image"]), ["image", *columns]]
    then = pd.concat([then, back]).fillna("").reset_index(drop=True)
    if not then.equals(listed.reset_index(drop=True)):
        write_csv(then, file)
