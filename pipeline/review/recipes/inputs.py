"""What recipes query: the pool's predictions, the board, and what curation, the audit and the champion say."""

from collections.abc import Callable, Set
from copy import copy
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import pandas as pd

from pipeline.evaluation.cosine import directions, unit
from pipeline.evaluation.scores import Matrix
from pipeline.inference.judged_bursts import Judged
from pipeline.inference.pool_predictions import DETAILS, Pool
from pipeline.inference.vectors import Vectors
from pipeline.review.recipes.units import Units

PER_CLASS = 50  # images of a class that its mean is taken of
NO_FEATURES = "The predictions hold no embeddings, so that nothing is clustered: `dvc repro identify` stores them."


def nothing() -> None:
    return None


def no_texts() -> pd.Series:
    return pd.Series(dtype="str")


def no_changes() -> pd.DataFrame:
    return pd.DataFrame(columns=["image", "sha256", "label_then", "detail"], dtype="str")


@dataclass(frozen=True)
class Library:
    """Features of labelled images: `rows` (columns `label`, `set`), in the order of `embeddings` (N, F)."""

    rows: pd.DataFrame
    embeddings: Matrix

    def sample(self, number: int, *, least: int = 10, most: int = PER_CLASS) -> np.ndarray:
        """Places of about `number` labelled images, of each class as many: `least` to `most`."""
        labels = self.rows["label"].reset_index(drop=True)
        each = int(np.clip(number // max(labels.nunique(), 1), least, most))
        return np.flatnonzero((labels != "").to_numpy() & (labels.groupby(labels).cumcount() < each).to_numpy())

    @cached_property
    def means(self) -> pd.DataFrame:
        """The direction (C, F) in which each class's features lie from the centre of all, by label."""
        places = self.sample(len(self.rows), least=PER_CLASS)
        features = pd.DataFrame(unit(self.embeddings[places]))
        return features.groupby(self.rows["label"].to_numpy(object)[places]).mean()

    @cached_property
    def centre(self) -> np.ndarray:
        return self.means.mean().to_numpy(np.float32)

    def directions(self, features: np.ndarray) -> np.ndarray:
        """Features (N, F) as seen from the centre, of length 1: what tells classes apart."""
        return directions(features, self.centre)

    def mean_of(self, labels: list[str]) -> np.ndarray:
        """The directions (len(labels), F) of classes, zeros of those without an image."""
        return unit(np.nan_to_num(self.means.reindex(labels).to_numpy(np.float32) - self.centre))


@dataclass(frozen=True)
class Material:
    """What recipes query.

    Attributes:
      pool: the predictions of every pool image, and of every library image that is unknown, bad or `changed`.
      board: the cutoff board.
      unknown: names of the library's images with status unknown.
      conflicts: images of groups whose labels differ; columns `image`, `sha256`, `group`, `label`, `detail` (the labels
        of the group).
      suspects: labelled images that the label audit asks about; columns `image`, `sha256`, `rank`, `trained`, `label`
        (what it sees instead), `score`, `reason`.
      known: contents that are in a set already, or that people have decided on.
      vectors: reads the pool's features, one row per place in the store; None where there are none.
      library: reads the library's, of the same model; None where there are none.
      champion: reads what the champion says of the pool (`pool_predictions.OPINION`), or why there is nothing to read.
      phashes: reads the perceptual hashes of some images, "" where it is not known.
      poor: reads which pool images curation would exclude for their quality: by image, the reason in words.
      bad: contents that people called bad.
      changed: images whose file has another content than was labelled; columns `image`, `sha256`, `label_then` (what
        the other was called), `detail` (by whom, in words).
      bursts: what the model makes of bursts as a whole; None where there are none.
      units: the images of the pool that are not known, and what of them is decided at once.
      free: which of `rows` (N,) no other recipe shows.
    """

    pool: Pool
    board: pd.DataFrame
    unknown: set[str]
    conflicts: pd.DataFrame
    suspects: pd.DataFrame
    known: pd.Series
    phashes: Callable[[pd.Series], pd.Series]
    vectors: Callable[[], Vectors | None] = nothing
    library: Callable[[], Library | None] = nothing
    champion: Callable[[], pd.DataFrame | str] = lambda: "there is no champion"
    poor: Callable[[], pd.Series] = no_texts
    bad: pd.Series = field(default_factory=no_texts)
    changed: pd.DataFrame = field(default_factory=no_changes)
    bursts: Judged | None = None
    units: Units = field(init=False)
    free: np.ndarray = field(init=False)
    _usable: Callable[[], np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        """Takes from the pool what is known already, and tells the library's unknown images apart (`is_unknown`)."""
        rows = self.pool.rows
        rows = rows[~rows["sha256"].isin(self.known)] if len(self.known) else rows
        rows = rows[~rows["image"].isin(self.changed["image"])] if len(self.changed) else rows
        units = Units(rows.assign(is_unknown=rows["image"].isin(self.unknown)), self.bursts)
        object.__setattr__(self, "units", units)
        object.__setattr__(self, "free", np.ones(len(units.rows), bool))
        usable = cache(lambda: ~self.units.frames["image"].isin(self.poor().index).to_numpy())
        object.__setattr__(self, "_usable", usable)

    @property
    def rows(self) -> pd.DataFrame:
        """One row per unit (`Units.rows`); the index: the place in the store."""
        return self.units.rows

    def without(self, taken: Set[str]) -> "Material":
        """The same material, in which no recipe finds the images `taken`: their rows stay, but are not `free`."""
        if not taken:
            return self
        rest = copy(self)  # and with it what has been read already
        shown = self.units.any(self.units.frames["image"].isin(taken).to_numpy())
        object.__setattr__(rest, "free", self.free & ~shown)
        for name in ("changed", "conflicts", "suspects"):
            table = getattr(self, name)
            object.__setattr__(rest, name, table[~table["image"].isin(taken)])
        return rest

    def image_by_image(self) -> "Material":
        """The same material, in which each image of a burst is decided by itself."""
        apart = copy(self)
        object.__setattr__(apart, "units", self.units.apart())
        object.__setattr__(apart, "free", self.free[self.units.of])
        return apart

    def frames_of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The frames of the bursts among rows that a recipe found (`Units.members`), without those of poor quality."""
        return self.units.members(rows, self._usable())

    def with_details(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Adds `top_labels` and `top_scores` to some of `rows`, those of a burst to its row."""
        detailed = self.pool.with_details(rows)
        whole = self.units.details(rows.index.to_numpy())
        if len(whole):
            for name in DETAILS:
                detailed[name] = (
                    whole[name].reindex(detailed.index).where(detailed.index.isin(whole.index), detailed[name])
                )
        return detailed

    def candidates(self, mask: np.ndarray | pd.Series) -> pd.DataFrame:
        """As `of_any_quality`, without the pictures that curation would exclude: a label would not bring them in."""
        return self.of_any_quality(np.asarray(mask) & self.units.any(self._usable()))

    def of_any_quality(self, mask: np.ndarray | pd.Series) -> pd.DataFrame:
        """The free rows of the pool (without the library's unknown ones) where `mask`: `label` and `score`.

        Numbers alone are quick to filter and rank by the million; names are for those that remain (`named`, `first`).
        """
        wanted = np.asarray(mask) & self.free & ~self.rows["is_unknown"].to_numpy()
        return self.rows[["label", "score"]].iloc[np.flatnonzero(wanted)]

    def named(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Adds `image` and `sha256` to candidates."""
        return rows.assign(**self.rows.loc[rows.index, ["image", "sha256"]])

    def first(self, rows: pd.DataFrame, keys: list[np.ndarray], number: int) -> pd.DataFrame:
        """The first `number` candidates by the keys, then by image, `named`; of millions, only few names are compared.

        Args:
          keys: numbers (N,) each, the most important first, the lowest first.
        """
        number = min(number, len(rows))
        limit = np.partition(keys[0], number - 1)[number - 1] if number else -np.inf
        kept = np.flatnonzero(keys[0] <= limit)
        chosen = self.named(rows.iloc[kept])
        names = pd.factorize(chosen["image"], sort=True)[0]
        return chosen.iloc[np.lexsort([names, *(key[kept] for key in keys[::-1])])].head(number)

    def labelled(self, labels: "list[str] | set[str]") -> np.ndarray:
        """Whether the model sees one of these classes (N,)."""
        codes, names = self.rows["label"].cat.codes.to_numpy(), self.rows["label"].cat.categories
        return np.asarray(names.isin(labels))[codes]

    @property
    def classes(self) -> list[str]:
        """The classes that the model has named at least once."""
        return list(self.pool.rows["label"].cat.categories)


@dataclass(frozen=True)
class Found:
    """What a recipe found.

    Attributes:
      rows: best first; columns `image`, `sha256`, `label`, `score`, `reason`; `top_labels`, `top_scores` and `cluster`
        where there are such.
      note: a sentence on what limited the search, or why nothing was found.
      whole: where `rows` are a sample: all images it stands for.
      by_image: each row is decided by itself, those of one burst, too.
    """

    rows: pd.DataFrame
    note: str = ""
    whole: pd.DataFrame | None = None
    by_image: bool = False


def two_best(rows: pd.DataFrame) -> pd.Series:
    """What the model sees, in words, of rows with `top_labels` and `top_scores`."""
    said = [
        " or ".join(f"{label} ({score:.0%})" for label, score in list(zip(names, values, strict=True))[:2])
        for names, values in zip(rows["top_labels"], rows["top_scores"], strict=True)
    ]
    return pd.Series(said, index=rows.index, dtype="str")
