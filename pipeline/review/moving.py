"""Rows that follow their images to another place: tables in, tables out.

A row moves if the file at the new name has the content that the row is about. Where that is not known (a row without a
content, of an image that no index has seen), it moves if the old file is gone and the new one is there.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from pipeline.library import moves
from pipeline.review import decisions
from pipeline.review.decisions import UNDO

STAYS, ABSENT = "its file is still there", "no file at the new place"
OTHER, LABELLED, LISTED = (
    "another content at the new place",
    "another label at the new place",
    "another benchmark row at the new place",
)
EMPTY = pd.Series(dtype="str")
FILLED = ["subclass", "group", "note"]  # cells that one of two united rows may have from the other


@dataclass(frozen=True)
class Facts:
    """What is known of the images below `old`.

    Attributes:
      contents: of the files that are there, at the old and new names: their hashes, "" where one cannot be read.
      indexed: contents by the last index.
      blocked: old names whose rows stay, whatever their content, and why.
    """

    old: str
    new: str
    contents: dict[str, str]
    indexed: dict[str, str]
    blocked: dict[str, str] = field(default_factory=dict)

    def renamed(self, image: str) -> str:
        return moves.renamed(image, self.old, self.new)

    def content(self, image: str, sha256: str) -> str:
        """What a row of this image is about; "" if that is not known."""
        return sha256 or self.indexed.get(image, "")

    def reason(self, image: str, sha256: str) -> str:
        """Why a row does not move; "" if it does."""
        if image in self.blocked:
            return self.blocked[image]
        wanted, here = self.content(image, sha256), self.contents.get(image)
        there = self.contents.get(self.renamed(image))
        if here is not None and (not wanted or here == wanted):
            return STAYS
        if there is None:
            return ABSENT
        return OTHER if wanted and there != wanted else ""


@dataclass(frozen=True)
class Moved:
    """A table after the move.

    Attributes:
      rows: that moved.
      united: of these, such as met an equal row at their new name.
      left: images whose rows stay, and why.
      unverified: images that moved though nobody knows what content they had.
    """

    table: pd.DataFrame
    rows: int = 0
    united: int = 0
    left: dict[str, str] = field(default_factory=dict)
    unverified: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()  # that moved, by their old names


@dataclass(frozen=True)
class Sources:
    """The tables that name images, by the names of their files; each value may also be what became of it."""

    labels: dict[str, Any]
    benchmarks: dict[str, Any]
    reviews: dict[str, Any]
    quarantine: dict[str, Any]
    replaced: dict[str, Any]

    def all(self) -> dict[str, Any]:
        """In the order in which they are written: a decision never names an image that its label does not know."""
        return self.reviews | self.replaced | self.quarantine | self.benchmarks | self.labels


def move(tables: Sources, facts: Facts) -> Sources:
    """Moves the rows of all tables; returns a `Moved` for each. An image that cannot move in the label table or in a
    benchmark set moves in none."""
    for _ in range(2):  # the second time, what is blocked in one of them stays in the other
        listed = {name: table["image"] for name, table in tables.benchmarks.items()}
        moved = {name: labels(table, facts) for name, table in tables.labels.items()} | {
            name: benchmark(table, pd.concat([EMPTY, *(i for other, i in listed.items() if other != name)]), facts)
            for name, table in tables.benchmarks.items()
        }
        met = {i: why for one in moved.values() for i, why in one.left.items() if why in (LABELLED, LISTED)}
        facts = replace(facts, blocked=facts.blocked | met)
    reviewed = reviews(tables.reviews, facts)
    places = {
        id_: image
        for one in reviewed.values()
        for id_, image in zip(*(named(one.table)[column] for column in ("id", "image")), strict=True)
    }
    return Sources(
        {name: moved[name] for name in tables.labels},
        {name: moved[name] for name in tables.benchmarks},
        reviewed,
        {name: quarantine(table, facts) for name, table in tables.quarantine.items()},
        {name: replaced(table, places, facts) for name, table in tables.replaced.items()},
    )


def judged(table: pd.DataFrame, facts: Facts) -> pd.Series:
    """Why each row about an image below the old place stays, "" if it moves; the index is that of the table."""
    ours = table[moves.leaving(table["image"], facts.old, facts.new)]
    contents = ours["sha256"] if "sha256" in ours else [""] * len(ours)
    return pd.Series(
        [facts.reason(*row) for row in zip(ours["image"], contents, strict=True)], index=ours.index, dtype="str"
    )


def labels(table: pd.DataFrame, facts: Facts) -> Moved:
    """Moves rows of the label table. One that meets a row of the same label becomes one with it: the older one's
    source stays. One that meets another label stays."""
    reasons = judged(table, facts)
    target = table.loc[reasons.index, "image"].map(facts.renamed)
    answer = ["label", "status"]
    at_new = table.drop_duplicates("image").set_index("image")
    met = target[target.isin(at_new.index) & (reasons == "")]
    differs = pd.Series(False, index=met.index)
    for name in answer:
        differs |= table.loc[met.index, name].to_numpy() != at_new.loc[met, name].to_numpy()
    reasons = reasons.mask(reasons.index.isin(met.index[differs]), LABELLED)
    met = met[~differs]
    result, dropped = table.copy(), []
    place = pd.Series(table.index, index=table["image"])
    for row, image in met.items():
        mine, yours = table.loc[row], table.loc[place[image]]
        newer = yours["at"] and mine["at"] and yours["at"] < mine["at"]
        first, second = (yours, mine) if newer else (mine, yours)
        kept = first.copy()
        for name in FILLED:
            kept[name] = first[name] or second[name]
        result.loc[row] = kept
        dropped.append(place[image])
    going = reasons.index[reasons == ""]
    result.loc[going, "image"] = target[going]
    result = result.drop(index=dropped).sort_values("image", ignore_index=True)
    return _moved(result, table, reasons, facts, united=len(met))


def benchmark(table: pd.DataFrame, elsewhere: pd.Series, facts: Facts) -> Moved:
    """Moves rows of a benchmark set; order and other columns stay.

    Args:
      elsewhere: the images of the other sets; an image cannot be in two.
    """
    reasons = judged(table, facts)
    target = table.loc[reasons.index, "image"].map(facts.renamed)
    at_new = table.drop_duplicates("image").set_index("image")["label"]
    met = target[target.isin(at_new.index) & (reasons == "")]
    same = table.loc[met.index, "label"].to_numpy() == at_new.reindex(met).to_numpy()
    reasons = reasons.mask(reasons.index.isin(met.index[~same]) | target.isin(elsewhere), LISTED)
    result = table.copy()
    going = reasons.index[reasons == ""]
    result.loc[going, "image"] = target[going]
    return _moved(result.drop_duplicates("image"), table, reasons, facts, united=int(same.sum()))


def quarantine(table: pd.DataFrame, facts: Facts) -> Moved:
    """Moves rows of the quarantine, which is about contents: a second row of one image and content is dropped."""
    reasons = judged(table, facts)
    going = reasons.index[reasons == ""]
    result = table.copy()
    result.loc[going, "image"] = table.loc[going, "image"].map(facts.renamed)
    result = result.drop_duplicates(["image", "sha256"])
    return _moved(result, table, reasons, facts, united=len(table) - len(result))


def named(table: pd.DataFrame) -> pd.DataFrame:
    """A review table with every decision's id written out: one that is made of what a row says would change with it."""
    full = table.reindex(columns=decisions.COLUMNS, fill_value="")
    full["blind"] = full["blind"].replace("", decisions.NO)
    ids = pd.Series([decisions.digest(row) for row in full.to_dict("records")], index=table.index, dtype="str")
    return table.assign(id=full["id"].mask(full["id"] == "", ids))


def reviews(tables: dict[str, pd.DataFrame], facts: Facts) -> dict[str, Moved]:
    """Moves decisions, in all review tables: one that takes another back goes where that one lies.

    Args:
      tables: by name; none is changed but in the rows that move.
    """
    known = {name: named(table) for name, table in tables.items()}
    reasons = {name: judged(table, facts) for name, table in known.items()}
    lies: dict[str, str] = {}
    for name, table in known.items():
        for row in table[table["decision"] != UNDO].itertuples():
            goes = reasons[name].get(row.Index) == ""
            lies[row.id] = facts.renamed(row.image) if goes else row.image
    found = {}
    for name, table in known.items():
        verdict = reasons[name].copy()
        for row in table.loc[verdict.index][table.loc[verdict.index, "decision"] == UNDO].itertuples():
            verdict[row.Index] = _following(lies.get(row.undoes), row.image, verdict[row.Index], facts)
        going = verdict.index[verdict == ""]
        result = tables[name]
        if len(going):
            result = result.assign(id=result.get("id", ""))
            result.loc[going, "id"] = table.loc[going, "id"]
            result.loc[going, "image"] = table.loc[going, "image"].map(facts.renamed)
        found[name] = _moved(result, table, verdict, facts)
    return found


def replaced(table: pd.DataFrame, places: dict[str, str], facts: Facts) -> Moved:
    """Moves what decisions replaced: a row goes where its decision lies.

    Args:
      places: the image of each decision, by its id, after the reviews have moved.
    """
    reasons = judged(table, facts)
    for row in table.loc[reasons.index].itertuples():
        reasons[row.Index] = _following(places.get(row.decision), row.image, reasons[row.Index], facts)
    going = reasons.index[reasons == ""]
    result = table.copy()
    result.loc[going, "image"] = table.loc[going, "image"].map(facts.renamed)
    return _moved(result, table, reasons, facts)


def _following(place: str | None, image: str, reason: str, facts: Facts) -> str:
    """Why a row about `image` stays, "" if it goes: it follows its decision, whose image is called `place` then."""
    if place == facts.renamed(image):
        return ""
    return reason or STAYS if place == image else reason


def _moved(result: pd.DataFrame, table: pd.DataFrame, reasons: pd.Series, facts: Facts, *, united: int = 0) -> Moved:
    images = table.loc[reasons.index, "image"]
    contents = table.loc[reasons.index, "sha256"] if "sha256" in table else pd.Series("", index=reasons.index)
    going = reasons == ""
    unknown = [
        image for image, sha256 in zip(images[going], contents[going], strict=True) if not facts.content(image, sha256)
    ]
    left = dict(zip(images[~going], reasons[~going], strict=True))
    return Moved(result, int(going.sum()), united, left, frozenset(unknown), frozenset(images[going]))
