"""MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", tables 1 and 2).

Its ideas, by the names the paper gives them:

    depthwise separable convolution   a filter a channel, then a 1x1 convolution that mixes the channels: with 3x3
                                      kernels an eighth to a ninth of a full convolution's computation
    linear bottleneck                 no activation after a block's narrow output, where ReLU would destroy what few
                                      channels hold
    inverted residual                 the shortcut joins the narrow ends of a block, not its wide middle
    ReLU6                             min(max(x, 0), 6), which stays precise in low-precision arithmetic

Shapes in the comments are those of width 1 and 224 x 224 pixels.
"""

from collections.abc import Callable
from functools import partial

import keras
from keras import layers

from pipeline.models.blocks import SAME, conv_bn, pixels, scale
from pipeline.models.head import FEATURES, add_head

MIN_IMAGE_SIZE = 32  # five times halved, one pixel is left
EPSILON = 1e-3

# Table 2: expansion, channels, repeats, strides of the first
BOTTLENECKS = (
    (1, 16, 1, 1),  # 112 x 112 x 16
    (6, 24, 2, 2),  # 56 x 56 x 24
    (6, 32, 3, 2),  # 28 x 28 x 32
    (6, 64, 4, 2),  # 14 x 14 x 64
    (6, 96, 3, 1),  # 14 x 14 x 96
    (6, 160, 3, 2),  # 7 x 7 x 160
    (6, 320, 1, 1),  # 7 x 7 x 320
)


def mobilenet_v2(
    *,
    image_size: int = 224,
    num_classes: int = 1000,
    width: float = 1.0,
    dropout: float = 0.2,
    batch_norm_momentum: float = 0.999,
) -> keras.Model:
    """Returns MobileNetV2: pixels (N, image_size, image_size, 3) in [0, 255] to probabilities (N, num_classes).

    Args:
      image_size: side of the square input, in pixels; at least 32.
      width: factor on every number of channels; below 1 the last convolution keeps its 1,280.
      dropout: share of features dropped before the head.
      batch_norm_momentum: of the moving statistics; small data need a smaller one.

    Raises:
      ValueError: if `image_size` is too small for the network.
    """
    conv = partial(conv_bn, momentum=batch_norm_momentum, epsilon=EPSILON, activation="relu6")

    picture = pixels(image_size, least=MIN_IMAGE_SIZE, network="MobileNetV2")  # 224 x 224 x 3
    x = conv(scale(picture), channels(32, width), 3, 2, name="stem")  # 112 x 112 x 32
    block = 0
    for expansion, filters, repeats, strides in BOTTLENECKS:
        for repeat in range(repeats):
            block += 1
            x = inverted_residual(
                conv,
                x,
                expansion,
                channels(filters, width),
                strides if repeat == 0 else 1,
                momentum=batch_norm_momentum,
                name=f"bottleneck{block}",
            )
    x = conv(x, channels(1280, max(width, 1.0)), 1, name="last")  # 7 x 7 x 1280
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # 1280
    x = layers.Dropout(dropout, name=FEATURES)(x)
    return keras.Model(picture, add_head(x, num_classes), name="mobilenet_v2")


def inverted_residual(conv: Callable, x, expansion: int, filters: int, strides: int, *, momentum: float, name: str):
    """Table 1: expand, filter each channel by itself, project onto a linear bottleneck."""
    narrow = x
    if expansion > 1:
        x = conv(x, expansion * narrow.shape[-1], 1, name=f"{name}_expand")
    x = depthwise(x, strides, momentum=momentum, name=f"{name}_depthwise")
    x = conv(x, filters, 1, activation=None, name=f"{name}_project")
    if strides == 1 and narrow.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([narrow, x])
    return x


def depthwise(x, strides: int, *, momentum: float, name: str):
    """A 3x3 filter a channel, batch normalisation, ReLU6."""
    x = layers.DepthwiseConv2D(3, strides=strides, padding=SAME, use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=momentum, epsilon=EPSILON, name=f"{name}_norm")(x)
    return layers.Activation("relu6", name=f"{name}_relu6")(x)


def channels(number: int, width: float) -> int:
    """The multiple of 8 nearest to `number * width`, never less than nine tenths of it."""
    rounded = max(8, int(number * width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * number * width else rounded + 8
