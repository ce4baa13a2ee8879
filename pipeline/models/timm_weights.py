"""Weights of timm's `inception_v4`, those learnt from ImageNet too, for our Inception-V4.

timm calls a block `features.N`, counted through the network, and a convolution in it by its branch. The branches below
stand in the order in which `inception_v4.py` numbers its own. timm scales pixels to [-1, 1] and adds 1e-3 to the
variance, as the network here does; logits of both agree to the precision of float32.
"""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError, safe_open

from pipeline.errors import DataError, UsageError
from pipeline.models import state_dict

SUFFIXES = (".safetensors",)

BRANCHES = {
    "stem": [
        *("0", "1", "2", "3.conv", "4.branch0.0", "4.branch0.1"),
        *("4.branch1.0", "4.branch1.1", "4.branch1.2", "4.branch1.3", "5.conv"),
    ],
    "inception_a": ["branch0", "branch1.0", "branch1.1", "branch2.0", "branch2.1", "branch2.2", "branch3.1"],
    "reduction_a": ["branch0", "branch1.0", "branch1.1", "branch1.2"],
    "inception_b": [
        *("branch0", "branch1.0", "branch1.1", "branch1.2"),
        *("branch2.0", "branch2.1", "branch2.2", "branch2.3", "branch2.4", "branch3.1"),
    ],
    "reduction_b": ["branch0.0", "branch0.1", "branch1.0", "branch1.1", "branch1.2", "branch1.3"],
    "inception_c": [
        *("branch0", "branch1_0", "branch1_1a", "branch1_1b"),
        *("branch2_0", "branch2_1", "branch2_2", "branch2_3a", "branch2_3b", "branch3.1"),
    ],
}
LAST_OF_STEM = 5  # features.0 to features.5


def read(file: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a safetensors file by name.

    Raises:
      UsageError: if there is no such file.
      DataError: if it is no safetensors file.
    """
    if not file.is_file():
        raise UsageError("there is no such file of weights", where=file)
    try:
        with safe_open(file, framework="numpy") as tensors:
            return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, ValueError) as error:
        raise DataError(
            f"not readable as safetensors: {error}",
            where=file,
            mend="safetensors.torch.save_file(model.state_dict(), FILE) writes one",
        ) from None


def load(model: keras.Model, tensors: dict[str, np.ndarray], *, where: object = "") -> None:
    """Gives an Inception-V4 the weights of timm's; the head's only if it has as many classes.

    Args:
      tensors: the state dict of timm's `inception_v4`, by name.
      where: the file they are from, for the error.

    Raises:
      DataError: if they do not fit (see `state_dict.assign`); nothing is assigned then.
    """
    state_dict.assign(
        model,
        _body(model),
        tensors,
        head="last_linear",
        network="this Inception-V4",
        where=where,
        mend="take those of timm's inception_v4, and the preset inception_v4",
    )


def _body(model: keras.Model) -> Iterator[state_dict.Weight]:
    convolutions = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    blocks = dict.fromkeys(name.rsplit("_", 2)[0] for name in convolutions)  # stem, inception_a1, ... in their order
    for number, block in enumerate(blocks, start=LAST_OF_STEM):
        place = "features" if block == "stem" else f"features.{number}"
        for convolution, branch in enumerate(BRANCHES[block.rstrip("0123456789")], start=1):
            layer = f"{block}_{convolution}"
            yield from state_dict.convolution(model.get_layer(f"{layer}_conv"), f"{place}.{branch}.conv")
            yield from state_dict.normalisation(model.get_layer(f"{layer}_norm"), f"{place}.{branch}.bn")
