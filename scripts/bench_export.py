#!/usr/bin/env python
"""Size and rate of a model in each format it can be exported to, against Keras.

    scripts/bench_export.py [BUNDLE]        (default data/model)

Exports the bundle in every format, checked on the workspace's pictures, and runs each on the same pixels: one picture
at a time, and 32. The rate is the best of several repetitions in one process, with the threads each runtime takes by
default.
"""

import time
from pathlib import Path

import harness
import numpy as np

from pipeline import bundle
from pipeline.commands.export import some_images
from pipeline.inference import model_export, model_formats
from pipeline.inference.model_formats import Predict
from pipeline.inference.reading import read_batches
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.workspace import Workspace

BATCHES = (1, 32)
SECONDS = 5.0


def main(folder: Path) -> None:
    source = bundle.load(folder)
    pictures = some_images(Workspace.find(), max(BATCHES))
    ((pixels,), _), *_ = read_batches(pictures, (source.card.image_size,), max(BATCHES))
    keras_mb = (folder / bundle.MODEL).stat().st_size / 1e6
    rates = [images_per_second(KerasRuntime(source, size).predict, pixels[:size]) for size in BATCHES]
    print(f"{'format':<12}{'MB':>7}{'difference':>12}{'images/s at 1':>15}{'at 32':>8}")
    print(f"{'Keras':<12}{keras_mb:>7.1f}{'':>12}{rates[0]:>15.0f}{rates[1]:>8.0f}", flush=True)
    with harness.scratch() as out:
        for name, format_ in model_formats.FORMATS.items():
            card = model_export.export(name, folder, out / name, pictures=pictures)
            predict = format_.load(out / name / format_.file)
            rates = [images_per_second(predict, pixels[:size]) for size in BATCHES]
            difference = card["check"]["max_difference"]
            row = f"{format_.title:<12}{card['bytes'] / 1e6:>7.1f}{difference:>12.1e}"
            print(f"{row}{rates[0]:>15.0f}{rates[1]:>8.0f}", flush=True)


def images_per_second(predict: Predict, pixels: np.ndarray) -> float:
    predict(pixels)  # the first call prepares
    best, until = 0.0, time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < until:
        predict(pixels)
        best = max(best, len(pixels) / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    main(harness.parser(__doc__, bundle=Path("data/model")).parse_args().bundle)
