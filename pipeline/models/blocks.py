"""What the networks are put together from: pixels, named convolutions, chains and joints of branches."""

from collections.abc import Callable
from itertools import count

import keras
from keras import layers

from pipeline.models.grouped import GroupedConv2D

SAME, VALID = "same", "valid"

Conv = tuple  # (filters, kernel) or (filters, kernel, strides, padding)


def pixels(image_size: int, *, least: int, network: str):
    """The input, pixels (N, image_size, image_size, 3) in [0, 255].

    Raises:
      ValueError: if `image_size` is below `least`, so that the network's last block has nothing to look at.
    """
    if image_size < least:
        raise ValueError(f"image_size {image_size} is too small for {network}: at least {least}")
    return keras.Input((image_size, image_size, 3), name="pixels")


def scale(x):
    """Pixels from [0, 255] to [-1, 1]."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(x)


def numbered(conv: Callable, block: str) -> Callable:
    """`conv` for one block: it names its layers after the block and their number in it, in the order of the calls."""
    number = count(1)
    return lambda *args, **kwargs: conv(*args, name=f"{block}_{next(number)}", **kwargs)


def conv_bn(
    x,
    filters: int,
    kernel,
    strides: int = 1,
    padding: str = SAME,
    *,
    name: str,
    momentum: float,
    epsilon: float = 1e-3,
    activation: str | None = "relu",
    width: float = 1.0,
    groups: int = 1,
):
    """Convolution without bias, batch normalisation, activation (None: a linear output).

    Args:
      width: factor on the number of filters.
      groups: into how many parts the channels are divided, each with its own filters.
    """
    convolution = layers.Conv2D if groups == 1 else GroupedConv2D
    x = convolution(
        max(1, round(filters * width)),
        kernel,
        strides=strides,
        padding=padding,
        groups=groups,
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    return _normalised(x, momentum=momentum, epsilon=epsilon, activation=activation, name=name)


def depthwise_bn(
    x,
    kernel: int,
    strides: int = 1,
    *,
    name: str,
    momentum: float,
    epsilon: float = 1e-3,
    activation: str | None = "relu",
):
    """Depthwise convolution (one filter per channel) without bias, batch normalisation, activation (None: a linear
    output)."""
    x = layers.DepthwiseConv2D(kernel, strides=strides, padding=SAME, use_bias=False, name=f"{name}_conv")(x)
    return _normalised(x, momentum=momentum, epsilon=epsilon, activation=activation, name=name)


def _normalised(x, *, momentum: float, epsilon: float, activation: str | None, name: str):
    x = layers.BatchNormalization(momentum=momentum, epsilon=epsilon, name=f"{name}_norm")(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def chain(conv: Callable, x, *convs: Conv):
    for args in convs:
        x = conv(x, *args)
    return x


def concat(*branches):
    return layers.Concatenate()(list(branches))
