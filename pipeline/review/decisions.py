"""Review decisions: what people said of images, in append-only tables, and their way into the labels."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.config import nearest
from pipeline.errors import DataError
from pipeline.files import write_csv
from pipeline.library import labels

LABEL, UNKNOWN, BAD, KEEP = "label", "unknown", "bad", "keep"
DECISIONS = [LABEL, UNKNOWN, BAD, KEEP]
COLUMNS = ["image", "sha256", "decision", "label", "by", "at", "model", "suggested", "recipe"]
SHEET_COLUMNS = ["decision", "image", "recipe", "group", "rank", "label", "score", "reason", "sha256"]
ACCEPT, SKIP = "yes", ""
CONFLICT_RECIPE, PURGE_RECIPE = "label-conflict", "purge-low"
WHEN = re.compile(r"\d{4}-\d\d-\d\d")  # ISO 8601: the later time is the greater text


@dataclass(frozen=True)
class Applied:
    """The new label table, and what became of the decisions, in numbers of images; conflicts and refusals by name."""

    table: pd.DataFrame
    added: int
    changed: int
    before: int
    conflicts: list[str]
    refused: list[str]


def read_all(folder: Path, root_names: list[str]) -> pd.DataFrame:
    """Reads every review table, oldest decision first.

    Raises:
      DataError: with file and row, for a decision that is not known, a label without a name or with a line break, a
        bad image name, or a decision that does not say who made it and when.
    """
    tables = [pd.DataFrame(columns=COLUMNS, dtype="str")]
    for file in sorted(folder.glob("*.csv")):
        table = labels.read_csv(file, ["image", "decision", "by", "at"]).reindex(columns=COLUMNS, fill_value="")
        labels.check_images(table["image"].drop_duplicates(), root_names, file)
        for row in table.itertuples():
            where = f"{file}, row {row.Index + 2}"
            if row.decision not in DECISIONS:
                raise DataError(
                    f"unknown decision '{row.decision}'", where=where, mend=nearest(row.decision, DECISIONS)
                )
            if row.decision == LABEL and (row.label == "" or row.label.lower() == labels.UNKNOWN):
                raise DataError(
                    f"a decision without a class: {row.image}", where=where, mend="name one, or decide unknown"
                )
            if row.by.strip() == "" or not WHEN.match(row.at):
                raise DataError(
                    f"a decision does not say by whom and when: {row.image}",
                    where=where,
                    mend="write a name into `by`, and a time such as 2026-03-01T12:00:00 into `at`",
                )
        labels.check_labels(table[table["decision"] == LABEL], file)
        tables.append(table)
    return pd.concat(tables, ignore_index=True).sort_values(["at", "image"], kind="stable", ignore_index=True)


def settled(decisions: pd.DataFrame) -> frozenset[str]:
    """The images that people decided on while they saw them beside their near-duplicates."""
    return frozenset(decisions.loc[decisions["recipe"] == CONFLICT_RECIPE, "image"])


def verdicts(decisions: pd.DataFrame) -> pd.DataFrame:
    """What people last said of each image's label: columns `image`, `at`, `model` and `label`, "" to keep what it has.

    The label audit does not ask them the same again (`evaluation.audit`).
    """
    said = decisions[decisions["decision"].isin([LABEL, KEEP])]
    return said.drop_duplicates("image", keep="last")[["image", "at", "model", "label"]].reset_index(drop=True)


def write(decisions: pd.DataFrame, folder: Path, name: str) -> Path:
    """Writes one session's decisions as a new file; never adds to or replaces an old one."""
    number, path = 1, folder / f"{name}.csv"
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.csv"
    write_csv(decisions.reindex(columns=COLUMNS, fill_value=""), path)
    return path


def apply(table: pd.DataFrame, decisions: pd.DataFrame, benchmark_images: pd.Series) -> Applied:
    """Brings decisions into the label table; doing so twice changes nothing.

    Each reviewer's latest decision on an image counts. Where reviewers differ, nothing is changed and the image is
    named. A decision is applied if it is newer than the row it meets. A benchmark image is never touched, and to keep
    a label changes nothing.

    Args:
      table: the label table.
      decisions: as `read_all` returns them.
    """
    latest = decisions.drop_duplicates(["image", "by"], keep="last")
    said = (latest["decision"] + " " + latest["label"]).groupby(latest["image"]).nunique()
    conflicts = sorted(said.index[said > 1])
    latest = latest[~latest["image"].isin(conflicts)].drop_duplicates("image", keep="last")
    latest = latest[latest["decision"] != KEEP]
    refused = latest["image"].isin(benchmark_images)
    ours = latest[~refused].set_index("image")

    rows = table.set_index("image")
    known = ours.index.isin(rows.index)
    newer = known.copy()
    newer[known] = ours.loc[known, "at"].to_numpy() > rows.loc[ours.index[known], "at"].to_numpy()
    added = _as_rows(ours[~known]).assign(origin="real")
    changed = _as_rows(ours[newer])
    before = rows.loc[changed.index]
    changed["subclass"] = before["subclass"].where(before["label"] == changed["label"], "")
    rows.loc[changed.index, changed.columns] = changed
    result = pd.concat([rows, added]).fillna("").rename_axis("image").reset_index()
    return Applied(
        result[labels.COLUMNS].sort_values("image", ignore_index=True),
        len(added),
        len(changed),
        len(ours) - len(added) - len(changed),
        conflicts,
        sorted(latest.loc[refused, "image"]),
    )


def to_sheet(queues: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The queues as one sheet for a spreadsheet; people fill its column `decision`."""
    rows = [table.assign(recipe=name, decision="") for name, table in queues.items()]
    return pd.concat(rows, ignore_index=True)[SHEET_COLUMNS]


def from_sheet(sheet: pd.DataFrame, source: object, *, by: str, at: str, model: str) -> pd.DataFrame:
    """Decisions from a filled sheet: `yes` accepts the suggestion, a class names another; `unknown`, `bad`, `keep`.

    Raises:
      DataError: if the sheet lacks a column.
    """
    for column in ("decision", "image", "label", "recipe", "sha256"):
        if column not in sheet:
            raise DataError(
                f"column '{column}' is missing", where=source, mend="`wallaby review --sheet FILE` writes a whole one"
            )
    answer = sheet["decision"].str.strip()
    filled = sheet.assign(answer=answer)  # before the rows are chosen: a table without any would take those of `answer`
    filled = filled[answer != SKIP]
    lower = filled["answer"].str.lower()
    decision = lower.where(lower.isin([UNKNOWN, BAD, KEEP]), LABEL)
    label = filled["answer"].mask(lower == ACCEPT, filled["label"]).where(decision == LABEL, "")
    return filled.assign(decision=decision, suggested=filled["label"], label=label, by=by, at=at, model=model)[COLUMNS]


def _as_rows(decisions: pd.DataFrame) -> pd.DataFrame:
    """The columns of the label table that a decision sets."""
    status = decisions["decision"].replace({LABEL: "ok"})
    accepted = decisions["label"] == decisions["suggested"]
    return pd.DataFrame(
        {
            "label": decisions["label"],
            "status": status,
            "by": decisions["by"],
            "at": decisions["at"],
            "model": decisions["model"].where(accepted & (decisions["decision"] == LABEL), ""),
        }
    )
