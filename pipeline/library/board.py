"""The board: where each class stands against the lower cutoff."""

from pathlib import Path

import pandas as pd

COLUMNS = ["label", "images", "groups", "real", "staged", "synthetic", "staged_share", "cutoff", "short_by", "standing"]
NEAR_SHARE = 0.75  # of the cutoff: from here a class counts as near


def count(eligible: pd.DataFrame, *, min_images: int) -> pd.DataFrame:
    """Counts the eligible images of each class; near-duplicates count once.

    Args:
      eligible: columns `label`, `group`, `origin`.
      min_images: the lower cutoff, in groups.

    Returns:
      `COLUMNS`, a row a class, those nearest below the cutoff first, then the rest by size. `standing` is in, near or
      below.
    """
    origins = eligible.groupby(["label", "origin"]).size().unstack(fill_value=0)
    board = pd.DataFrame(
        {
            "images": eligible.groupby("label").size(),
            "groups": eligible.groupby("label")["group"].nunique(),
            **{origin: origins.get(origin, 0) for origin in ["real", "staged", "synthetic"]},
        }
    )
    board["staged_share"] = ((board["staged"] + board["synthetic"]) / board["images"]).round(3)
    board["cutoff"] = min_images
    board["short_by"] = (min_images - board["groups"]).clip(lower=0)
    board["standing"] = "in"
    board.loc[board["short_by"] > 0, "standing"] = "below"
    board.loc[(board["short_by"] > 0) & (board["groups"] >= NEAR_SHARE * min_images), "standing"] = "near"
    board = board.rename_axis("label").reset_index()
    rank = board["standing"].map({"near": 0, "below": 1, "in": 2})
    order = board.assign(rank=rank).sort_values(["rank", "short_by", "groups", "label"]).index
    return board.loc[order, COLUMNS].reset_index(drop=True)


def read(path: Path) -> pd.DataFrame:
    """Reads the board; a class may be called 007, or NA."""
    return pd.read_csv(path, dtype={"label": "str", "standing": "str"}, keep_default_na=False)
