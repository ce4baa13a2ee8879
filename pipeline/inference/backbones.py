"""Frozen networks: which one gives the features that no round changes, how it is made, and what runs it.

A backbone is a preset with weights that have learnt something, or an ONNX file as its owner exported it. Its key names
all that its features depend on but for the rounding of a runtime: two machines that have the same weights have the
same key, and features of runtimes that agree lie in one store.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from pipeline import bundle
from pipeline.bundle import Stored
from pipeline.errors import DataError, UsageError
from pipeline.files import atomic_folder, digest, read_json, write_json
from pipeline.inference import selection, shipping, trials
from pipeline.inference.runtimes import Runtime, graphs, kinds
from pipeline.inference.runtimes.converted import Calibration
from pipeline.library import lineage
from pipeline.library.pictures import PREPROCESSING
from pipeline.sections import Preset

ONNX = ".onnx"
MADE = "backbone.json"
KEY_DIGITS = 16


class Frozen:
    """Runs a network of which the features alone are wanted.

    Args:
      runtime: of the network with whatever head.
      key: of the backbone.
    """

    def __init__(self, runtime: Runtime, key: str):
        self._runtime = runtime
        self.classes: list[str] = []
        self.image_sizes = runtime.image_sizes
        self.model = self.key = key

    def predict(self, *pixels: np.ndarray) -> np.ndarray:
        """Returns an array (N, 0): it has no classes."""
        return np.empty((len(pixels[0]), 0), np.float32)

    def predict_with_features(self, *pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns an array (N, 0) and the features, float16 (N, F), of pictures uint8 (N, S, S, 3)."""
        return self.predict(*pixels), self._runtime.predict_with_features(*pixels)[1]


@dataclass(frozen=True)
class Chosen:
    """What runs a backbone on this machine.

    Attributes:
      choice: which runtime, and why.
      runtime: it.
      sent, build: what a worker on another machine needs, and what makes its runtime there (`distributed.predict`).
    """

    choice: selection.Choice
    runtime: Frozen
    sent: dict[str, Path]
    build: Callable[[], Runtime]


class Backbone(Protocol):
    """A frozen network.

    Attributes:
      name: for people.
      key: names all that its features depend on but for a runtime's rounding.
    """

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...

    def choose(
        self, runtime: str, sample: Callable[[], pd.DataFrame], *, comparison: trials.Features, total: int
    ) -> Chosen:
        """Takes the runtime that is named, or with `auto` the fastest that agrees with Keras.

        Args:
          sample: gives the pictures to try runtimes on: columns `sha256`, `path`, `label`.
          comparison: what their features must have in common with those by Keras.
          total: images that wait for their features.

        Raises:
          UsageError: if this machine cannot run what is named.
          DataError: if the network cannot be converted to it.
        """
        ...


@dataclass(frozen=True)
class OfPreset:
    """A preset's network with its weights, as a bundle in the cache; see `Backbone`."""

    name: str
    key: str
    stored: Stored
    batch_size: int
    cache: Path

    def choose(
        self, runtime: str, sample: Callable[[], pd.DataFrame], *, comparison: trials.Features, total: int
    ) -> Chosen:
        fitted = Calibration([], [])
        if runtime == kinds.AUTO or kinds.KINDS[runtime].fitted:
            first = sample().sort_values("sha256").head(comparison.images // 2)
            fitted = selection.fitted_to(first)
        candidates = selection.Candidates([self.stored], fitted, self.batch_size, self.cache)
        choice, made = selection.choose(
            runtime, candidates, sample=sample, comparison=comparison, total=total, begun={}
        )
        return Chosen(
            choice,
            Frozen(made, self.key),
            shipping.folders(choice.runtime, candidates),
            partial(_frozen, shipping.loading(choice.runtime, candidates), self.key),
        )


@dataclass(frozen=True)
class OfFile:
    """An ONNX file, with what it needs before and behind it, in a folder of the cache; see `Backbone`."""

    name: str
    key: str
    folder: Path
    image_size: int

    def choose(
        self, runtime: str, sample: Callable[[], pd.DataFrame], *, comparison: trials.Features, total: int
    ) -> Chosen:
        """As `Backbone.choose`; nothing is tried: `auto` takes OpenVINO where it is installed, else ONNX Runtime."""
        name = graphs.named(runtime)
        why = "it runs ONNX files on this machine" if runtime == kinds.AUTO else selection.NAMED
        build = partial(graphs.load, name, Path("backbone"), image_size=self.image_size, key=self.key)
        made = graphs.load(name, self.folder, image_size=self.image_size, key=self.key)
        sent = {"backbone": self.folder}
        return Chosen(selection.Choice(name, why), Frozen(made, self.key), sent, partial(_frozen, build, self.key))


def of_preset(
    name: str, preset: Preset, weights: str, *, batch_size: int, cache: Path, runtimes: Path, archives: Path
) -> OfPreset:
    """Makes the backbone of a preset, or takes the one that was made before.

    Args:
      weights: what `presets.build` takes, but random ones.
      cache: the folder of the backbones.
      runtimes: the folder of converted networks.
      archives: the folder in which an archive of weights is unpacked.

    Raises:
      UsageError: if the weights are random, do not fit the preset or cannot be had.
      DataError: if they cannot be read.
    """
    if weights == "random":
        raise UsageError(
            "random weights see nothing",
            where="configs/params.yaml, embed.weights",
            mend="imagenet, or a file of weights",
        )
    source = {"preset": preset.model_dump(exclude={"reported"}), "weights": weights, "reading": PREPROCESSING}
    if Path(weights).is_file():
        source["file"] = digest(Path(weights))
    folder = cache / hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]
    made = _made(folder)
    if made is None:
        made = _make(name, preset, weights, folder, source, archives)
    stored, key = made
    return OfPreset(f"{name} ({weights})", key, stored, batch_size, runtimes)


def of_file(file: Path, wanted: graphs.Input, *, cache: Path) -> OfFile:
    """Makes the backbone of an ONNX file: pictures as they are read go in, features come out.

    Args:
      wanted: what the network wants of its pixels.
      cache: the folder of the backbones; the network is copied there.

    Raises:
      UsageError: if there is no such file, or the packages that read it are not installed.
      DataError: if it is no network that takes pictures and gives features.
    """
    if not file.is_file():
        raise UsageError("there is no such ONNX file", where=file, mend="correct embed.model in configs/params.yaml")
    facts = f"{digest(file)} {wanted} {PREPROCESSING}"
    key = hashlib.sha256(facts.encode()).hexdigest()[:KEY_DIGITS]
    folder = cache / key
    try:
        size = int(read_json(folder / MADE)["image_size"])
    except (DataError, KeyError, TypeError, ValueError):
        with atomic_folder(folder) as new:
            size = graphs.write(file, new, wanted)
            write_json({"file": file.name, "image_size": size}, new / MADE)
    return OfFile(file.name, key, folder, size)


def _made(folder: Path) -> tuple[Stored, str] | None:
    try:
        return Stored(folder / "bundle"), str(read_json(folder / MADE)["key"])
    except (DataError, KeyError, TypeError, OSError):
        return None


def _make(
    name: str, preset: Preset, weights: str, folder: Path, source: dict[str, Any], archives: Path
) -> tuple[Stored, str]:
    from pipeline.models import presets
    from pipeline.models.head import HEAD

    model = presets.build(preset, num_classes=2, seed=0, weights=weights, cache=archives)
    facts = hashlib.sha256(json.dumps({**source, "weights": ""}, sort_keys=True).encode())
    for layer in model.layers:
        if layer.name != HEAD:
            for value in layer.get_weights():
                facts.update(np.ascontiguousarray(value).tobytes())
    key = facts.hexdigest()[:KEY_DIGITS]
    card = bundle.Card(name, preset.image_size, pretrained=presets.pretrained(weights))
    shutil.rmtree(folder, ignore_errors=True)
    with atomic_folder(folder) as new:
        bundle.save(bundle.Bundle(model, [], card, lineage.empty()), new / "bundle")
        write_json({"key": key, **source}, new / MADE)
    return Stored(folder / "bundle"), key


def _frozen(build: Callable[[], Runtime], key: str) -> Frozen:
    return Frozen(build(), key)
