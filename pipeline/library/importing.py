"""A user's own pictures become rows of tables; no picture is copied, moved or changed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.library import labels, moves, walking
from pipeline.library.failures import Failure
from pipeline.library.walking import Found

NO_IMAGE, NO_CLASS = "no image by name or content", "in no class folder"


class LeftOut:
    """Files below a folder that are not imported: how many for which reason, and the first of each."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, reason: str, name: str) -> None:
        self.numbers[reason] += 1
        self.first[reason] = min(name, self.first.get(reason, name))

    def sentences(self) -> list[str]:
        return [
            f"{number} {'file is' if number == 1 else 'files are'} left out ({reason}), first {self.first[reason]}"
            for reason, number in sorted(self.numbers.items())
        ]


def from_folders(folder: Path, root: str, *, origin: str, left_out: LeftOut) -> pd.DataFrame:
    """Reads `folder/CLASS[/SUBCLASS...]/picture` as label rows; a class folder called "unknown" gives that status.

    Args:
      folder: its folders are the classes; they name the pictures.
      root: the root's name, or `ROOT/path` if `folder` lies below a root.
      left_out: takes the files that are no rows.

    Raises:
      DataError: if the folder does not exist, or holds no class folder with a picture.
    """
    if not folder.is_dir():
        raise DataError("the folder does not exist", where=folder)
    rows = []
    for found in _images(folder, left_out):
        parts = found.name.split("/")
        if len(parts) < 2:
            left_out.add(NO_CLASS, found.name)
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


def count_images(folder: Path, left_out: LeftOut) -> int:
    """How many files below `folder` are images, by name or content; `left_out` takes the others.

    Raises:
      DataError: if the folder does not exist.
    """
    if not folder.is_dir():
        raise DataError("the folder does not exist", where=folder)
    return sum(1 for _ in _images(folder, left_out))


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


def first_root(kind: str, folder: Path, roots: dict[str, Path], labelled: pd.Series) -> str:
    """The name that a new root of a kind prefers: that of the kind.

    Where the root of that name has labelled images, is not mounted and is not this folder, it must not lose its place:
    then it is the folder's name.

    Args:
      kind: library, pool or benchmark.
      roots: every root's folder, by name.
      labelled: the images of the label table.
    """
    images = labelled[moves.below(labelled, kind)]
    taken = kind in roots and not roots[kind].is_dir() and len(images)
    if not taken or any(labels.is_file(image, {kind: folder}) for image in images):
        return kind
    return folder.name.replace(" ", "-").lstrip(".") or kind


def labelled_already(
    table: pd.DataFrame, incoming: pd.DataFrame, indexed: pd.DataFrame, folders: dict[str, Path], new_root: str
) -> int:
    """How many new images have a content that is labelled under another name.

    Args:
      table: the label table.
      incoming: the images that it does not name, columns `image` and `sha256`.
      indexed: the images of the last index, columns `image` and `sha256`.
      folders: every root's folder, by name.
      new_root: the root that the params do not name yet, if the images lie in one; else "".

    Raises:
      DataError: if such names have no file any more: it is the same image, which was moved.
    """
    known = labels.with_contents(table, indexed)
    known = known[(known["sha256"] != "") & known["sha256"].isin(incoming["sha256"])]
    if _there(known, folders).all():
        return int(incoming["sha256"].isin(known["sha256"]).sum())
    known = pd.concat([known, table[~table["image"].isin(known["image"])]])
    moved = moves.suggested(known, pd.concat([known[_there(known, folders)], incoming])[["image", "sha256"]])
    if moved.empty:
        return int(incoming["sha256"].isin(known["sha256"]).sum())
    old, new = (str(moved.loc[0, name]) for name in ("old", "new"))
    root, _, below = new.partition("/")
    place, as_root = new, ""
    if root == new_root:
        place = str(folders[root] / below)
        as_root = str(folders[root]) if below and "/" in old else ""
    number, more = int(moved["images"].sum()), len(moved) - 1
    raise DataError(
        f"{number} of these images are labelled already, under names whose files are gone",
        where=f"{old}, which is {place} now" + (f", and {more} more places" if more else ""),
        mend=f"`{moves.command(old, place, root=as_root)}` moves the rows; then import what is new",
    )


def _there(rows: pd.DataFrame, folders: dict[str, Path]) -> pd.Series:
    return pd.Series([labels.is_file(image, folders) for image in rows["image"]], index=rows.index, dtype=bool)


def _images(folder: Path, left_out: LeftOut) -> Iterator[Found]:
    for found in sorted(walking.walk(folder), key=lambda found: found.name):
        if not walking.is_image(found):
            left_out.add(NO_IMAGE, found.name)
        elif not found.path:
            left_out.add(str(Failure.NAME), found.name)
        else:
            yield found
