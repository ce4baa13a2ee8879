#!/usr/bin/env python
"""Rate of training from JPEGs with augmentation, against the bare step and against the usual recipe.

    scripts/bench_training.py [--library FOLDER] [--rounds N] [--steps N] [PRESET[:IMAGE_SIZE] ...]

Takes a folder of pictures, a folder a class (by default it paints made-up JPEGs of 400 x 300 pixels), and trains the
presets (by default inception_v4_small and inception_v4_medium) in batches of 32, in turn:

* step: the compiled train step alone, fed with one batch held in memory;
* wallaby: `decode_all`, `Batches`, `Augmentation` and Keras' `fit`;
* wallaby, bf16: the same with `precision: mixed_bfloat16`, which `precision: auto` takes where it is faster;
* usual: `image_dataset_from_directory`, RandomFlip, RandomRotation and RandomZoom mapped over it, prefetched, `fit`,
  with the same compile arguments, in the same process;
* usual, alone: the same in a process of its own, which has none of the package's settings of TensorFlow;
* input: the batches of wallaby alone, without a network.

Each round times the second epoch of every way, so that whatever else the machine does meets all of them. A line is the
median of the rounds: milliseconds of wall and of processor time an image, images a second, and the rate's ratio to
`step` and to both `usual` of the same round.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import harness
import keras
import numpy as np
import tensorflow as tf

from pipeline import config, sections
from pipeline.models import presets
from pipeline.training import hardware
from pipeline.training.augmentation import Augmentation
from pipeline.training.batches import Batches, decode_all
from pipeline.training.fitting import Endless

BATCH_SIZE = 32
ROTATE_DEGREES, ZOOM = 10.0, 0.1
CLASSES = 20
READY = "READY"

Seconds = tuple[float, float]  # of wall and of processor time


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("presets", nargs="*", default=["inception_v4_small", "inception_v4_medium"])
    parser.add_argument("--library", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="steps an epoch, at most")
    parser.add_argument("--rival", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rival:
        answer(arguments.presets[0], arguments.library)
        return
    with harness.scratch() as folder:
        library = arguments.library or paint(folder / "library", arguments.steps * BATCH_SIZE)
        chosen = choose(library, arguments.steps * BATCH_SIZE, folder / "chosen")
        for case in arguments.presets:
            measure(case, chosen, folder, rounds=arguments.rounds)


def measure(case: str, library: Path, work: Path, *, rounds: int) -> None:
    preset = load_preset(case)
    names = sorted(folder.name for folder in library.iterdir())
    paths = sorted(library.glob("*/*"))
    start = time.perf_counter()
    decoded = decode_all(paths, preset.image_size, work / f"{case}.npy")
    decoding = (time.perf_counter() - start) / len(paths) * 1e3
    batches = Batches(
        decoded,
        np.array([names.index(path.parent.name) for path in paths]),
        num_classes=len(names),
        batch_size=BATCH_SIZE,
        augment=Augmentation(flip=True, rotate_degrees=ROTATE_DEGREES, zoom=ZOOM),
    )
    model, mixed = (compiled(preset, len(names), precision) for precision in hardware.PRECISIONS)
    rival = usual_recipe(library, preset.image_size)
    with other_process(case, library) as other:
        ways: dict[str, Callable[[], Seconds]] = {
            "step": lambda: bare_steps(model, batches),
            "wallaby": lambda: second_epoch(model, hardware.feed(Endless(batches)), steps_per_epoch=len(batches)),
            "wallaby, bf16": lambda: second_epoch(mixed, hardware.feed(Endless(batches)), steps_per_epoch=len(batches)),
            "usual": lambda: second_epoch(model, rival),
            "usual, alone": lambda: ask(other),
            "input": lambda: input_alone(batches),
        }
        for run in ways.values():
            run()  # traces what has to be traced
        times: dict[str, list[Seconds]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                times[way].append(run())
        other.terminate()
    print(f"\n{case}: {preset.image_size} pixels, {len(paths)} pictures, each decoded once, in {decoding:.2f} ms")
    print(f"{'':<14}{'wall ms':>9}{'cpu ms':>9}{'images/s':>10}{'/ step':>9}{'/ usual':>9}{'/ alone':>9}")
    for way, own in times.items():
        wall, cpu = (statistics.median(column) / len(paths) * 1e3 for column in zip(*own, strict=True))
        ratios = [
            f"{statistics.median(theirs[0] / ours[0] for theirs, ours in zip(times[rival], own, strict=True)):>9.2f}"
            for rival in ("step", "usual", "usual, alone")
        ]
        print(f"{way:<14}{wall:>9.3f}{cpu:>9.3f}{1e3 / wall:>10.0f}{''.join(ratios)}")
    sys.stdout.flush()


def bare_steps(model: keras.Model, batches: Batches) -> Seconds:
    one_batch = tf.data.Dataset.from_tensors(tuple(map(tf.constant, batches[0]))).repeat()
    iterator = iter(one_batch)
    model.make_train_function()
    start = time.perf_counter(), time.process_time()
    for _ in range(len(batches)):
        logs = model.train_function(iterator)
    float(logs["loss"])  # waits for the last step
    return since(start)


def second_epoch(model: keras.Model, data: object, **given: int) -> Seconds:
    clock = Clock()
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[clock], **given)
    return clock.seconds


def input_alone(batches: Batches) -> Seconds:
    start = time.perf_counter(), time.process_time()
    for number in range(len(batches)):
        batches[number]
    return since(start)


class Clock(keras.callbacks.Callback):
    """Keeps the seconds of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds = since(self._start)


def since(start: Seconds) -> Seconds:
    return time.perf_counter() - start[0], time.process_time() - start[1]


def load_preset(case: str) -> sections.Preset:
    name, _, side = case.partition(":")
    preset = config.load_preset(name)
    return preset.model_copy(update={"image_size": int(side or preset.image_size)})


def compiled(preset: sections.Preset, num_classes: int, precision: str = "float32") -> keras.Model:
    model = hardware.twin(presets.build(preset, num_classes, seed=0), precision=precision)
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-4),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy"],
        jit_compile=False,  # Keras' default would make the rival slower
    )
    return model


def usual_recipe(library: Path, image_size: int) -> tf.data.Dataset:
    pictures = keras.utils.image_dataset_from_directory(
        library,
        label_mode="categorical",
        image_size=(image_size, image_size),
        batch_size=BATCH_SIZE,
        seed=0,
        verbose=False,
    )
    layers = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomRotation(ROTATE_DEGREES / 360),
        keras.layers.RandomZoom(ZOOM),
    ]
    augment = keras.Sequential(layers)
    augmented = pictures.map(lambda x, y: (augment(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
    return augmented.prefetch(tf.data.AUTOTUNE)


def other_process(case: str, library: Path) -> subprocess.Popen:
    """The usual recipe, waiting for `ask`."""
    return subprocess.Popen(
        [sys.executable, __file__, "--rival", "--library", str(library), case],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"TF_CPU_ALLOCATOR_USE_BFC": "false"},  # TensorFlow's default, which the package changes
    )


def ask(other: subprocess.Popen) -> Seconds:
    assert other.stdin
    assert other.stdout
    print(READY, file=other.stdin, flush=True)
    wall, cpu = map(float, other.stdout.readline().split())
    return wall, cpu


def answer(case: str, library: Path) -> None:
    preset = load_preset(case)
    rival = usual_recipe(library, preset.image_size)
    model = compiled(preset, len(list(library.iterdir())))
    for _ in sys.stdin:
        print(*second_epoch(model, rival), flush=True)


def choose(library: Path, number: int, folder: Path) -> Path:
    """Links whole batches of the library's pictures, drawn evenly from all of it."""
    files = [path for path in sorted(library.rglob("*")) if path.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    number = min(number, len(files)) // BATCH_SIZE * BATCH_SIZE
    for i in np.linspace(0, len(files) - 1, number).astype(int):
        link = folder / files[i].relative_to(library).parts[0] / f"{i:06d}{files[i].suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(files[i].absolute())
    return folder


def paint(folder: Path, number: int) -> Path:
    for i in range(number):
        place = folder / f"class{i % CLASSES:02d}" / f"{i:05d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(harness.photograph(i, (400, 300), quality=85))
    return folder


if __name__ == "__main__":
    main()
