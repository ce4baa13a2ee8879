"""Other views of an image: the hashes that its mirror, its turns, its inside and its slight rotations would have."""

import cv2
import numpy as np

from pipeline.library import pictures

VIEWS = [  # in this order in the index; turns are clockwise, and one to the left is one of the other image
    "mirror", "upside down", "flip", "turn", "transpose", "transverse", "trim", "crop 95", "crop 90",
    "rotate -2", "rotate 2",
]  # fmt: skip
NONE = "0" * 16  # of an image that has no such view; no hash is zero, since half of its bits are set
UNIFORM = 4.0  # mean grey levels by which the pixels of a row of a border differ from its level, at the most
MOST_BORDER = 3 / 8  # of a side
MIRROR = np.tile(np.float32([1, -1]), 4)  # the odd frequencies change their sign
FLIP = MIRROR[:, None]


def views(grey: np.ndarray) -> str:
    """The pHashes of the image's other views, in the order of `VIEWS`, 16 hexadecimal digits each, concatenated.

    An image without a uniform border has `NONE` for `trim`; one without contrast has "" for all.

    Args:
      grey: the small grey image, uint8 (64, 64).
    """
    low = pictures.low_frequencies(grey)
    if low is None:
        return ""
    turned = low.T
    seen = [low * MIRROR, low * MIRROR * FLIP, low * FLIP, turned * MIRROR, turned, turned * MIRROR * FLIP]
    borders = _borders(grey)
    inner = [None if borders is None else _window(*borders), *INNER]
    seen += [None if matrix is None else pictures.low_frequencies(_warped(grey, matrix)) for matrix in inner]
    hashes = pictures.hashes_of(np.stack([low if view is None else view for view in seen]))
    return "".join(NONE if view is None else hash_ for view, hash_ in zip(seen, hashes, strict=True))


def _warped(grey: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The view of the grey image in which the pixel at (x, y) is that at `matrix` (2, 3) times (x, y, 1)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(grey, matrix, grey.shape, flags=flags, borderMode=cv2.BORDER_REFLECT)


def _window(top: float, bottom: float, left: float, right: float, side: int = pictures.SMALL) -> np.ndarray:
    """The matrix of the view without these margins in pixels."""
    down, across = (side - top - bottom) / side, (side - left - right) / side
    return np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]])


def _crop(share: float) -> np.ndarray:
    margin = (1 - share) / 2 * pictures.SMALL
    return _window(margin, margin, margin, margin)


def _rotation(degrees: float) -> np.ndarray:
    centre = (pictures.SMALL - 1) / 2
    return cv2.getRotationMatrix2D((centre, centre), degrees, 1.0)


def _borders(grey: np.ndarray) -> tuple[float, float, float, float] | None:
    """The widths in pixels of uniform borders at top, bottom, left and right; None if there are none."""
    top, bottom, left, right = (_border(side) for side in (grey, grey[::-1], grey.T, grey.T[::-1]))
    return (top, bottom, left, right) if top or bottom or left or right else None


def _border(grey: np.ndarray) -> float:
    """The rows, with a fraction, of a uniform border at the top; 0.0 if there is none."""
    first = grey[0].tolist()
    level = sorted(first)[len(first) // 2]
    if sum(abs(value - level) for value in first) >= UNIFORM * len(first):  # of most images: quicker than an array
        return 0.0
    away = grey.astype(np.float32) - level
    same = np.abs(away).mean(axis=1) < UNIFORM
    rows = int(np.argmin(same))  # the first that is not uniform
    if not 0 < rows <= MOST_BORDER * len(grey):
        return 0.0
    inside = away[rows + 1]
    covered = 1 - float(away[rows] @ inside) / max(float(inside @ inside), 1.0)  # of the row where the two meet
    return rows + min(max(covered, 0.2), 1.0)  # the view's outermost pixels reach 0.2 pixels beyond it


INNER = [_crop(0.95), _crop(0.90), _rotation(-2.0), _rotation(2.0)]
