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
from pipeline.models.head import HEAD

SUFFIX = ".safetensors"
SHOWN = 10

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
STATISTICS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
LAST_OF_STEM = 5  # features.0 to features.5
COUNTED = ".num_batches_tracked"  # of torch, to average statistics with; no weight


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
      DataError: if a tensor is missing, left over or of another shape; nothing is assigned then.
    """
    fitting = dict(_weights(model))
    given = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTED)}
    if len(given.get("last_linear.bias", ())) != model.output_shape[-1]:
        for name in ("last_linear.weight", "last_linear.bias"):
            fitting.pop(name), given.pop(name, None)
    values = {name: _as_keras(given[name]) for name in fitting if name in given}
    faults = {
        "missing": [name for name in fitting if name not in given],
        "left over": [name for name in given if name not in fitting],
        "of another shape": [name for name in values if values[name].shape != tuple(fitting[name].shape)],
    }
    if any(faults.values()):
        raise DataError(
            "not the weights of this Inception-V4: "
            + "; ".join(_named(*fault) for fault in faults.items() if fault[1]),
            where=where,
            mend="take those of timm's inception_v4, and the preset inception_v4",
        )
    for name, weight in fitting.items():
        weight.assign(values[name])


def _weights(model: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """The model's weights by timm's names of them."""
    convolutions = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    blocks = dict.fromkeys(name.rsplit("_", 2)[0] for name in convolutions)  # stem, inception_a1, ... in their order
    for number, block in enumerate(blocks, start=LAST_OF_STEM):
        place = "features" if block == "stem" else f"features.{number}"
        for convolution, branch in enumerate(BRANCHES[block.rstrip("0123456789")], start=1):
            yield f"{place}.{branch}.conv.weight", model.get_layer(f"{block}_{convolution}_conv").kernel
            norm = model.get_layer(f"{block}_{convolution}_norm")
            for attribute, name in STATISTICS.items():
                yield f"{place}.{branch}.bn.{name}", getattr(norm, attribute)
    yield "last_linear.weight", model.get_layer(HEAD).kernel
    yield "last_linear.bias", model.get_layer(HEAD).bias


def _as_keras(tensor: np.ndarray) -> np.ndarray:
    """torch's kernels (out, in, height, width) and (out, in) as (height, width, in, out) and (in, out)."""
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T


def _named(fault: str, names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {fault} ({', '.join(names[:SHOWN])}{more})"
