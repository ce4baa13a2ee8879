"""EfficientNet-Lite0 (the TPU team's EfficientNet-Lite, 2020, after Tan & Le 2019, "EfficientNet: Rethinking Model
Scaling for Convolutional Neural Networks", table 1).

It is EfficientNet-B0 for small devices: without squeeze-and-excitation, and with ReLU6 where the paper has swish, so
that its weights keep their accuracy in int8. Stem and head have the paper's width. Shapes in the comments are those of
224 x 224 pixels. ImageNet weights fit (`efficientnet_lite0_weights.py`).
"""

from collections.abc import Callable
from functools import partial

import keras
from keras import layers

from pipeline.models.blocks import conv_bn, depthwise_bn, pixels
from pipeline.models.head import FEATURES, add_head

MIN_IMAGE_SIZE = 32  # five times halved, one pixel is left
MEAN, DEVIATION = 127.0, 128.0  # of the pixels, as the weights of the TPU team expect them
STAGES = [  # blocks, kernel, strides, expansion, filters: table 1, stages 2 to 8
    (1, 3, 1, 1, 16),  # 112 x 112 x 16
    (2, 3, 2, 6, 24),  # 56 x 56 x 24
    (2, 5, 2, 6, 40),  # 28 x 28 x 40
    (3, 3, 2, 6, 80),  # 14 x 14 x 80
    (3, 5, 1, 6, 112),  # 14 x 14 x 112
    (4, 5, 2, 6, 192),  # 7 x 7 x 192
    (1, 3, 1, 6, 320),  # 7 x 7 x 320
]


def efficientnet_lite0(
    *,
    image_size: int = 224,
    num_classes: int = 1000,
    dropout: float = 0.2,
    batch_norm_momentum: float = 0.99,
) -> keras.Model:
    """Returns EfficientNet-Lite0: pixels (N, image_size, image_size, 3) in [0, 255] to probabilities (N, num_classes).

    Args:
      image_size: side of the square input, in pixels; at least 32.
      dropout: share of features dropped before the head.
      batch_norm_momentum: of the moving statistics; small data need a smaller one than the authors' 0.99.

    Raises:
      ValueError: if `image_size` is too small for the network.
    """
    conv = partial(conv_bn, momentum=batch_norm_momentum, activation="relu6")
    depthwise = partial(depthwise_bn, momentum=batch_norm_momentum, activation="relu6")

    image = pixels(image_size, least=MIN_IMAGE_SIZE, network="EfficientNet-Lite0")  # 224 x 224 x 3
    x = layers.Rescaling(1 / DEVIATION, offset=-MEAN / DEVIATION, name="scale")(image)
    x = conv(x, 32, 3, 2, name="stem")  # 112 x 112 x 32
    for stage, (blocks, kernel, strides, expansion, filters) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            name = f"stage{stage}_{block}"
            x = inverted(conv, depthwise, x, kernel, strides if block == 1 else 1, expansion, filters, name=name)
    x = conv(x, 1280, 1, name="top")  # 7 x 7 x 1280
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # 1280
    x = layers.Dropout(dropout, name=FEATURES)(x)
    return keras.Model(image, add_head(x, num_classes), name="efficientnet_lite0")


def inverted(
    conv: Callable, depthwise: Callable, x, kernel: int, strides: int, expansion: int, filters: int, *, name: str
):
    """Inverted bottleneck (Sandler et al. 2018): expand the channels, filter each, project; with a shortcut where the
    shape stays as it is."""
    shortcut = x
    if expansion > 1:
        x = conv(x, expansion * x.shape[-1], 1, name=f"{name}_expand")
    x = depthwise(x, kernel, strides, name=f"{name}_depthwise")
    x = conv(x, filters, 1, activation=None, name=f"{name}_project")
    return layers.Add(name=f"{name}_add")([shortcut, x]) if shortcut.shape == x.shape else x
