"""BN-Inception, also called Inception-V2 (Ioffe & Szegedy 2015, "Batch Normalization: Accelerating Deep Network
Training by Reducing Internal Covariate Shift", figure 5).

A row of the figure's table is a row here. Two things differ: the first convolution is a plain one, as in the network
the authors' Caffe successors released, not a separable one of depth multiplier 8; and where the table's output size
contradicts its own columns (4c and 4d: 576), the columns hold (608). Shapes are those of 224 x 224 pixels.
"""

from collections.abc import Callable
from functools import partial

import keras
from keras import layers

from pipeline.models.blocks import SAME, chain, concat, conv_bn, numbered, pixels, scale
from pipeline.models.head import FEATURES, add_head

MIN_IMAGE_SIZE = 32  # five times halved, one pixel is left

# name: 1x1; reduced to, 3x3; reduced to, double 3x3; pooling, projected to
INCEPTION = {
    "3a": (64, (64, 64), (64, 96), ("avg", 32)),  # 28 x 28 x 256
    "3b": (64, (64, 96), (64, 96), ("avg", 64)),  # 28 x 28 x 320
    "3c": (0, (128, 160), (64, 96), ("pass", 0)),  # 14 x 14 x 576
    "4a": (224, (64, 96), (96, 128), ("avg", 128)),  # 14 x 14 x 576
    "4b": (192, (96, 128), (96, 128), ("avg", 128)),  # 14 x 14 x 576
    "4c": (160, (128, 160), (128, 160), ("avg", 128)),  # 14 x 14 x 608
    "4d": (96, (128, 192), (160, 192), ("avg", 128)),  # 14 x 14 x 608
    "4e": (0, (128, 192), (192, 256), ("pass", 0)),  # 7 x 7 x 1056
    "5a": (352, (192, 320), (160, 224), ("avg", 128)),  # 7 x 7 x 1024
    "5b": (352, (192, 320), (192, 224), ("max", 128)),  # 7 x 7 x 1024
}


def bn_inception(
    *,
    image_size: int = 224,
    num_classes: int = 1000,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.9997,
) -> keras.Model:
    """Returns BN-Inception: pixels (N, image_size, image_size, 3) in [0, 255] to probabilities (N, num_classes).

    Args:
      image_size: side of the square input, in pixels; at least 32.
      dropout: share of features dropped before the head (the paper removes dropout).
      batch_norm_momentum: of the moving statistics; small data need a smaller one.

    Raises:
      ValueError: if `image_size` is too small for the network.
    """
    conv = partial(conv_bn, momentum=batch_norm_momentum)

    picture = pixels(image_size, least=MIN_IMAGE_SIZE, network="BN-Inception")  # 224 x 224 x 3
    stem = numbered(conv, "stem")
    x = stem(scale(picture), 64, 7, 2)  # 112 x 112 x 64
    x = pool("max", x, strides=2)  # 56 x 56 x 64
    x = chain(stem, x, (64, 1), (192, 3))  # 56 x 56 x 192
    x = pool("max", x, strides=2)  # 28 x 28 x 192
    for name, row in INCEPTION.items():
        x = inception(numbered(conv, f"inception_{name}"), x, *row)
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # 1024
    x = layers.Dropout(dropout, name=FEATURES)(x)
    return keras.Model(picture, add_head(x, num_classes), name="bn_inception")


def inception(conv: Callable, x, single: int, triple: tuple, double: tuple, pooled: tuple):
    """A row of figure 5: one 3x3, or two after each other in place of a 5x5; a row that passes on halves the sides."""
    kind, projected = pooled
    if kind == "pass":
        return concat(
            chain(conv, x, (triple[0], 1), (triple[1], 3, 2)),
            chain(conv, x, (double[0], 1), (double[1], 3), (double[1], 3, 2)),
            pool("max", x, strides=2),
        )
    return concat(
        conv(x, single, 1),
        chain(conv, x, (triple[0], 1), (triple[1], 3)),
        chain(conv, x, (double[0], 1), (double[1], 3), (double[1], 3)),
        conv(pool(kind, x), projected, 1),
    )


def pool(kind: str, x, strides: int = 1):
    pooling = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
    return pooling(3, strides=strides, padding=SAME)(x)
