"""Safe augmentation: left-right flip, slight rotation, slight zoom.

No vertical flip and no change of colour: gravity and coats are evidence.
"""

import threading

import albumentations as A  # noqa: N812
import cv2
import numpy as np


class Augmentation:
    """The same picture for the same seed, whatever the number of threads: each thread has a pipeline of its own."""

    def __init__(self, *, flip: bool, rotate_degrees: float, zoom: float):
        """Args:
        flip: mirror half of the pictures, left to right.
        rotate_degrees: rotate by up to this much, either way.
        zoom: scale by up to this share, in or out.
        """
        self._flip, self._rotate_degrees, self._zoom = flip, rotate_degrees, zoom
        self._local = threading.local()

    def __call__(self, picture: np.ndarray, seed: int) -> np.ndarray:
        """Returns the picture, uint8 (H, W, 3), augmented as `seed` says."""
        if not hasattr(self._local, "pipeline"):
            self._local.pipeline = _pipeline(self._flip, self._rotate_degrees, self._zoom)
        self._local.pipeline.set_random_seed(seed)
        return self._local.pipeline(image=picture)["image"]


def _pipeline(flip: bool, rotate_degrees: float, zoom: float) -> A.Compose:
    steps: list[A.BasicTransform] = []
    if flip:
        steps.append(A.HorizontalFlip(p=0.5))
    if rotate_degrees or zoom:
        steps.append(
            A.Affine(
                rotate=(-rotate_degrees, rotate_degrees),
                scale=(1 - zoom, 1 + zoom),
                keep_ratio=True,
                border_mode=cv2.BORDER_REFLECT_101,  # a black wedge would be a feature of training pictures only
                p=1.0,
            )
        )
    return A.Compose(steps)
