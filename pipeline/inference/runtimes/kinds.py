"""The runtimes by name: which this machine has, and how each is made from a bundle."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.bundle import Stored
from pipeline.errors import UsageError
from pipeline.inference.ensemble import Ensemble
from pipeline.inference.runtimes import Runtime, converted
from pipeline.inference.runtimes.converted import Calibration

AUTO, KERAS = "auto", "keras"
WHERE = "identify.runtime"


@dataclass(frozen=True)
class Kind:
    """A way to run a network.

    Attributes:
      title: its name for people.
      needs: modules of the extra `runtimes`.
      make: makes a runtime of a bundle; gets the pictures that int8 is fitted to, the batch size of Keras, and
        the cache of converted networks.
      fitted: whether what it says depends on these pictures.
    """

    title: str
    needs: tuple[str, ...]
    make: Callable[[Stored, Calibration, int, Path], Runtime]
    fitted: bool = False


def missing(name: str) -> str:
    """Why this machine cannot run the kind `name`; empty if it can."""
    if absent := _not_installed(name):
        return f"{', '.join(absent)} not installed"
    if name == "openvino-bf16":
        from pipeline.inference.runtimes.openvino import computes_bfloat16

        return "" if computes_bfloat16() else "this CPU has no bfloat16"
    return ""


def load(
    name: str,
    members: list[Stored],
    calibration: Calibration,
    *,
    batch_size: int,
    cache: Path,
    temperature: float = 1.0,
) -> Runtime:
    """Makes the runtime of a bundle, or of several that are ensembled.

    Args:
      cache: the folder that keeps converted networks.
      temperature: of what several say together.

    Raises:
      UsageError: if this machine cannot run it.
      DataError: if a network cannot be converted.
    """
    reason = missing(name)
    if reason:
        install = "pip install -c constraints.txt -e '.[runtimes]', or take another"
        mend = install if _not_installed(name) else "auto"
        raise UsageError(f"{KINDS[name].title} cannot run here: {reason}", where=WHERE, mend=mend)
    made = [KINDS[name].make(member, calibration, batch_size, cache) for member in members]
    return Ensemble(made, temperature) if len(made) > 1 else made[0]


def is_prepared(name: str, stored: Stored, calibration: Calibration, cache: Path) -> bool:
    """Whether `load` takes seconds: the network need not be converted first."""
    return name == KERAS or converted.is_converted(stored, calibration if KINDS[name].fitted else None, cache)


def key(name: str, stored: Stored, calibration: Calibration) -> str:
    """The key of predictions of a kind, which need not be loaded for it."""
    own = f"{stored.card.model_digest} at {stored.card.temperature}"
    if name == KERAS:
        return own
    fitted = f" of {calibration.bits} bits fitted to {calibration.digest}" if KINDS[name].fitted else ""
    return f"{own} by {name}{fitted}"


def _not_installed(name: str) -> list[str]:
    return [module for module in KINDS[name].needs if importlib.util.find_spec(module) is None]


def _keras(stored: Stored, calibration: Calibration, batch_size: int, cache: Path) -> Runtime:
    from pipeline.inference.runtimes.keras import KerasRuntime

    return KerasRuntime(stored, batch_size)


def _openvino(name: str, precision: str) -> Callable[[Stored, Calibration, int, Path], Runtime]:
    def make(stored: Stored, calibration: Calibration, batch_size: int, cache: Path) -> Runtime:
        from pipeline.inference.runtimes.openvino import OpenVinoRuntime

        fitted = KINDS[name].fitted
        graph = converted.int8(stored, calibration, cache) if fitted else converted.float32(stored, cache)
        return OpenVinoRuntime(stored, graph, precision=precision, key=key(name, stored, calibration))

    return make


def _onnx(stored: Stored, calibration: Calibration, batch_size: int, cache: Path) -> Runtime:
    from pipeline.inference.runtimes.onnx import OnnxRuntime

    return OnnxRuntime(stored, converted.float32(stored, cache), key=key("onnx", stored, calibration))


CONVERT = ("tf2onnx", "onnx")
KINDS = {
    KERAS: Kind("Keras", (), _keras),
    "openvino": Kind("OpenVINO", ("openvino", *CONVERT), _openvino("openvino", "f32")),
    "openvino-bf16": Kind("OpenVINO in bfloat16", ("openvino", *CONVERT), _openvino("openvino-bf16", "bf16")),
    "openvino-int8": Kind(
        "OpenVINO in int8", ("openvino", "nncf", *CONVERT), _openvino("openvino-int8", "f32"), fitted=True
    ),
    "onnx": Kind("ONNX Runtime", ("onnxruntime", *CONVERT), _onnx),
}
