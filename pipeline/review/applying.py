"""Decisions on their way into the label table and the benchmarks, and back out of them.

What a decision replaces is kept in `data/replaced.csv`, append only, so that taking it back restores it to the letter.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.files import write_csv
from pipeline.library import labels, tables
from pipeline.review import corrections, decisions
from pipeline.review.corrections import Guarded
from pipeline.review.decisions import KEEP, LABEL, SETTLING_RECIPE

REPLACED_COLUMNS = ["decision", "benchmark", *labels.COLUMNS]  # without a status there was no row before
ANSWER = ["decision", "label", "subclass"]
SAYS = ["image", "by", "tool", "at", *ANSWER]


@dataclass(frozen=True)
class Applied:
    """What becomes of the tables, and of the decisions, in numbers of images.

    Attributes:
      table: the label table.
      benchmarks: all sets, columns `benchmarks.COLUMNS`.
      replaced: rows to be added to those that decisions replaced (`REPLACED_COLUMNS`).
      added, changed: rows that decisions wrote.
      before: images whose decision had been applied already.
      restored: rows that stand as before a decision which was taken back.
      corrected: test and benchmark images among all these.
      conflicts: what reviewers who differ said, columns `SAYS`.
      refused: test and benchmark images that are left alone.
      stuck: images whose decision was taken back, but not the row: it was changed since, or what it was is not known.
    """

    table: pd.DataFrame
    benchmarks: pd.DataFrame
    replaced: pd.DataFrame
    added: int
    changed: int
    before: int
    restored: int
    corrected: list[str]
    conflicts: pd.DataFrame
    refused: list[str]
    stuck: list[str]


def apply(
    table: pd.DataFrame, log: pd.DataFrame, replaced: pd.DataFrame, guarded: Guarded, *, correct: bool = False
) -> Applied:
    """Brings decisions into the label table; doing so twice changes nothing.

    Rules, in this order:
      1. A row that a decision wrote which was taken back becomes what it was before.
      2. Each reviewer's latest decision on an image counts, in each tool. What settles a dispute makes all that was
         said before it count no more.
      3. Where reviewers differ, nothing is changed.
      4. A decision is applied if it is newer than the row it meets. To keep a label changes nothing.
      5. Test and benchmark images are left alone, unless they are to be corrected.

    Args:
      table: the label table.
      log: as `decisions.read_log` returns it.
      replaced: as `read_replaced` returns it.
      correct: whether test and benchmark images are corrected.

    Raises:
      DataError: if a benchmark would be left without an image.
    """
    undone, holding = decisions.taken_back(log), decisions.in_force(log)
    restored, stuck = _restore(table, undone, holding, replaced)
    ours, conflicts = _agreed(holding)
    ours = ours[ours["decision"] != KEEP].set_index("image")

    rows = restored.set_index("image")
    listed, listed_before = corrections.correct(guarded.benchmarks, ours, undone, replaced)
    measured = {*guarded.benchmarks["image"], *replaced.loc[replaced["benchmark"] != "", "image"]}
    place = rows.index.get_indexer(ours.index)
    ours["new"] = (place < 0) & ~ours.index.isin(measured)
    ours["newer"] = ours["at"] > rows["at"].reindex(ours.index).fillna("9")  # a row that is not there is newer than any
    taken_out = _differing(table, restored)
    touched = taken_out | set(ours.index[ours["new"] | ours["newer"]])
    touched = touched & guarded.images(ours["sha256"]) | _differing(guarded.benchmarks, listed)
    if touched and not correct:
        listed, listed_before, taken_out = guarded.benchmarks, listed_before.head(0), taken_out - touched
        rows = pd.concat([rows[~rows.index.isin(touched)], table[table["image"].isin(touched)].set_index("image")])
        ours.loc[ours.index.isin(touched), ["new", "newer"]] = False
    corrections.refuse_empty(guarded.benchmarks, listed)

    added = _as_rows(ours[ours["new"]]).assign(origin="real")
    changed = _as_rows(ours[ours["newer"]])
    before = rows.loc[changed.index]
    kept = before["subclass"].where(before["label"] == changed["label"], "")
    changed["subclass"] = changed["subclass"].mask(changed["subclass"] == "", kept)
    result = rows.copy()
    result.loc[changed.index, changed.columns] = changed
    result = pd.concat([result, added]).fillna("").rename_axis("image").reset_index()
    result = result[labels.COLUMNS].sort_values("image", ignore_index=True)
    written = ours["new"] | ours["newer"]
    return Applied(
        result,
        listed,
        _not_yet(pd.concat([_replaced(ours[written], rows), listed_before]), replaced),
        len(added),
        len(changed),
        int((~written & ~ours.index.isin(touched)).sum()),
        len(taken_out),
        sorted(touched if correct else []),
        conflicts,
        sorted([] if correct else touched),
        sorted(stuck),
    )


def read_replaced(path: Path) -> pd.DataFrame:
    """The rows that decisions replaced, the latest of each last (`REPLACED_COLUMNS`); none if there is no file yet."""
    if not path.exists():
        return pd.DataFrame(columns=REPLACED_COLUMNS, dtype="str")
    return tables.read_csv(path, ["decision", "image"]).reindex(columns=REPLACED_COLUMNS, fill_value="")


def write_replaced(before: pd.DataFrame, more: pd.DataFrame, path: Path) -> None:
    write_csv(pd.concat([before, more])[REPLACED_COLUMNS], path)


def _agreed(said: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The decision on each image on which reviewers agree, and what those said who do not (`SAYS`)."""
    settles = said[said["recipe"] == SETTLING_RECIPE].drop_duplicates("image", keep="last")
    since = pd.Series(settles.index, settles["image"]).reindex(said["image"]).fillna(0)
    said = said[said.index >= since.to_numpy()]
    who = ["image", "by", "tool"]
    last = said.drop_duplicates(who, keep="last")[[*who, "at"]]
    latest = said.merge(last, on=[*who, "at"])  # who said two things at once differs from himself
    answers = latest.drop_duplicates(["image", *ANSWER])["image"]
    differ = latest["image"].isin(answers[answers.duplicated()])
    agreed = latest[~differ].drop_duplicates("image", keep="last")
    return agreed, latest.loc[differ, SAYS].sort_values(["image", "at", "by"], ignore_index=True)


def _restore(
    table: pd.DataFrame, undone: pd.DataFrame, holding: pd.DataFrame, replaced: pd.DataFrame
) -> tuple[pd.DataFrame, set[str]]:
    """Takes undone decisions out of the table, and what they had replaced, too, if that is undone as well."""
    key = ["image", "by", "at"]
    again = pd.MultiIndex.from_frame(undone[key + ANSWER]).isin(pd.MultiIndex.from_frame(holding[key + ANSWER]))
    wrote = undone[~again].assign(status=undone["decision"].replace({LABEL: "ok"}))
    wrote = wrote[["id", *key, "label", "subclass", "status"]]
    if wrote.empty:
        return table, set()
    known = replaced[replaced["benchmark"] == ""].drop_duplicates("decision", keep="last").set_index("decision")
    rows = table.set_index("image")
    while True:
        met = rows.loc[rows.index.isin(wrote["image"])].reset_index()
        met = met.merge(wrote, on=key, suffixes=("", "_wrote"))
        same = (met["subclass_wrote"] == "") | (met["subclass"] == met["subclass_wrote"])
        same &= (met["label"] == met["label_wrote"]) & (met["status"] == met["status_wrote"])
        ours = same & met["id"].isin(known.index)
        stuck = set(met["image"]) - set(met.loc[ours, "image"])
        met = met[ours].drop_duplicates("image", keep="last")
        if met.empty:
            return rows.reset_index(), stuck
        before = known.loc[met["id"]].set_index("image")[labels.COLUMNS[1:]]
        rows = pd.concat([rows.drop(index=met["image"]), before[before["status"] != ""]])


def _differing(before: pd.DataFrame, after: pd.DataFrame) -> set[str]:
    """The images whose rows differ."""
    if before is after:
        return set()
    return set(pd.concat([before, after]).drop_duplicates(keep=False)["image"])


def _replaced(ours: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    before = rows.reindex(ours.index).fillna("")
    return before.assign(decision=ours["id"], benchmark="").rename_axis("image").reset_index()[REPLACED_COLUMNS]


def _not_yet(rows: pd.DataFrame, replaced: pd.DataFrame) -> pd.DataFrame:
    """The rows that are not kept yet: of a run that was killed between the tables, they are."""
    latest = replaced.drop_duplicates(["decision", "benchmark", "image"], keep="last").assign(kept=True)
    found = rows.merge(latest, how="left", on=REPLACED_COLUMNS)
    return found.loc[found["kept"].isna(), REPLACED_COLUMNS].sort_values(["image", "decision"], ignore_index=True)


def _as_rows(said: pd.DataFrame) -> pd.DataFrame:
    """The columns of the label table that a decision sets."""
    accepted = (said["label"] == said["suggested"]) & (said["decision"] == LABEL)
    return pd.DataFrame(
        {
            "label": said["label"],
            "subclass": said["subclass"],
            "status": said["decision"].replace({LABEL: "ok"}),
            "by": said["by"],
            "at": said["at"],
            "model": said["model"].where(accepted, ""),
            "sha256": said["sha256"],
        }
    )
