"""Losses, and weights against class imbalance."""

import keras
import numpy as np
from sklearn.utils.class_weight import compute_class_weight


def build_loss(name: str, *, label_smoothing: float, focal_gamma: float = 2.0) -> keras.losses.Loss:
    """Returns the loss of probabilities (B, C) against one-hot targets (B, C).

    Args:
      name: cross_entropy, or focal (Lin et al. 2017): easy pictures count less, by (1 - p) to the power `focal_gamma`.
      label_smoothing: share of the target spread over all classes (Szegedy et al. 2016).
    """
    if name == "focal":
        # Without the paper's factor of 0.25: at gamma 0 it is the cross-entropy, and `min_delta` means the same.
        return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=focal_gamma, label_smoothing=label_smoothing)
    return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)


def class_weights(targets: np.ndarray, num_classes: int, *, cap: float) -> dict[int, float]:
    """The weight of each class in the loss: inverse to its number of pictures, 1 on average over all pictures.

    Args:
      targets: class index of each training picture (N,).
      cap: the largest weight; a class of three pictures would otherwise outweigh all others.
    """
    present = np.unique(targets)
    weights = np.minimum(compute_class_weight("balanced", classes=present, y=targets), cap)
    found = dict(zip(present.tolist(), weights.tolist(), strict=True))
    return {label: found.get(label, 1.0) for label in range(num_classes)}
