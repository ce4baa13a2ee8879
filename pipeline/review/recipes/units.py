"""What is decided at once: a burst as a whole, or an image that is alone."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.inference.judged_bursts import Judged

MOST_FRAMES = 60  # of a burst that one decision is about: people see all of these


@dataclass(frozen=True)
class Units:
    """Images, and what of them is decided at once.

    Attributes:
      frames: `image`, `sha256`, `label` (categorical), `score`, `is_unknown` of every image; the index: the place in
        the store.
      judged: what the model makes of bursts; None where there are none, and each image is a unit.
      rows: one row per unit, as `frames`: of a burst the frame that shows best what the model makes of all of them,
        with the label and score of the burst.
      of: which of `rows` each of the frames belongs to (N,).
    """

    frames: pd.DataFrame
    judged: Judged | None
    rows: pd.DataFrame = field(init=False)
    of: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rows, of = self.frames, np.arange(len(self.frames))
        if self.judged is not None:
            rows, of = _united(self.frames, _numbers(self.frames, self.judged), self.judged)
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "of", of)

    def any(self, mask: np.ndarray) -> np.ndarray:
        """Which units (U,) have a frame where `mask` (N,)."""
        if self.judged is None:
            return mask
        return np.bincount(self.of, mask, len(self.rows)) > 0

    def apart(self) -> "Units":
        """The same images, each by itself."""
        return Units(self.frames, None)

    def details(self, places: np.ndarray) -> pd.DataFrame:
        """`top_labels` and `top_scores` of those units that are bursts, by the place of their row."""
        if self.judged is None:
            return pd.DataFrame(columns=["top_labels", "top_scores"])
        number = self.judged.frames.reindex(places).dropna().astype(np.int64)
        names = self.judged.bursts["burst"].reindex(number.to_numpy()).to_numpy(object)
        return self.judged.details(list(names)).reindex(names).set_axis(number.index)

    def members(self, rows: pd.DataFrame, usable: np.ndarray) -> pd.DataFrame:
        """The frames of the units among some rows, by image; of large bursts, `MOST_FRAMES` that are evenly spaced.

        Args:
          rows: column `image`: the row of a unit, or any other image.
          usable: which of the frames (N,) may be shown.

        Returns:
          Columns `unit` (the position in `rows`), `burst` (its name), `image`, `sha256`, `label` (text), `score`, and
          `of_burst` (how many of its frames may be shown); the unit's own frame first, then in the order of names.
        """
        columns = ["unit", "burst", "image", "sha256", "label", "score", "of_burst"]
        if self.judged is None:
            return pd.DataFrame(columns=columns).astype({"unit": int, "of_burst": int})
        leaders = pd.Series(np.arange(len(rows)), index=rows["image"].to_numpy(object))
        leaders = leaders[leaders.index.isin(self._in_bursts["image"])]
        bursts = self._in_bursts[self._in_bursts["image"].isin(leaders.index)]
        unit = pd.Series(-1, index=np.arange(len(self.rows)))
        unit[bursts["unit"]] = leaders[bursts["image"]].to_numpy()
        wanted = np.flatnonzero((unit.to_numpy()[self.of] >= 0) & usable)
        frames = self.frames.iloc[wanted].astype({"label": "str"})
        frames = frames.assign(unit=unit.to_numpy()[self.of[wanted]], place=frames.index)
        frames = frames.sort_values(["unit", "image"])
        frames["of_burst"] = frames.groupby("unit")["image"].transform("size")
        frames["leads"] = frames["image"].to_numpy(object) == rows["image"].to_numpy(object)[frames["unit"]]
        frames = frames[frames["leads"] | evenly_spaced(frames["unit"])]
        frames = frames.sort_values(["unit", "leads", "image"], ascending=[True, False, True], ignore_index=True)
        name = self.judged.bursts["burst"].reindex(self.judged.frames.reindex(frames["place"]))
        return frames.assign(burst=name.to_numpy(object))[columns]

    @cached_property
    def _in_bursts(self) -> pd.DataFrame:
        """The units of several frames: the `image` of their row, and their number as `unit`."""
        several = np.flatnonzero(np.bincount(self.of, minlength=len(self.rows)) > 1)
        return pd.DataFrame({"image": self.rows["image"].to_numpy(object)[several], "unit": several})


def evenly_spaced(unit: pd.Series) -> np.ndarray:
    """Which frames (N,) are shown, `MOST_FRAMES` of each unit at most, whose frames stand in their order."""
    turn, size = unit.groupby(unit).cumcount(), unit.groupby(unit).transform("size")
    step = (turn * MOST_FRAMES // size).groupby(unit).diff() != 0
    return ((size <= MOST_FRAMES) | step).to_numpy()


def _numbers(frames: pd.DataFrame, judged: Judged) -> np.ndarray:
    """The burst of each frame (N,); -1 for none."""
    return judged.frames.reindex(frames.index).fillna(-1).to_numpy(np.int64)


def _united(frames: pd.DataFrame, number: np.ndarray, judged: Judged) -> tuple[pd.DataFrame, np.ndarray]:
    """The row of each unit, and which of them each of the frames (N,) belongs to."""
    inside = np.flatnonzero(number >= 0)
    members, burst = frames.iloc[inside], number[inside]
    label = judged.bursts["label"].cat
    frame_label = label.categories.get_indexer(members["label"].cat.categories)[members["label"].cat.codes]
    agrees = frame_label == label.codes.to_numpy()[burst]
    ties = pd.util.hash_pandas_object(members["image"], index=False).to_numpy()
    key = 2 * burst + members["is_unknown"].to_numpy()  # images of the library are decided with others of the library
    order = np.lexsort((ties, -members["score"].to_numpy(), ~agrees, key))
    first = np.unique(key[order], return_index=True)[1]
    leaders = inside[order[first]]
    stays = np.ones(len(frames), bool)
    stays[inside] = False
    stays[leaders] = True
    place = np.cumsum(stays) - 1
    of = place.copy()
    of[inside] = place[leaders][np.searchsorted(key[order[first]], key)]

    rows = frames.iloc[np.flatnonzero(stays)]
    names = pd.api.types.union_categoricals([rows["label"], judged.bursts["label"]]).categories
    codes, scores = names.get_indexer(rows["label"].cat.categories)[rows["label"].cat.codes], rows["score"].to_numpy()
    codes, scores = codes.copy(), scores.copy()
    burst_of_leader = number[leaders]
    codes[place[leaders]] = names.get_indexer(label.categories)[label.codes.to_numpy()[burst_of_leader]]
    scores[place[leaders]] = judged.bursts["score"].to_numpy()[burst_of_leader]
    return rows.assign(label=pd.Categorical.from_codes(codes, names), score=scores), of
