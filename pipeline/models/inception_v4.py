"""Inception-V4 (Szegedy, Ioffe, Vanhoucke, Alemi 2016, "Inception-v4, Inception-ResNet and the Impact
of Residual Connections on Learning", figures 3 to 9) and a family of it by width, depth and image size.

A branch is a list of (filters, kernel), a block is a list of branches. Shapes in the comments are those of the
full network: width 1, blocks (4, 7, 3), 299 x 299 pixels. Branches stand in the order of timm's `inception_v4`, whose
weights fit (`timm_weights.py`).
"""

from collections.abc import Callable, Sequence
from functools import partial

import keras
from keras import layers

from pipeline.models.blocks import SAME, VALID, chain, concat, conv_bn, numbered, pixels, scale
from pipeline.models.head import FEATURES, add_head

MIN_IMAGE_SIZE = 75  # below this the last reduction has nothing left to reduce


def inception_v4(
    *,
    image_size: int = 299,
    num_classes: int = 1000,
    width: float = 1.0,
    blocks: Sequence[int] = (4, 7, 3),
    dropout: float = 0.2,
    batch_norm_momentum: float = 0.9997,
) -> keras.Model:
    """Returns Inception-V4: pixels (N, image_size, image_size, 3) in [0, 255] to probabilities (N, num_classes).

    Args:
      image_size: side of the square input, in pixels; at least 75.
      width: factor on every number of filters.
      blocks: how many Inception-A, -B and -C blocks.
      dropout: share of features dropped before the head (the paper keeps 0.8).
      batch_norm_momentum: of the moving statistics; small data need a smaller one than the paper's 0.9997.

    Raises:
      ValueError: if `image_size` is too small for the network.
    """
    conv = partial(conv_bn, width=width, momentum=batch_norm_momentum)
    num_a, num_b, num_c = blocks

    picture = pixels(image_size, least=MIN_IMAGE_SIZE, network="Inception-V4")  # 299 x 299 x 3
    x = stem(numbered(conv, "stem"), scale(picture))  # 35 x 35 x 384
    for number in range(1, num_a + 1):
        x = inception_a(numbered(conv, f"inception_a{number}"), x)
    x = reduction_a(numbered(conv, "reduction_a"), x)  # 17 x 17 x 1024
    for number in range(1, num_b + 1):
        x = inception_b(numbered(conv, f"inception_b{number}"), x)
    x = reduction_b(numbered(conv, "reduction_b"), x)  # 8 x 8 x 1536
    for number in range(1, num_c + 1):
        x = inception_c(numbered(conv, f"inception_c{number}"), x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # 1536
    x = layers.Dropout(dropout, name=FEATURES)(x)
    return keras.Model(picture, add_head(x, num_classes), name="inception_v4")


def avg_pool(x):
    return layers.AveragePooling2D(3, strides=1, padding=SAME)(x)


def max_pool(x):
    return layers.MaxPooling2D(3, strides=2, padding=VALID)(x)


def stem(conv: Callable, x):
    """Figure 3: 299 x 299 x 3 to 35 x 35 x 384."""
    x = chain(conv, x, (32, 3, 2, VALID), (32, 3, 1, VALID), (64, 3))  # 147 x 147 x 64
    x = concat(max_pool(x), conv(x, 96, 3, 2, VALID))  # 73 x 73 x 160
    x = concat(
        chain(conv, x, (64, 1), (96, 3, 1, VALID)),
        chain(conv, x, (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, VALID)),
    )  # 71 x 71 x 192
    return concat(conv(x, 192, 3, 2, VALID), max_pool(x))


def inception_a(conv: Callable, x):
    """Figure 4: 35 x 35 x 384."""
    return concat(
        conv(x, 96, 1),
        chain(conv, x, (64, 1), (96, 3)),
        chain(conv, x, (64, 1), (96, 3), (96, 3)),
        conv(avg_pool(x), 96, 1),
    )


def reduction_a(conv: Callable, x):
    """Figure 7 with k, l, m, n = 192, 224, 256, 384: 35 x 35 to 17 x 17 x 1024."""
    return concat(
        conv(x, 384, 3, 2, VALID),
        chain(conv, x, (192, 1), (224, 3), (256, 3, 2, VALID)),
        max_pool(x),
    )


def inception_b(conv: Callable, x):
    """Figure 5: 17 x 17 x 1024."""
    return concat(
        conv(x, 384, 1),
        chain(conv, x, (192, 1), (224, (1, 7)), (256, (7, 1))),
        chain(conv, x, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
        conv(avg_pool(x), 128, 1),
    )


def reduction_b(conv: Callable, x):
    """Figure 8: 17 x 17 to 8 x 8 x 1536."""
    return concat(
        chain(conv, x, (192, 1), (192, 3, 2, VALID)),
        chain(conv, x, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2, VALID)),
        max_pool(x),
    )


def inception_c(conv: Callable, x):
    """Figure 6: 8 x 8 x 1536."""
    plain = conv(x, 256, 1)
    split = conv(x, 384, 1)
    split_wide, split_tall = conv(split, 256, (1, 3)), conv(split, 256, (3, 1))
    deep = chain(conv, x, (384, 1), (448, (3, 1)), (512, (1, 3)))
    deep_wide, deep_tall = conv(deep, 256, (1, 3)), conv(deep, 256, (3, 1))
    return concat(plain, split_wide, split_tall, deep_wide, deep_tall, conv(avg_pool(x), 256, 1))
