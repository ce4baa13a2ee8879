"""A user's own pictures become rows of tables; no picture is copied, moved or changed."""

import os
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.library import labels
from pipeline.library.index import PICTURE_ENDINGS

ZAMBA_COLUMNS = {"filepath": "image", "label": "label", "site": "group"}  # zamba's names for ours


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
                "image": f"{root}/{'/'.join(parts)}",
                "label": "" if unknown else parts[0],
                "subclass": "/".join(parts[1:-1]),
                "status": labels.UNKNOWN if unknown else "ok",
                "origin": origin,
            }
        )
    if not rows:
        raise DataError("no class folder with a picture", where=folder, mend="lay pictures out as FOLDER/CLASS/picture")
    return pd.DataFrame(rows)


def from_csv(path: Path, root: str, folder: Path, *, origin: str) -> pd.DataFrame:
    """Reads a table with zamba's columns `filepath`, `label` and, optionally, `site`, as label rows.

    Args:
      folder: relative file paths count from here; absolute ones must lie below it.

    Raises:
      DataError: with file and row, for a missing column or a file outside `folder`.
    """
    table = labels.read_csv(path, ["filepath", "label"])
    ours = [name for zamba, name in ZAMBA_COLUMNS.items() if zamba in table and zamba != name]
    rows = table.drop(columns=ours, errors="ignore").rename(columns=ZAMBA_COLUMNS)
    inside = Path(os.path.abspath(folder))
    files = [Path(os.path.abspath(inside / name)) for name in rows["image"]]
    for row, name, file in zip(rows.index, rows["image"], files, strict=True):
        if not file.is_relative_to(inside) or file == inside:
            advice = "import from a folder above it" if name else "name the file, or remove the row"
            raise DataError(f"'{name}' is no file below {folder}", where=f"{path}, row {row + 2}", mend=advice)
    rows["image"] = [f"{root}/{file.relative_to(inside).as_posix()}" for file in files]
    unknown = rows["label"].str.strip().str.lower().isin([labels.UNKNOWN, ""])
    rows.loc[unknown, "label"] = ""
    status = unknown.map({True: labels.UNKNOWN, False: "ok"})
    for column, default in {"status": status, "origin": pd.Series(origin, index=rows.index)}.items():
        rows[column] = rows[column].where(rows[column] != "", default) if column in rows else default
    return rows[[column for column in labels.COLUMNS if column in rows]]


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
