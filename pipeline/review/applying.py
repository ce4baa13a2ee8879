"""Decisions on their way into the label table and the benchmarks, and back out of them.

What a decision replaces is kept in `data/replaced.csv`, append only, so that taking it back restores it to the letter.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.files import write_csv
from pipeline.library import cells, labels, tables
from pipeline.library.tables import is_in
from pipeline.review import corrections, decisions, landing
from pipeline.review.corrections import Guarded
from pipeline.review.decisions import CHANGED_RECIPE, KEEP, LABEL, SETTLING_RECIPE
from pipeline.review.landing import Landing

SESSION = "apply"  # of the decisions that are made on the command line
REPLACED_COLUMNS = ["decision", "benchmark", *labels.COLUMNS]  # without a status there was no row before
ANSWER = ["decision", "label", "subclass"]
SAYS = ["image", "by", "tool", "at", *ANSWER]


SAID = ["label", "subclass", "status"]  # of a row, what a decision confirms or changes


@dataclass(frozen=True)
class Applied:
    """What becomes of the tables, and of the decisions, in numbers of images.

    Attributes:
      table: the label table.
      benchmarks: all sets, columns `benchmarks.COLUMNS`.
      replaced: rows to be added to those that decisions replaced (`REPLACED_COLUMNS`).
      added, changed, confirmed: rows that decisions wrote: new ones, those whose class, sub-class or status is another
        now, and those that say the same as before.
      before: images whose decision had been applied already.
      restored: rows that stand as before a decision which was taken back.
      corrected: test and benchmark images among all these.
      conflicts: what reviewers who differ said, columns `SAYS`.
      refused: test and benchmark images that are left alone.
      stuck: images whose decision was taken back, but not the row: it was changed since, or what it was is not known.
      other_content: images whose decision is left alone, because no image has the content that it was about.
    """

    table: pd.DataFrame
    benchmarks: pd.DataFrame
    replaced: pd.DataFrame
    added: int
    changed: int
    confirmed: int
    before: int
    restored: int
    corrected: list[str]
    conflicts: pd.DataFrame
    refused: list[str]
    stuck: list[str]
    other_content: list[str]


def apply(
    table: pd.DataFrame,
    log: pd.DataFrame,
    replaced: pd.DataFrame,
    guarded: Guarded,
    *,
    correct: bool = False,
    land: Landing = landing.by_name,
) -> Applied:
    """Brings decisions into the label table; doing so twice changes nothing.

    Rules, in this order:
      1. A row that a decision wrote which was taken back becomes what it was before.
      2. A decision that is not applied yet lands on the image that has the content which the person saw; where no
         image has it, it is left alone, and named unless a later decision was made on the image.
      3. Each reviewer's latest decision on an image counts, in each tool. What settles a dispute makes all that was
         said before it count no more.
      4. Where reviewers differ, nothing is changed.
      5. A decision is applied if it is newer than the row it meets. To keep a label changes nothing, but where the
         label was given to another content than the person saw: then it is confirmed for this one.
      6. Test and benchmark images are left alone, unless they are to be corrected.

    Args:
      table: the label table.
      log: as `decisions.read_log` returns it.
      replaced: as `read_replaced` returns it.
      correct: whether test and benchmark images are corrected.
      land: lands decisions on the images that have their contents today.

    Raises:
      DataError: if a benchmark would be left without an image.
    """
    undone, holding = decisions.taken_back(log), decisions.in_force(log)
    restored, stuck = _restore(table, undone, holding, replaced)
    rows = restored.set_index("image")
    placed, other_content = _place(holding, rows, guarded.benchmarks, replaced, land)
    ours, conflicts = _agreed(placed)
    ours = ours.set_index("image")
    ours = ours[(ours["decision"] != KEEP) | _confirms(ours, rows, guarded.benchmarks)]

    listed, listed_before = corrections.correct(guarded.benchmarks, ours, undone, replaced)
    place = rows.index.get_indexer(ours.index)
    ours["new"] = (place < 0) & ~ours.index.isin(_measured(guarded.benchmarks, replaced))
    ours["new"] &= (ours["decision"] != KEEP) & ~_applied_before_it_moved(ours, rows)
    ours["newer"] = ours["at"] > rows["at"].reindex(ours.index).fillna("9")  # a row that is not there is newer than any
    ours["newer"] &= (ours["decision"] != KEEP) | _confirms(ours, rows, guarded.benchmarks.head(0))
    taken_out = _differing(table, restored)
    touched = taken_out | set(ours.index[ours["new"] | ours["newer"]])
    about = pd.concat([ours["sha256"], table.loc[is_in(table["image"], taken_out)].set_index("image")["sha256"]])
    touched = touched & guarded.images(about) | _differing(guarded.benchmarks, listed)
    if touched and not correct:
        listed, listed_before, taken_out = guarded.benchmarks, listed_before.head(0), taken_out - touched
        rows = pd.concat([rows[~rows.index.isin(touched)], table[is_in(table["image"], touched)].set_index("image")])
        ours.loc[ours.index.isin(touched), ["new", "newer"]] = False
    corrections.refuse_empty(guarded.benchmarks, listed)

    added = _moved_with(_as_rows(ours[ours["new"]]), ours, rows)
    changed = _as_rows(ours[ours["newer"]])
    before = rows.loc[changed.index]
    kept_as_is = ours.loc[changed.index, "decision"] == KEEP
    changed[["label", "status"]] = changed[["label", "status"]].mask(kept_as_is, before[["label", "status"]], axis=0)
    kept = before["subclass"].where(before["label"] == changed["label"], "")
    changed["subclass"] = changed["subclass"].mask(changed["subclass"] == "", kept)
    confirmed = int((changed[SAID] == before[SAID]).all(axis=1).sum())
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
        len(changed) - confirmed,
        confirmed,
        int((~written & ~ours.index.isin(touched)).sum()),
        len(taken_out),
        sorted(touched if correct else []),
        conflicts,
        sorted([] if correct else touched),
        sorted(stuck),
        other_content,
    )


def read_replaced(path: Path) -> pd.DataFrame:
    """The rows that decisions replaced, the latest of each last (`REPLACED_COLUMNS`); none if there is no file yet.

    Raises:
      DataError: with file and row, as `tables.read_csv`, or for a time that is none.
    """
    if not path.exists():
        return pd.DataFrame(columns=REPLACED_COLUMNS, dtype="str")
    table = tables.read_csv(path, ["decision", "image"])
    cells.check(table, path)
    return table.reindex(columns=REPLACED_COLUMNS, fill_value="")


def write_replaced(before: pd.DataFrame, more: pd.DataFrame, path: Path) -> None:
    write_csv(pd.concat([before, more])[REPLACED_COLUMNS], path)


def _place(
    holding: pd.DataFrame, rows: pd.DataFrame, listed: pd.DataFrame, replaced: pd.DataFrame, land: Landing
) -> tuple[pd.DataFrame, list[str]]:
    """Lands what is not applied yet, and what was said of the same images and contents; and names what has no place.

    Args:
      rows: the label table, by image.
      listed: the benchmark sets.

    Returns:
      The decisions with today's images and a column `named`, the image they were made on; the images of those that
      are left alone.
    """
    holding = holding.assign(named=holding["image"])
    open_ = _open(holding, rows, listed, replaced)
    asked = is_in(holding["image"], holding.loc[open_, "image"])
    asked |= (holding["sha256"] != "") & is_in(holding["sha256"], holding.loc[open_, "sha256"])
    if not asked.any():
        return holding, []
    landed = land(holding[asked])
    placed = pd.concat([holding[~asked], landed.rows]).sort_index(kind="stable").reset_index(drop=True)
    last = ~holding["image"].duplicated(keep="last")
    nowhere = is_in(holding["id"], landed.gone["id"])
    return placed, sorted(holding.loc[open_ & last & nowhere, "image"])


def _open(holding: pd.DataFrame, rows: pd.DataFrame, listed: pd.DataFrame, replaced: pd.DataFrame) -> pd.Series:
    """Which decisions would be written, if their images have their contents."""
    image, keeps = holding["image"], holding["decision"] == KEEP
    confirms = _confirms(holding.set_index("image"), rows, listed).to_numpy()
    newer = holding["at"] > rows["at"].reindex(image).fillna("").to_numpy()
    open_ = newer & (~keeps | confirms)
    measured = is_in(image, _measured(listed, replaced))
    if measured.any():
        made = is_in(holding["id"], replaced.loc[replaced["benchmark"] != "", "decision"])
        corrects = is_in(image, listed["image"]) & ~made & (~keeps | confirms)
        open_ = open_ & (~measured | is_in(image, rows.index)) | corrects
    return open_


def _measured(listed: pd.DataFrame, replaced: pd.DataFrame) -> set[str]:
    """The images that are, or were, in a benchmark."""
    return {*listed["image"], *replaced.loc[replaced["benchmark"] != "", "image"]}


def _confirms(decided: pd.DataFrame, rows: pd.DataFrame, listed: pd.DataFrame) -> pd.Series:
    """Which decisions (by image) are about another content than the one that the image's label was given to."""
    differs = pd.Series(False, index=decided.index)
    for labelled in (rows["sha256"], listed.set_index("image")["sha256"]):
        content = labelled.reindex(decided.index).fillna("")
        differs |= (content != "") & (decided["sha256"] != "") & (content != decided["sha256"])
    return differs


def _applied_before_it_moved(ours: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    """Which decisions went with a content to another image, though a row that they made, or a later one, names it."""
    moved = ours[ours["named"] != ours.index]
    if moved.empty:
        return pd.Series(False, index=ours.index)
    latest = rows[is_in(rows["sha256"], moved["sha256"]) & (rows["at"] != "")].groupby("sha256")["at"].max()
    at = ours["sha256"].map(latest).astype("str").fillna("")
    return (ours["named"] != ours.index) & (at >= ours["at"])


def _moved_with(added: pd.DataFrame, ours: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """New rows with all columns; of an image that moved, what people said of its content goes with it."""
    then = rows.reindex(ours.loc[added.index, "named"]).set_axis(added.index)
    same = (then["sha256"] == added["sha256"]) & (added["sha256"] != "")
    then = then.where(same, axis=0).fillna({"origin": "real"}).fillna("")
    subclass = then["subclass"].where(then["label"] == added["label"], "")
    subclass = added["subclass"].mask(added["subclass"] == "", subclass)
    return added.assign(subclass=subclass, origin=then["origin"], group=then["group"], note=then["note"])


def _agreed(said: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The decision on each image on which reviewers agree, and what those said who do not (`SAYS`)."""
    settles = said[said["recipe"] == SETTLING_RECIPE].drop_duplicates("image", keep="last")
    since = pd.Series(settles.index, settles["image"]).reindex(said["image"]).fillna(0)
    said = said[said.index >= since.to_numpy()]
    who = ["image", "by", "tool"]
    last = said.drop_duplicates(who, keep="last")[[*who, "at"]]
    latest = said.merge(last, on=[*who, "at"])  # who said two things at once differs from himself
    answers = latest.drop_duplicates(["image", *ANSWER])["image"]
    differ = is_in(latest["image"], answers[answers.duplicated()])
    agreed = latest[~differ].drop_duplicates("image", keep="last")
    return agreed, latest.loc[differ, SAYS].sort_values(["image", "at", "by"], ignore_index=True)


def _restore(
    table: pd.DataFrame, undone: pd.DataFrame, holding: pd.DataFrame, replaced: pd.DataFrame
) -> tuple[pd.DataFrame, set[str]]:
    """Takes undone decisions out of the table, and what they had replaced, too, if that is undone as well."""
    key = ["image", "by", "at"]
    again = pd.MultiIndex.from_frame(undone[key + ANSWER]).isin(pd.MultiIndex.from_frame(holding[key + ANSWER]))
    wrote = undone[~again].assign(status=undone["decision"].replace({LABEL: "ok"}))
    wrote = wrote[["id", *key, "sha256", "label", "subclass", "status"]]
    if wrote.empty:
        return table, set()
    known = replaced[(replaced["benchmark"] == "") & is_in(replaced["decision"], wrote["id"])]
    known = known.drop_duplicates(["decision", "image"], keep="last")
    rows = table.set_index("image")
    while True:
        met = _written_by(wrote, rows)
        before = _before(met[met["same"]], known)
        stuck = set(met["image"]) - set(before["image"])
        before = before.drop_duplicates("image", keep="last").set_index("image")
        if before.empty:
            return rows.reset_index(), stuck
        rows = pd.concat([rows.drop(index=before.index), before.loc[before["status"] != "", labels.COLUMNS[1:]]])


def _written_by(wrote: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the label table that these decisions wrote, each with the `id` of its decision and whether it is the
    `same` still: under the image's name then, or under another one, if it has moved since."""
    some = rows[is_in(rows["by"], wrote["by"]) & is_in(rows["at"], wrote["at"])].reset_index()
    found = some.merge(wrote, on=["image", "by", "at"], suffixes=("", "_wrote"))
    seen = wrote[wrote["sha256"] != ""].rename(columns={"image": "image_wrote"})
    moved = some.merge(seen, on=["sha256", "by", "at"], suffixes=("", "_wrote"))
    moved = moved[moved["image"] != moved["image_wrote"]].assign(sha256_wrote=lambda table: table["sha256"])
    met = pd.concat([found, moved]) if len(moved) else found
    same = (met["subclass_wrote"] == "") | (met["subclass"] == met["subclass_wrote"])
    same &= (met["label"] == met["label_wrote"]) & (met["status"] == met["status_wrote"])
    return met.assign(same=same | (met["status_wrote"] == KEEP))


def _before(met: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """What stood in the place of each of these rows before its decision, if it was kept: under the image's name then,
    of which there is one, or under today's. A row of earlier years, which names no content, is given the decision's."""
    here = met[["id", "image", "sha256_wrote"]].merge(
        known.rename(columns={"decision": "id"}), on=["id", "image"], suffixes=("", "_then")
    )
    single = known[~known["decision"].duplicated(keep=False)].rename(columns={"decision": "id"}).drop(columns="image")
    rest = met[~is_in(met["id"], here["id"])]
    before = pd.concat([here, rest[["id", "image", "sha256_wrote"]].merge(single, on="id")])
    unnamed = (before["sha256"] == "") & (before["status"] != "")
    return before.assign(sha256=before["sha256"].mask(unnamed, before["sha256_wrote"]))


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
    accepted &= said["recipe"] != CHANGED_RECIPE  # whose suggestion is the label that another content had
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
