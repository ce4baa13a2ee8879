"""Images by their content: a picture that was renamed or moved is found again by its hash, one that was replaced is
not taken for what it was."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from pipeline import config, paths, sections
from pipeline.library import freshness, index
from pipeline.review import landing
from pipeline.review.landing import Landed

TABLES = ["library", "pool", "quarantined"]


def land(decisions: pd.DataFrame) -> Landed:
    """Lands decisions on the images of the workspace, as their files are now (`landing.land`).

    The index says where else a content may lie; the files themselves, whether it does.
    """
    today = now(decisions["image"].tolist())
    changed = decisions["sha256"] != decisions["image"].map(today)
    wanted = decisions.loc[changed & (decisions["sha256"] != ""), "sha256"]
    elsewhere = now(_indexed(wanted)) if len(wanted) else today.head(0)
    both = pd.concat([today, elsewhere[~elsewhere.index.isin(today.index)]])
    return landing.land(decisions, both.rename_axis("image").rename("sha256").reset_index())


def now(images: list[str]) -> pd.Series:
    """The content of each image's file as it is now, by image; "" where there is none."""
    return freshness.contents(images, config.load(sections.Roots).folders, config.cache(index.CACHE))


def _indexed(contents: pd.Series) -> list[str]:
    """The images that had one of these contents when they were indexed; none without an index."""
    files = [file for name in TABLES if (file := paths.INDEX / f"{name}.parquet").exists()]
    if not files:
        return []
    wanted = pc.field("sha256").isin(pa.array(sorted(set(contents)), pa.large_string()))
    return (
        pyarrow.dataset.dataset([str(file) for file in files]).to_table(["image"], filter=wanted)["image"].to_pylist()
    )
