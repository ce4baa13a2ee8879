"""From a preset's name to a network."""

import inspect
from collections.abc import Callable
from pathlib import Path

import keras

from pipeline.config import Preset, nearest
from pipeline.errors import UsageError
from pipeline.models import timm_weights
from pipeline.models.applications import applications
from pipeline.models.bn_inception import bn_inception
from pipeline.models.inception_v4 import inception_v4
from pipeline.models.mobilenet_v2 import mobilenet_v2
from pipeline.models.resnext import resnext
from pipeline.models.squeezenet import squeezenet
from pipeline.models.vgg16 import vgg16

ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {
    "applications": applications,
    "bn_inception": bn_inception,
    "inception_v4": inception_v4,
    "mobilenet_v2": mobilenet_v2,
    "resnext": resnext,
    "squeezenet": squeezenet,
    "vgg16": vgg16,
}
NOT_IN_A_PRESET = {"image_size", "num_classes", "weights"}


def build(preset: Preset, num_classes: int, *, seed: int | None = None, weights: str = "random") -> keras.Model:
    """Builds the preset's network.

    Args:
      seed: of random weights, the same for the same seed.
      weights: random; imagenet, for a network of keras.applications; or a file of timm's, for Inception-V4.

    Raises:
      UsageError: for an unknown architecture (the nearest is offered), options it does not take, or weights that it
        has not or that do not fit.
    """
    if preset.architecture not in ARCHITECTURES:
        raise UsageError(
            f"unknown architecture '{preset.architecture}'", mend=nearest(preset.architecture, set(ARCHITECTURES))
        )
    if seed is not None:
        keras.utils.set_random_seed(seed)
    builder = ARCHITECTURES[preset.architecture]
    parameters = set(inspect.signature(builder).parameters)
    for key in preset.options:
        if key not in parameters - NOT_IN_A_PRESET:
            mend = nearest(key, parameters - NOT_IN_A_PRESET)
            raise UsageError(f"unknown option '{key}'", where="configs/models", mend=mend)
    chosen = {"weights": "imagenet"} if weights == "imagenet" and "weights" in parameters else {}
    if weights not in ("random", *chosen.values()):
        _check(weights, preset.architecture)
    try:
        model = builder(image_size=preset.image_size, num_classes=num_classes, **preset.options, **chosen)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the preset does not fit {preset.architecture}: {error}", where="configs/models") from None
    if weights.endswith(timm_weights.SUFFIX):
        timm_weights.load(model, timm_weights.read(Path(weights)), where=weights)
    return model


def _check(weights: str, architecture: str) -> None:
    """Refuses weights that the architecture cannot begin with."""
    if weights == "imagenet":
        raise UsageError(
            f"Keras has no ImageNet weights of {architecture}",
            where="--weights",
            mend="take a preset of keras.applications, efficientnet_b0 for one, or --weights FILE.safetensors of timm",
        )
    if not weights.endswith(timm_weights.SUFFIX):
        mend = nearest(weights, {"random", "imagenet", f"FILE{timm_weights.SUFFIX}"})
        raise UsageError(f"unknown weights '{weights}'", where="--weights", mend=mend)
    if architecture != "inception_v4":
        raise UsageError(
            f"weights of timm are read for inception_v4, not for {architecture}",
            where=weights,
            mend="take the preset inception_v4",
        )
