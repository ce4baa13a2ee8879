"""What each preset costs: parameters, arithmetic and room on disk, counted from its layers."""

import gc
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import keras
import pandas as pd
from keras import layers

from pipeline import progress, sections
from pipeline.errors import DataError, UsageError
from pipeline.files import read_json, write_json
from pipeline.models import presets
from pipeline.models.head import HEAD

BYTES_A_NUMBER = 4  # float32
BYTES_A_WEIGHT = 2400  # of the file, for its name, its place and its share of the layer's description: measured


@dataclass(frozen=True)
class Counts:
    """A network without its head, so that they hold for any number of classes.

    Attributes:
      parameters: numbers that are learnt.
      statistics: numbers that are not: the moving means and variances of batch normalisation.
      weights: arrays that hold both.
      macs: multiply-adds for one picture.
      features: numbers a picture that the head is given.
    """

    parameters: int
    statistics: int
    weights: int
    macs: int
    features: int


def listing(networks: Mapping[str, sections.Preset], *, num_classes: int, cache: Path) -> pd.DataFrame:
    """The presets side by side, by name, one row per preset.

    A network is built to be counted, which takes seconds; the counts are kept in `cache` until the preset or a module
    of the networks changes.

    Returns:
      preset, network, image_size, parameters, gflops (two a multiply-add) for one picture, megabytes (10^6 bytes) of
      `model.keras`, reported_top1 and source as the preset gives them; a preset that cannot be built has no counts, and
      says why in `failure`.
    """
    known = _read(cache)
    rows = []
    with progress.bar("networks", len(networks), unit="") as bar:
        for name, preset in networks.items():
            row = {
                "preset": name,
                "network": preset.options.get("name", preset.architecture),
                "image_size": preset.image_size,
                "reported_top1": preset.reported.top1 if preset.reported else None,
                "source": preset.reported.source if preset.reported else "",
            }
            key = _digest(preset)
            try:
                if key not in known:
                    known[key] = asdict(count(presets.build(preset, num_classes=1)))
                    gc.collect()
                    write_json(known, cache)
                rows.append(row | costs(Counts(**known[key]), num_classes=num_classes) | {"failure": ""})
            except UsageError as error:
                rows.append(row | {"failure": error.what})
            bar.update()
    columns = ["preset", "network", "image_size", "parameters", "gflops", "megabytes"]
    table = pd.DataFrame(rows).reindex(columns=[*columns, "reported_top1", "source", "failure"])
    return table.astype({"parameters": "Int64", "reported_top1": "Float64"})


def costs(counts: Counts, *, num_classes: int) -> dict[str, Any]:
    """What the network costs with a head for `num_classes`."""
    head = (counts.features + 1) * num_classes
    numbers, weights = counts.parameters + counts.statistics + head, counts.weights + 2
    return {
        "parameters": counts.parameters + head,
        "gflops": 2 * (counts.macs + counts.features * num_classes) / 1e9,
        "megabytes": (numbers * BYTES_A_NUMBER + weights * BYTES_A_WEIGHT) / 1e6,
    }


def count(model: keras.Model) -> Counts:
    """Counts the convolutions' and the dense layers' multiply-adds, as papers do; all else costs next to nothing."""
    body = [layer for layer in model.layers if layer.name != HEAD]
    head = model.get_layer(HEAD)
    return Counts(
        parameters=sum(prod(weight.shape) for layer in body for weight in layer.trainable_weights),
        statistics=sum(prod(weight.shape) for layer in body for weight in layer.non_trainable_weights),
        weights=sum(len(layer.weights) for layer in body),
        macs=sum(macs(layer) for layer in body),
        features=head.kernel.shape[0],
    )


def macs(layer: layers.Layer) -> int:
    """Multiply-adds of one layer for one picture: every weight of a kernel once for each place of the output."""
    if isinstance(layer, layers.SeparableConv2D):
        places = prod(layer.output.shape[1:-1])
        return places * (prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape))
    if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
        return prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape)
    return 0


def _digest(preset: sections.Preset) -> str:
    """Of all that the counts depend on."""
    seen = sha256(preset.model_dump_json(exclude={"reported"}).encode() + keras.__version__.encode())
    for module in sorted(Path(__file__).parent.glob("*.py")):
        seen.update(module.read_bytes())
    return seen.hexdigest()


def _read(cache: Path) -> dict[str, dict[str, int]]:
    try:
        return read_json(cache)
    except DataError:  # none yet, or a broken one: counted again
        return {}
