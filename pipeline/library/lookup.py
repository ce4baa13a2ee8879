"""One image in the index, found by its name, its file or its content; and single rows of large tables."""

import hashlib
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.library import pictures

HASH = re.compile("[0-9a-f]{8,64}")
NAMES_OFFERED = 3


def find(asked: str, index: Path, *, near_duplicate_distance: int) -> dict[str, Any]:
    """Finds an image by its name ROOT/path, by its file, or by the beginning of its content hash (8 digits or more).

    Args:
      index: the folder of the index.

    Returns:
      Its row in the index, with `from`: library, pool or quarantine. Of a file that is not indexed: `image`, `sha256`
      and `near`, the library's near-duplicates (`image` and `bits` apart), nearest first.

    Raises:
      DataError: if there is no such image; similar names are offered.
    """
    matches = indexed(index, pc.field("image") == asked)
    if not matches and HASH.fullmatch(asked.removeprefix("sha256:")):
        matches = indexed(index, pc.starts_with(pc.field("sha256"), asked.removeprefix("sha256:")))
        if len({row["sha256"] for row in matches}) > 1:
            raise DataError(f"{len(matches)} images begin with '{asked}'", mend="give more digits of the hash")
    if not matches and Path(asked).is_file():
        try:
            data = pictures.load_bytes(Path(asked))
            sha256 = hashlib.sha256(data).hexdigest()
            matches = indexed(index, pc.field("sha256") == sha256)
            if not matches:
                near = _near(pictures.inspect(data).phash, index, near_duplicate_distance)
                return {"image": asked, "sha256": sha256, "near": near}
        except pictures.PictureError as reason:
            raise DataError(f"not a picture: {reason}", where=asked) from None
    if not matches:
        name = PurePosixPath(asked).stem
        similar = indexed(index, pc.match_substring(pc.field("image"), name)) if name else []
        offered = ", ".join(row["image"] for row in similar[:NAMES_OFFERED])
        raise DataError(
            f"no image '{asked}' in the index",
            where=index,
            mend=f"perhaps {offered}" if offered else "name it as ROOT/path, by its file, or by its content hash",
        )
    return matches[0]


def images_of(contents: Collection[str], index: Path) -> dict[str, str]:
    """The image of each of these contents that library or pool hold; `index` is the folder of the index."""
    tables = [str(index / name) for name in ("library.parquet", "pool.parquet") if (index / name).exists()]
    if not contents or not tables:
        return {}
    wanted = pc.is_in(pc.field("sha256"), value_set=pa.array(sorted(contents)))
    found = pyarrow.dataset.dataset(tables).to_table(columns=["sha256", "image"], filter=wanted).to_pylist()
    return {row["sha256"]: row["image"] for row in found}


def indexed(index: Path, condition: pa.compute.Expression) -> list[dict[str, Any]]:
    """The indexed images that meet the condition, with `from`: library, pool or quarantine."""
    tables = {"library": "library", "pool": "pool", "quarantined": "quarantine"}
    return [
        {**row, "from": name} for file, name in tables.items() for row in rows(index / f"{file}.parquet", condition)
    ]


def rows(path: Path, condition: pa.compute.Expression) -> list[dict[str, Any]]:
    """The rows of a table, or of a folder's shards, that meet the condition; none where there is no table yet."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.exists() else []
    return pa.dataset.dataset([str(file) for file in files]).to_table(filter=condition).to_pylist() if files else []


def _near(phash: str, index: Path, distance: int) -> list[dict[str, Any]]:
    library = pq.read_table(index / "library.parquet", columns=["image", "phash"]).to_pandas()
    library = library[library["phash"] != ""]
    if not phash or library.empty:
        return []
    hashes = np.array([int(text, 16) for text in library["phash"]], dtype=np.uint64)
    bits = np.bitwise_count(hashes ^ np.uint64(int(phash, 16)))
    near = library.assign(bits=bits)[bits <= distance].sort_values(["bits", "image"])
    return near[["image", "bits"]].to_dict("records")
