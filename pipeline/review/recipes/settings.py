"""What recipes are asked with: the round's settings, and the base of what each recipe takes of them."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The limits of all recipes, as section queue of the params explains them."""

    max_rows: int
    low_count_below: float
    low_count_score: float
    replace_staged_share: float
    replace_staged_score: float
    look_alike_score: float
    look_alike_images: int
    unknown_beside: int
    disagree_score: float
    purge_far: float
    purge_images: int
    purge_score: float
    purge_share: float
    purge_sample: int


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What every recipe takes.

    A recipe adds what else it uses, and gets nothing more: settings by their names, and of what is asked beside them
    `classes`, `look_alike`, `taken` and `near_duplicate_distance` (see `recipes.ask`).

    Attributes:
      max_rows: most rows of the answer.
    """

    max_rows: int


@dataclass(frozen=True, kw_only=True)
class OfClasses(Asked):
    """What a recipe takes that can be asked of some classes.

    Attributes:
      classes: only images of these; of all where there are none.
    """

    classes: list[str]

    def chosen(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of the classes that are asked for; without any, all."""
        return rows[rows["label"].isin(self.classes)] if self.classes else rows
