#!/usr/bin/env python
"""Every network from random weights to every format: built, trained a step, saved, read again, exported, compared.

    scripts/bench_networks.py PICTURES [PRESET ...]        (default: all presets that need no download)

PICTURES is a folder of class folders, read as training reads it. A network is trained for one step on a batch of
them, saved as a bundle, read again (its probabilities must be the same, bit for bit), and exported in every format;
what each says of the pictures is compared with Keras. A row a network: seconds of the step, once it is compiled, MB
of the bundle's model, and of each format MB and the greatest difference of a probability. Training and each export have
a process of their own, as they have in use: what one holds in memory is not the next one's.
"""

import time
from pathlib import Path

import harness
import keras
import numpy as np

from pipeline import bundle, config
from pipeline.errors import WallabyError, run
from pipeline.inference import model_export, model_formats
from pipeline.library import lineage, pictures
from pipeline.models import presets

BATCH = 8
PICTURES = 16
NEEDS_A_MODULE = {"hub"}


def main(library: Path, names: list[str]) -> None:
    classes = sorted(folder.name for folder in library.iterdir() if folder.is_dir())
    found = sorted(path for path in library.glob("*/*") if pictures.looks_like_one(path))
    chosen = [found[place] for place in np.linspace(0, len(found) - 1, PICTURES).astype(int)]
    titles = [format_.title for format_ in model_formats.FORMATS.values()]
    print(f"{'network':<20}{'step s':>8}{'MB':>8}  {'reloaded':<10}" + "".join(f"{title:>20}" for title in titles))
    for name in names or [name for name in config.presets() if name not in NEEDS_A_MODULE]:
        with harness.scratch() as folder:
            first = harness.apart(trained, name, classes, chosen, folder)
            cells = [harness.apart(exported, format_, folder, chosen) for format_ in model_formats.FORMATS]
            print(first + "".join(f"{cell:>20}" for cell in cells), flush=True)


def trained(name: str, classes: list[str], chosen: list[Path], folder: Path) -> str:
    """Trains a network one step and writes it as a bundle to `folder`; the row's first part."""
    preset = config.load_preset(name)
    model = presets.build(preset, len(classes), seed=0)
    pixels = np.stack([pictures.read(path, preset.image_size) for path in chosen])
    targets = np.eye(len(classes), dtype=np.float32)[[classes.index(path.parent.name) for path in chosen]]
    seconds = train_a_step(model, pixels[:BATCH], targets[:BATCH])
    card = bundle.Card(preset=name, image_size=preset.image_size)
    bundle.save(bundle.Bundle(model, classes, card, lineage.empty()), folder / "bundle")
    before = model.predict(pixels, batch_size=BATCH, verbose=0)
    after = bundle.load(folder / "bundle").model.predict(pixels, batch_size=BATCH, verbose=0)
    reloaded = "equal" if np.array_equal(before, after) else f"{np.abs(before - after).max():.1e}"
    size = (folder / "bundle" / bundle.MODEL).stat().st_size / 1e6
    return f"{name:<20}{seconds:>8.2f}{size:>8.1f}  {reloaded:<10}"


def train_a_step(model: keras.Model, pixels: np.ndarray, targets: np.ndarray) -> float:
    """Trains one step; returns the seconds of a second one, which needs no compiling. The loss must be a number."""
    model.compile(optimizer=keras.optimizers.AdamW(1e-4), loss="categorical_crossentropy", jit_compile=False)
    model.train_on_batch(pixels, targets)
    start = time.perf_counter()
    loss = float(model.train_on_batch(pixels, targets))
    if not np.isfinite(loss):
        raise SystemExit(f"{model.name}: the loss is {loss}")
    return time.perf_counter() - start


def exported(name: str, folder: Path, chosen: list[Path]) -> str:
    try:
        card = model_export.export(name, folder / "bundle", folder / name, pictures=chosen)
    except WallabyError as error:
        return error.what[:19]
    return f"{card['bytes'] / 1e6:.1f} MB {card['check']['max_difference']:.1e}"


if __name__ == "__main__":
    parser = harness.parser(__doc__)
    parser.add_argument("library", metavar="PICTURES", type=Path)
    parser.add_argument("names", metavar="PRESET", nargs="*")
    run(lambda: main(**vars(parser.parse_args())))
