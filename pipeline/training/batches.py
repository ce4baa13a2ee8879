"""Batches of pictures for the network: decoded once into a file, augmented anew each epoch."""

import math
import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
from numpy.lib.format import open_memmap

from pipeline.errors import DataError, from_os_error
from pipeline.library import pictures
from pipeline.progress import track
from pipeline.training.augmentation import Augmentation


def decode_all(paths: list[Path], image_size: int, out: Path) -> np.ndarray:
    """Reads every picture into one array on disk: uint8 (N, image_size, image_size, 3), in the order of `paths`.

    Once it is whole, it is not read again: `out` belongs to these very pictures.

    Raises:
      DataError: if a picture can no longer be read.
    """

    def read(item: tuple[int, Path]) -> None:
        position, path = item
        try:
            decoded[position] = pictures.read(path, image_size)
        except pictures.PictureError as reason:
            raise DataError(
                f"a picture changed since it was indexed: {reason}", where=path, mend="run `dvc repro` again"
            ) from None

    if out.exists():
        return np.load(out, mmap_mode="r")
    shape = (len(paths), image_size, image_size, 3)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".part")
    try:
        if hasattr(os, "posix_fallocate"):  # else a full disk would end the process when a page is written
            with partial.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, 128 + int(np.prod(shape)))
        decoded = open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    except OSError as error:
        partial.unlink(missing_ok=True)
        error.filename = str(partial)
        raise from_os_error(error) from error
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for _ in track("decode", workers.map(read, enumerate(paths)), len(paths)):
            pass
    decoded.flush()
    partial.replace(out)
    return decoded


class Batches(keras.utils.PyDataset):
    """Pixels, uint8 (B, S, S, 3), which the network casts itself, and one-hot targets, float32 (B, C).

    An epoch is cut evenly, into batches of at most `batch_size`: a rest of two pictures would have its own batch
    statistics, and one step with these can undo what an epoch has learnt.

    With `augment`, each epoch has its own order and augmentation, both functions of the seed and the epoch alone, so
    that training resumed at any epoch sees what it would have seen.
    """

    def __init__(
        self,
        decoded: np.ndarray,
        targets: np.ndarray,
        *,
        num_classes: int,
        batch_size: int,
        seed: int = 0,
        augment: Augmentation | None = None,
        no_flip: Collection[int] = (),
        balance: bool = False,
    ):
        """Takes the images and targets that each epoch is cut from.

        Args:
          decoded: uint8 (N, S, S, 3).
          targets: class index of each image (N,).
          no_flip: indices of the classes whose images are never mirrored.
          balance: draw every class equally often in an epoch of N images: of a large class a part, which changes from
            epoch to epoch, of a small one each image several times, augmented differently.

        Raises:
          DataError: if an image has no class index (-1).
        """
        # No workers: more threads than the network's would take turns with it. Keras asks for batches one step ahead.
        super().__init__(workers=0)
        unknown = int((np.asarray(targets) < 0).sum())
        if unknown:  # NumPy would take -1 for the last class
            raise DataError(f"{unknown} pictures have a class that no training picture has", mend="label more of it")
        self._decoded, self._targets = np.asarray(decoded), np.asarray(targets)  # a plain view: memmap is slow to index
        self._one_hot = np.eye(num_classes, dtype=np.float32)
        self._batch_size, self._seed, self._augment = batch_size, seed, augment
        self._may_flip = ~np.isin(self._targets, list(no_flip))
        self._balance = balance
        self._epoch = -1
        self.of_epoch(0)

    def of_epoch(self, epoch: int) -> "Batches":
        """These batches in the order and augmentation of `epoch`, counted from 0."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = self._draw_order()
        return self

    @property
    def images(self) -> int:
        """How many pictures an epoch has."""
        return len(self._decoded)

    def __len__(self) -> int:
        return math.ceil(self.images / self._batch_size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        start, end = (turn * self.images // len(self) for turn in (number, number + 1))
        chosen = self._order[start:end]
        pixels = np.empty((len(chosen), *self._decoded.shape[1:]), np.uint8)
        for place, position in enumerate(chosen):
            pixels[place] = self._picture(position, start + place)
        return pixels, self._one_hot[self._targets[chosen]]

    def _draw_order(self) -> np.ndarray:
        """The positions of the pictures in the epoch's order."""
        random = np.random.default_rng([self._seed, self._epoch])
        if self._balance:
            return balanced_order(self._targets, random)
        if self._augment is None:
            return np.arange(len(self._decoded))
        return random.permutation(len(self._decoded))

    def _picture(self, position: int, turn: int) -> np.ndarray:
        picture = self._decoded[position]
        if self._augment is None:
            return picture
        # The turn, not the position: with `balance`, a picture may come twice in an epoch.
        return self._augment(picture, (self._seed, self._epoch, turn), may_flip=bool(self._may_flip[position]))


def balanced_order(targets: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draws as many positions as there are targets, in random order, every class equally often but for a rest of one.

    A class has all its pictures drawn before any of them comes again.
    """
    classes = random.permutation(np.unique(targets))
    quotas = len(targets) // len(classes) + (np.arange(len(classes)) < len(targets) % len(classes))
    drawn = []
    for label, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(targets == label)
        rounds = [random.permutation(members) for _ in range(math.ceil(quota / len(members)))]
        drawn.append(np.concatenate(rounds or [members])[:quota])
    return random.permutation(np.concatenate(drawn))
