"""Whether every part of the program reads a picture alike, shown on real pictures and on awkward ones."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.bundle import Bundle
from pipeline.evaluation import calibration
from pipeline.inference.model_export import calibrated
from pipeline.inference.reading import predict_all, read_batches
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import pictures
from pipeline.training import hardware
from pipeline.training.batches import Batches, decode_all
from pipeline.training.doctor import FAIL, Finding, verdict

CHECK = "train, evaluate, identify and export read alike"
SAME = 1e-5  # of a probability
BATCH = 16


def read_alike(source: Bundle, paths: list[Path], folder: Path) -> Finding:
    """Reads the same pictures as each part of the program does, and asks the same network about them.

    Pixels must be equal bit by bit, probabilities up to rounding.

    Args:
      paths: of real pictures.
      folder: where the awkward ones are painted.
    """
    paths = [*paths, *awkward(folder)]
    read, failures = readings(paths, source.card.image_size, folder)
    mend = "every reader goes through pipeline.library.pictures.read; find the one that does not"
    if failures:
        return Finding(CHECK, FAIL, "; ".join(failures[:3]), "run `dvc repro` again")
    (first, expected), *others = read.items()
    for name, pixels in others:
        differ = [path for path, a, b in zip(paths, expected, pixels, strict=True) if not np.array_equal(a, b)]
        if differ:
            measured = f"{first} and {name} differ in {len(differ)} of {len(paths)} pictures, {differ[0]} for one"
            return Finding(CHECK, FAIL, measured, mend)
    said = answers(source, paths, expected)
    (first, probs), *others = said.items()
    difference, name = max((float(np.abs(probs - found).max()), name) for name, found in others)
    measured = f"{len(paths)} pictures, equal pixels; scores of {first} and {name} differ by {difference:.0e}"
    return verdict(CHECK, difference <= SAME, measured, "calibration or batching differs: see pipeline/inference")


def readings(paths: list[Path], image_size: int, folder: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Pixels (N, S, S, 3) as each part of the program reads them, and why a picture could not be read.

    A part that reads pictures of its own accord is named here.
    """
    found = list(read_batches(paths, (image_size,), BATCH))
    reasons = [reason for _, failures in found for reason in failures]
    failures = [f"{path}: {reason}" for path, reason in zip(paths, reasons, strict=True) if reason]
    if failures:
        return {}, failures
    decoded = decode_all(paths, image_size, folder / "alike.npy")
    batches = Batches(decoded, np.zeros(len(paths), int), num_classes=1, batch_size=BATCH)
    return {
        "train": np.concatenate([batches[number][0] for number in range(len(batches))]),
        "identify": np.concatenate([pixels for (pixels,), _ in found]),
    }, []


def answers(source: Bundle, paths: list[Path], pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Calibrated probabilities (N, C) as each part of the program asks the network for them."""
    batches = Batches(pixels, np.zeros(len(pixels), int), num_classes=1, batch_size=BATCH)
    runtime = KerasRuntime(source, BATCH)
    return {
        "train": calibration.scale(source.model.predict(hardware.feed(batches), verbose=0), source.card.temperature),
        "identify": np.concatenate([probs for probs, _ in predict_all(runtime, paths, BATCH)]),
        "export": calibrated(source).predict(pixels, batch_size=BATCH, verbose=0)["probs"],
    }


def awkward(folder: Path) -> list[Path]:
    """Paints pictures of the kinds that readers differ on."""
    folder.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    plain = Image.fromarray(coarse).resize((600, 400), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[pictures.ORIENTATION_TAG] = 6
    plain.save(folder / "on-its-side.jpg", exif=exif)
    plain.convert("CMYK").save(folder / "cmyk.jpg")
    plain.quantize(16).save(folder / "palette.png", transparency=0)
    Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 257).save(folder / "16-bit.png")
    return [folder / name for name in ("on-its-side.jpg", "cmyk.jpg", "palette.png", "16-bit.png")]
