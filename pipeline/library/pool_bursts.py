"""Bursts of the pool: found block by block, so that ten million images need the memory of a hundred thousand.

Nobody has labelled the pool. So a folder, in the place of a class, says how alike independent images look, and what is
found depends on no model: it stays as it is from round to round.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd

from pipeline.library import bursts, likeness
from pipeline.library.likeness import Vectors

ASKED = ["image", "sha256", "phash", "layout", "taken", "camera", "failure"]
COLUMNS = ["image", "sha256", "burst", "evidence"]
BLOCK = 100_000  # images looked at together; a burst that reaches over the border of two blocks counts as two


def find(
    pieces: Iterable[pd.DataFrame],
    units: Callable[[pd.Series], Vectors] | None,
    settings: bursts.Settings,
    *,
    block: int = BLOCK,
) -> Iterator[pd.DataFrame]:
    """Finds the bursts of images that nobody has labelled (see `bursts.find`).

    Args:
      pieces: of the pool's index (`ASKED`), sorted by `image`.
      units: gives the unit vectors of contents (N,); None: what the index knows says how alike images look.
      block: images looked at together, at least; a block ends where a folder does, if one ends in its second half.

    Yields:
      `COLUMNS`, block by block: the images of bursts of two contents or more, sorted by `image`.
    """
    for rows in _blocks(pieces, block):
        vectors = units(rows["sha256"]) if units else likeness.hash_vectors(rows["phash"], rows["layout"])
        found = bursts.find(rows.assign(label="", together=""), vectors, settings).images
        contents = found["sha256"].groupby(found["burst"]).transform("nunique")
        yield found.loc[contents > 1, COLUMNS].reset_index(drop=True)


def _blocks(pieces: Iterable[pd.DataFrame], size: int) -> Iterator[pd.DataFrame]:
    waiting: list[pd.DataFrame] = []
    for piece in pieces:
        waiting.append(piece[piece["failure"] == ""])
        if sum(map(len, waiting)) >= size:
            rows = pd.concat(waiting, ignore_index=True)
            end = _last_folder(rows["image"])
            end = end if end >= size // 2 else len(rows)
            yield rows[:end].reset_index(drop=True)
            waiting = [rows[end:]]
    rest = pd.concat(waiting, ignore_index=True) if waiting else pd.DataFrame(columns=ASKED, dtype="str")
    if len(rest):
        yield rest


def _last_folder(images: pd.Series) -> int:
    """Where the images of the last folder begin: the next piece may have more of them."""
    folder = images.str.rpartition("/")[0].to_numpy(dtype=object)
    return int(np.flatnonzero(folder != folder[-1]).max(initial=-1)) + 1
