#!/usr/bin/env python
"""What an image more costs: the slopes that docs/scale.md reckons with.

    scripts/bench_scale.py [PART ...] [--work FOLDER]     (PART: engines, store, index; default all)

engines   seconds of the stage identify on two pools of painted JPEGs, with the engine local and with Ray on this
          machine; the difference of the pools gives the rate, and what is left the start. The network is a small one,
          so that the engines weigh more, and both have all cores for it.
store     bytes a row of made-up predictions, and what writing, looking up and reading them takes.
index     bytes a row of a made-up index, what streaming it takes, and the memory of its keys.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import bench_identify as bench
import harness
import numpy as np
import pandas as pd

from pipeline.evaluation import scores
from pipeline.files import write_table
from pipeline.inference import pool_predictions, prediction, shards, store

POOLS = (500, 2_000)
SIZE = (640, 480)
CLASSES, FEATURES, TOP_K, SHARD = 1_500, 1_536, 5, 2_048
ROWS, INDEX_ROWS = 100 * SHARD, 1_000_000


def engines(work: Path) -> None:
    seconds: dict[tuple[str, int], float] = {}
    for number in POOLS:
        pool = work / f"pool-{number}"
        bench.paint(pool, SIZE, number)
        if not (work / "model").exists():
            bench.make_bundle(work, bench.SMALL, CLASSES, pool, work / "model")
        for engine in ("local", "local", "ray")[number != POOLS[0] :]:  # the first run of all converts the network
            seconds[engine, number] = stage(work, pool, engine)
    print(f"{'engine':<10}{'images/s':>10}{'start s':>10}   {bench.SMALL}, {SIZE[0]} x {SIZE[1]} JPEGs, OpenVINO")
    few, many = POOLS
    for engine in ("local", "ray"):
        slope = (seconds[engine, many] - seconds[engine, few]) / (many - few)
        print(f"{engine:<10}{1 / slope:>10.1f}{seconds[engine, few] - few * slope:>10.1f}")


def stage(work: Path, pool: Path, engine: str) -> float:
    """Seconds that the stage takes to identify the whole pool, from its own summary."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        here = Path(folder)
        bench.write_tables(work, pool)
        bench.lay_out(here, work, pool, model=work / "model")
        bench.write_params(here, pool, "openvino")
        params = here / "configs/params.yaml"
        params.write_text(params.read_text().replace("engine: local", f"engine: {engine}"))
        harness.measured([sys.executable, "-m", "pipeline.stages.identify"], here, DVC_ROOT=str(here))
        return json.loads((here / "data/predictions/summary.json").read_text())["seconds"]


def made_up(random: np.random.Generator, first: int) -> pd.DataFrame:
    """A shard of predictions of photographs with long names."""
    logits = random.normal(0, 1, (SHARD, CLASSES)).astype(np.float32)
    logits[np.arange(SHARD), random.integers(0, CLASSES, SHARD)] += random.uniform(2, 12, SHARD)
    probs = np.exp(logits)
    said = scores.describe(
        probs / probs.sum(axis=1, keepdims=True), [f"class {i}" for i in range(CLASSES)], top_k=TOP_K
    )
    features = np.maximum(random.normal(0.3, 0.5, (SHARD, FEATURES)), 0).astype(np.float16)
    rows = index_rows(random, first, SHARD).join(said).assign(model="0" * 64)
    return rows.assign(**{shards.FEATURES: shards.as_lists(features)})


def index_rows(random: np.random.Generator, first: int, number: int) -> pd.DataFrame:
    images = [f"pool/2026/camera-{i // 5000:04d}/IMG_{i:08d}.jpg" for i in range(first, first + number)]
    return pd.DataFrame(
        {"image": images, "sha256": [random.bytes(32).hex() for _ in images], "failure": ""}, dtype="str"
    )


def predictions(work: Path) -> None:
    random = np.random.default_rng(0)
    print(f"{'store':<28}{'bytes a row':>12}{'rows/s written':>16}")
    for name, wanted in (("with features", [shards.FEATURES]), ("without", [])):
        made, seconds = store.Store(work / name, "m", arrays=wanted), 0.0
        for first in range(0, ROWS if not wanted else ROWS // 10, SHARD):
            rows = made_up(random, first)
            seconds += harness.seconds(partial(made.append, rows))
        size = sum(file.stat().st_size for file in (work / name).iterdir())
        number = len(made.done())
        print(f"{name:<28}{size / number:>12.0f}{number / seconds:>16,.0f}", flush=True)
    report(f"keys of {ROWS:,} rows in {ROWS // SHARD} shards", look_up, work / "without", ROWS)
    report(f"what recipes keep of {ROWS:,} rows in memory", light, work / "without", ROWS)


def look_up(folder: Path) -> None:
    store.Store(folder, "m").done()


def light(folder: Path) -> pd.DataFrame:
    return pool_predictions.read(folder).rows


def index(work: Path) -> None:
    random = np.random.default_rng(0)
    path = work / "pool.parquet"
    rows = index_rows(random, 0, INDEX_ROWS)
    others = {"phash": [random.bytes(8).hex() for _ in range(INDEX_ROWS)], "width": 640, "height": 480, "bytes": 80_000}
    write_table(rows.assign(**others, format="JPEG", orientation=1), path)
    print(f"index of {INDEX_ROWS:,} rows: {path.stat().st_size / INDEX_ROWS:.0f} bytes a row")
    report("streaming the index", stream, path, INDEX_ROWS)
    report("  and asking which of its keys are done", ask, path, INDEX_ROWS)


def pieces(path: Path) -> Iterator[pd.DataFrame]:
    return store.stream(path, prediction.ASKED, SHARD)


def stream(path: Path) -> None:
    for _ in pieces(path):
        pass


def ask(path: Path) -> None:
    done = store.gather(pieces(path))
    for piece in pieces(path):
        store.missing(piece, done)


def report(what: str, run: Callable[[Path], object], path: Path, rows: int) -> None:
    seconds, memory = harness.apart(cost, run, path)
    print(f"{what:<44}{rows / seconds:>12,.0f} rows/s{memory / rows:>8.0f} bytes a row in memory", flush=True)


def cost(run: Callable[[Path], object], path: Path) -> tuple[float, float]:
    """Seconds, and by how many bytes the memory of this process has grown at most."""
    before = harness.peak()
    return harness.seconds(lambda: run(path)), (harness.peak() - before) * 2**20


PARTS: dict[str, Callable[[Path], None]] = {"engines": engines, "store": predictions, "index": index}


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--work", type=Path, help="a folder to keep pictures and model in")
    options = parser.parse_args()
    for name in options.parts or PARTS:
        with harness.scratch(options.work) as work:
            PARTS[name](work)


if __name__ == "__main__":
    main()
