"""ResNeXt (Xie et al. 2017, "Aggregated Residual Transformations for Deep Neural Networks", table 1 and figure 3c).

A family by depth: 50 layers are blocks (3, 4, 6, 3), 101 are (3, 4, 23, 3), 152 are (3, 8, 36, 3). "32x4d" is a
cardinality of 32 groups, each 4 channels wide in the first stage. Shapes are those of 224 x 224 pixels.
"""

from collections.abc import Callable, Sequence
from functools import partial

import keras
from keras import layers

from pipeline.models.blocks import SAME, conv_bn, pixels, scale
from pipeline.models.head import FEATURES, add_head

MIN_IMAGE_SIZE = 32  # five times halved, one pixel is left


def resnext(
    *,
    image_size: int = 224,
    num_classes: int = 1000,
    blocks: Sequence[int] = (3, 4, 6, 3),
    cardinality: int = 32,
    group_width: int = 4,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.9,
) -> keras.Model:
    """Returns a ResNeXt: pixels (N, image_size, image_size, 3) in [0, 255] to probabilities (N, num_classes).

    Args:
      image_size: side of the square input, in pixels; at least 32.
      blocks: how many residual blocks in each of the four stages.
      cardinality: into how many groups a block's 3x3 convolution is divided.
      group_width: channels a group in the first stage; they double from stage to stage.
      dropout: share of features dropped before the head (the paper drops none).
      batch_norm_momentum: of the moving statistics.

    Raises:
      ValueError: if `image_size` is too small for the network.
    """
    conv = partial(conv_bn, momentum=batch_norm_momentum, epsilon=1e-5)

    picture = pixels(image_size, least=MIN_IMAGE_SIZE, network="ResNeXt")  # 224 x 224 x 3
    x = conv(scale(picture), 64, 7, 2, name="stem")  # 112 x 112 x 64
    x = layers.MaxPooling2D(3, strides=2, padding=SAME, name="stem_pool")(x)  # 56 x 56 x 64
    for stage, repeats in enumerate(blocks):
        wide = cardinality * group_width * 2**stage
        for block in range(repeats):
            strides = 2 if stage > 0 and block == 0 else 1
            x = residual(conv, x, wide, 256 * 2**stage, strides, cardinality, name=f"stage{stage + 1}_{block + 1}")
        # 56 x 56 x 256, 28 x 28 x 512, 14 x 14 x 1024, 7 x 7 x 2048
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # 2048
    x = layers.Dropout(dropout, name=FEATURES)(x)
    return keras.Model(picture, add_head(x, num_classes), name="resnext")


def residual(conv: Callable, x, wide: int, filters: int, strides: int, cardinality: int, *, name: str):
    """Figure 3c: a bottleneck whose 3x3 convolution is a grouped one, and a shortcut."""
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = conv(x, filters, 1, strides, activation=None, name=f"{name}_shortcut")
    x = conv(x, wide, 1, name=f"{name}_reduce")
    x = conv(x, wide, 3, strides, groups=cardinality, name=f"{name}_grouped")
    x = conv(x, filters, 1, activation=None, name=f"{name}_expand")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_relu")(x)
