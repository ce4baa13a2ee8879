"""Formats that other programs run: how a network is written in each, what travels inside, and how it is run again."""

import importlib.util
import logging
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError, closest

if TYPE_CHECKING:
    import keras

LARGE = 100_000_000  # weights
Predict = Callable[[np.ndarray], np.ndarray]  # pixels, uint8 (N, S, S, 3), to probabilities (N, C)


@dataclass(frozen=True)
class Format:
    """A format, and the functions that know it.

    Attributes:
      title: its name for people.
      file: what it is called in the folder of an export.
      needs: modules of the extra `export` that writing or checking it takes.
      write: writes a network of uint8 pixels at a path.
      describe: puts texts, by their names, inside what was written.
      load: returns what runs it, by the format's own runtime and without Keras.
      usage: one line of Python that loads it.
    """

    title: str
    file: str
    needs: tuple[str, ...]
    write: Callable[["keras.Model", Path], None]
    describe: Callable[[Path, Mapping[str, str]], None]
    load: Callable[[Path], Predict]
    usage: str


def find(name: str, *, others: Iterable[str] = ()) -> Format:
    """Finds a format of the model; `others`, not those of the model, could be meant by a mistyped name too.

    Raises:
      UsageError: for an unknown format (the nearest is offered), or if what it needs is not installed.
    """
    if name not in FORMATS:
        raise UsageError(f"unknown format '{name}'", where="wallaby export", mend=closest(name, {*FORMATS, *others}))
    missing = [module for module in FORMATS[name].needs if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"{FORMATS[name].title} needs {', '.join(missing)}, not installed here",
            where=f"wallaby export {name}",
            mend="pip install -c constraints.txt -e '.[export]'",
        )
    return FORMATS[name]


# What is written has one input, `pixels`, and one output, `probs`.


def write_savedmodel(model: "keras.Model", path: Path) -> None:
    """Through an archive that does not track the model: one that does, as `Model.export`, holds every weight twice."""
    from pipeline.models import keras

    archive = keras.export.ExportArchive()
    pixels = keras.InputSpec(shape=model.input.shape, dtype=model.input.dtype, name=model.input.name)
    archive.add_endpoint("serve", lambda pixels: model(pixels, training=False), input_signature=[pixels])
    archive.write_out(path, verbose=False)


def describe_savedmodel(path: Path, texts: Mapping[str, str]) -> None:
    """In `assets.extra`, the place that TensorFlow keeps for what is the user's own."""
    (path / "assets.extra").mkdir()
    for name, text in texts.items():
        (path / "assets.extra" / name).write_text(text, encoding="utf-8")


def load_savedmodel(path: Path) -> Predict:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda pixels: loaded.serve(tf.constant(pixels))["probs"].numpy()


def write_onnx(model: "keras.Model", path: Path) -> None:
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), _frugal() if model.count_params() > LARGE else nullcontext():
        warnings.simplefilter("ignore", FutureWarning)  # Keras asks NumPy for a name that it no longer has
        model.export(path, format="onnx", input_signature=model.inputs, verbose=False)


@contextmanager
def _frugal() -> Iterator[None]:
    """Has tf2onnx hold the weights a few times only; for VGG16 it would take more than 20 GB.

    It copies the network before each simplification, to go back if that fails, and after each writes all weights anew
    into messages that never give memory back.
    """
    from tf2onnx.graph import Graph

    written = Graph.update_proto
    os.environ["TF2ONNX_CATCH_ERRORS"] = "FALSE"
    Graph.update_proto = lambda graph, *storage: written(graph, *storage) if storage else None  # given at the end only
    try:
        yield
    finally:
        Graph.update_proto = written
        del os.environ["TF2ONNX_CATCH_ERRORS"]


def describe_onnx(path: Path, texts: Mapping[str, str]) -> None:
    """In `metadata_props`."""
    import onnx

    network = onnx.load(path)
    network.producer_name = "wallaby"
    onnx.helper.set_model_props(network, dict(texts))
    onnx.save(network, path)


def load_onnx(path: Path) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["probs"], {"pixels": pixels})[0]


def write_litert(model: "keras.Model", path: Path) -> None:
    model.export(path, format="litert", verbose=False)


def describe_litert(path: Path, texts: Mapping[str, str]) -> None:
    """As files zipped to the model's end, which is how TensorFlow Lite associates files: `unzip` takes them out."""
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), text)


def load_litert(path: Path) -> Predict:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path)).get_signature_runner("serving_default")
    return lambda pixels: run(pixels=pixels)["probs"]


FORMATS = {
    "savedmodel": Format(
        "SavedModel",
        "saved_model",
        (),
        write_savedmodel,
        describe_savedmodel,
        load_savedmodel,
        'model = tf.saved_model.load("{path}"); model.serve(pixels)["probs"]',
    ),
    "onnx": Format(
        "ONNX",
        "model.onnx",
        ("tf2onnx", "onnx", "onnxruntime"),
        write_onnx,
        describe_onnx,
        load_onnx,
        'onnxruntime.InferenceSession("{path}").run(["probs"], {{"pixels": pixels}})',
    ),
    "litert": Format(
        "LiteRT",
        "model.tflite",
        ("ai_edge_litert",),
        write_litert,
        describe_litert,
        load_litert,
        'Interpreter("{path}").get_signature_runner()(pixels=pixels)["probs"]',
    ),
}
