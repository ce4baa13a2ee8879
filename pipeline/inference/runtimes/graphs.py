"""ONNX files as their owners exported them, made to take pixels and to give features as converted networks do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.bundle import Card
from pipeline.errors import DataError, UsageError
from pipeline.inference.runtimes import FEATURES, PIXELS, PROBS, Runtime, kinds

GRAPH = "model.onnx"
NAMES = ("openvino", "openvino-bf16", "onnx")  # runtimes that read such a file, the preferred one first
PREFIX = "wallaby_"  # of what is added to a network
WHERE = "configs/params.yaml, section embed"


@dataclass(frozen=True)
class Input:
    """What a network wants of its pixels: (pixel / 255 - mean) / std, unless it takes uint8.

    Attributes:
      mean, std: of red, green and blue.
      image_size: side in pixels; 0 for what the file says.
      output: name of the output with the features; "" for the first.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int = 0
    output: str = ""


@dataclass(frozen=True)
class _Network:
    """As much of a bundle as a runtime asks for."""

    card: Card
    classes: list[str] = field(default_factory=list)

    def refuse_other_outputs(self, outputs: int) -> None:
        """Does nothing: it has no classes to compare them with."""


def named(runtime: str) -> str:
    """The runtime that is named, or with `auto` the first of `NAMES` that this machine has.

    Raises:
      UsageError: if it reads no ONNX files or is not installed.
    """
    if runtime != kinds.AUTO and runtime not in NAMES:
        raise UsageError(f"{runtime} reads no ONNX files", where=f"{WHERE}, runtime", mend=", ".join(NAMES))
    chosen = [runtime] if runtime != kinds.AUTO else [name for name in NAMES if not kinds.missing(name)]
    reason = kinds.missing(chosen[0]) if chosen else "neither OpenVINO nor ONNX Runtime is installed"
    if reason:
        raise UsageError(f"an ONNX file cannot run here: {reason}", where=WHERE, mend="pip install 'wallaby[runtimes]'")
    return chosen[0]


def load(name: str, folder: Path, *, image_size: int, key: str) -> Runtime:
    """Makes the runtime `name` of a network that `write` has put into the folder."""
    network = _Network(Card("", image_size, model_digest=key))
    if name == "onnx":
        from pipeline.inference.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(network, folder / GRAPH, key=key)
    from pipeline.inference.runtimes.openvino import OpenVinoRuntime

    precision = "bf16" if name == "openvino-bf16" else "f32"
    return OpenVinoRuntime(network, folder / GRAPH, precision=precision, key=key)


def write(file: Path, folder: Path, wanted: Input) -> int:
    """Writes the network of `file` with what it needs before and behind it; returns its image size in pixels.

    Raises:
      UsageError: if the package onnx is not installed.
      DataError: if the file is no network with one input of pictures and an output of features.
    """
    try:
        import onnx
    except ImportError:
        raise UsageError(
            "the package onnx is not installed", where=WHERE, mend="pip install 'wallaby[runtimes]'"
        ) from None

    try:
        network = onnx.load(file)
        onnx.checker.check_model(network)
        network = onnx.shape_inference.infer_shapes(network)
    except MemoryError:
        raise
    except Exception as error:  # protobuf and the checker raise kinds of their own
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"not readable as ONNX: {reason}", where=file, mend="export the network again") from None
    graph = network.graph
    size = _before(graph, wanted, file)
    _behind(graph, wanted, file)
    try:
        onnx.checker.check_model(network)
    except onnx.checker.ValidationError as error:
        raise DataError(f"features cannot be taken of it: {error}", where=file, mend="name the output") from None
    onnx.save(network, folder / GRAPH)
    return size


def _before(graph: Any, wanted: Input, file: Path) -> int:
    """Puts the scaling and the order of axes that the network wants between it and pixels uint8 (N, S, S, 3)."""
    from onnx import TensorProto, helper

    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise DataError(
            f"it has {len(inputs)} inputs ({names}), not one", where=file, mend="export the image part alone"
        )
    (given,) = inputs
    kind, shape = given.type.tensor_type.elem_type, _shape(given)
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        text = " x ".join(str(side or "?") for side in shape)
        raise DataError(f"its input '{given.name}' is {text}, not pictures of 3 channels", where=file)
    if kind not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8):
        raise DataError(f"its input is {TensorProto.DataType.Name(kind)}, not floats or bytes", where=file)
    if shape[0] not in (0, None):
        raise DataError(
            f"it takes {shape[0]} pictures at once and no other number",
            where=file,
            mend="export it with a dynamic batch",
        )
    first = shape[3] != 3  # channels first
    height, width = (shape[2], shape[3]) if first else (shape[1], shape[2])
    size = wanted.image_size or height or 0
    if not size:
        raise DataError("it takes images of any size", where=file, mend=f"set image_size in {WHERE}")
    for side in (height, width):
        if side not in (0, None, size):
            raise DataError(
                f"it takes {height} x {width} pixels, not {size} x {size}",
                where=file,
                mend=f"set image_size in {WHERE}",
            )
    nodes, last = [], PIXELS
    if kind != TensorProto.UINT8:
        low = [255 * value for value in wanted.mean]
        factor = [1 / (255 * value) for value in wanted.std]
        graph.initializer.append(helper.make_tensor(f"{PREFIX}mean", TensorProto.FLOAT, [3], low))
        graph.initializer.append(helper.make_tensor(f"{PREFIX}factor", TensorProto.FLOAT, [3], factor))
        nodes.append(helper.make_node("Cast", [last], [f"{PREFIX}float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Sub", [f"{PREFIX}float", f"{PREFIX}mean"], [f"{PREFIX}centred"]))
        nodes.append(helper.make_node("Mul", [f"{PREFIX}centred", f"{PREFIX}factor"], [f"{PREFIX}scaled"]))
        last = f"{PREFIX}scaled"
    if first:
        nodes.append(helper.make_node("Transpose", [last], [f"{PREFIX}turned"], perm=[0, 3, 1, 2]))
        last = f"{PREFIX}turned"
    nodes.append(helper.make_node("Cast", [last], [given.name], to=kind))
    for node in reversed(nodes):
        graph.node.insert(0, node)
    graph.input.remove(given)
    graph.input.insert(0, helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["N", size, size, 3]))
    return size


def _behind(graph: Any, wanted: Input, file: Path) -> None:
    """Names the features; of a sequence of tokens (N, T, F), the first one stands for the image."""
    from onnx import TensorProto, helper

    outputs = {value.name: value for value in graph.output}
    name = wanted.output or next(iter(outputs), "")
    if name not in outputs:
        raise DataError(f"it has no output '{name}'", where=file, mend=f"its outputs: {', '.join(outputs)}")
    shape = _shape(outputs[name])
    if len(shape) not in (2, 3) or not shape[-1]:
        text = " x ".join(str(side or "?") for side in shape)
        raise DataError(
            f"its output '{name}' is {text}, not features", where=file, mend=f"name another output in {WHERE}"
        )
    last = name
    if len(shape) == 3:
        graph.initializer.append(helper.make_tensor(f"{PREFIX}first", TensorProto.INT64, [], [0]))
        graph.node.append(helper.make_node("Gather", [last, f"{PREFIX}first"], [f"{PREFIX}token"], axis=1))
        last = f"{PREFIX}token"
    for output in (FEATURES, PROBS):  # runtimes ask for both
        graph.node.append(helper.make_node("Cast", [last], [output], to=TensorProto.FLOAT))
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", shape[-1]]) for output in (FEATURES, PROBS)
    )


def _shape(value: Any) -> list[int | None]:
    """The sides of a tensor; None or 0 where they are not fixed."""
    return [side.dim_value or None for side in value.type.tensor_type.shape.dim]
