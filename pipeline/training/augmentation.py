"""Safe augmentation: left-right flip, slight rotation, slight zoom; anything stronger only by its name.

No vertical flip and no change of colour unless asked: gravity and coats are evidence. What each step means is
Albumentations' definition (`HorizontalFlip`, then `Affine` with `keep_ratio`), but the three safe ones are done as one
warp: a third of the time, and the picture is interpolated once.
"""

import inspect
import math
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import albumentations as A  # noqa: N812
import cv2
import numpy as np
from pydantic import ValidationError

from pipeline.errors import UsageError, closest

BORDER = cv2.BORDER_REFLECT_101  # a black wedge would be a feature of training pictures only
WHERE = "configs/params.yaml, section train, key stronger"


class Augmentation:
    """Augments an image: the same result for the same seed, whatever the number of threads."""

    def __init__(
        self,
        *,
        flip: bool,
        rotate_degrees: float,
        zoom: float,
        stronger: dict[str, dict[str, Any]] | None = None,
    ):
        """Sets the transforms, and checks the stronger ones.

        Args:
          flip: mirror half of the images, left to right.
          rotate_degrees: rotate by up to this much, either way.
          zoom: scale by up to this share, in or out.
          stronger: transforms of Albumentations by name with their arguments, done after the safe ones, in this order:
            {"GaussNoise": {"std_range": [0.05, 0.1], "p": 0.2}}.

        Raises:
          UsageError: for a transform or argument that Albumentations does not know (the nearest is offered), a value
            that it refuses, or a transform that does not keep an image's size and type.
        """
        self._flip, self._rotate_degrees, self._zoom = flip, rotate_degrees, zoom
        self._stronger = stronger or {}
        for name, arguments in self._stronger.items():
            _check(name, arguments)
        self._local = threading.local()  # a pipeline of Albumentations keeps its random state between calls

    def __call__(self, picture: np.ndarray, seed: int | Sequence[int], *, may_flip: bool = True) -> np.ndarray:
        """Returns the picture, uint8 (H, W, 3), augmented as `seed` says.

        Args:
          seed: one number, or several: say the training's, the epoch's and the picture's.
          may_flip: false for a picture that would be wrong when mirrored.
        """
        words = np.random.SeedSequence(seed).generate_state(4).tolist()
        coin, turn, scale = (word / 2**32 for word in words[:3])
        warped = self._warp(
            picture,
            mirror=self._flip and may_flip and coin < 0.5,
            degrees=self._rotate_degrees * (2 * turn - 1),
            scale=1 + self._zoom * (2 * scale - 1),
        )
        return self._strengthen(warped, words[3])

    def extremes(self, picture: np.ndarray, *, may_flip: bool = True) -> dict[str, np.ndarray]:
        """The furthest that the safe steps can go with a picture (H, W, 3), by name; the stronger ones as drawn."""
        views = {name: self._warp(picture, **bounds) for name, bounds in self._bounds().items()}
        if self._flip and may_flip:
            views["mirrored"] = self._warp(picture, mirror=True)
        return {name: self._strengthen(view, seed) for seed, (name, view) in enumerate(views.items())}

    def always_seen(self, side: int) -> np.ndarray:
        """Which pixels of a square picture no rotation and zoom can push out of it: bool (side, side)."""
        points = np.stack([*np.meshgrid(np.arange(side), np.arange(side)), np.ones((side, side))])
        seen = np.ones((side, side), bool)
        for bounds in self._bounds().values():
            x, y = np.tensordot(_matrix((side, side), **bounds), points, axes=1)
            seen &= (np.minimum(x, y) >= -0.5) & (np.maximum(x, y) <= side - 0.5)
        return seen

    def _bounds(self) -> dict[str, dict[str, Any]]:
        return {
            "zoomed out": {"scale": 1 - self._zoom},
            "zoomed in, turned left": {"scale": 1 + self._zoom, "degrees": self._rotate_degrees},
            "zoomed in, turned right": {"scale": 1 + self._zoom, "degrees": -self._rotate_degrees},
        }

    def _warp(
        self, picture: np.ndarray, *, mirror: bool = False, degrees: float = 0.0, scale: float = 1.0
    ) -> np.ndarray:
        height, width = picture.shape[:2]
        matrix = _matrix((height, width), mirror=mirror, degrees=degrees, scale=scale)
        return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=BORDER)

    def _strengthen(self, picture: np.ndarray, seed: int) -> np.ndarray:
        if not self._stronger:
            return picture
        if not hasattr(self._local, "pipeline"):
            self._local.pipeline = A.Compose(
                [getattr(A, name)(**arguments) for name, arguments in self._stronger.items()]
            )
        self._local.pipeline.set_random_seed(seed)
        return self._local.pipeline(image=picture)["image"]


def _matrix(shape: tuple[int, int], *, mirror: bool = False, degrees: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """From a pixel (x, y, 1) of the picture to its place (2, 3): mirrored, then turned to the left and scaled."""
    middle_x, middle_y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    across, down = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    side = -1 if mirror else 1
    matrix = np.array([[side * across, down, 0.0], [-side * down, across, 0.0]])
    matrix[:, 2] = (middle_x, middle_y) - matrix[:, :2] @ (middle_x, middle_y)
    return matrix


def _check(name: str, arguments: Any) -> None:
    """Tries one named transform of Albumentations on a picture."""
    known = {key for key, value in vars(A).items() if inspect.isclass(value) and issubclass(value, A.BasicTransform)}
    if name not in known:
        raise UsageError(f"Albumentations has no transform '{name}'", where=WHERE, mend=closest(name, known))
    if not isinstance(arguments, dict):
        raise UsageError(f"{name} has no arguments by name", where=WHERE, mend=f"write {name}: {{p: 0.2}}")
    transform = getattr(A, name)
    taken = set(inspect.signature(transform).parameters)
    for argument in arguments:
        if argument not in taken:
            raise UsageError(f"{name} takes no '{argument}'", where=WHERE, mend=closest(argument, taken))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Albumentations warns of what it will ignore
            transform(**arguments)
            result = A.Compose([transform(**{**arguments, "p": 1.0})], seed=0)(image=noise)["image"]
    except Exception as error:  # whatever its checks, its warnings or OpenCV raise
        raise UsageError(f"{name} does not work so: {_reason(error)}", where=WHERE) from None
    if result.shape != noise.shape or result.dtype != noise.dtype:
        raise UsageError(f"{name} does not keep a picture's size and type", where=WHERE, mend="leave it out")


def _reason(error: Exception) -> str:
    """The library's own words; those of pydantic, which it may wrap, without their headline and links."""
    cause = error if isinstance(error, ValidationError) else error.__cause__
    if not isinstance(cause, ValidationError):
        return str(error) or type(error).__name__
    first = cause.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
