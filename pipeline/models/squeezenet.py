"""SqueezeNet 1.1 (Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", figures 1 and
2; version 1.1 is the authors' own, with 2.4 times less computation than the paper's table 1).

The paper classifies by a 1x1 convolution, ReLU, and the average over all places. Without that ReLU the average can
come first, and the convolution is a dense layer of as many parameters: the head. So it is here.
Shapes in the comments are those of 224 x 224 pixels.
"""

from functools import partial

import keras
from keras import layers

from pipeline.models.blocks import SAME, VALID, concat, pixels, scale
from pipeline.models.head import FEATURES, add_head

MIN_IMAGE_SIZE = 31  # below this the last pooling has nothing left to pool
CONV = partial(layers.Conv2D, activation="relu", kernel_initializer="he_normal")  # nothing else keeps the scale


def squeezenet(*, image_size: int = 224, num_classes: int = 1000, dropout: float = 0.5) -> keras.Model:
    """Returns SqueezeNet 1.1: pixels (N, image_size, image_size, 3) in [0, 255] to probabilities (N, num_classes).

    Args:
      image_size: side of the square input, in pixels; at least 31.
      dropout: share of features dropped before the head.

    Raises:
      ValueError: if `image_size` is too small for the network.
    """
    picture = pixels(image_size, least=MIN_IMAGE_SIZE, network="SqueezeNet 1.1")  # 224 x 224 x 3
    x = CONV(64, 3, strides=2, padding=VALID, name="stem_conv")(scale(picture))  # 111 x 111 x 64
    x = max_pool(x)  # 55 x 55 x 64
    x = fire(x, 16, 64, name="fire2")
    x = fire(x, 16, 64, name="fire3")  # 55 x 55 x 128
    x = max_pool(x)  # 27 x 27 x 128
    x = fire(x, 32, 128, name="fire4")
    x = fire(x, 32, 128, name="fire5")  # 27 x 27 x 256
    x = max_pool(x)  # 13 x 13 x 256
    x = fire(x, 48, 192, name="fire6")
    x = fire(x, 48, 192, name="fire7")  # 13 x 13 x 384
    x = fire(x, 64, 256, name="fire8")
    x = fire(x, 64, 256, name="fire9")  # 13 x 13 x 512
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # 512
    x = layers.Dropout(dropout, name=FEATURES)(x)
    return keras.Model(picture, add_head(x, num_classes), name="squeezenet")


def fire(x, squeezed: int, expanded: int, *, name: str):
    """Figure 1: a layer that squeezes the channels, then two side by side that expand them."""
    x = CONV(squeezed, 1, name=f"{name}_squeeze_conv")(x)
    return concat(
        CONV(expanded, 1, name=f"{name}_expand1_conv")(x),
        CONV(expanded, 3, padding=SAME, name=f"{name}_expand3_conv")(x),
    )


def max_pool(x):
    return layers.MaxPooling2D(3, strides=2, padding=VALID)(x)
