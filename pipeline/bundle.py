"""A bundle: a model with all it needs. A folder that holds

    model.keras       the network, its pixel scaling inside
    classes.txt       one class a line, in the order of the head's outputs
    card.json         what the model is and where it comes from
    lineage.parquet   every image that it or an ancestor has seen, and in which role

A model never travels without the other three. Reading a card or a lineage does not import Keras.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.errors import DataError
from pipeline.files import atomic_folder, digest, read_json, read_table, write_json, write_table, write_text
from pipeline.library.pictures import PREPROCESSING

if TYPE_CHECKING:
    import keras

MODEL, CLASSES, CARD, LINEAGE = "model.keras", "classes.txt", "card.json", "lineage.parquet"
FILES = (MODEL, CLASSES, CARD, LINEAGE)


@dataclass(frozen=True)
class Card:
    """What a model is and where it comes from.

    Attributes:
      preset: the file of `configs/models/` it was built from.
      image_size: side of the square input, in pixels.
      preprocessing: which reading of a picture it was trained with.
      round: 0 for a base that has seen nothing.
      throwaway: trained by an experiment; never a base, never a champion.
      temperature: divides the logits before the softmax, so that scores are calibrated (Guo et al. 2017).
      model_digest: SHA-256 of `model.keras`; it names the model version.
      parent_digest: that of the base.
      data_digest: SHA-256 of the splits table it was trained on.
      run_id: of its MLflow run.
      training: epochs, seconds and the like, for people.
    """

    preset: str
    image_size: int
    preprocessing: str = PREPROCESSING
    round: int = 0
    throwaway: bool = False
    temperature: float = 1.0
    model_digest: str = ""
    parent_digest: str = ""
    data_digest: str = ""
    run_id: str = ""
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    model: "keras.Model"
    classes: list[str]
    card: Card
    lineage: pd.DataFrame


def save(bundle: Bundle, folder: Path) -> Card:
    """Writes the bundle as a whole or not at all; returns its card, the model's digest filled in."""
    with atomic_folder(folder) as new:
        bundle.model.save(new / MODEL)
        card = replace(bundle.card, model_digest=digest(new / MODEL))
        write_text("".join(f"{name}\n" for name in bundle.classes), new / CLASSES)
        write_table(bundle.lineage, new / LINEAGE)
        write_json(asdict(card), new / CARD)
    return card


def load(folder: Path) -> Bundle:
    """Reads a bundle, its model without optimiser.

    Raises:
      DataError: if the bundle is incomplete, changed, or expects another reading of pictures.
    """
    card = check(folder)
    if digest(folder / MODEL) != card.model_digest:
        raise DataError("the model is not the one its card describes", where=folder / MODEL, mend=_mend(folder))
    from pipeline.models import keras

    try:
        model = keras.saving.load_model(folder / MODEL, compile=False)
    except (ValueError, TypeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"Keras cannot read the model: {reason}", where=folder / MODEL) from error
    classes, outputs = read_classes(folder), model.output_shape[-1]
    if classes and len(classes) != outputs:  # a base that has seen nothing has no classes
        raise DataError(f"{len(classes)} classes for {outputs} outputs", where=folder / CLASSES, mend=_mend(folder))
    return Bundle(model, classes, card, read_table(folder / LINEAGE))


def check(folder: Path) -> Card:
    """Returns the card of a complete bundle.

    Raises:
      DataError: naming the file that is missing or does not fit.
    """
    if not folder.is_dir():
        raise DataError("there is no bundle", where=folder, mend=_mend(folder))
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise DataError(f"the bundle is incomplete: {', '.join(missing)} missing", where=folder, mend=_mend(folder))
    values = read_json(folder / CARD)
    unknown = set(values) ^ {f.name for f in fields(Card)}
    if unknown:
        raise DataError(
            f"the card has other keys than expected: {', '.join(sorted(unknown))}",
            where=folder / CARD,
            mend=_mend(folder),
        )
    card = Card(**values)
    if card.preprocessing != PREPROCESSING:
        raise DataError(
            f"the model was trained with another reading of pictures, {card.preprocessing} and not {PREPROCESSING}",
            where=folder / CARD,
            mend="use the version of this program that trained it, or start again from `wallaby init-base`",
        )
    return card


def read_classes(folder: Path) -> list[str]:
    return (folder / CLASSES).read_text(encoding="utf-8").splitlines()


def _mend(folder: Path) -> str:
    if folder.name == "base":
        return "`git checkout data/base.dvc; dvc checkout data/base.dvc`, or `wallaby init-base` for round 0"
    return f"`dvc checkout` brings {folder} back"
