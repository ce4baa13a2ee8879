"""A TensorFlow Hub module, which is a SavedModel, as a layer of Keras 3: frozen or fine-tuned.

`hub.KerasLayer` is a layer of Keras 2 and refuses a Keras 3 model; Keras' own TFSMLayer cannot be fine-tuned.

A `.keras` file holds the layer's weights, not its graph: it names the SavedModel by the digest of its files, never by a
path. Whoever loads the file says first where that SavedModel lies now (`register`); a bundle carries it along.
"""

import hashlib
from pathlib import Path
from typing import Any

import keras

from pipeline.errors import DataError, UsageError
from pipeline.files import digest

GRAPH = "saved_model.pb"
PARTS = ("variables", "assets")

_folders: dict[str, Path] = {}  # of the modules this process knows, by digest


def files(folder: Path) -> list[Path]:
    """The files that make a SavedModel; others beside them are none of it."""
    return [folder / GRAPH, *(path for part in PARTS for path in sorted((folder / part).rglob("*")) if path.is_file())]


def register(folder: Path) -> str:
    """Makes the SavedModel in `folder` known to this process; returns the SHA-256 of its files, which names it."""
    listing = "".join(f"{digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in files(folder))
    module = hashlib.sha256(listing.encode()).hexdigest()
    _folders[module] = folder.absolute()
    return module


def locate(module: str) -> Path:
    """The folder of a registered SavedModel.

    Raises:
      DataError: if this process knows none of that digest.
    """
    if module not in _folders:
        raise DataError(
            f"the network needs the SavedModel {module[:12]}, which its file does not hold",
            mend="load the bundle as a whole, or `pipeline.models.hub_layer.register` the SavedModel's folder first",
        )
    return _folders[module]


def module_of(model: keras.Model) -> str:
    """The digest of the SavedModel that `model` is built on; empty for a network that needs none."""
    inside = [layer for part in model.layers for layer in (part.layers if isinstance(part, keras.Model) else [part])]
    return next((layer.module for layer in inside if isinstance(layer, HubLayer)), "")


class SavedModel:
    """A loaded SavedModel: the function that gives features, and its variables.

    A plain object, so that neither Keras nor TensorFlow tracks what is inside.

    Raises:
      DataError: if TensorFlow cannot read it, or it has no function to call.
      UsageError: if the backend is not TensorFlow.
    """

    def __init__(self, folder: Path):
        if keras.backend.backend() != "tensorflow":
            raise UsageError(
                f"a TensorFlow Hub module needs TensorFlow, not {keras.backend.backend()}", where="KERAS_BACKEND"
            )
        import tensorflow as tf
        from google.protobuf.message import DecodeError

        try:
            self._loaded = tf.saved_model.load(str(folder))
        except (OSError, ValueError, KeyError, AttributeError, DecodeError, tf.errors.OpError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"TensorFlow cannot read the SavedModel: {reason}", where=folder) from None
        # Reusable SavedModels are callable; what `Model.export` writes has a signature only, an inference graph.
        if callable(self._loaded):
            self._function, traces = self._loaded, self._loaded.__call__.concrete_functions
            self._takes_training = any("training" in trace.function_type.parameters for trace in traces)
            trainable = getattr(self._loaded, "trainable_variables", ())
            self.variables = list(getattr(self._loaded, "variables", ()))
        else:
            self._function = getattr(self._loaded, "signatures", {}).get("serving_default")
            traces = [self._function] if self._function else []
            self._takes_training = False
            self.variables = list(self._function.variables) if self._function else []
            trainable = [variable for variable in self.variables if variable.trainable]
        if not traces:
            raise DataError("the SavedModel has no function to call", where=folder)
        self._trainable = {id(variable) for variable in trainable}
        arguments = [
            [*trace.structured_input_signature[0], *trace.structured_input_signature[1].values()] for trace in traces
        ]
        self.inputs = [first for first, *_ in arguments if isinstance(first, tf.TensorSpec)]
        given = traces[0].structured_outputs
        self.outputs: dict[str, Any] = given if isinstance(given, dict) else {"": given}

    def is_trainable(self, variable) -> bool:
        return id(variable) in self._trainable

    def __call__(self, pixels, *, training: bool):
        return self._function(pixels, training=training) if self._takes_training else self._function(pixels)


@keras.saving.register_keras_serializable(package="wallaby")
class HubLayer(keras.layers.Layer):
    """Pixels (N, S, S, 3) in the range that the module was made for, to its features (N, F).

    It computes in float32 whatever the policy, since the graph was traced in it. While it is trained, batch statistics
    are used and updated if the module takes `training`; frozen, it is in inference mode. The module's own
    regularisation losses are left out: weight decay is the optimiser's.

    Args:
      module: digest of a registered SavedModel.
      output_key: which of the module's outputs, where it gives several by name.
    """

    def __init__(self, module: str, output_key: str = "", **options):
        super().__init__(**options | {"dtype": "float32"})
        self.module, self.output_key = module, output_key

    def build(self, input_shape) -> None:
        self._saved = SavedModel(locate(self.module))
        self._learnt = [  # Keras takes a variable of TensorFlow as it is, so that the graph reads this very storage
            keras.Variable(
                value,
                dtype=value.dtype.name,
                trainable=self._saved.is_trainable(value),
                name=f"{number:03d}_{value.name.split(':')[0].replace('/', '_')}",
            )
            for number, value in enumerate(self._saved.variables)
        ]
        for variable in self._learnt:  # a clone is frozen before it has variables
            variable.trainable = variable.trainable and self.trainable

    def call(self, pixels, training=None):
        features = self._saved(pixels, training=bool(training) and self.trainable)
        return features[self.output_key] if isinstance(features, dict) else features

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"module": self.module, "output_key": self.output_key}
