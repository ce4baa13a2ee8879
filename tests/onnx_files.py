"""A tiny network as an ONNX file, as people export theirs: a matrix times the mean colour of an image."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, WIDTH = 8, 5
MATRIX = np.random.RandomState(0).normal(size=(3, WIDTH)).astype(np.float32)


def network(
    path: Path,
    *,
    shape: tuple = ("N", 3, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    tokens: bool = False,
    outputs: tuple[str, ...] = ("embedding",),
    inputs: int = 1,
) -> Path:
    """Its features are a matrix times the mean colour; with tokens, an image has two: these, and zeros."""
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    nodes = [
        helper.make_node("Cast", ["given0"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["colour"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["colour", "matrix"], ["product"]),
    ]
    sides = ["N", WIDTH]
    if tokens:
        nodes.append(helper.make_node("Sub", ["product", "product"], ["zeros"]))
        axis = numpy_helper.from_array(np.array([1]), "axis")
        nodes += [helper.make_node("Unsqueeze", [name, "axis"], [f"{name}1"]) for name in ("product", "zeros")]
        nodes.append(helper.make_node("Concat", ["product1", "zeros1"], [outputs[0]], axis=1))
        sides = ["N", 2, WIDTH]
    else:
        nodes += [helper.make_node("Identity", ["product"], [name]) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(f"given{number}", kind, shape) for number in range(inputs)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in outputs],
        [numpy_helper.from_array(MATRIX, "matrix"), *([axis] if tokens else [])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
