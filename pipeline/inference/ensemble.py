"""Ensembles: further bundles whose calibrated probabilities are averaged with the model's."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import bundle
from pipeline.bundle import Bundle, Stored
from pipeline.errors import DataError, LeakageError, UsageError
from pipeline.evaluation import calibration, ensembling
from pipeline.inference.runtimes import Runtime
from pipeline.library import lineage

SHARED = 2  # classes that a further bundle must share with the model to have a say
DIGITS = 12  # of a digest in an advice


class Ensemble:
    """Several runtimes, each on pictures of its own size; the classes are those of the first.

    Args:
      temperature: of what they say together (`ensembling.temperature`).
    """

    def __init__(self, members: list[Runtime], temperature: float = 1.0):
        self._members, self._temperature = members, temperature
        self.classes = self._members[0].classes
        self.image_sizes = tuple(sorted({size for member in self._members for size in member.image_sizes}))
        self.model = ensembling.AND.join(member.model for member in self._members)
        self.key = key([member.key for member in self._members], temperature)

    def predict(self, *pixels: np.ndarray) -> np.ndarray:
        """Returns the mean (N, C) of the members' calibrated probabilities (`ensembling.average`), calibrated."""
        return self._average([member.predict(*self._own(member, pixels)) for member in self._members])

    def predict_with_features(self, *pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `predict`, and the first member's features (N, F)."""
        first, *others = self._members
        probs, features = first.predict_with_features(*self._own(first, pixels))
        return self._average([probs, *(member.predict(*self._own(member, pixels)) for member in others)]), features

    def _own(self, member: Runtime, pixels: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        at = dict(zip(self.image_sizes, pixels, strict=True))
        return [at[size] for size in member.image_sizes]

    def _average(self, probs: list[np.ndarray]) -> np.ndarray:
        mean = ensembling.average(probs, [member.classes for member in self._members])
        return mean if self._temperature == 1 else calibration.scale(mean, self._temperature)


def key(members: Sequence[str], temperature: float = 1.0) -> str:
    """The key of the predictions of one model, or of several together at a temperature, by those of the members."""
    return ensembling.AND.join(members) + (f" together at {temperature}" if temperature != 1 else "")


def load(model: Bundle | Stored, further: Sequence[Bundle | Stored], batch_size: int) -> Runtime:
    """Keras running the model, or the ensemble with `further`."""
    from pipeline.inference.runtimes.keras import KerasRuntime

    members: list[Runtime] = [KerasRuntime(member, batch_size) for member in [model, *further]]
    return Ensemble(members) if further else members[0]


def load_further(named: Mapping[str, str], model: Bundle | Stored, *, home: Path, where: str) -> list[Stored]:
    """Reads the bundles that are ensembled with `model`.

    Args:
      named: the digest of its model, or the beginning of it, by a bundle's folder. The digest is what DVC sees: a
        folder of another content would else pass for the old one.
      home: where relative folders count from.
      where: the key of the params.

    Raises:
      UsageError: if a folder holds another model than named, or one that is in the ensemble already.
      LeakageError: if a bundle comes from a throw-away run.
      DataError: if a bundle is incomplete, or shares no classes with `model`.
    """
    found: list[Stored] = []
    for name, digest in sorted(named.items()):
        folder = home / Path(name).expanduser()
        card = bundle.check(folder)
        mend = f'write {where}: {{{name}: "{card.model_digest[:DIGITS]}"}}'
        if not digest:
            raise UsageError("the digest of the bundle's model is missing", where=f"{where}, {name}", mend=mend)
        if not card.model_digest.startswith(digest):
            raise UsageError(f"{name} holds another model than {digest}", where=where, mend=f"if it is meant, {mend}")
        if card.model_digest in {other.card.model_digest for other in [model, *found]}:
            raise UsageError(f"the model of {name} is in the ensemble already", where=where, mend="take it out")
        if card.throwaway:
            raise LeakageError("a throw-away model is in no ensemble", where=f"{where}, {name}", mend="take it out")
        member = Stored(folder)
        shared = set(member.classes) & set(model.classes)
        if len(shared) < SHARED:
            raise DataError(
                f"{name} shares {len(shared)} of its {len(member.classes)} classes with the model: it has no say",
                where=where,
                mend="take it out",
            )
        found.append(member)
    return found


def refuse_leakage(
    rows: pd.DataFrame, further: Sequence[Bundle | Stored], *, near_duplicate_distance: int, where: str
) -> None:
    """Raises LeakageError if a further bundle has learnt from an image that today's `rows` measure, or the reverse."""
    for member in further:
        found = lineage.overlaps(rows, member.lineage, near_duplicate_distance=near_duplicate_distance)
        if len(found):
            some = "; ".join(f"{row.image} ({row.role} -> {row.set})" for row in found.head(3).itertuples())
            raise LeakageError(
                f"{found['image'].nunique()} images changed sides since model {member.card.model_digest[:DIGITS]} saw"
                " them: the ensemble's scores would lie",
                where=some,
                mend=f"take it out of {where}; only models of one lineage can be measured together",
            )
