"""VGG16 (Simonyan & Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1,
configuration D).

Its features are the 4,096 of the second fully connected layer, so that the head, the paper's third one, is a dense
layer as everywhere here. Shapes in the comments are those of 224 x 224 pixels.
"""

import keras
from keras import layers

from pipeline.models.blocks import SAME, pixels
from pipeline.models.head import FEATURES, add_head

MIN_IMAGE_SIZE = 32  # five times halved, one pixel is left
MEAN_RGB = (123.68, 116.779, 103.939)  # of ImageNet; the paper subtracts it and scales nothing
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # filters, convolutions


def vgg16(*, image_size: int = 224, num_classes: int = 1000, hidden: int = 4096, dropout: float = 0.5) -> keras.Model:
    """Returns VGG16: pixels (N, image_size, image_size, 3) in [0, 255] to probabilities (N, num_classes).

    Args:
      image_size: side of the square input, in pixels; at least 32. The first fully connected layer grows with it.
      hidden: width of the two fully connected layers before the head.
      dropout: share of features dropped after either.

    Raises:
      ValueError: if `image_size` is too small for the network.
    """
    picture = pixels(image_size, least=MIN_IMAGE_SIZE, network="VGG16")  # 224 x 224 x 3
    x = layers.Rescaling(1.0, offset=[-mean for mean in MEAN_RGB], name="scale")(picture)
    for block, (filters, convolutions) in enumerate(BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            name = f"block{block}_{number}_conv"
            x = layers.Conv2D(filters, 3, padding=SAME, activation="relu", name=name)(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)  # sides 112, 56, 28, 14, 7
    x = layers.Flatten(name="flatten")(x)  # 25088
    x = layers.Dense(hidden, activation="relu", name="fc6")(x)  # 4096
    x = layers.Dropout(dropout, name="fc6_dropout")(x)
    x = layers.Dense(hidden, activation="relu", name="fc7")(x)  # 4096
    x = layers.Dropout(dropout, name=FEATURES)(x)
    return keras.Model(picture, add_head(x, num_classes), name="vgg16")
