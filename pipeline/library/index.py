"""The index: every picture below the roots, with its hashes and size, so that no later stage walks a folder.

A scan trusts a cached row when the file's size and modification time are those it was made from; the times stay in the
cache, so that the same pictures give the same tables on every machine.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.files import digest, read_json, read_table, write_table
from pipeline.library import failures, labels, looks, pictures, quality, screening, walking
from pipeline.library.failures import Failure, PictureError
from pipeline.progress import track

TEXTS = ["image", "sha256", "phash", "views", "taken", "camera", "format", "layout", "failure"]
SIZE = ["width", "height"]
MEASURES = ["brightness", "contrast", "sharpness", "subject"]
COLUMNS = [
    "image", "sha256", "phash", "views", "taken", "camera", *SIZE, "bytes", "format", "orientation", *MEASURES,
    "layout", "failure",
]  # fmt: skip
CACHE = "index.parquet"
TABLES = ["library.parquet", "pool.parquet", "quarantined.parquet"]  # what the stage writes
SUMMARY = "summary.json"
FACTS = "grey-64-bilinear-2"  # names how pictures, quality, screening and looks measure; the cache records it
READS = f"{','.join(pictures.FORMATS)}, 12 bits in 16"  # names what can be read; the cache records it, too
DARK = 4096 / 65536  # brightness of what was read as 16 bits and may have 12
FACTS_KEY, READS_KEY, ACCEPTED_KEY = "facts", "reads", "accepted"  # of the cache's metadata
SAVE_EVERY = 50_000  # pictures inspected: an interrupted scan loses at most as many
BATCH = 16  # pictures inspected in one task: handing over each alone costs as much as hashing it
LOOK = "look"  # of a row that was inspected just now; no column of the index
Spool = Callable[[pd.Series, pd.Series, pd.Series], None]  # of images, their contents and their looks, b"" for none
UNREAD = -1  # modification time of a row that is to be inspected again
_STAMP = ["bytes", "mtime_ns"]


@dataclass(frozen=True)
class Before:
    """What an earlier scan found.

    Attributes:
      images: columns `image`, `sha256`; what had no file is not among them.
      accepted: the rows of the table of meant losses that it has seen (`roots.keys`).
    """

    images: pd.DataFrame
    accepted: frozenset[str]


def scan(
    folders: dict[str, Path],
    cache_path: Path,
    *,
    max_megapixels: float,
    check: Callable[[Before, pd.DataFrame], None] | None = None,
    accepted: frozenset[str] = frozenset(),
    spool: "Spool | None" = None,
) -> pd.DataFrame:
    """Returns a row for each picture below `folders`, sorted by image, and keeps what it learnt in `cache_path`.

    A file that is named like a picture but is none has its reason in `failure`; any other file that is none is left
    out (its row stays in the cache, so that it is not opened again).

    Args:
      check: is given what the cache had, and the scan; what it raises leaves the cache knowing of all that is gone.
      accepted: kept with the cache, for the next scan's `Before`.
      spool: takes the looks of what is inspected.

    Raises:
      DataError: if a folder cannot be read, or two roots hold the same folder.
    """
    cache, seen = _read_cache(cache_path)
    found = pd.DataFrame(_walk(folders), columns=["image", "path", *_STAMP])
    gone = cache[~cache["image"].isin(found["image"])]
    valid = cache[_still_valid(cache, max_megapixels)]
    known = found.merge(valid, on=["image", *_STAMP], how="left", indicator=True)
    is_new = known.pop("_merge") == "left_only"
    rows, new = known[~is_new], known.loc[is_new, ["image", "path", *_STAMP]]

    def keep(rows: pd.DataFrame, of: frozenset[str]) -> None:
        cached = _typed(rows.sort_values("image")[[*COLUMNS, "mtime_ns"]])
        write_table(cached, cache_path, **{FACTS_KEY: FACTS, READS_KEY: READS, ACCEPTED_KEY: "\n".join(sorted(of))})

    if len(new):
        files = list(new[["path", *_STAMP]].itertuples(index=False, name=None))
        inspected = track("index", _inspect_all(files, max_megapixels), len(new))
        for start in range(0, len(new), SAVE_EVERY):
            some = new.iloc[start : start + SAVE_EVERY]
            facts = pd.DataFrame(list(islice(inspected, len(some))), index=some.index)
            seen_now = facts.pop(LOOK)
            if spool:
                spool(some["image"], facts["sha256"], seen_now)
            rows = pd.concat([rows, some[["image"]].join(facts)])
            keep(pd.concat([rows, gone]), seen)
    scanned = rows.sort_values("image", ignore_index=True)
    scanned = _typed(scanned.loc[scanned["failure"] != Failure.IGNORED, COLUMNS].reset_index(drop=True))
    scanned.loc[scanned["failure"] != "", SIZE] = 0  # the cache alone needs that of what is too large
    if check:
        check(Before(_had_files(cache), seen), scanned)
    if len(gone) or accepted != seen:
        keep(rows, accepted)
    return scanned


def written(folder: Path) -> Before:
    """What the last index wrote into `folder`; nothing if there is none, or it cannot be read."""
    tables = [pd.DataFrame(columns=["image", "sha256", "failure"], dtype="str")]
    try:
        tables += [read_table(folder / name, ["image", "sha256", "failure"]) for name in TABLES]
        seen = read_json(folder / SUMMARY)["accepted"] if (folder / SUMMARY).exists() else []
    except DataError:
        return Before(tables[0][["image", "sha256"]], frozenset())
    return Before(_had_files(pd.concat(tables, ignore_index=True)), frozenset(seen))


def cached(path: Path) -> Before:
    """What the cache of the scan holds."""
    cache, seen = _read_cache(path)
    return Before(_had_files(cache), seen)


def names(folders: dict[str, Path]) -> pd.Series:
    """The names of all files below `folders`, pictures or not; none is opened.

    Raises:
      DataError: as `scan`.
    """
    return pd.Series([image for image, *_ in _walk(folders)], dtype="str")


def contents(images: list[str], folders: dict[str, Path], cache_path: Path) -> dict[str, str]:
    """The content hash of each image whose file is there; "" of one that cannot be read.

    A file with the size and time that the cache knows is not read again.
    """
    cache, _ = _read_cache(cache_path)
    cache = cache[cache["image"].isin(images)]
    known = {(row.image, row.bytes, row.mtime_ns): row.sha256 for row in cache.itertuples()}

    def of(image: str) -> str | None:
        try:
            path = labels.locate(image, folders)
            status = path.stat()
            return known.get((image, status.st_size, status.st_mtime_ns)) or digest(path)
        except (FileNotFoundError, NotADirectoryError, KeyError):
            return None
        except OSError:
            return ""

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        read = zip(images, track("hash", workers.map(of, images), len(images)), strict=True)
        return {image: sha256 for image, sha256 in read if sha256 is not None}


def divide(
    scanned: pd.DataFrame, library_images: pd.Series, library_roots: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divides a scan into library and pool.

    Args:
      library_images: images that people labelled, or put into a benchmark, whichever root they lie in.
      library_roots: roots whose every image belongs to the library, labelled or not.

    Returns:
      The library, with a row (failure `missing`) for each of `library_images` that has no file, and the pool.
    """
    in_library = is_library(scanned["image"], library_images, library_roots)
    absent = library_images[~library_images.isin(scanned["image"])].drop_duplicates()
    missing = pd.DataFrame({"image": absent.to_numpy(), "failure": str(Failure.MISSING)})
    library = pd.concat([scanned[in_library], missing], ignore_index=True) if len(missing) else scanned[in_library]
    return _typed(library.sort_values("image", ignore_index=True)), scanned[~in_library].reset_index(drop=True)


def is_library(images: pd.Series, library_images: pd.Series, library_roots: list[str]) -> pd.Series:
    """Which images belong to the library (see `divide`)."""
    return images.isin(library_images) | labels.root_of(images).isin(library_roots)


def look_of(image: str, folders: dict[str, Path], max_megapixels: float) -> tuple[str, bytes]:
    """The content of the image's file, and its look; both empty where there is none."""
    try:
        data = pictures.load_bytes(labels.locate(image, folders))
        facts = pictures.inspect(data, max_megapixels=max_megapixels)
    except PictureError:
        return "", b""
    return hashlib.sha256(data).hexdigest(), looks.look(facts.grey).tobytes()


def _had_files(rows: pd.DataFrame) -> pd.DataFrame:
    had_one = ~rows["failure"].isin([Failure.MISSING, Failure.IGNORED])
    return rows.loc[had_one, ["image", "sha256"]].reset_index(drop=True)


def _walk(folders: dict[str, Path]) -> Iterator[tuple[str, str, int, int]]:
    real = {name: folder.resolve() for name, folder in folders.items() if folder.is_dir()}
    for name, folder in real.items():
        for other, outer in real.items():
            if name != other and folder.is_relative_to(outer) and (folder != outer or name < other):
                raise DataError(
                    f"root '{name}' lies in root '{other}': its images would have two names",
                    where=f"configs/params.yaml, roots: {folder}",
                    mend="keep one of the two roots",
                )
    for name, folder in real.items():
        for found in walking.walk(folder):
            if not found.path and not walking.is_named_like_an_image(found.name):
                continue
            yield f"{name}/{found.name}", found.path, found.bytes, found.mtime_ns


def _inspect_all(files: list[tuple[str, int, int]], max_megapixels: float) -> Iterator[dict]:
    def inspect(start: int) -> list[dict]:
        return [_inspect(path, stamp, max_megapixels) for path, *stamp in files[start : start + BATCH]]

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for start in range(0, len(files), 100 * BATCH):  # millions of waiting tasks would fill the memory
            starts = range(start, min(start + 100 * BATCH, len(files)), BATCH)
            yield from chain.from_iterable(workers.map(inspect, starts))


def _inspect(file: str, stamp: list[int], max_megapixels: float) -> dict:
    row: dict = dict.fromkeys(COLUMNS[1:], 0) | dict.fromkeys(TEXTS[1:], "") | dict(zip(_STAMP, stamp, strict=True))
    row[LOOK] = b""
    if not file:
        return row | {"failure": str(Failure.NAME)}
    path = Path(file)
    named_like_an_image = walking.is_named_like_an_image(path.name)
    try:
        if not named_like_an_image and not pictures.looks_like_one(path):
            return row | {"failure": str(Failure.IGNORED)}  # unread: it may be a long video
        data, row["mtime_ns"] = _read(path, stamp)
        row["bytes"], row["sha256"] = len(data), hashlib.sha256(data).hexdigest()
        return row | _facts(pictures.inspect(data, max_megapixels=max_megapixels))
    except PictureError as reason:
        if not named_like_an_image:
            return row | {"failure": str(Failure.IGNORED)}
        return row | {"failure": str(reason)} | dict(zip(SIZE, reason.size, strict=True))


def _facts(facts: pictures.Facts) -> dict:
    kept = dict(vars(facts))
    grey = kept.pop("grey")
    layout = screening.layout(grey) if facts.phash else ""  # of a flat picture it would be noise
    measured = quality.measure(grey) | {"subject": screening.subject(grey), "layout": layout}
    return kept | measured | {"views": looks.views(grey), LOOK: looks.look(grey).tobytes() if facts.phash else b""}


def _read(path: Path, stamp: list[int]) -> tuple[bytes, int]:
    """The file's bytes, whole and of one moment, and its modification time then."""
    for _ in range(2):
        data = pictures.load_bytes(path)
        try:
            status = path.stat()
        except OSError:
            raise PictureError(Failure.MISSING) from None
        before, stamp = stamp, [status.st_size, status.st_mtime_ns]
        if before == stamp and len(data) == status.st_size:
            return data, status.st_mtime_ns
    raise PictureError(Failure.CHANGING)


def _read_cache(path: Path) -> tuple[pd.DataFrame, frozenset[str]]:
    """The cache, and the meant losses that it has seen."""
    try:
        cache = read_table(path)
    except DataError:  # none yet, cut short, or of an older version: scan everything
        return _nothing(), frozenset()
    metadata = pq.read_schema(path).metadata or {}
    if metadata.get(FACTS_KEY.encode(), b"").decode() != FACTS:
        return _nothing(), frozenset()
    if metadata.get(READS_KEY.encode(), b"").decode() != READS:
        dark = cache["format"].isin(["PNG", "TIFF"]) & (cache["brightness"] < DARK)
        stale = dark | ~cache["failure"].isin(["", Failure.MISSING])
        cache.loc[stale, "mtime_ns"] = UNREAD  # these are inspected again; all others stay as they are
    return cache, frozenset(filter(None, metadata.get(ACCEPTED_KEY.encode(), b"").decode().split("\n")))


def _nothing() -> pd.DataFrame:
    return _typed(pd.DataFrame(columns=[*COLUMNS, "mtime_ns"]))


def _still_valid(cache: pd.DataFrame, max_megapixels: float) -> pd.Series:
    """Not so: what the system would not let us read, and what another `max_megapixels` judged otherwise."""
    unread = (cache["sha256"] == "") & (cache["failure"] != Failure.IGNORED)
    was_too_large = failures.are(cache["failure"], {Failure.TOO_LARGE})
    return ~unread & (was_too_large == (cache["width"] * cache["height"] > max_megapixels * 1e6))


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.reindex(columns=[*COLUMNS, "mtime_ns"] if "mtime_ns" in rows else COLUMNS)
    rows[TEXTS] = rows[TEXTS].fillna("").astype("str")
    rows[MEASURES] = rows[MEASURES].fillna(0).astype("float64")
    whole = [column for column in rows.columns if column not in (*TEXTS, *MEASURES)]
    rows[whole] = rows[whole].fillna(0).astype("int64")
    return rows
