"""A bundle: a model with all it needs. A folder that holds

    model.keras       the network, its pixel scaling inside
    classes.txt       one class a line, in the order of the head's outputs
    card.json         what the model is and where it comes from
    lineage.parquet   every image that it or an ancestor has seen, and in which role
    hub/              the SavedModel of a network built on a TensorFlow Hub module: its graph, whose weights of today
                      are those in model.keras

A model never travels without the others. Reading a card or a lineage does not import Keras.
"""

import json
import shutil
import zipfile
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.errors import DataError
from pipeline.files import atomic_folder, digest, read_json, write_json, write_table, write_text
from pipeline.library import lineage as lineages
from pipeline.library.pictures import PREPROCESSING

if TYPE_CHECKING:
    import keras

MODEL, CLASSES, CARD, LINEAGE = "model.keras", "classes.txt", "card.json", "lineage.parquet"
FILES = (MODEL, CLASSES, CARD, LINEAGE)
HUB = "hub"
METADATA = "metadata.json"  # of a `.keras` archive: the version of Keras, and when it was saved
PIECE = 1 << 24  # bytes copied at once
RECIPE = "recipe.json"  # beside the bundle of a round's model: every setting of its training


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
      training: epochs, seconds, when it began and the like, for people.
      pretrained: what the weights had learnt before round 1 (`imagenet`, `hub:...`, `FILE.safetensors`); empty for
        nothing. Descendants inherit it.
      hub_digest: names the SavedModel in `hub/`; empty for a network that needs none.
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
    pretrained: str = ""
    hub_digest: str = ""


@dataclass(frozen=True)
class Bundle:
    model: "keras.Model"
    classes: list[str]
    card: Card
    lineage: pd.DataFrame

    @property
    def has_learnt(self) -> bool:
        """Whether its weights know anything that a high learning rate would forget."""
        return _has_learnt(self.card, self.lineage)


class Stored:
    """A complete bundle in its folder: Keras reads the model when it is first asked for, which takes seconds.

    Raises:
      DataError: if the bundle is incomplete, changed, or expects another reading of pictures.
    """

    def __init__(self, folder: Path):
        self.folder, self.card, self.classes = folder, check(folder), read_classes(folder)
        if digest(folder / MODEL) != self.card.model_digest:
            raise DataError("the model is not the one its card describes", where=folder / MODEL, mend=_mend(folder))

    @cached_property
    def model(self) -> "keras.Model":
        """Without optimiser.

        Raises:
          DataError: if Keras cannot read it, or it does not fit the classes.
        """
        from pipeline.models import hub_layer, keras

        folder, module = self.folder, self.card.hub_digest
        if module and hub_layer.register(folder / HUB) != module:
            raise DataError("the SavedModel is not the one the card describes", where=folder / HUB, mend=_mend(folder))
        try:
            model = keras.saving.load_model(folder / MODEL, compile=False)
        except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"Keras cannot read the model: {reason}", where=folder / MODEL) from error
        self.refuse_other_outputs(model.output_shape[-1])
        return model

    @cached_property
    def lineage(self) -> pd.DataFrame:
        return lineages.read(self.folder / LINEAGE)

    def refuse_other_outputs(self, outputs: int) -> None:
        """Raises DataError if that many outputs are not those of the classes."""
        if self.classes and len(self.classes) != outputs:  # a base that has seen nothing has no classes
            raise DataError(
                f"{len(self.classes)} classes for {outputs} outputs",
                where=self.folder / CLASSES,
                mend=_mend(self.folder),
            )


def save(bundle: Bundle, folder: Path) -> Card:
    """Writes the bundle as a whole or not at all; returns its card, the digests filled in."""
    from pipeline.models import hub_layer

    with atomic_folder(folder) as new:
        bundle.model.save(new / MODEL)
        _leave_out_dates(new / MODEL)
        hub_digest = hub_layer.module_of(bundle.model)
        if hub_digest:
            source = hub_layer.locate(hub_digest)
            _copy(hub_layer.files(source), source, new / HUB)
        card = replace(bundle.card, model_digest=digest(new / MODEL), hub_digest=hub_digest)
        write_text("".join(f"{name}\n" for name in bundle.classes), new / CLASSES)
        write_table(bundle.lineage, new / LINEAGE)
        write_json(asdict(card), new / CARD)
    return card


def load(folder: Path) -> Bundle:
    """Reads a bundle, its model without optimiser.

    Raises:
      DataError: if the bundle is incomplete, changed, or expects another reading of pictures.
    """
    stored = Stored(folder)
    return Bundle(stored.model, stored.classes, stored.card, stored.lineage)


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
    card = _card(values, folder)
    if card.hub_digest and not (folder / HUB / "saved_model.pb").is_file():
        raise DataError(f"the bundle is incomplete: {HUB}/saved_model.pb missing", where=folder, mend=_mend(folder))
    if card.preprocessing != PREPROCESSING:
        raise DataError(
            f"the model was trained with another reading of pictures, {card.preprocessing} and not {PREPROCESSING}",
            where=folder / CARD,
            mend="use the version of this program that trained it, or start again from `wallaby init-base`",
        )
    return card


def copy(folder: Path, new: Path) -> None:
    """Copies a complete bundle's files, and none that lie beside them, into the folder `new`."""
    _copy([folder / name for name in FILES], folder, new)
    _copy([path for path in (folder / HUB).rglob("*") if path.is_file()], folder, new)


def has_learnt(folder: Path) -> bool:
    """As `Bundle.has_learnt`, of a bundle whose model is not loaded."""
    return _has_learnt(check(folder), lineages.read(folder / LINEAGE))


def _has_learnt(card: Card, seen: pd.DataFrame) -> bool:
    return bool(card.pretrained) or not seen.empty


def read_classes(folder: Path) -> list[str]:
    return (folder / CLASSES).read_text(encoding="utf-8").splitlines()


def _card(values: dict[str, Any], folder: Path) -> Card:
    """Keys that have a default may be missing: bundles of earlier years have fewer."""
    if not isinstance(values, dict):
        raise DataError("the card is not a JSON object", where=folder / CARD, mend=_mend(folder))
    required = {key.name for key in fields(Card) if key.default is MISSING and key.default_factory is MISSING}
    wrong = set(values) - {key.name for key in fields(Card)} | required - set(values)
    if wrong:
        raise DataError(
            f"the card has other keys than expected: {', '.join(sorted(wrong))}",
            where=folder / CARD,
            mend=_mend(folder),
        )
    return Card(**values)


def _leave_out_dates(model: Path) -> None:
    """Writes a `.keras` archive again without the time of its making: equal weights give equal bytes."""
    dated = model.with_suffix(".dated")
    model.rename(dated)
    with zipfile.ZipFile(dated) as before, zipfile.ZipFile(model, "w") as after:
        for name in sorted(before.namelist()):
            member = zipfile.ZipInfo(name)  # of 1980, where time begins for this format
            member.file_size = before.getinfo(name).file_size  # beyond 2 GB, the header must say so first
            with before.open(name) as source, after.open(member, "w") as target:
                if name == METADATA:
                    target.write(json.dumps(json.load(source) | {"date_saved": ""}, sort_keys=True).encode())
                else:
                    shutil.copyfileobj(source, target, PIECE)
    dated.unlink()


def _copy(files: list[Path], folder: Path, new: Path) -> None:
    for file in files:
        target = new / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)  # the bytes alone: DVC's links are read-only


def _mend(folder: Path) -> str:
    if folder.name == "base":
        return "`git checkout data/base.dvc; dvc checkout data/base.dvc`, or `wallaby init-base` for round 0"
    return f"`dvc checkout` brings {folder} back"
