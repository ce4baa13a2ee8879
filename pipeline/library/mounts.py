"""Folders that have gone while their images are read: an unmounted one is empty, and no image of it is missing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError, ResumableError
from pipeline.library import labels

HIDDEN = "."
SYSTEMS_OWN = "lost+found"  # lies at the top of some file systems


@contextmanager
def watched(images: pd.Series, folders: dict[str, Path]) -> Iterator[None]:
    """Where images cannot be read, looks whether a root has gone as a whole, which is no fault of theirs.

    Args:
      images: names ROOT/path.

    Raises:
      ResumableError: in the place of a DataError, if a root's folder is empty or not there.
    """
    try:
        yield
    except DataError:
        refuse_empty(images, folders)
        raise


def refuse_empty(images: pd.Series, folders: dict[str, Path]) -> None:
    """Refuses to go on if nothing is left of a root.

    Args:
      images: names ROOT/path of images that the index has found.

    Raises:
      ResumableError: if a root's folder is empty or not there.
    """
    for name in labels.root_of(images.drop_duplicates()).unique():
        try:
            there = _has_entries(folders[name])
        except OSError:
            there = False
        if not there:
            raise _empty(name, folders[name])


def refuse_gone(image: str, folders: dict[str, Path]) -> None:
    """Of an unmounted folder nothing is left, or an empty one; a folder that was deleted is just not there.

    Raises:
      ResumableError: if the image's root is empty or not there, or a folder between the two is empty.
    """
    root, *names, _ = image.split("/")
    folder = folders[root]
    for name in [None, *names]:
        folder = folder if name is None else folder / name
        try:
            gone = not _has_entries(folder)
        except (FileNotFoundError, PermissionError):
            gone = name is None
            names = []
        except OSError:
            gone = True
        if gone:
            raise _empty(root, folder)


def _has_entries(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(not entry.name.startswith(HIDDEN) and entry.name != SYSTEMS_OWN for entry in entries)


def _empty(root: str, folder: Path) -> ResumableError:
    return ResumableError(
        f"a folder of root '{root}' is gone or empty while its images are read",
        where=folder,
        mend="mount it and run the same command again; if it was emptied on purpose, run `dvc repro`",
    )
