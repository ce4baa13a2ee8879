"""Recipe disagree: pool images that the champion and the model name differently."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.library import duplicates
from pipeline.review.recipes.inputs import Found, Material, two_best
from pipeline.review.recipes.settings import OfClasses


@dataclass(frozen=True, kw_only=True)
class Disagree(OfClasses):
    """What `disagree` takes."""

    disagree_score: float


def disagree(material: Material, asked: Disagree) -> Found:
    """Pool images that the champion and this model name differently, both at `disagree_score` or more.

    Those first where the less sure of the two is surest: one of them is confidently wrong. Of a burst, the champion has
    said something of each frame alone: what it names most surely in all counts, with the mean of its scores.
    """
    champion = material.champion()
    if isinstance(champion, str):
        return Found(material.rows.head(0).assign(reason=""), f"Nothing to compare: {champion}.")
    said = champion["label"].astype("category").cat
    sure = (champion["score"] >= asked.disagree_score).to_numpy() | (material.bursts is not None)
    opinions = pd.DataFrame({"was": said.codes.to_numpy()[sure], "was_score": champion["score"].to_numpy()[sure]})
    here = material.candidates(material.rows["score"] >= asked.disagree_score)
    contents = pd.Index(duplicates.numbers(champion["sha256"][sure]))  # by numbers, 20 times as fast as by the text
    both = here.join(_opinions(material, here, opinions, contents), how="inner")
    both = both[both["was_score"] >= asked.disagree_score]
    names = both["label"].cat.categories
    own = said.categories.get_indexer(names)[both["label"].cat.codes]  # this model's label as the champion's number
    either = said.categories.isin(asked.classes)[both["was"]] | both["label"].isin(asked.classes)
    both = both[(own != both["was"]) & (either if asked.classes else True)]
    rows = material.first(both, [-np.minimum(both["score"], both["was_score"]).to_numpy()], asked.max_rows)
    rows = rows.assign(label=rows["label"].astype("str"), was=said.categories.to_numpy(object)[rows["was"]])
    rows = material.with_details(rows)
    before = rows["was"] + " (" + rows["was_score"].map("{:.0%}".format).astype("str") + ")"
    reason = "the champion says " + before + ", this model " + two_best(rows)
    return Found(rows.assign(reason=reason.astype("str")))


def _opinions(material: Material, here: pd.DataFrame, opinions: pd.DataFrame, contents: pd.Index) -> pd.DataFrame:
    """What the champion said of candidates: `was` and `was_score`, by their place; of bursts, of all frames.

    Args:
      opinions: of each of the `contents`.
    """
    if material.bursts is None:
        rows, unit = material.rows.loc[here.index], np.arange(len(here))
    else:
        wanted = np.full(len(material.rows), -1)
        wanted[material.rows.index.get_indexer(here.index)] = np.arange(len(here))
        of = wanted[material.units.of]
        rows, unit = material.units.frames[of >= 0], of[of >= 0]
    place = contents.get_indexer(duplicates.numbers(rows["sha256"]))
    known = opinions.iloc[place[place >= 0]].assign(unit=unit[place >= 0])
    if material.bursts is None:
        return known[["was", "was_score"]].set_axis(here.index[known["unit"]])
    votes = known.groupby(["unit", "was"], sort=False)["was_score"].agg(["sum", "size"]).reset_index()
    votes["was_score"] = votes["sum"] / votes.groupby("unit")["size"].transform("sum")
    best = votes.sort_values(["unit", "was_score"], ascending=[True, False], kind="stable").drop_duplicates("unit")
    return best[["was", "was_score"]].set_axis(here.index[best["unit"]])
