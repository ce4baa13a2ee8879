"""What earlier rounds had: each round's images and class counts, kept with the base and held against today's."""

from pathlib import Path

import pandas as pd

from pipeline.files import write_table
from pipeline.library.exclusion import Reason
from pipeline.library.lineage import TIES, with_ties

IMAGES, BOARDS = "images.parquet", "boards.parquet"
IMAGE_COLUMNS = ["image", "sha256", "label", "subclass", "origin", "set", "reason", *TIES]
BOARD_COLUMNS = ["round", "label", "images", "groups"]
CHANGE_COLUMNS = ["image", "change", "label", "was", "detail"]
ADDED, REMOVED, RELABELLED, EXCLUDED, RETURNED = "added", "removed", "relabelled", "excluded", "returned"


def empty() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images and boards before the first round."""
    numbers = {name: pd.Series(dtype=int) for name in BOARD_COLUMNS}
    return pd.DataFrame(columns=IMAGE_COLUMNS, dtype=str), pd.DataFrame(numbers | {"label": pd.Series(dtype=str)})


def write(base: Path, images: pd.DataFrame, boards: pd.DataFrame) -> None:
    write_table(images, base / IMAGES)
    write_table(boards, base / BOARDS)


def snapshot(splits: pd.DataFrame, left_out: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
    """All of a round's images in one table: those in a set, and the others with the reason why not."""
    whole = pd.concat([splits.assign(reason=""), left_out.assign(set=""), excluded.assign(set="")])
    # A benchmark's image stands in `splits`, and among the excluded of curation.
    whole = with_ties(whole).fillna(dict.fromkeys(TIES, ""))[IMAGE_COLUMNS].drop_duplicates("image")
    return whole.sort_values("image", ignore_index=True)


def bursts_beside_benchmarks(images: pd.DataFrame) -> pd.Series:
    """The burst, by content, of images that were in no set since an image of a benchmark stands in the same burst.

    No lineage has them. What once kept them out is not computed again, so that they are never trained on later.

    Args:
      images: `IMAGE_COLUMNS`; a table of earlier years has no bursts.
    """
    if "burst" not in images:
        return pd.Series(dtype="str")
    kept_out = images[(images["reason"] == Reason.BENCHMARK) & (images["burst"] != "")]
    return kept_out.drop_duplicates("sha256").set_index("sha256")["burst"]


def extend_boards(boards: pd.DataFrame, board: pd.DataFrame, round_: int) -> pd.DataFrame:
    """Adds a round's counts; those of that round, if any, are replaced."""
    today = board[["label", "images", "groups"]].assign(round=round_)
    return pd.concat([boards[boards["round"] != round_], today])[BOARD_COLUMNS].sort_values(
        ["round", "label"], ignore_index=True
    )


def round_after(boards: pd.DataFrame) -> int:
    """The number of the round that follows."""
    return 1 if boards.empty else int(boards["round"].max()) + 1


def rounds_since_growth(boards: pd.DataFrame, groups: pd.Series, *, round_: int) -> pd.Series:
    """For how many rounds a class has not had more groups than in the round before; 0 if it has grown in this one.

    Args:
      boards: `BOARD_COLUMNS`, labels by today's names (classes that were merged may stand several times in a round).
      groups: today's groups by label.
      round_: today's.
    """
    earlier = boards[boards["round"] < round_].groupby(["label", "round"])["groups"].sum().reset_index()
    today = pd.DataFrame({"label": groups.index, "round": round_, "groups": groups.to_numpy()})
    counts = pd.concat([earlier, today], ignore_index=True).sort_values(["label", "round"])
    grown = counts["groups"] > counts.groupby("label")["groups"].shift().fillna(0)
    last = counts[grown].groupby("label")["round"].max()
    return (round_ - last.reindex(groups.index).fillna(round_)).astype(int)


def changes(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """What differs between two rounds' images (`IMAGE_COLUMNS`), labels by today's names in both.

    An image that was moved is the same one: it has the content of one that is gone.

    Returns:
      `CHANGE_COLUMNS`; a row an image: removed, added, relabelled, excluded or returned; `detail` has the reason.
    """
    if before.empty:
        return pd.DataFrame(columns=CHANGE_COLUMNS, dtype=str)
    before = _renamed(before, now)
    both = before[["image", "label", "set", "reason"]].merge(
        now[["image", "label", "set", "reason"]], on="image", how="outer", suffixes=("_was", ""), indicator=True
    )
    both = both.fillna({column: "" for column in both.columns if column != "_merge"})
    in_both = both["_merge"] == "both"
    replaced, was_replaced = both["reason"] == Reason.OTHER_CONTENT, both["reason_was"] == Reason.OTHER_CONTENT
    both["label"] = both["label"].mask(in_both & replaced, both["label_was"])  # it has none until a person names it
    both["label_was"] = both["label_was"].mask(in_both & was_replaced, both["label"])
    was_out, is_out = both["reason_was"] != "", both["reason"] != ""
    kinds = {
        REMOVED: both["_merge"] == "left_only",
        ADDED: both["_merge"] == "right_only",
        RELABELLED: in_both & (both["label_was"] != both["label"]),
        EXCLUDED: in_both & is_out & (~was_out | (replaced & ~was_replaced)),
        RETURNED: in_both & was_out & ~is_out,
    }
    both["change"] = ""
    for change, which in kinds.items():
        both.loc[which & (both["change"] == ""), "change"] = change
    both = both[both["change"] != ""]
    gone = both["change"] == REMOVED
    both["was"] = both["label_was"].where(both["change"] == RELABELLED, both["set_was"])
    both["detail"] = both["reason"].where(both["change"] != RETURNED, both["reason_was"])
    both["label"] = both["label"].where(~gone, both["label_was"])
    return both[CHANGE_COLUMNS].sort_values(["change", "label", "image"], ignore_index=True)


def _renamed(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    gone = before[~before["image"].isin(now["image"]) & (before["sha256"] != "")].drop_duplicates("sha256")
    new = now[~now["image"].isin(before["image"])].drop_duplicates("sha256").set_index("sha256")["image"]
    gone = gone[gone["sha256"].isin(new.index)]
    moved = pd.Series(new.loc[gone["sha256"]].to_numpy(), index=gone.index, dtype="str")
    return before.assign(image=moved.reindex(before.index).fillna(before["image"]))
