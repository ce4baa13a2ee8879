"""A user's own pictures become rows of tables; no picture is copied, moved or changed."""

import os
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.library import labels
from pipeline.library.index import PICTURE_ENDINGS


def from_folders(folder: Path, root: str, *, origin: str) -> pd.DataFrame:
    """Reads `folder/CLASS[/SUBCLASS...]/picture` as label rows; a class folder called "unknown" gives that status.

    Args:
      folder: its folders are the classes; they name the pictures.
      root: the root's name, or `ROOT/path` if `folder` lies below a root.

    Raises:
      DataError: if the folder does not exist, or holds no class folder with a picture.
    """
    if not folder.is_dir():
        raise DataError("the folder does not exist", where=folder)
    rows = []
    for path in _pictures(folder):
        parts = path.relative_to(folder).parts
        if len(parts) < 2:
            continue
        unknown = parts[0].lower() == labels.UNKNOWN
        rows.append(
            {
                "file": "/".join(parts),
                "image": f"{root}/{'/'.join(parts)}",
                "label": "" if unknown else parts[0],
                "subclass": "/".join(parts[1:-1]),
                "status": labels.UNKNOWN if unknown else "ok",
                "origin": origin,
            }
        )
    if not rows:
        raise DataError("no class folder with a picture", where=folder, mend="lay pictures out as FOLDER/CLASS/picture")
    return pd.DataFrame(rows).set_index("file")


def find_pictures(folder: Path) -> int:
    """How many files below `folder` are named like pictures.

    Raises:
      DataError: if the folder does not exist.
    """
    if not folder.is_dir():
        raise DataError("the folder does not exist", where=folder)
    return sum(1 for _ in _pictures(folder))


def name_root(folder: Path, roots: dict[str, Path], preferred: str) -> tuple[str, bool]:
    """Names `folder` as `ROOT` or `ROOT/path`, and says whether ROOT is new.

    A folder below a known root is called by it. Else it becomes `preferred`, if that root's own folder does not
    exist, or else a root named like the folder.

    Raises:
      DataError: if a known root lies in `folder`: its images would have two names.
    """
    folder = folder.resolve()
    existing = {name: known.resolve() for name, known in roots.items() if known.is_dir()}
    for name, known in existing.items():
        if folder.is_relative_to(known):
            path = folder.relative_to(known).as_posix()
            return (name if path == "." else f"{name}/{path}"), False
    for name, known in existing.items():
        if known.is_relative_to(folder):
            advice = f"choose a folder beside {known}, or take '{name}' out of the roots in configs/params.yaml"
            raise DataError(f"the root '{name}' lies in this folder", where=folder, mend=advice)
    if preferred not in roots or not roots[preferred].is_dir():
        return preferred, True
    base = folder.name.replace(" ", "-").lstrip(".") or preferred
    number, name = 2, base
    while name in roots:
        name, number = f"{base}-{number}", number + 1
    return name, True


def _pictures(folder: Path):
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in PICTURE_ENDINGS:
                yield Path(parent, file)
