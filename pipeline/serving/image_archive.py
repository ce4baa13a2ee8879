"""Pictures that were sent, kept so that people can label them: a sample, each content once, never a benchmark's.

They lie in a folder of their own, which the params may name as a root of the pool. Which ones are kept depends on
their content alone, so that the same picture, sent again, is not kept at a second chance.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.files import atomic, read_table
from pipeline.library import duplicates, pictures
from pipeline.library.benchmarks import PREFIX
from pipeline.serving.health import Health

KEEPING = "keeping"  # the problem's name


@dataclass(frozen=True)
class Known:
    """What is not to be kept.

    Attributes:
      contents: the first 64 bits of content hashes, sorted: of the library, the pool and all that models have seen.
      benchmarks: perceptual hashes of the benchmark sets.
      distance: bits up to which a picture is a near-duplicate of a benchmark's.
    """

    contents: np.ndarray
    benchmarks: pd.Series
    distance: int

    def has(self, sha256: str) -> bool:
        wanted = np.uint64(int(sha256[: duplicates.DIGITS], 16))
        place = int(np.searchsorted(self.contents, wanted))
        return place < len(self.contents) and self.contents[place] == wanted

    def is_near_benchmark(self, data: bytes) -> bool:
        phash = pictures.inspect(data).phash
        return bool(duplicates.near_any(pd.Series([phash]), self.benchmarks, self.distance).iloc[0])


def known(index: Iterable[Path], seen: Iterable[pd.DataFrame], *, distance: int) -> Known:
    """Collects what is not to be kept, from the indexes and from what models have seen.

    Args:
      index: tables with `sha256`; those that are not there are passed over.
      seen: lineages or splits: columns `sha256`, `phash`, and `role` or `set`.
      distance: bits up to which an image is a near-duplicate of a benchmark's.
    """
    frames = [frame.rename(columns={"set": "role"})[["sha256", "phash", "role"]] for frame in seen]
    held = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["sha256", "phash", "role"])
    hashes = [held["sha256"], *(read_table(path, ["sha256"])["sha256"] for path in index if path.exists())]
    contents = [duplicates.numbers(texts[(texts != "").to_numpy(bool)].astype("str")) for texts in hashes]
    benchmarks = held.loc[held["role"].astype(str).str.startswith(PREFIX), "phash"].drop_duplicates()
    return Known(np.unique(np.concatenate(contents)), benchmarks, distance)


class Keeper:
    """Keeps a share of the images that clients send, but none that is `known` or near one of a benchmark set.

    Args:
      folder: where images are kept.
      share: of all contents, 0 to 1.
      known: what is not to be kept.
      health: where it is reported that images cannot be kept.
    """

    def __init__(self, folder: Path, *, share: float, known: Known, health: Health | None = None):
        self._folder, self._share, self._known = folder, share, known
        self._health = health or Health()

    def keep(self, data: bytes, sha256: str) -> str:
        """Keeps a picture, if it is one to keep, and returns its path in the folder, else ""."""
        if int(sha256[:8], 16) / 2**32 >= self._share or self._known.has(sha256):
            return ""
        name = f"{sha256[:2]}/{sha256}.{_format(data)}"
        path = self._folder / name
        try:
            if path.exists():
                return name
            if self._known.is_near_benchmark(data):
                return ""
            with atomic(path) as temporary:
                temporary.write_bytes(data)
        except pictures.PictureError:
            return ""
        except Exception as error:  # for example no room: the answer matters more
            self._health.report(KEEPING, f"images are not kept: {type(error).__name__}", details=error)
            return ""
        self._health.withdraw(KEEPING)
        return name

    def remove(self, paths: Iterable[str], *, spared: set[str]) -> int:
        """Deletes pictures that were kept, but those that are `spared`; returns how many went."""
        gone = [path for path in paths if path not in spared and (self._folder / path).exists()]
        for path in gone:
            (self._folder / path).unlink(missing_ok=True)
        return len(gone)


def _format(data: bytes) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=pictures.FORMATS) as picture:
        return {"JPEG": "jpg", "JPEG2000": "jp2", "TIFF": "tif"}.get(picture.format or "", str(picture.format).lower())
