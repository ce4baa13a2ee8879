"""The board: where each class stands against the lower cutoff."""

from pathlib import Path
from typing import Literal

import pandas as pd

from pipeline.library import history

COLUMNS = [
    "label", "images", "groups", "real", "staged", "synthetic", "staged_share", "wholly_staged", "cutoff", "short_by",
    "standing", "grew", "bursts", "too_few_independent", "counted",
]  # fmt: skip
NEAR_SHARE = 0.75  # of the cutoff: from here a class counts as near
FEW_BURSTS = 5  # a class with fewer has too few independent images to be measured


def count(
    eligible: pd.DataFrame,
    *,
    min_images: int,
    cutoffs: dict[str, int] | None = None,
    by: Literal["images", "bursts"] = "images",
) -> pd.DataFrame:
    """Counts the eligible images of each class; near-duplicates count once.

    Args:
      eligible: columns `label`, `group`, `origin`, and `burst`; without it, a group is a burst.
      min_images: the lower cutoff, in groups or bursts.
      cutoffs: those of a class's own.
      by: what the cutoffs count: images, of which near-duplicates count once, or bursts.

    Returns:
      `COLUMNS`, a row a class, those nearest below the cutoff first, then the rest by size. `standing` is in, near or
      below; `grew` is 0 until `with_growth` has looked at the rounds before. `too_few_independent` marks a class with
      fewer than `FEW_BURSTS` bursts; `counted` is what the cutoff is compared with.
    """
    bursts = eligible["burst" if "burst" in eligible else "group"]
    origins = eligible.groupby(["label", "origin"]).size().unstack(fill_value=0)
    board = pd.DataFrame(
        {
            "images": eligible.groupby("label").size(),
            "groups": eligible.groupby("label")["group"].nunique(),
            "bursts": bursts.groupby(eligible["label"]).nunique(),
            **{origin: origins.get(origin, 0) for origin in ["real", "staged", "synthetic"]},
        }
    )
    board["staged_share"] = ((board["staged"] + board["synthetic"]) / board["images"]).round(3)
    board["wholly_staged"] = board["real"] == 0
    board["cutoff"] = board.index.to_series().map(cutoffs or {}).fillna(min_images).astype(int)
    board["too_few_independent"] = board["bursts"] < FEW_BURSTS
    board["counted"] = board["bursts" if by == "bursts" else "groups"]
    board["short_by"] = (board["cutoff"] - board["counted"]).clip(lower=0)
    board["standing"] = "in"
    board.loc[board["short_by"] > 0, "standing"] = "below"
    board.loc[(board["short_by"] > 0) & (board["counted"] >= NEAR_SHARE * board["cutoff"]), "standing"] = "near"
    board["grew"] = 0
    board = board.rename_axis("label").reset_index()
    rank = board["standing"].map({"near": 0, "below": 1, "in": 2})
    order = board.assign(rank=rank).sort_values(["rank", "short_by", "groups", "label"]).index
    return board.loc[order, COLUMNS].reset_index(drop=True)


def counted(board: pd.DataFrame) -> pd.Series:
    """What the cutoff of each class is compared with; a board of earlier years counts groups."""
    return board["counted" if "counted" in board else "groups"]


def with_growth(board: pd.DataFrame, boards: pd.DataFrame) -> pd.DataFrame:
    """Fills `grew`: for how many rounds the class has had no more groups than in the round before.

    Args:
      boards: of all earlier rounds (`history.BOARD_COLUMNS`), by today's names.
    """
    groups = board.set_index("label")["groups"]
    since = history.rounds_since_growth(boards, groups, round_=history.round_after(boards))
    return board.assign(grew=since.to_numpy())


def fallen(labelled: pd.DataFrame, missing: pd.Series, board: pd.DataFrame, *, cutoffs: dict[str, int]) -> pd.DataFrame:
    """The classes that are below their cutoff because files of theirs are missing.

    Args:
      labelled: columns `image`, `label`: what people labelled, by today's names.
      missing: the images that have no file.
      board: as `count` returns it; a class without an eligible image is not on it.
      cutoffs: of each class in `labelled`.

    Returns:
      `label`, how many images it `had`, how many it `has` and how many files are `missing`, the largest loss first.
    """
    counts = labelled.assign(missing=labelled["image"].isin(missing)).groupby("label")["missing"].agg(["size", "sum"])
    has = counted(board.set_index("label")).reindex(counts.index).fillna(0)
    least = counts.index.to_series().map(cutoffs).astype("int64")  # of no class at all it would be text
    out = counts[(counts["sum"] > 0) & (has < least) & (has + counts["sum"] >= least)]
    table = pd.DataFrame({"had": out["size"], "has": out["size"] - out["sum"], "missing": out["sum"]})
    return table.rename_axis("label").reset_index().sort_values(["missing", "label"], ascending=[False, True])


def fallen_sentences(rows: list[dict], *, limit: int = 5) -> list[str]:
    """What `fallen` found, as records, a line for each class up to the limit."""
    lines = [
        f"{row['label']} had {row['had']} images, has {row['has']}: {row['missing']} files are missing, and the class"
        " falls out"
        for row in rows[:limit]
    ]
    return [*lines, f"{len(rows) - limit} more classes fall out for missing files"] if len(rows) > limit else lines


def read(path: Path) -> pd.DataFrame:
    """Reads the board; a class may be called 007, or NA."""
    return pd.read_csv(path, dtype={"label": "str", "standing": "str"}, keep_default_na=False)
