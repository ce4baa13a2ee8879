"""Copies of pictures that got a label, for people who want one folder per class; the originals stay where they are."""

import shutil
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from pipeline.errors import UsageError
from pipeline.files import atomic, digest
from pipeline.library import labels

UNSAFE = '/\\:*?"<>|%'


def folder_name(label: str) -> str:
    """A class's name as that of a folder; `urllib.parse.unquote` gives the class back."""
    name = "".join(quote(letter, safe="") if letter in UNSAFE else letter for letter in label)
    return f"%2E{name[1:]}" if name.startswith(".") else name


def copy(rows: pd.DataFrame, folder: Path, roots: dict[str, Path]) -> tuple[int, list[str]]:
    """Copies each picture to `folder/CLASS/`, unless it is there; returns the number of copies and what is not there.

    Args:
      rows: columns `image`, `label`.
      folder: below no root: copies there would be pictures of their own.
      roots: every root's folder, by name.

    Raises:
      UsageError: if the folder lies below a root.
    """
    for name, root in roots.items():
        if folder.resolve().is_relative_to(root.resolve()):
            advice = "copy to a folder beside the roots: below one, copies would be pictures of their own"
            raise UsageError(f"the folder lies below the root '{name}'", where=folder, mend=advice)
    copied, missing = 0, []
    for image, label in zip(rows["image"], rows["label"], strict=True):
        picture = labels.locate(image, roots)
        if not picture.is_file():
            missing.append(image)
            continue
        place = folder / folder_name(label) / picture.name
        if place.exists() and digest(place) != digest(picture):  # another picture of that name
            place = place.with_stem(f"{place.stem}-{digest(picture)[:8]}")
        if not place.exists():
            with atomic(place) as temporary:
                shutil.copyfile(picture, temporary)
            copied += 1
    return copied, missing
