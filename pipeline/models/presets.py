"""From a preset's name to a network."""

import inspect

import keras

from pipeline.config import Preset, nearest
from pipeline.errors import UsageError
from pipeline.models.inception_v4 import inception_v4

ARCHITECTURES = {"inception_v4": inception_v4}


def build(preset: Preset, num_classes: int, *, seed: int | None = None) -> keras.Model:
    """Builds the preset's network with random weights, the same for the same seed.

    Raises:
      UsageError: for an unknown architecture (the nearest is offered), or options it does not take.
    """
    if preset.architecture not in ARCHITECTURES:
        raise UsageError(
            f"unknown architecture '{preset.architecture}'", mend=nearest(preset.architecture, set(ARCHITECTURES))
        )
    if seed is not None:
        keras.utils.set_random_seed(seed)
    builder = ARCHITECTURES[preset.architecture]
    options = set(inspect.signature(builder).parameters) - {"image_size", "num_classes", "name"}
    for key in preset.options:
        if key not in options:
            raise UsageError(f"unknown option '{key}'", where="configs/models", mend=nearest(key, options))
    try:
        return builder(image_size=preset.image_size, num_classes=num_classes, **preset.options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the preset does not fit {preset.architecture}: {error}", where="configs/models") from None
