"""The index: every picture below the roots, with its hashes and size, so that no later stage walks a folder.

A scan trusts a cached row when the file's size and modification time are those it was made from; the times stay in the
cache, so that the same pictures give the same tables on every machine.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.files import read_table, write_table
from pipeline.library import labels, pictures
from pipeline.progress import track

COLUMNS = ["image", "sha256", "phash", "width", "height", "bytes", "format", "orientation", "failure"]
PICTURE_ENDINGS = {
    ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
}  # fmt: skip
IGNORED = "not a picture by name or content"
MISSING = "missing"
CACHE = "index.parquet"
SAVE_EVERY = 50_000  # pictures inspected: an interrupted scan loses at most as many
_STAMP = ["bytes", "mtime_ns"]


def scan(folders: dict[str, Path], cache_path: Path, *, max_megapixels: float) -> pd.DataFrame:
    """Returns a row for each picture below `folders`, sorted by image, and keeps what it learnt in `cache_path`.

    A file that is named like a picture but is none has its reason in `failure`; any other file that is none is left
    out (`IGNORED` rows stay in the cache, so that it is not opened again).

    Raises:
      DataError: if a name in a folder is not valid Unicode, two roots hold the same folder, or the folder of a root
        that had pictures is not there.
    """
    cache = _read_cache(cache_path)
    _refuse_absent(folders, cache)
    found = pd.DataFrame(_walk(folders), columns=["image", "path", *_STAMP])
    valid = cache[_still_valid(cache, max_megapixels)]
    known = found.merge(valid, on=["image", *_STAMP], how="left", indicator=True)
    is_new = known.pop("_merge") == "left_only"
    rows, new = known[~is_new], known.loc[is_new, ["image", "path", *_STAMP]]
    if len(new) or len(cache) != len(rows):
        inspected = track("index", _inspect_all(new["path"].tolist(), max_megapixels), len(new))
        for start in range(0, max(len(new), 1), SAVE_EVERY):
            some = new.iloc[start : start + SAVE_EVERY]
            facts = pd.DataFrame(list(islice(inspected, len(some))), index=some.index)
            rows = pd.concat([rows, some.join(facts)])
            write_table(_typed(rows.sort_values("image")[[*COLUMNS, "mtime_ns"]]), cache_path)
    rows = rows.sort_values("image", ignore_index=True)
    return _typed(rows.loc[rows["failure"] != IGNORED, COLUMNS].reset_index(drop=True))


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
    in_library = scanned["image"].isin(library_images) | labels.root_of(scanned["image"]).isin(library_roots)
    absent = library_images[~library_images.isin(scanned["image"])].drop_duplicates()
    missing = pd.DataFrame({"image": absent.to_numpy(), "failure": MISSING})
    library = pd.concat([scanned[in_library], missing], ignore_index=True) if len(missing) else scanned[in_library]
    return _typed(library.sort_values("image", ignore_index=True)), scanned[~in_library].reset_index(drop=True)


def _refuse_absent(folders: dict[str, Path], cache: pd.DataFrame) -> None:
    for name, folder in folders.items():
        before = int(cache["image"].str.startswith(f"{name}/").sum())
        if before and not folder.is_dir():
            raise DataError(
                f"the folder of root '{name}' is not there; it had {before} files",
                where=folder,
                mend="mount it, or correct or remove the root in configs/params.yaml",
            )


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
        yield from _walk_folder(str(folder), name)


def _walk_folder(folder: str, name: str) -> Iterator[tuple[str, str, int, int]]:
    subfolders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            image = f"{name}/{entry.name}"
            try:
                image.encode("utf-8")
            except UnicodeEncodeError:
                raise DataError("a file name is not Unicode", where=repr(entry.path), mend="rename the file") from None
            if entry.is_dir(follow_symlinks=False):
                subfolders.append((entry.path, image))
            elif entry.is_file():
                try:
                    status = entry.stat()
                except FileNotFoundError:  # gone since the folder was read
                    continue
                yield image, entry.path, status.st_size, status.st_mtime_ns
    for path, image in subfolders:
        yield from _walk_folder(path, image)


def _inspect_all(paths: list[str], max_megapixels: float) -> Iterator[dict]:
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for start in range(0, len(paths), 1000):  # millions of waiting tasks would fill the memory
            yield from workers.map(lambda path: _inspect(Path(path), max_megapixels), paths[start : start + 1000])


def _inspect(path: Path, max_megapixels: float) -> dict:
    row: dict = {"sha256": "", "phash": "", "width": 0, "height": 0, "format": "", "orientation": 0, "failure": ""}
    named_like_a_picture = path.suffix.lower() in PICTURE_ENDINGS
    try:
        if not named_like_a_picture and not pictures.looks_like_one(path):
            return row | {"failure": IGNORED}  # unread: it may be a long video
        data = pictures.load_bytes(path)
        row["sha256"] = hashlib.sha256(data).hexdigest()
        facts = pictures.inspect(data, max_megapixels=max_megapixels)
        return row | vars(facts)
    except pictures.PictureError as reason:
        return row | {"failure": str(reason) if named_like_a_picture else IGNORED}


def _read_cache(path: Path) -> pd.DataFrame:
    try:
        return read_table(path)
    except DataError:  # none yet, cut short, or of an older version: scan everything
        return _typed(pd.DataFrame(columns=[*COLUMNS, "mtime_ns"]))


def _still_valid(cache: pd.DataFrame, max_megapixels: float) -> pd.Series:
    """Not so: what the system would not let us read, and what another `max_megapixels` judged otherwise."""
    unread = (cache["sha256"] == "") & (cache["failure"] != IGNORED)
    size = cache["failure"].str.extract(r"^too large: (\d+) x (\d+) ").astype("float64")
    pixels = (size[0] * size[1]).fillna(cache["width"] * cache["height"])
    return ~unread & (size[0].notna() == (pixels > max_megapixels * 1e6))


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    texts = ["image", "sha256", "phash", "format", "failure"]
    rows = rows.reindex(columns=[*COLUMNS, "mtime_ns"] if "mtime_ns" in rows else COLUMNS)
    rows[texts] = rows[texts].fillna("").astype("str")
    numbers = [column for column in rows.columns if column not in texts]
    rows[numbers] = rows[numbers].fillna(0).astype("int64")
    return rows
