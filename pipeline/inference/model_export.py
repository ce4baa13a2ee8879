"""Export: a bundle's model for other programs, held against Keras on real pictures before it is written.

The graph takes pixels as `pictures.read` gives them, uint8 (N, S, S, 3) in RGB, and returns the calibrated
probabilities (N, C) that `identify` writes: scaling and temperature are inside. Whole numbers, so that nobody can scale
them twice.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import bundle
from pipeline.bundle import Bundle, Card
from pipeline.errors import DataError, UsageError, WallabyError
from pipeline.evaluation import calibration
from pipeline.files import atomic_folder, read_json, write_json, write_text
from pipeline.inference import model_formats
from pipeline.inference.model_formats import Format, Predict
from pipeline.inference.reading import read_batches
from pipeline.inference.runtimes.keras import KerasRuntime

if TYPE_CHECKING:
    import keras

LIMIT = 1e-4  # a probability may differ from Keras' by this much
BATCH = 8
EXPORTED = "format"  # the key of a card by which a folder is known for an export


@dataclass(frozen=True)
class Check:
    """What the comparison with Keras found.

    Attributes:
      pictures: how many were compared.
      max_difference: the greatest of a probability.
      agreement: share of the pictures that are given the same class.
      limit: that of the difference.
    """

    pictures: int
    max_difference: float
    agreement: float
    limit: float


def export(name: str, model: Path, out: Path, *, pictures: list[Path], limit: float = LIMIT) -> dict[str, Any]:
    """Writes the model of a bundle in the format `name`, if it says what Keras says of `pictures`; returns its card.

    The folder `out` gets the model, `classes.txt` and `card.json`; class list and card are inside the model too.

    Raises:
      UsageError: for an unknown format, what is not installed, or a folder that holds something else.
      DataError: if the bundle has no classes, no picture can be read, or the check fails; then nothing is written.
    """
    format_ = model_formats.find(name)
    refuse_another_s_folder(out)
    source = bundle.load(model)
    if not source.classes:
        raise DataError("a base that has seen nothing has no classes to tell", where=model, mend="train it first")
    card = describe(name, source.card, len(source.classes))
    classes = "".join(f"{label}\n" for label in source.classes)
    with atomic_folder(out) as new:
        written = new / format_.file
        with _held(format_, source):
            format_.write(calibrated(source), written)
            inside = {bundle.CLASSES: classes, bundle.CARD: json.dumps(card, indent=2, sort_keys=True)}
            format_.describe(written, inside)
            checked = compare(format_.load(written), source, pictures, limit=limit)
        size = sum(file.stat().st_size for file in [written, *written.rglob("*")] if file.is_file())
        card |= {"bytes": size, "check": asdict(checked)}
        write_text(classes, new / bundle.CLASSES)
        write_json(card, new / bundle.CARD)
    return card


@contextmanager
def _held(format_: Format, source: Bundle) -> Iterator[None]:
    try:
        yield
    except (OSError, MemoryError, WallabyError):
        raise
    except Exception as error:  # converters and runtimes raise many kinds
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{format_.title} cannot hold this network: {reason}", where=source.card.preset, mend="try another format"
        ) from error


def calibrated(source: Bundle) -> "keras.Model":
    """The bundle's network from uint8 pixels (N, S, S, 3) to calibrated probabilities (N, C)."""
    from pipeline.models import keras

    size = source.card.image_size
    pixels = keras.Input((size, size, 3), dtype="uint8", name="pixels")
    probs = source.model(keras.ops.cast(pixels, "float32"))
    logits = keras.ops.log(keras.ops.maximum(probs, calibration.TINY)) / source.card.temperature
    scaled = keras.layers.Softmax(dtype="float32", name="probs")(logits)
    return keras.Model(pixels, {"probs": scaled}, name="calibrated")  # named: so it is called in every format


def compare(predict: Predict, source: Bundle, pictures: list[Path], *, limit: float) -> Check:
    """Holds what `predict` says of real pictures against what `identify` would.

    Raises:
      DataError: naming the picture with the greatest difference, if that is above `limit` or its class another.
    """
    runtime = KerasRuntime(source, BATCH)
    differences, same, compared = [], [], []
    for batch, (pixels,) in _readable(pictures, source.card.image_size):
        expected, found = runtime.predict(pixels), predict(pixels)
        differences.append(np.abs(expected - found).max(axis=1))
        same.append(expected.argmax(axis=1) == found.argmax(axis=1))
        compared += batch
    difference, agrees = np.concatenate(differences), np.concatenate(same)
    wrong = ~agrees | ~(difference <= limit)  # also where it is no number
    if wrong.any():
        worst = int(np.argmax(np.where(wrong, np.nan_to_num(difference, nan=np.inf), -1)))
        other = "" if agrees[worst] else ", and are led by another class"
        raise DataError(
            f"{int(wrong.sum())} of {len(wrong)} pictures get other scores than from Keras: the worst differ by"
            f" {difference[worst]:.2g}{other}",
            where=compared[worst],
            mend=f"nothing is written: at most {limit:g} and the same class are allowed; try another format",
        )
    return Check(len(compared), float(difference.max()), float(agrees.mean()), limit)


def describe(name: str, card: Card, num_classes: int) -> dict[str, Any]:
    """What travels with an export: what goes in, what comes out, and which model it is."""
    size = card.image_size
    return {
        EXPORTED: name,
        "input": f"pixels: uint8 (N, {size}, {size}, 3), RGB, 0 to 255",
        "output": f"probs: float32 (N, {num_classes}), calibrated, in the order of classes.txt",
        "image_size": size,
        "preprocessing": card.preprocessing,
        "temperature": card.temperature,
        "temperature_is_inside": True,
        "model_digest": card.model_digest,
        "preset": card.preset,
        "round": card.round,
        "throwaway": card.throwaway,
        "usage": model_formats.FORMATS[name].usage.format(path=model_formats.FORMATS[name].file),
    }


def refuse_another_s_folder(out: Path) -> None:
    """Raises UsageError if `out` holds something that is no export: it would be replaced as a whole."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    card = out / bundle.CARD
    if not (card.is_file() and EXPORTED in read_json(card)):
        raise UsageError("the folder holds something else than an export", where=out, mend="name another with --out")


def _readable(pictures: list[Path], image_size: int) -> Iterator[tuple[list[Path], list[np.ndarray]]]:
    read, reason = 0, ""
    for number, (pixels, failures) in enumerate(read_batches(pictures, (image_size,), BATCH)):
        batch = pictures[number * BATCH : (number + 1) * BATCH]
        kept = [path for path, failure in zip(batch, failures, strict=True) if not failure]
        reason = next(filter(None, failures), reason)
        read += len(kept)
        if kept:
            yield kept, pixels
    if not read:
        raise DataError(
            f"not one of {len(pictures)} pictures to check with can be read: {reason}", mend="run `dvc repro` again"
        )
