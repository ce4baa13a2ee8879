"""A bundle's network as other runtimes take it: converted once, and kept in the cache by its digest.

What is kept are graphs, not what a program has compiled for this CPU: they are read in a second or two, and do not
depend on the machine. A graph takes pixels as `pictures.read` gives them, uint8 (N, S, S, 3), and gives `probs` (N, C),
not calibrated, and `features` (N, F).
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from pipeline.bundle import Stored
from pipeline.errors import DataError
from pipeline.files import atomic_folder, digest, read_json, write_json
from pipeline.inference import reading
from pipeline.inference.runtimes import FEATURES, PIXELS, PROBS

if TYPE_CHECKING:
    import keras

MADE = "made.json"
KEPT = 8  # graphs in the cache; the one that was used longest ago goes first
FLOAT, INT8 = "model.onnx", "model.xml"
PICTURES = 128  # that int8 is fitted to
FEWEST = 8


@dataclass(frozen=True)
class Calibration:
    """What int8 is fitted to.

    Attributes:
      sha256, paths: content hashes of pictures, and their files.
      bits: of weights: 8, or 7 for a CPU whose sums of products of 8 bits could overflow.
    """

    sha256: list[str]
    paths: list[Path]
    bits: int = 8

    @property
    def digest(self) -> str:
        return hashlib.sha256("".join(self.sha256).encode()).hexdigest()[:12]


def float32(stored: Stored, cache: Path) -> Path:
    """The network as ONNX in float32.

    Args:
      cache: the folder that keeps converted networks.

    Raises:
      DataError: if it cannot be converted.
    """
    return _kept(cache, stored, _of_float32(), lambda folder: _write_onnx(stored, folder / FLOAT)) / FLOAT


def int8(stored: Stored, calibration: Calibration, cache: Path) -> Path:
    """The network as OpenVINO's own format, quantised to 8 bits after training by what its layers give for pictures.

    Weights have a scale for each channel, activations one for each layer (Nagel et al. 2021, "A White Paper on Neural
    Network Quantization", section 3).

    Raises:
      DataError: if it cannot be converted, or there are too few pictures.
    """

    def write(folder: Path) -> None:
        _write_int8(stored, calibration, float32(stored, cache), folder / INT8)

    return _kept(cache, stored, _of_int8(calibration), write) / INT8


def is_converted(stored: Stored, calibration: Calibration | None, cache: Path) -> bool:
    """Whether the cache has the network already: in float32, or as int8 fitted to these images."""
    settings = _of_float32() if calibration is None else _of_int8(calibration)
    return (_folder(cache, stored, settings) / MADE).exists()


def _of_float32() -> dict[str, str]:
    return {"graph": FLOAT, "tf2onnx": version("tf2onnx")}


def _of_int8(calibration: Calibration) -> dict[str, str]:
    settings = {"graph": INT8, "nncf": version("nncf"), "openvino": version("openvino")}
    return settings | {"calibration": calibration.digest, "bits": str(calibration.bits)}


def _folder(cache: Path, stored: Stored, settings: dict[str, str]) -> Path:
    name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return cache / f"{stored.card.model_digest[:16]}-{name}"


def _kept(cache: Path, stored: Stored, settings: dict[str, str], write: Callable[[Path], None]) -> Path:
    """The folder in the cache that `write` has filled for these settings; filled again where it is damaged."""
    folder = _folder(cache, stored, settings)
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{folder.name}.lock"):  # several processes may ask at once
        if not _whole(folder):
            with atomic_folder(folder) as new:
                write(new)
                files = {file.name: digest(file) for file in sorted(new.iterdir())}
                write_json({"model": stored.card.model_digest, "settings": settings, "files": files}, new / MADE)
    (folder / MADE).touch()
    for old in _by_use(cache)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _whole(folder: Path) -> bool:
    try:
        return all(digest(folder / name) == known for name, known in read_json(folder / MADE)["files"].items())
    except (DataError, OSError, KeyError, TypeError):
        return False


def _by_use(cache: Path) -> list[Path]:
    found = [made.parent for made in cache.glob(f"[!.]*/{MADE}")]
    return sorted(found, key=lambda folder: (folder / MADE).stat().st_mtime, reverse=True)


def _write_onnx(stored: Stored, path: Path) -> None:
    from pipeline.inference import model_formats

    with _converting(stored):
        model_formats.write_onnx(_graph(stored.model), path)


def _graph(model: "keras.Model") -> "keras.Model":
    from pipeline.models import head, keras

    both = keras.Model(model.input, [model.output, model.get_layer(head.FEATURES).output])
    pixels = keras.Input(model.input_shape[1:], dtype="uint8", name=PIXELS)
    probs, features = both(keras.ops.cast(pixels, "float32"))
    named = {  # an output is called as its layer
        PROBS: keras.layers.Identity(dtype="float32", name=PROBS)(probs),
        FEATURES: keras.layers.Identity(dtype="float32", name=FEATURES)(features),
    }
    return keras.Model(pixels, named, name="graph")


def _write_int8(stored: Stored, calibration: Calibration, graph: Path, path: Path) -> None:
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    size = stored.card.image_size
    pixels = list(_pixels(calibration.paths, size))
    if len(pixels) < FEWEST:
        raise DataError(
            f"{len(pixels)} pictures of the validation set can be read, int8 is fitted to at least {FEWEST}",
            where="identify.runtime",
            mend="take another runtime",
        )
    network = openvino.Core().read_model(graph)
    network.reshape({PIXELS: [1, size, size, 3]})  # it runs faster so, and nothing else is asked of it
    fix = nncf.OverflowFix.FIRST_LAYER if calibration.bits == 8 else nncf.OverflowFix.ENABLE
    with _converting(stored), _progress_on_a_terminal():
        fitted = nncf.quantize(
            network,
            nncf.Dataset(pixels),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pixels),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )
        fitted.reshape({PIXELS: [-1, size, size, 3]})
        openvino.save_model(fitted, path, compress_to_fp16=False)


def _pixels(paths: list[Path], size: int) -> Iterator[np.ndarray]:
    for (pixels,), _ in reading.read_batches(paths, (size,), FEWEST):
        yield from pixels[:, None]


@contextlib.contextmanager
def _progress_on_a_terminal() -> Iterator[None]:
    """Shows the bars that a program prints on stdout to whoever looks at stderr; no log has them."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        shown = sys.stderr if sys.stderr.isatty() else nowhere
        with contextlib.redirect_stdout(shown):
            yield


@contextlib.contextmanager
def _converting(stored: Stored) -> Iterator[None]:
    """Makes of what a converter raises, which is of many kinds, one that says which network it was."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(
            f"this network cannot be converted: {reason}", where=stored.card.preset, mend="set identify.runtime: keras"
        ) from error
