"""A bundle as a model of MLflow: of flavour Keras, its temperature inside, with nothing of this program needed."""

import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow.entities import LoggedModel
from mlflow.models import Model
from mlflow.tracking import MlflowClient

from pipeline import bundle
from pipeline.tracking.later import link

if TYPE_CHECKING:
    import keras

MODEL_NAME = "model"
FILE = "MLmodel"
BESIDE = (bundle.CLASSES, bundle.CARD)  # files of the bundle that go along
WEIGHTS = Path("data") / "model.keras"  # where flavour Keras has the network


def pack(made: bundle.Bundle, source: Path, folder: Path) -> None:
    """Writes a bundle's model as one of MLflow: pixels float32 (N, S, S, 3) to calibrated probabilities (N, C).

    A network whose temperature is 1 is the bundle's own file under a second name, and costs no space. One on a
    TensorFlow Hub module is a SavedModel, since its graph is no Keras layer: it has `serve` in place of `predict`.

    Args:
      source: the bundle's folder.
      folder: where to write; it must not be there.
    """
    import keras
    import mlflow.keras
    import tensorflow as tf
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from numpy import dtype

    from pipeline.models import head

    card, classes = made.card, made.classes
    side, of_hub = card.image_size, bool(card.hub_digest)
    network = head.calibrated(made.model, card.temperature)
    pixels = TensorSpec(dtype("float32"), (-1, side, side, 3))
    probs = TensorSpec(dtype("float32"), (-1, len(classes)))
    with redirect_stdout(StringIO()):  # an export tells of each of its variables
        mlflow.keras.save_model(
            _exportable(network, side) if of_hub else network,
            str(folder),
            save_exported_model=of_hub,
            signature=ModelSignature(Schema([pixels]), Schema([probs])),
            pip_requirements=[f"keras=={keras.__version__}", f"tensorflow=={tf.__version__}"],  # else found out, slowly
            metadata={"classes": classes, "temperature": card.temperature, "preprocessing": card.preprocessing},
        )
    if card.temperature == 1 and not of_hub:
        (folder / WEIGHTS).unlink()
        link(source / bundle.MODEL, folder / WEIGHTS)
    for name in BESIDE:
        link(source / name, folder / name)


def _exportable(network: "keras.Model", side: int) -> "keras.Model":
    """The network with one argument, the pixels: whoever calls the SavedModel would be asked for any other."""
    import keras
    import numpy as np

    class Exported(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def call(self, pixels):
            return self.network(pixels, training=False)

    made = Exported()
    made(np.zeros((1, side, side, 3), np.float32))
    return made


def put(client: MlflowClient, logged: LoggedModel, folder: Path, *, run_id: str) -> None:
    """Brings a packed model to where the store keeps it: moved on this machine, else uploaded."""
    described: Any = Model.load(str(folder / FILE))
    described.model_id, described.run_id, described.artifact_path = logged.model_id, run_id, logged.artifact_location
    (folder / FILE).unlink()
    described.save(str(folder / FILE))
    address = urlsplit(logged.artifact_location)
    if address.scheme not in ("", "file"):
        client.log_model_artifacts(logged.model_id, str(folder))
        return
    target = Path(url2pathname(address.path))
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            new = target / file.relative_to(folder)
            new.parent.mkdir(parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            link(file, new)


def remove(folder: Path) -> None:
    """Takes a packed model away."""
    shutil.rmtree(folder, ignore_errors=True)
