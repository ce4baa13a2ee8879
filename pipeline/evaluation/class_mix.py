"""The mix of classes: how much of the library each class is, and how much of what the model meets it names so."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

LIBRARY, POOL, SERVED = "library", "pool", "served"
COLUMNS = [
    "label", LIBRARY, f"{LIBRARY}_share", POOL, f"{POOL}_share", SERVED, f"{SERVED}_share",
]  # fmt: skip
UNLIKE = 2.0  # times the library's share, or less than one part in so many of it, is worth a person's look
SEEN = 0.02  # of the images: a class with a smaller share everywhere is passed over


def beside(library: Mapping[str, int], *, pool: Mapping[str, int], served: Mapping[str, int]) -> pd.DataFrame:
    """One row per class, columns `COLUMNS`, the largest share first; shares are NaN where there are no images at all.

    Of pool and served images the counts are of answers: nobody knows their classes, the model is wrong at times, and
    images of classes that it does not know are among them.

    Args:
      library: images of each class.
      pool, served: images that the model names so.
    """
    names = sorted({*library, *pool, *served})
    table = pd.DataFrame({"label": names})
    for name, counts in ((LIBRARY, library), (POOL, pool), (SERVED, served)):
        table[name] = [int(counts.get(label, 0)) for label in names]
        total = table[name].sum()
        table[f"{name}_share"] = table[name] / total if total else np.nan
    shares = table[[f"{name}_share" for name in (LIBRARY, POOL, SERVED)]]
    order = shares.max(axis=1).sort_values(ascending=False, kind="stable").index
    return table.loc[order, COLUMNS].reset_index(drop=True)


def unlike(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of `beside` whose share of the pool, or of what is served, is far from that of the library.

    Args:
      kind: `POOL` or `SERVED`.
    """
    library, other = table[f"{LIBRARY}_share"], table[f"{kind}_share"]
    far = (other >= UNLIKE * library) | (library >= UNLIKE * other)
    return table[far & (np.maximum(library, other) >= SEEN)]
