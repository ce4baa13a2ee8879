"""Images by their content: an image that was renamed or moved is found again by its hash, one that was replaced is not
taken for what it was."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from pipeline.library import freshness
from pipeline.library.tables import is_in
from pipeline.review import landing
from pipeline.review.landing import Landed

TABLES = ["library", "pool", "quarantined"]


@dataclass(frozen=True)
class Contents:
    """What the files of a library hold now.

    Attributes:
      folders: the folder of each root, by name.
      cache: what the index keeps of every file (`index.CACHE`).
      index: the folder of the index.
    """

    folders: dict[str, Path]
    cache: Path
    index: Path

    def land(self, decisions: pd.DataFrame) -> Landed:
        """Lands decisions on images, as their files are now (`landing.land`).

        The index says where else a content may lie; the files themselves, whether it does.
        """
        today = self.now(decisions["image"].tolist())
        changed = decisions["sha256"] != decisions["image"].map(today)
        wanted = decisions.loc[changed & (decisions["sha256"] != ""), "sha256"]
        elsewhere = self.now(self._indexed(wanted)) if len(wanted) else today.head(0)
        both = pd.concat([today, elsewhere[~is_in(elsewhere.index.to_series(), today.index)]])
        return landing.land(decisions, both.rename_axis("image").rename("sha256").reset_index())

    def now(self, images: list[str]) -> pd.Series:
        """The content of each image's file as it is now, by image; "" where there is none."""
        return freshness.contents(images, self.folders, self.cache)

    def _indexed(self, contents: pd.Series) -> list[str]:
        """The images that had one of these contents when they were indexed; none without an index."""
        files = [file for name in TABLES if (file := self.index / f"{name}.parquet").exists()]
        if not files:
            return []
        wanted = pc.field("sha256").isin(pa.array(sorted(set(contents)), pa.large_string()))
        dataset = pyarrow.dataset.dataset([str(file) for file in files])
        return dataset.to_table(["image"], filter=wanted)["image"].to_pylist()
