"""From a preset's name to a network."""

from typing import TYPE_CHECKING

from pipeline.config import Preset, nearest
from pipeline.errors import UsageError
from pipeline.models.inception_v4 import inception_v4

if TYPE_CHECKING:
    import keras

ARCHITECTURES = {"inception_v4": inception_v4}


def build(preset: Preset, num_classes: int) -> "keras.Model":
    """Builds the preset's network with random weights.

    Raises:
      UsageError: for an unknown architecture (the nearest is offered), or options it does not take.
    """
    if preset.architecture not in ARCHITECTURES:
        raise UsageError(
            f"unknown architecture '{preset.architecture}'", mend=nearest(preset.architecture, set(ARCHITECTURES))
        )
    try:
        return ARCHITECTURES[preset.architecture](
            image_size=preset.image_size, num_classes=num_classes, **preset.options
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"the preset does not fit {preset.architecture}: {error}", where="configs/models") from None
