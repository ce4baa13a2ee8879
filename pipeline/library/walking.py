"""Folders of images: import and index walk them alike, and agree on which files are images.

Links are followed, hidden files and what systems leave behind are passed over, and a file is an image by its name or by
its first bytes.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DataError
from pipeline.library import pictures

ENDINGS = {
    ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg",
    ".jpg", ".jpx", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip  # lower case; a file that is named so and is no image has its reason
SYSTEM_FOLDERS = {
    "$recycle.bin", "#recycle", "#snapshot", "@eadir", "@recently-snapshot", "@recycle", "@tmp", "__macosx",
    "lost+found", "system volume information",
}  # fmt: skip  # of network storage and operating systems, lower case
SYSTEM_FILES = {"desktop.ini", "ehthumbs.db", "thumbs.db"}
UNUSABLE = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
"""Characters that no table can hold; bytes of a name that are no Unicode are such surrogates."""


@dataclass(frozen=True)
class Found:
    """A file below a folder.

    Attributes:
      name: relative to the folder, `/` between its parts; what no table can hold is written as Python escapes it.
      path: where it lies; "" if no table can hold its name.
      bytes, mtime_ns: its size and modification time; 0 of a link that leads nowhere.
    """

    name: str
    path: str
    bytes: int
    mtime_ns: int


def walk(folder: Path) -> Iterator[Found]:
    """Every file below a folder, also through linked folders, but never into one that it is in.

    Raises:
      DataError: if a folder cannot be read.
    """
    status = os.stat(folder)
    pending = [(str(folder), "", frozenset({(status.st_dev, status.st_ino)}))]
    while pending:
        parent, name, above = pending.pop()
        for entry in _entries(parent):
            relative = f"{name}{usable(entry.name)}"
            path = "" if UNUSABLE.search(entry.path) else entry.path
            try:
                status = entry.stat()
            except OSError as error:
                if entry.is_symlink():  # it leads nowhere, or in a circle
                    if is_named_like_an_image(entry.name):
                        yield Found(relative, path, 0, 0)
                elif not isinstance(error, FileNotFoundError):  # else it is gone since the folder was read
                    raise _unreadable(parent, error) from None
                continue
            if stat.S_ISREG(status.st_mode):
                yield Found(relative, path, status.st_size, status.st_mtime_ns)
            elif stat.S_ISDIR(status.st_mode):
                identity = status.st_dev, status.st_ino
                if identity not in above:
                    pending.append((entry.path, f"{relative}/", above | {identity}))


def usable(name: str) -> str:
    """The name as tables hold it: what they cannot hold is written as Python escapes it."""
    return UNUSABLE.sub(lambda match: repr(match[0])[1:-1], name)


def is_named_like_an_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in ENDINGS


def is_image(found: Found) -> bool:
    """Whether a file is meant as an image: by its name, or by its first bytes. The rest is not read."""
    if is_named_like_an_image(found.name):
        return True
    return bool(found.path) and found.bytes > 0 and pictures.looks_like_one(Path(found.path))


def _entries(folder: str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not _is_passed_over(entry.name)]
    except FileNotFoundError:  # gone since the folder above was read
        return []
    except OSError as error:
        raise _unreadable(folder, error) from None


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS or name.lower() in SYSTEM_FILES


def _unreadable(folder: str, error: OSError) -> DataError:
    return DataError(
        f"a folder cannot be read: {error.strerror}",
        where=folder,
        mend="grant the permission, or move the folder out of the root",
    )
