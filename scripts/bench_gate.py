#!/usr/bin/env python
"""What the gate costs: two models' made-up scores, compared, judged and drawn.

    scripts/bench_gate.py [--images 500000] [--classes 1500] [--benchmark 0.2]

The stage runs as `dvc repro` runs it, as a process of its own, on folders as evaluate and release leave them; a share
of the images is in benchmarks. Time and memory are the process's own.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import bundle
from pipeline.errors import run
from pipeline.files import digest, read_json, write_json, write_table, write_text
from pipeline.library import lineage

ROOT = Path(__file__).parent.parent
TOP_K = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--classes", type=int, default=1_500)
    parser.add_argument("--benchmark", type=float, default=0.2, help="share of the images in benchmarks")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made_up(Path(folder), images=args.images, classes=args.classes, benchmark=args.benchmark)
        os.symlink(ROOT / "configs", Path(folder) / "configs")
        started = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "pipeline.stages.gate",
            "evaluation",
            "model",
            "classes.csv",
            "released",
            "gate",
        ]
        subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = read_json(Path(folder) / "gate/gate.json")
        print(
            f"{args.images:,} images, {said['images']['all']:,} of them in benchmarks, {args.classes:,} classes:"
            f" {seconds:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of processor), {used.ru_maxrss / 1024:,.0f} MiB,"
            f" page {(Path(folder) / 'gate/index.html').stat().st_size / 2**20:.1f} MiB"
        )


def made_up(folder: Path, *, images: int, classes: int, benchmark: float) -> None:
    """Two models of 85 % that differ on a twelfth of the images; one class in a hundred of the candidate's is lost."""
    random = np.random.default_rng(0)
    names = np.array([f"class {number:04d}" for number in range(classes)], dtype=object)
    label = random.integers(0, classes, images)
    sets = np.where(random.random(images) < benchmark, "benchmark:field", "train")
    right = random.random(images) < 0.85
    rows = pd.DataFrame(
        {
            "image": [f"library/{number:07d}.jpg" for number in range(images)],
            "sha256": [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" * 4 for number in range(images)],
            "phash": [f"{number:016x}" for number in random.integers(0, 2**63, images)],
            "group": "",
            "together": "",
            "set": sets,
            "label": names[label],
        }
    )
    write_text("event,class,to,min_images,flip,by,at,note\n", folder / "classes.csv")
    for name, scores_folder in (("model", "evaluation"), ("released", "released")):
        changed = random.random(images) < 1 / 24
        named = right ^ changed
        if name == "model":
            named &= label % 100 != 42
        other = (label + 1 + random.integers(0, classes - 1, images)) % classes
        said = np.where(named, label, other)
        target = folder / name
        write_text(f"network {name}", target / bundle.MODEL)
        card = bundle.Card("made-up", 299, model_digest=digest(target / bundle.MODEL))
        write_json(asdict(card), target / bundle.CARD)
        write_text("".join(f"{each}\n" for each in names), target / bundle.CLASSES)
        write_table(lineage.extend(lineage.empty(), rows, round_=1), target / bundle.LINEAGE)
        best = np.stack([said, *((said + 7 * step) % classes for step in range(1, TOP_K))], axis=1)
        scored = rows.assign(
            predicted=names[said],
            score=0.9,
            top_labels=list(names[best]),
            top_scores=[np.linspace(0.9, 0.0, TOP_K)] * images,
            label_score=np.where(named, 0.9, 0.05),
            label_rank=np.where(named, 1, 2),
            model=card.model_digest,
        )
        write_table(scored, folder / scores_folder / "scores.parquet")


if __name__ == "__main__":
    run(main)
