#!/usr/bin/env python
"""The resume proof: a training killed at random moments, ten times, against one that nobody disturbed.

    scripts/bench_resume.py [KILLS] [PRESET]

Both train the preset on the same made-up pictures, with averages, warm-up and a warm-up of the head, each in processes
of its own; a kill is SIGKILL, half of them around a checkpoint's write, half anywhere in an epoch or later.
Prints what the two have in common and where they differ; ends with 1 if they differ.
"""

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd

MEASURED = ["seconds", "images_per_second"]
FIT: dict[str, Any] = {
    "max_epochs": 14,
    "learning_rate": 0.002,
    "weight_decay": 0.001,
    "label_smoothing": 0.1,
    "lr_patience": 1,
    "patience": 14,
    "min_delta": 0.01,
    "ema": 0.9,
    "warmup_epochs": 1.5,
    "head_warmup_epochs": 1,
    "body_rate": 0.5,
}


def main(kills: int, preset: str) -> int:
    with harness.scratch() as parent:
        whole, killed = parent / "whole", parent / "killed"
        print(f"undisturbed: {harness.seconds(begin(whole, preset).communicate):.0f} s", flush=True)
        moments, done = random.Random(0), 0
        while not (killed / "end.npz").exists():
            with begin(killed, preset) as process:
                for line in process.stdout or []:
                    if done < kills and line.startswith("epoch "):  # its checkpoint may be half written
                        time.sleep(moments.choice([moments.uniform(0, 0.1), moments.uniform(0, 2)]))
                        process.send_signal(signal.SIGKILL)
                        done += 1
                        print(f"kill {done}: {sorted(path.name for path in killed.iterdir())}", flush=True)
                        break
        return compare(whole, killed, done)


def compare(whole: Path, killed: Path, kills: int) -> int:
    ours, theirs = (pd.read_csv(folder / "history.csv").drop(columns=MEASURED) for folder in (killed, whole))
    mine, other = (np.load(folder / "end.npz") for folder in (killed, whole))
    print(f"{kills} kills; epochs {len(ours)} and {len(theirs)}, best {int(mine['best'])} and {int(other['best'])}")
    differing = [name for name in mine.files if not np.array_equal(mine[name], other[name])]
    furthest = max((float(np.abs(mine[name] - other[name]).max()) for name in differing), default=0.0)
    print(f"arrays that differ: {len(differing)} of {len(mine.files)}, by at most {furthest:g}")
    print(f"history: {'equal in every digit' if ours.equals(theirs) else 'different'}")
    print(f"SHA-256 of the weights: {fingerprint(mine)} and {fingerprint(other)}")
    return int(bool(differing) or not ours.equals(theirs))


def fingerprint(arrays) -> str:
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in arrays.files)).hexdigest()[:16]


def begin(folder: Path, preset: str) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "--train", str(folder), preset]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def train(folder: Path, preset: str) -> None:
    from pipeline.config import load_preset
    from pipeline.models.presets import build
    from pipeline.training.augmentation import Augmentation
    from pipeline.training.batches import Batches
    from pipeline.training.fitting import FitSettings, fit, set_seed

    chosen = load_preset(preset)
    set_seed(0)
    model = build(chosen, 4, seed=0)
    made_up = np.random.default_rng(0)
    targets = np.arange(256) % 4
    hue = 40 * np.eye(4)[targets][:, None, None, :3]
    side = chosen.image_size
    pictures = np.clip(made_up.normal(90, 60, (256, side, side, 3)) + hue, 0, 255).astype(np.uint8)
    steps = Augmentation(flip=True, rotate_degrees=10, zoom=0.1)
    data = Batches(pictures[:192], targets[:192], num_classes=4, batch_size=32, augment=steps)
    val = Batches(pictures[192:], targets[192:], num_classes=4, batch_size=32)
    fitted = fit(model, data, val, FitSettings(**FIT), folder=folder)
    fitted.history.to_csv(folder / "history.csv", index=False)
    values = {f"v{number}": weight for number, weight in enumerate(model.get_weights())}
    np.savez(folder / "end.npz", best=np.array(fitted.best_epoch), **values)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train(Path(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(main(**vars(harness.parser(__doc__, kills=10, preset="inception_v4_small").parse_args())))
