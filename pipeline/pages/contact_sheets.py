"""Contact sheets: many thumbnails in few files, each a strip of pictures side by side."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

QUALITY = 62
# A JPEG codes blocks of pixels together, and a reader smooths colours across their edges. So that no picture stains its
# neighbour, each has blocks of its own, and a margin that repeats its outermost pixels.
BLOCK, MARGIN = 16, 2

Picture = Callable[[str], bytes]


@dataclass(frozen=True)
class Strip:
    """What to draw: `images` side by side, each at most `side` pixels wide and high."""

    images: list[str]
    side: int


@dataclass(frozen=True)
class Sheet:
    """What was drawn, in pixels; a place is (x, width, height) of a picture, all 0 if it cannot be read."""

    width: int
    height: int
    places: list[tuple[int, int, int]]


def write(folder: Path, strips: dict[str, Strip], picture: Picture) -> dict[str, Sheet]:
    """Writes a JPEG a strip, called NAME.jpg, but for strips of which no picture can be read.

    Args:
      strips: by name.
      picture: gives an encoded picture, empty if it cannot be read; called once an image, from several threads.

    Returns:
      What lies where, in the order of `strips`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = list(dict.fromkeys(image for strip in strips.values() for image in strip.images))
    with ThreadPoolExecutor() as threads:
        encoded = dict(zip(images, threads.map(picture, images), strict=True))
        sheets = threads.map(lambda name: _draw(folder / f"{name}.jpg", strips[name], encoded), strips)
        return dict(zip(strips, sheets, strict=True))


def _draw(path: Path, strip: Strip, encoded: dict[str, bytes]) -> Sheet:
    pictures = [_decode(encoded[image], strip.side) for image in strip.images]
    height = max((picture.shape[0] for picture in pictures), default=0)
    columns, places, x = [], [], 0
    for picture in pictures:
        if not picture.size:
            places.append((0, 0, 0))
            continue
        rows, width = picture.shape[:2]
        right = MARGIN + -(width + 2 * MARGIN) % BLOCK
        columns.append(np.pad(picture, ((0, height - rows), (MARGIN, right), (0, 0)), mode="edge"))
        places.append((x + MARGIN, width, rows))
        x += MARGIN + width + right
    if columns:
        Image.fromarray(np.hstack(columns)).save(path, "JPEG", quality=QUALITY, optimize=True)
    return Sheet(x, height, places)


def _decode(data: bytes, side: int) -> np.ndarray:
    """The picture (H, W, 3), empty if there is none."""
    if not data:
        return np.empty((0, 0, 3), dtype=np.uint8)
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.thumbnail((side, side))
    return np.asarray(picture)
