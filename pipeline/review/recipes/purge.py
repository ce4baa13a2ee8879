"""Recipe purge-low: images not worth labelling, as a list for the quarantine and a random sample that people judge."""

import numpy as np
import pandas as pd

from pipeline.library import duplicates
from pipeline.review.recipes.material import Found, Material, two_best


def purge_low(
    material: Material,
    *,
    number: int,
    classes: list[str],
    taken: set[str],
    near_duplicate_distance: int,
    low_count_below: float,
    purge_score: float,
    purge_share: float,
    purge_sample: int,
    **_,
) -> Found:
    """The lowest scores of the pool: at most `purge_score`, and at most `purge_share` of all its images.

    Not among them: what another recipe shows (`taken`) and its near-duplicates, and images that the model sees as a
    class which is short of images. The rows are a random sample of the list, the same for the same model: what people
    say of it bounds how many good images the list holds.
    """
    board = material.board.set_index("label")
    wanted = list(board.index[board["groups"] < low_count_below * board["cutoff"]])
    low = (material.rows["score"] <= purge_score).to_numpy() & ~material.labelled(wanted)
    pool = material.candidates(low & material.labelled(classes) if classes else low)
    listed = int(purge_share * len(material.rows))
    whole = material.first(pool, [pool["score"].to_numpy()], listed + len(taken))
    whole = whole[~whole["image"].isin(taken)].head(listed)
    shown = material.phashes(pd.Series(sorted(taken), dtype="str"))
    near = duplicates.near_any(material.phashes(whole["image"]), shown[shown != ""], near_duplicate_distance)
    whole = whole[~near.to_numpy()].astype({"label": "str"})
    drawn = pd.util.hash_pandas_object(material.pool.model + whole["sha256"], index=False).to_numpy()
    rows = whole.iloc[np.argsort(drawn, kind="stable")[: min(purge_sample, number)]]
    rows = material.pool.with_details(rows)
    reason = f"one of {len(rows)} drawn from {len(whole):,} images with the lowest scores; the model sees "
    return Found(
        rows.assign(reason=(reason + two_best(rows)).astype("str")),
        whole=whole[["image", "sha256", "score"]].assign(model=material.pool.model),
    )
