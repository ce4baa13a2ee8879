"""What files hold today, without reading again those that have not changed since they were indexed."""

import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline.files import digests

STAMP = ["bytes", "mtime_ns"]


def contents(images: list[str], folders: dict[str, Path], cache: Path) -> pd.Series:
    """The SHA-256 of each image's file as it is now, by image; "" where there is no file, or none that can be read.

    A file whose size and modification time are those that the index noted is not read again.

    Args:
      images: names ROOT/path; a name that is given twice counts once.
      folders: every root's folder, by name.
      cache: what the index keeps of every file (`index.CACHE`); it need not exist.
    """
    names = pd.Index(images).drop_duplicates()
    below = {name: os.path.join(folder, "") for name, folder in folders.items()}  # a Path each would take half the time
    files = {image: below[root] + path for image in names for root, _, path in [image.partition("/")] if root in below}
    stamps = pd.DataFrame(((image, *_stamp(path)) for image, path in files.items()), columns=["image", *STAMP])
    stamps = stamps[stamps["mtime_ns"] >= 0]
    known = stamps.merge(_noted(stamps["image"], cache), on=["image", *STAMP], how="left")
    known["sha256"] = known["sha256"].astype("object").fillna("")
    unread = known["sha256"] == ""
    known.loc[unread, "sha256"] = digests([Path(files[image]) for image in known.loc[unread, "image"]])
    return known.set_index("image")["sha256"].reindex(names).fillna("").astype("str")


def _stamp(path: str) -> tuple[int, int]:
    """Size in bytes and modification time in nanoseconds; -1 for the time where there is no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return 0, -1
    return status.st_size, status.st_mtime_ns


def _noted(images: pd.Series, cache: Path) -> pd.DataFrame:
    """What the index noted of these images: `image`, `bytes`, `mtime_ns`, `sha256`."""
    nothing = pd.DataFrame({"image": [], "bytes": [], "mtime_ns": [], "sha256": []})
    nothing = nothing.astype({"image": "str", "bytes": "int64", "mtime_ns": "int64", "sha256": "str"})
    if images.empty:
        return nothing
    try:
        dataset = ds.dataset(str(cache))
        wanted = pc.field("image").isin(pa.array(images, dataset.schema.field("image").type))
        table = dataset.to_table(columns=["image", *STAMP, "sha256"], filter=wanted)
    except (OSError, pa.ArrowInvalid, KeyError):  # none yet, or cut short: the files are read
        return nothing
    return table.to_pandas(ignore_metadata=True).drop_duplicates("image")
