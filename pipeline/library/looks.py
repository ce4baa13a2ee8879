"""Views and looks: hashes of an image's mirror, turns and inside, and the small grey image that checks a hash.

A hash says that two images may be the same; `verdicts` looks at them and says whether they are.
"""

import cv2
import numpy as np
import pandas as pd

from pipeline.library import pictures

VIEWS = [  # in this order in the index; turns are clockwise, and one to the left is one of the other image
    "mirror", "upside down", "flip", "turn", "transpose", "transverse", "trim", "crop 95", "crop 90",
    "rotate -2", "rotate 2",
]  # fmt: skip
OWN, TRIMMED = "own", "both trimmed"  # the image as it is; and two without their borders
NONE = "0" * 16  # of an image that has no such view; no hash is zero, since half of its bits are set
UNIFORM = 4.0  # mean grey levels by which the pixels of a row of a border differ from its level, at the most
MOST_BORDER = 3 / 8  # of a side
MIRROR = np.tile(np.array([1, -1], np.float32), 4)  # the odd frequencies change their sign
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
    seen: list[np.ndarray | None] = [
        low * MIRROR,
        low * MIRROR * FLIP,
        low * FLIP,
        turned * MIRROR,
        turned,
        turned * MIRROR * FLIP,
    ]
    borders = _borders(grey)
    inner = [None if borders is None else _window(*borders), *INNER]
    seen += [None if matrix is None else pictures.low_frequencies(_warped(grey, matrix)) for matrix in inner]
    hashes = pictures.hashes_of(np.stack([low if view is None else view for view in seen]))
    return "".join(NONE if view is None else hash_ for view, hash_ in zip(seen, hashes, strict=True))


def of_view(hashes: pd.Series, number: int) -> pd.Series:
    """The hash (N,) of one of `VIEWS` from what `views` gives of each image; "" where it has none."""
    of_one = hashes.str.slice(len(NONE) * number, len(NONE) * (number + 1))
    return of_one.mask(of_one == NONE, "")


def _warped(grey: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The view of the grey image in which the pixel at (x, y) is that at `matrix` (2, 3) times (x, y, 1)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(grey, matrix, grey.shape, flags=flags, borderMode=cv2.BORDER_REFLECT)


def _window(top: float, bottom: float, left: float, right: float, side: int = pictures.SMALL) -> np.ndarray:
    """The matrix of the view without these margins in pixels."""
    down, across = (side - top - bottom) / side, (side - left - right) / side
    return np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]])


def _crop(share: float, side: int = pictures.SMALL) -> np.ndarray:
    margin = (1 - share) / 2 * side
    return _window(margin, margin, margin, margin, side)


def _rotation(degrees: float, side: int = pictures.SMALL) -> np.ndarray:
    centre = (side - 1) / 2
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


SIDE = 32  # of a look, in pixels: with 24, what an animal on 0.8 % of the image changes is hardly more than noise
SAME, ALIKE, UNLIKE = "same", "alike", "unlike"
DIFFERENCE = 5.0  # grey levels by which the same image may differ, as the mean of any 3 x 3 pixels of a look
LEAST_DIFFERENCE = 1.5  # of images with little contrast; less is noise
OF_CONTRAST = 0.25  # and at most this share of the image's contrast
GAIN = (0.4, 2.5)  # of contrast, between two that may be the same
DETAIL = 0.65  # correlation of the fine structure: below it, two images have nothing in common
ALIGNED = 0.85  # above it, nothing is gained by shifting one over the other
MOST_WARP = 0.15  # share by which one image is scaled or turned to lie over the other
BATCH = 2048  # pairs compared at once
_EVERYWHERE = np.ones((SIDE, SIDE), np.uint8)
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-3)


def look(grey: np.ndarray) -> np.ndarray:
    """The look of an image, uint8 (SIDE, SIDE), from its small grey image (64, 64)."""
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def same(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether looks (M, SIDE, SIDE) show the same everywhere but for one gain and offset of brightness; bool (M,)."""
    found = [
        _same(first[start : start + BATCH], second[start : start + BATCH]) for start in range(0, len(first), BATCH)
    ]
    return np.concatenate(found) if found else np.zeros(0, bool)


def verdicts(
    first: np.ndarray, second: np.ndarray, views: list[str], may_be_alike: np.ndarray | None = None
) -> list[str]:
    """Compares looks, uint8 (M, SIDE, SIDE): the first as it is, the second in the view that is named for the pair.

    Args:
      may_be_alike: bool (M,): which pairs may be ALIKE; to find that out takes most of the time. None: all.

    Returns:
      SAME: the same image everywhere: encoded again, resized, lighter.
      ALIKE: the same image but for a local difference, a shift or a crop: another animal before the background of a
        fixed camera, a watermark.
      UNLIKE: another image.
    """
    first = np.array(
        [_seen(image, "trim" if view == TRIMMED else OWN) for image, view in zip(first, views, strict=True)]
    )
    first = first.reshape(-1, SIDE, SIDE)
    seen = [_seen(image, view) for image, view in zip(second, views, strict=True)]
    alike = same(first, np.array(seen, np.uint8).reshape(first.shape))
    asked = np.ones(len(first), bool) if may_be_alike is None else may_be_alike
    return [
        SAME if equal else ALIKE if ask and _alike(one.astype(np.float32), other.astype(np.float32)) else UNLIKE
        for equal, ask, one, other in zip(alike, asked, first, seen, strict=True)
    ]


def _same(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    one, other = (looks.reshape(len(looks), -1).astype(np.float32) for looks in (first, second))
    one -= one.mean(axis=1, keepdims=True)
    other -= other.mean(axis=1, keepdims=True)
    contrasts = np.sqrt(np.stack([np.square(one).mean(axis=1), np.square(other).mean(axis=1)]))
    swap = contrasts[0] < contrasts[1]  # what one image has more of is measured where it shows most
    one[swap], other[swap] = other[swap], one[swap]
    high, low = contrasts.max(axis=0), contrasts.min(axis=0)
    gain = np.clip((one * other).mean(axis=1) / np.maximum(low**2, 1e-3), *GAIN)
    rest = one - gain[:, None] * other
    limit = np.clip(OF_CONTRAST * high, LEAST_DIFFERENCE, DIFFERENCE)
    alike = np.sqrt(np.square(rest).mean(axis=1)) <= limit
    for place in np.flatnonzero(alike):
        alike[place] = np.abs(cv2.blur(rest[place].reshape(SIDE, SIDE), (3, 3))).max() <= limit[place]
    return alike


def _alike(first: np.ndarray, second: np.ndarray) -> bool:
    everywhere = np.ones_like(first, bool)
    detail = _detail(first, second, everywhere)
    if detail < ALIGNED:
        try:
            shift = np.eye(2, 3, dtype=np.float32)
            _, found = cv2.findTransformECC(first, second, shift, cv2.MOTION_AFFINE, _STOP, _EVERYWHERE, 3)
        except cv2.error:  # it finds no shift under which they agree
            return detail >= DETAIL
        shift = np.asarray(found)
        if np.abs(shift[:, :2] - np.eye(2)).max() <= MOST_WARP:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            moved = cv2.warpAffine(second, shift, first.shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            inside = cv2.warpAffine(np.ones_like(second), shift, first.shape, flags=flags) > 0.99
            detail = max(detail, _detail(first, moved, inside))
    return detail >= DETAIL


def _detail(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> float:
    """The correlation of what is left of two images without their large shapes, at the pixels `where`."""
    one, other = (image[where] - cv2.GaussianBlur(image, (0, 0), 2)[where] for image in (first, second))
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / max(np.sqrt((one @ one) * (other @ other)), 1e-3))


def _seen(look: np.ndarray, view: str) -> np.ndarray:
    """A look in a view."""
    if view in _TURNS:
        return _TURNS[view](look)
    if view in ("trim", TRIMMED):
        borders = _borders(look)
        return look if borders is None else _warped(look, _window(*borders, SIDE))
    return _warped(look, _INNER_LOOKS[view]) if view in _INNER_LOOKS else look


_TURNS = {
    "mirror": lambda look: look[:, ::-1],
    "upside down": lambda look: look[::-1, ::-1],
    "flip": lambda look: look[::-1],
    "turn": lambda look: np.rot90(look, -1),
    "transpose": lambda look: look.T,
    "transverse": lambda look: np.rot90(look, 2).T,
}
_INNER_LOOKS = {
    "crop 95": _crop(0.95, SIDE),
    "crop 90": _crop(0.90, SIDE),
    "rotate -2": _rotation(-2.0, SIDE),
    "rotate 2": _rotation(2.0, SIDE),
}
