"""Gives a network the tensors of a state dict of torch, by name: all of them or none."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from pipeline.errors import DataError
from pipeline.models.head import HEAD

SHOWN = 10
STATISTICS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
COUNTED = ".num_batches_tracked"  # of torch, to average statistics with; no weight


@dataclass(frozen=True)
class Weight:
    """A weight of the network, and torch's name of it.

    Attributes:
      axes: the axes of torch's tensor in the order of Keras.
    """

    name: str
    variable: keras.Variable
    axes: tuple[int, ...]

    def fits(self, tensor: np.ndarray) -> bool:
        return tensor.ndim == len(self.axes) and tensor.transpose(self.axes).shape == tuple(self.variable.shape)


def convolution(layer: layers.Layer, name: str) -> Iterator[Weight]:
    """The kernel: torch's axes (out, in, height, width) are (height, width, in, out) in Keras; where a layer is
    depthwise, (channel, 1, height, width) are (height, width, channel, 1)."""
    axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
    yield Weight(f"{name}.weight", layer.kernel, axes)


def normalisation(layer: layers.Layer, name: str) -> Iterator[Weight]:
    for attribute, of_torch in STATISTICS.items():
        yield Weight(f"{name}.{of_torch}", getattr(layer, attribute), (0,))


def assign(
    model: keras.Model,
    body: Iterable[Weight],
    tensors: Mapping[str, np.ndarray],
    *,
    head: str,
    network: str,
    where: object,
    mend: str,
) -> None:
    """Gives the network every weight of its body, and the head's if it has as many classes.

    Args:
      head: torch's name of the layer of the classes.
      network, where, mend: what the tensors should be of, where they are from and what to do, for the error.

    Raises:
      DataError: if a tensor is missing, left over, of another shape, or has a value that is no number; nothing is
        assigned then.
    """
    kernel, bias = f"{head}.weight", f"{head}.bias"
    weights = {weight.name: weight for weight in body}
    given = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTED)}
    if bias in given and given[bias].shape == model.output_shape[-1:]:
        layer = model.get_layer(HEAD)
        weights |= {kernel: Weight(kernel, layer.kernel, (1, 0)), bias: Weight(bias, layer.bias, (0,))}
    else:
        given = {name: tensor for name, tensor in given.items() if name not in (kernel, bias)}
    both = weights.keys() & given.keys()
    faults = {
        "missing": [name for name in weights if name not in given],
        "left over": [name for name in given if name not in weights],
        "of another shape": [name for name in weights if name in both and not weights[name].fits(given[name])],
        "with values that are no numbers": [name for name in weights if name in both and not _finite(given[name])],
    }
    if any(faults.values()):
        what = "; ".join(_named(*fault) for fault in faults.items() if fault[1])
        raise DataError(f"not the weights of {network}: {what}", where=where, mend=mend)
    for name, weight in weights.items():
        weight.variable.assign(given[name].transpose(weight.axes))


def _finite(tensor: np.ndarray) -> bool:
    return bool(np.isfinite(tensor).all())


def _named(fault: str, names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {fault} ({', '.join(names[:SHOWN])}{more})"
