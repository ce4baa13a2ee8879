#!/usr/bin/env python
"""Memory and rate of bulk identification as the pool grows, against the usual recipe on the same files.

    scripts/bench_identify.py [SIZE ...]        (default 1000 and 20000 pool images)

Paints SIZE made-up JPEGs of 160 x 120 pixels, writes an index of them, and runs the stage identify with the preset
inception_v4_small in a process of its own. The rival reads the same folder with `image_dataset_from_directory` and
calls `predict` on all of it, keeping what it needs to write the same table. Peak resident memory and images a second
are the operating system's figures for the whole process; the rate leaves the start-up out for both.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.files import write_table

ROOT = Path(__file__).resolve().parent.parent
CLASSES = 100

MAKE_BUNDLE = f"""
import sys; from pathlib import Path
from pipeline import bundle, config
from pipeline.library import lineage
from pipeline.models import presets
preset = config.load_preset("inception_v4_small")
model = presets.build(preset, {CLASSES})
card = bundle.Card(preset="inception_v4_small", image_size=preset.image_size)
bundle.save(bundle.Bundle(model, [f"c{{i}}" for i in range({CLASSES})], card, lineage.empty()), Path(sys.argv[1]))
"""

RIVAL = """
import sys, time, keras, numpy as np, pandas as pd
model = keras.saving.load_model(sys.argv[1] + "/model.keras", compile=False)
size = model.input.shape[1]
start = time.perf_counter()
images = keras.utils.image_dataset_from_directory(
    sys.argv[2], labels=None, shuffle=False, image_size=(size, size), batch_size=64, verbose=False
)
probs = model.predict(images, verbose=0)
pd.DataFrame({"image": images.file_paths, "label": probs.argmax(1), "score": probs.max(1)}).to_parquet(sys.argv[3])
print("RATE", len(probs) / (time.perf_counter() - start))
"""


def main(sizes: list[int]) -> None:
    print(f"{'pool':>7}  {'':<14}{'peak MiB':>9}{'images/s':>10}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            prepare(work, size)
            ours, theirs = run_stage(work), run_rival(work)
            for name, (peak, rate) in (("identify", ours), ("usual recipe", theirs)):
                print(f"{size:>7}  {name:<14}{peak:>9.0f}{rate:>10.0f}")
            print(f"{'':>7}  {'ratio':<14}{ours[0] / theirs[0]:>9.2f}{ours[1] / theirs[1]:>10.2f}", flush=True)


def prepare(work: Path, size: int) -> None:
    random = np.random.default_rng(0)
    pool = work / "pool"
    pool.mkdir()
    texture = random.integers(0, 255, (120, 160, 3), np.uint8)
    for i in range(size):
        Image.fromarray(np.roll(texture, i, axis=1)).resize((160, 120)).save(pool / f"{i:06d}.jpg", quality=85)
    names = [f"pool/{i:06d}.jpg" for i in range(size)]
    write_table(
        pd.DataFrame({"image": names, "sha256": [f"{i:064x}" for i in range(size)], "failure": ""}),
        work / "pool.parquet",
    )
    write_table(pd.DataFrame({"image": [], "sha256": [], "reason": []}, dtype=str), work / "excluded.parquet")
    (work / "configs").mkdir()
    params = (ROOT / "configs/params.yaml").read_text().replace("data/demo/pool", str(pool))
    (work / "configs/params.yaml").write_text(params)
    subprocess.run([sys.executable, "-c", MAKE_BUNDLE, str(work / "model")], check=True, capture_output=True, cwd=ROOT)


def run_stage(work: Path) -> tuple[float, float]:
    command = ["-m", "pipeline.stages.identify", "model", "pool.parquet", "excluded.parquet", "predictions"]
    peak, _ = measured([sys.executable, *command], work)
    return peak, json.loads((work / "predictions/summary.json").read_text())["images_per_second"]


def run_rival(work: Path) -> tuple[float, float]:
    peak, output = measured([sys.executable, "-c", RIVAL, "model", "pool", "rival.parquet"], work)
    return peak, float(output.split("RATE")[1])


def measured(command: list[str], cwd: Path) -> tuple[float, str]:
    """Peak resident memory of the command in MiB, and what it printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        output = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return usage.ru_maxrss / 1024, output


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1000, 20000])
