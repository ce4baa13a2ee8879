#!/usr/bin/env python
"""Frozen features: images per second of `embed-pool` beside `identify`, the floor, the memory, and a second run.

    scripts/bench_features.py [--images 512] [--size 640x480] [--runtimes onnx ...] [--work FOLDER]
                              [--memory 1000 100000]

A row is a process of its own, on the same JPEG files, timed from the first image to the last. The rival is `identify`
with Inception-V4 at 299 pixels in the same runtime, as `bench_identify.py` runs it. "Reader" is what the reading of
images alone gives in as many threads, "network" what the graph gives for pixels in memory: the lower of both is the
floor, and "of the floor" the share that the stage reaches.

--memory takes pools of so many small images and a tiny ONNX file, for the memory alone.
"""

import sys
import tempfile
from pathlib import Path

import bench_identify as bench
import harness

from pipeline.files import write_text
from pipeline.inference import reading
from pipeline.inference.runtimes import kinds

sys.path.insert(0, str(harness.ROOT))

BATCH = 64
RUNTIMES = ("openvino-int8", "openvino-bf16", "openvino", "onnx")
TINY = "tiny.onnx"

EMBED = """
import sys
import numpy as np
from pathlib import Path
from pipeline.inference import local
from pipeline.stages import embed_pool
from pipeline.workspace import Workspace
plain = local.identify
def timed(*args, runtime, **kwargs):
    blank = [np.zeros((int(sys.argv[1]), side, side, 3), np.uint8) for side in runtime.image_sizes]
    runtime.predict_with_features(*blank)
    begin()
    done = plain(*args, runtime=runtime, **kwargs)
    end(done.predicted)
    return done
local.identify = timed
embed_pool.main(Workspace(Path()))
"""


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=RUNTIMES)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--memory", type=int, nargs="+", default=[])
    options = parser.parse_args()
    with harness.scratch(options.work) as work:
        if options.memory:
            memory(work, options.memory)
            return
        width, height = (int(side) for side in options.size.split("x"))
        names = [name for name in options.runtimes if not kinds.missing(name)]
        bench.prepare(work, (width, height), options.images, names)
        rates(work, work / f"pool-{width}x{height}", names)


def rates(work: Path, pool: Path, names: list[str]) -> None:
    """Prints a row for each runtime, then what a run costs that has nothing to compute."""
    reader = reading_alone(pool)
    print(f"reader {reader:.0f} images per second at 224 pixels")
    head = ("runtime", "embed-pool", "network", "of floor", "identify", "ratio", "CPU-ms", "MiB")
    print("".join(f"{text:>14}" for text in head))
    for name in names:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            here = lay_out(Path(folder), work, pool, name)
            command = [sys.executable, "-c", bench.REPORT + EMBED, str(BATCH)]
            row, network = bench.run(command, here), network_alone(here, name)
            again = harness.measured([sys.executable, "-m", "pipeline.stages.embed_pool"], here, DVC_ROOT=str(here))
        rival = bench.identify(work, pool, name)
        figures = (row.rate, network, row.rate / min(reader, network), rival.rate, row.rate / rival.rate)
        print(f"{name:>14}" + "".join(f"{figure:>14.2f}" for figure in (*figures, row.cpu_ms, row.peak)), flush=True)
    print(f"a second run, nothing new: {again.seconds:.1f} s")


def lay_out(here: Path, work: Path, pool: Path, runtime: str, *, model: str = "efficientnet_lite0") -> Path:
    """Makes `here` a workspace with the pool, the presets and the caches of `work`."""
    bench.lay_out(here, work, pool, model=work / "model")
    bench.write_params(here, pool, runtime)
    params = here / "configs/params.yaml"
    write_text(params.read_text().replace("model: efficientnet_lite0", f"model: {model}"), params)
    (here / "configs/models").symlink_to(harness.ROOT / "configs/models")
    return here


def reading_alone(pool: Path) -> float:
    """Images per second that are read at 224 pixels, in threads, with nothing else to do."""
    files = sorted(pool.glob("*.jpg"))

    def read_all() -> None:
        for _ in reading.read_batches(files, (224,), BATCH):
            pass

    return len(files) / harness.seconds(read_all)


NETWORK = """
import sys, time
import numpy as np
import pandas as pd
from pipeline import sections
from pipeline.inference.trials import Features
from pipeline.stages import embed
from pipeline.workspace import Workspace
workspace = Workspace.find()
params = workspace.params(sections.Embed)
nothing = pd.read_parquet("data/index/pool.parquet").head(64)
nothing["path"] = [workspace.folders["pool"] / image.partition("/")[2] for image in nothing["image"]]
backbone = embed.chosen_backbone(workspace, params)
runtime = backbone.choose(params.runtime, lambda: nothing, comparison=Features(128, 0.99), total=1).runtime
pixels = np.random.default_rng(0).integers(0, 256, (64, *runtime.image_sizes * 2, 3), np.uint8)
runtime.predict_with_features(pixels)
rates = []
for _ in range(12):
    start = time.perf_counter()
    runtime.predict_with_features(pixels)
    rates.append(len(pixels) / (time.perf_counter() - start))
print("RATE", np.median(rates))
"""


def network_alone(here: Path, runtime: str) -> float:
    """Images per second of the graph on pixels in memory."""
    output = harness.measured([sys.executable, "-c", NETWORK], here, DVC_ROOT=str(here)).output
    return float(output.split("RATE")[1])


def memory(work: Path, sizes: list[int]) -> None:
    """Prints the peak memory for pools of several sizes; a tiny network, so that 100,000 images take minutes."""
    from tests.onnx_files import network

    network(work / TINY)
    for number in sizes:
        pool = work / f"small-{number}"
        if not pool.with_suffix(".parquet").exists():
            bench.paint(pool, bench.SMALL_SIZE, number)
        with tempfile.TemporaryDirectory(dir=work) as folder:
            here = lay_out(Path(folder), work, pool, "onnx", model=str(work / TINY))
            row = bench.run([sys.executable, "-c", bench.REPORT + EMBED, str(BATCH)], here)
        print(f"{number:>9,} images: {row.peak:.0f} MiB, {row.rate:.0f} images per second", flush=True)


if __name__ == "__main__":
    main()
