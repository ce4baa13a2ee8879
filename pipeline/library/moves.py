"""Images that lie under another name now: noticed by their contents, and how their new names follow from their old."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable

import pandas as pd

COLUMNS = ["old", "new", "images"]
LIMIT = 5  # moves that a message names


def below(images: pd.Series, place: str) -> pd.Series:
    """Which images are called `place`, or lie below it."""
    return (images == place) | images.str.startswith(f"{place}/")


def leaving(images: pd.Series, old: str, new: str) -> pd.Series:
    """Which images lie below `old` and not at `new`, which may be a folder in it."""
    return below(images, old) & ~below(images, new)


def renamed(image: str, old: str, new: str) -> str:
    """The name of an image below `old`, once that is `new`."""
    return new + image[len(old) :]


def suggested(table: pd.DataFrame, scanned: pd.DataFrame) -> pd.DataFrame:
    """The moves that bring labelled images whose files are gone back to their contents, the largest first.

    Folders are named as high up as no labelled image is left below: `a/b/x.jpg` that is `a/c/x.jpg` now gives `a/b` and
    `a/c`, and so does each other image that lies in both alike.

    Args:
      table: the label table; rows without a content are left out.
      scanned: columns `image`, `sha256`.

    Returns:
      `COLUMNS`: the place they were called by, the place where they lie, and their number.
    """
    there = table["image"].isin(scanned["image"])
    missing = table.loc[~there & (table["sha256"] != ""), ["image", "sha256"]]
    free = scanned[scanned["sha256"].isin(missing["sha256"]) & ~scanned["image"].isin(table["image"])]
    by_content = defaultdict(list)
    for image, sha256 in zip(free["image"], free["sha256"], strict=True):
        by_content[sha256].append(image)
    occupied = places(table.loc[there, "image"])
    counts: Counter[tuple[str, str]] = Counter()
    for image, sha256 in zip(missing["image"], missing["sha256"], strict=True):
        if sha256 in by_content:
            counts[_move(image, max(by_content[sha256], key=lambda now: (_alike(image, now), now)), occupied)] += 1
    found = pd.DataFrame([(*move, number) for move, number in counts.items()], columns=COLUMNS)
    return found.sort_values(["images", "old", "new"], ascending=[False, True, True], ignore_index=True)


def sentences(moves: pd.DataFrame) -> list[str]:
    """What `suggested` found, a line for each move up to `LIMIT`, with the command to type."""
    lines = [
        f"{row.images} labelled image{'s are' if row.images > 1 else ' is'} missing, and"
        f" {'their contents lie' if row.images > 1 else 'its content lies'} at {row.new} (was {row.old}):"
        f" `{command(row.old, row.new)}` moves {'their rows' if row.images > 1 else 'its row'}"
        for row in moves.head(LIMIT).itertuples()
    ]
    rest = moves.iloc[LIMIT:]
    return [*lines, f"{rest['images'].sum()} more in {len(rest)} other places"] if len(rest) else lines


def lost(number: int) -> list[str]:
    """That labelled images have no file, and their contents are nowhere, in a sentence; none if there are none."""
    return [f"{number} labelled image{'s have' if number > 1 else ' has'} no file"] if number else []


def command(old: str, new: str, *, root: str = "") -> str:
    """The command line that moves the rows; `root` is a folder that becomes a root with them."""
    words = [old, new, *(["--root", root] if root else [])]
    return " ".join(["wallaby", "moved", *map(shlex.quote, words)])


def places(images: Iterable[str]) -> set[str]:
    """Every root and folder that images lie below, and their own names."""
    found: set[str] = set()
    for image in images:
        while image and image not in found:
            found.add(image)
            image = image.rpartition("/")[0]
    return found


def _alike(one: str, other: str) -> int:
    """How many parts two names have in common at their ends, short of both roots."""
    number = 0
    for mine, yours in zip(one.split("/")[:0:-1], other.split("/")[:0:-1], strict=False):
        if mine != yours:
            break
        number += 1
    return number


def _move(old: str, new: str, occupied: set[str]) -> tuple[str, str]:
    before, after = old.split("/"), new.split("/")
    for shared in range(_alike(old, new), -1, -1):
        place = "/".join(before[: len(before) - shared])
        if place not in occupied:
            return place, "/".join(after[: len(after) - shared])
    return old, new
