"""Recipe changed-content: files that hold another content than their label was given to."""

import numpy as np
import pandas as pd

from pipeline.review.recipes.inputs import Found, Material, two_best
from pipeline.review.recipes.settings import OfClasses


def changed_content(material: Material, asked: OfClasses) -> Found:
    """Images whose file was replaced since it was labelled, by the label that the other content had, then by name.

    The suggestion is that label, whatever the model sees; of an image that had none, being unknown or bad, it is what
    the model sees. Until a person decides, they are in no set. Asked of classes, those that had one of these labels.
    """
    rows = material.changed
    rows = rows[rows["label_then"].isin(asked.classes)] if asked.classes else rows
    rows = rows.sort_values(["label_then", "image"]).head(asked.max_rows)
    seen = material.pool.rows[material.pool.rows["image"].isin(rows["image"])]
    seen = material.pool.with_details(seen.astype({"label": "str"})).drop_duplicates("image").set_index("image")
    seen = seen[seen["sha256"] == rows.set_index("image")["sha256"].reindex(seen.index)]
    now = seen.reindex(rows["image"]).set_index(rows.index)
    sees = pd.Series("the model has not seen this one", index=rows.index)
    known = now["label"].notna()
    sees[known] = "the model sees " + two_best(now[known])
    label = rows["label_then"].mask(rows["label_then"] == "", now["label"].fillna(""))
    reason = "the file was replaced: " + rows["detail"] + "; " + sees
    details = now[["top_labels", "top_scores"]]
    return Found(rows[["image", "sha256"]].assign(label=label, score=np.nan, reason=reason.astype("str"), **details))
