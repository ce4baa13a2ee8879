#!/usr/bin/env python
"""Bulk identification against its rivals, on the same JPEG files, with the exact Inception-V4 at 299 pixels.

    scripts/bench_identify.py [--images 96] [--sizes 640x480 2000x1500] [--work FOLDER] [--prepare]
                              [--rivals PYTHON] [--photographs FOLDER --bundle FOLDER] [--memory 1000 100000]

A row is a process of its own, which warms up on a batch of zeros and then takes the pictures once:

    obvious loop     one picture at a time: Pillow, `model.predict`
    usual recipe     `image_dataset_from_directory` with batches of 32, `model.predict`: what ratios are to
    torch            timm's network in bfloat16, and in float32, with a DataLoader: three batches (needs --rivals: a
                     Python that has torch and timm)
    by hand          OpenVINO's AsyncInferQueue, pictures by simplejpeg or OpenCV in threads, on the graphs of identify
                     (needs --rivals: a Python that has openvino, cv2 and best simplejpeg)
    identify         the stage itself, with each runtime that this machine has

CPU-ms are user and system time of all threads, an image. "OpenVINO" is the share of the rate that the same graph has on
pixels in memory; "floor" that of the rate at which 12.3 GMAC an image would be done at the peak of the machine for that
precision, which is measured with a 3 x 3 convolution. Start-up is from the process's start until the first batch is
done, with graphs that are in the cache. Weights are random, with the statistics of real activations.

--memory takes other pools, of a small network and small pictures, for the memory alone. --photographs compares, on
real photographs, the reading of pictures, which decodes a JPEG at a reduced scale, with a full decode.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import harness
import numpy as np
import pandas as pd
from PIL import Image

from pipeline.files import write_json, write_table, write_text
from pipeline.inference import machine
from pipeline.inference.runtimes import kinds

GMAC = 12.254  # of Inception-V4 at 299 pixels
CLASSES, SIDE, BATCH = 1000, 299, 32
SMALL, SMALL_SIZE = "inception_v4_small", (160, 120)
OBVIOUS = 4  # the obvious loop takes a picture in so many
TABLES = ["pool.parquet", "excluded.parquet", "splits.parquet", "thresholds.json"]
PLACES = ["index", "curated", "splits", "evaluation"]  # of these, below `data` of a workspace
CACHE = Path(tempfile.gettempdir()) / "bench_identify-runtimes"
SECONDS = 4.0  # of a measurement in this process

MAKE_BUNDLE = """
import sys; from pathlib import Path
import numpy as np
from pipeline import bundle, config
from pipeline.library import lineage, pictures
from pipeline.models import keras, presets
name, number, files, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
preset = config.load_preset(name)
keras.utils.set_random_seed(0)
model = presets.build(preset, number)
norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
momenta = [norm.momentum for norm in norms]
for norm in norms:
    norm.momentum = 0.0
seen = [pictures.read(file, preset.image_size) for file in sorted(files.glob("*.jpg"))[:32]]
model(np.stack(seen).astype("float32"), training=True)
for norm, momentum in zip(norms, momenta):
    norm.momentum = momentum
card = bundle.Card(preset=name, image_size=preset.image_size)
bundle.save(bundle.Bundle(model, [f"c{i:04d}" for i in range(number)], card, lineage.empty()), out)
"""

# Each program prints what it took as JSON; `harness.measured` sets STARTED.
REPORT = """
import json, os, resource, sys, time
def cpu():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
def begin():
    global ready, cpu0, wall0
    ready, cpu0, wall0 = time.time() - float(os.environ["STARTED"]), cpu(), time.perf_counter()
def end(images):
    wall = time.perf_counter() - wall0
    print("FOUND", json.dumps({"ready": ready, "images": images, "wall": wall, "cpu": cpu() - cpu0}))
"""

OBVIOUS_LOOP = """
import keras, numpy as np; from pathlib import Path; from PIL import Image
model = keras.saving.load_model(sys.argv[1] + "/model.keras", compile=False)
size = model.input.shape[1]
files = sorted(Path(sys.argv[2]).glob("*.jpg"))[:: int(sys.argv[3])]
model.predict(np.zeros((1, size, size, 3)), verbose=0)
begin()
for file in files:
    picture = Image.open(file).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    model.predict(np.asarray(picture, dtype=np.float32)[None], verbose=0).argmax()
end(len(files))
"""

USUAL_RECIPE = """
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1] + "/model.keras", compile=False)
size = model.input.shape[1]
model.predict(np.zeros((32, size, size, 3)), batch_size=32, verbose=0)
begin()
images = keras.utils.image_dataset_from_directory(
    sys.argv[2], labels=None, shuffle=False, image_size=(size, size), batch_size=32, verbose=False
)
end(len(model.predict(images, verbose=0)))
"""

TORCH = """
import timm, torch; from pathlib import Path; from PIL import Image
import numpy as np
model = timm.create_model("inception_v4", pretrained=False).eval().to(memory_format=torch.channels_last)
class Files(torch.utils.data.Dataset):
    def __init__(self, folder): self.files = sorted(Path(folder).glob("*.jpg"))
    def __len__(self): return len(self.files)
    def __getitem__(self, i):
        picture = Image.open(self.files[i]).convert("RGB").resize((299, 299), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 127.5 - 1
files = Files(sys.argv[1])
batch = int(sys.argv[3])
files.files = files.files[: batch * 3]
loader = torch.utils.data.DataLoader(files, batch_size=batch, num_workers=2)
with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=sys.argv[2] == "bf16"):
    model(torch.zeros(batch, 3, 299, 299).to(memory_format=torch.channels_last))
    begin()
    for batch in loader:
        model(batch.to(memory_format=torch.channels_last)).softmax(1)
end(len(files))
"""

BY_HAND = """
sys.modules["openvino_telemetry"] = None
import numpy as np, openvino as ov; from concurrent.futures import ThreadPoolExecutor; from pathlib import Path
import cv2; cv2.setNumThreads(0)
try:
    from simplejpeg import decode_jpeg
    def decode(data): return decode_jpeg(data, "RGB", min_height=299, min_width=299, min_factor=1)
except ImportError:
    def decode(data): return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
network = ov.Core().read_model(sys.argv[1])
network.reshape({"pixels": [4, 299, 299, 3]})
hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
queue = ov.AsyncInferQueue(ov.Core().compile_model(network, "CPU", hints))
best = []
queue.set_callback(lambda request, _: best.extend(request.get_tensor("probs").data.argmax(1)))
def read(file):
    return cv2.resize(decode(file.read_bytes()), (299, 299), interpolation=cv2.INTER_LINEAR)
files = sorted(Path(sys.argv[2]).glob("*.jpg"))
queue.start_async({"pixels": np.zeros((4, 299, 299, 3), np.uint8)}); queue.wait_all()
begin()
with ThreadPoolExecutor(2) as workers:
    waiting = []
    for picture in workers.map(read, files):
        waiting.append(picture)
        if len(waiting) == 4:
            queue.start_async({"pixels": np.stack(waiting)})
            waiting = []
queue.wait_all()
end(len(files))
"""

IDENTIFY = """
from pathlib import Path
from pipeline.inference import local
from pipeline.stages import identify
from pipeline.workspace import Workspace
import numpy as np
plain = local.identify
def timed(*args, runtime, **kwargs):
    runtime.predict(*(np.zeros((int(sys.argv[1]), size, size, 3), np.uint8) for size in runtime.image_sizes))
    begin()
    summary = plain(*args, runtime=runtime, **kwargs)
    end(summary.predicted)
    return summary
local.identify = timed
identify.main(Workspace(Path()))
"""


@dataclass(frozen=True)
class Row:
    """What a program took: images a second, CPU-ms an image, MiB at the most, and seconds to start."""

    rate: float
    cpu_ms: float
    peak: float
    ready: float


def main(options: argparse.Namespace) -> None:
    with harness.scratch(options.work) as work:
        facts = machine.describe()
        print(f"{facts['cpu']}, {facts['cores']} cores, {', '.join(facts['instructions']) or 'no vector instructions'}")
        if options.memory:
            memory(work, options.memory)
            return
        names = [name for name in kinds.KINDS if not kinds.missing(name)]
        for name in kinds.KINDS:
            if name not in names:
                print(f"without {name}: {kinds.missing(name)}")
        sizes = [tuple(int(side) for side in size.split("x")) for size in options.sizes]
        for size in sizes:
            prepare(work, size, options.images, names)
        if options.photographs:
            scaled_decoding(options.photographs, options.bundle or work / "model", options.images)
        if options.prepare or options.photographs:
            return
        for size in sizes:
            table(work, size, names, options.rivals)


def table(work: Path, size: tuple[int, ...], names: list[str], rivals: str) -> None:
    """Runs every program on the pictures of one size, and prints a row for each as it is done.

    A shared machine is faster at one time than at another: what the rates are compared with is measured before and
    after, and the better of both counts.
    """
    graphs = [name for name in names if name.startswith("openvino")]
    peaks, own = {name: peak(name) for name in graphs}, {name: synthetic(work, name) for name in graphs}
    pool = work / f"pool-{size[0]}x{size[1]}"
    print(f"\n{size[0]} x {size[1]}, {len(list(pool.glob('*.jpg')))} pictures")
    rows = {}
    for name, row in programs(work, pool, names, rivals):
        rows[name] = row
        print(f"{name:<24}{row.rate:>9.2f} images/s", flush=True)
    for name in graphs:
        peaks[name], own[name] = max(peaks[name], peak(name)), max(own[name], synthetic(work, name))
        floor = f"peak {peaks[name]:.0f} GMAC/s, so the floor is {peaks[name] / GMAC:.1f} images a second"
        print(f"{name}: {floor}; on pixels in memory {own[name]:.1f}")
    print(f"{'':<24}{'images/s':>9}{'x usual':>9}{'CPU-ms':>8}{'OpenVINO':>10}{'floor':>8}{'MiB':>7}{'start s':>9}")
    for name, row in rows.items():
        kind = name.removeprefix("identify ").removeprefix("by hand ")
        share = f"{row.rate / own[kind]:.2f}" if kind in own else ""
        peak_of = peaks.get(kind, 0.0 if "bf16" in name else peaks.get("openvino", 0.0))
        floor = f"{row.rate * GMAC / peak_of:.2f}" if peak_of else ""
        ratio = f"{row.rate / rows['usual recipe'].rate:.2f}"
        print(
            f"{name:<24}{row.rate:>9.2f}{ratio:>9}{row.cpu_ms:>8.1f}{share:>10}{floor:>8}{row.peak:>7.0f}{row.ready:>9.1f}"
        )


def programs(work: Path, pool: Path, names: list[str], rivals: str) -> Iterator[tuple[str, Row]]:
    bundle_, python = str(work / "model"), sys.executable
    yield "usual recipe", run([python, "-c", REPORT + USUAL_RECIPE, bundle_, str(pool)], work)
    yield "obvious loop", run([python, "-c", REPORT + OBVIOUS_LOOP, bundle_, str(pool), str(OBVIOUS)], work)
    if rivals and has(rivals, "openvino", "cv2"):
        for name in [name for name in names if name in ("openvino", "openvino-int8")]:
            yield f"by hand {name}", run([rivals, "-c", REPORT + BY_HAND, str(graph(work, name)), str(pool)], work)
    for name in names:
        yield f"identify {name}", identify(work, pool, name)
    if rivals and has(rivals, "torch", "timm"):
        bf16 = "AVX-512 BF16" in machine.describe()["instructions"]
        for precision, batch in (("bf16", BATCH if bf16 else BATCH // 4), ("f32", BATCH)):  # it takes long to emulate
            yield f"torch {precision}", run([rivals, "-c", REPORT + TORCH, str(pool), precision, str(batch)], work)


def has(python: str, *modules: str) -> bool:
    command = [python, "-c", f"import {', '.join(modules)}"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def identify(work: Path, pool: Path, runtime: str) -> Row:
    """Runs the stage on a workspace of its own, whose cache is that of `work`."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        here = Path(folder)
        lay_out(here, work, pool, model=pool.parent / ("small" if pool.name.startswith("small") else "model"))
        write_params(here, pool, runtime)
        return run([sys.executable, "-c", REPORT + IDENTIFY, str(BATCH)], here)


def lay_out(here: Path, work: Path, pool: Path, *, model: Path) -> None:
    """Makes `here` a workspace with the tables of `work`, the images of `pool`, a model, and the cache of `work`."""
    tables = [pool.with_suffix(".parquet"), *(work / name for name in TABLES[1:])]
    for place, name, table in zip(PLACES, TABLES, tables, strict=True):
        (here / "data" / place).mkdir(parents=True)
        (here / "data" / place / name).symlink_to(table)
    (here / "data/model").symlink_to(model)
    (work / ".wallaby").mkdir(exist_ok=True)
    (here / ".wallaby").symlink_to(work / ".wallaby")


def write_params(here: Path, pool: Path, runtime: str) -> None:
    params = (harness.ROOT / "configs/params.yaml").read_text().replace("pool: data/demo/pool", f"pool: {pool}")
    params = params.replace("library: data/demo/library", f"library: {pool}")
    params = params.replace("runtime: auto", f"runtime: {runtime}")
    write_text(params, here / "configs/params.yaml")


def run(command: list[str], cwd: Path) -> Row:
    cost = harness.measured(command, cwd, DVC_ROOT=str(cwd))
    figures = json.loads(cost.output.split("FOUND")[1].splitlines()[0])
    return Row(
        rate=figures["images"] / figures["wall"],
        cpu_ms=1000 * figures["cpu"] / figures["images"],
        peak=cost.peak,
        ready=figures["ready"],
    )


def prepare(work: Path, size: tuple[int, ...], images: int, names: list[str]) -> None:
    """Paints the pictures and makes bundle, tables and graphs, unless `work` has them."""
    pool = work / f"pool-{size[0]}x{size[1]}"
    if not pool.with_suffix(".parquet").exists():
        paint(pool, size, images)
    if not (work / "model").exists():
        make_bundle(work, "inception_v4", CLASSES, pool, work / "model")
    write_tables(work, pool)
    for name in names:
        if name != kinds.KERAS:
            graph(work, name)


def make_bundle(work: Path, preset: str, classes: int, pool: Path, out: Path) -> None:
    harness.measured([sys.executable, "-c", MAKE_BUNDLE, preset, str(classes), str(pool), str(out)], harness.ROOT)


def write_tables(work: Path, pool: Path) -> None:
    if (work / TABLES[3]).exists():  # int8 is fitted to the pictures that were painted first
        return
    write_table(pd.DataFrame({"image": [], "sha256": [], "reason": []}, dtype=str), work / TABLES[1])
    rows = pd.read_parquet(pool.with_suffix(".parquet")).head(64)
    write_table(rows[["image", "sha256"]].assign(label="c0000", set="val"), work / TABLES[2])
    none: dict = {"model": "", "temperature": 1.0, "precision": 0.95, "chosen_on": [], "n": 0, "threshold": None}
    write_json(none | {"rule": "unreached", "classes": {}, "unreached_classes": []}, work / TABLES[3])


def paint(pool: Path, size: tuple[int, ...], images: int, *, of: int = 24) -> None:
    """Pictures with the spectrum of photographs and edges, as JPEGs of quality 88: about 1 bit a pixel and more."""
    random, rows = np.random.default_rng(0), []
    pool.mkdir(parents=True, exist_ok=True)
    painted = [encode(scene(random, size)) for _ in range(min(of, images))]
    for i in range(images):
        data = painted[i % len(painted)] + i.to_bytes(8, "big")  # behind the end of the picture: another content
        (pool / f"{i:06d}.jpg").write_bytes(data)
        rows.append((f"pool/{i:06d}.jpg", hashlib.sha256(data).hexdigest(), ""))
    write_table(pd.DataFrame(rows, columns=["image", "sha256", "failure"]), pool.with_suffix(".parquet"))


def scene(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Octaves of noise, each half as strong as the last (a power spectrum of about 1 / f^2), and a few sharp shapes."""
    width, height = size
    picture = np.zeros((height, width, 3), np.float32)
    cells = 2
    while cells < width:
        noise = random.normal(0, 1, (max(cells * height // width, 1), cells, 3)).astype(np.float32)
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.8
        cells *= 2
    picture = 128 + 50 * picture / picture.std()
    for _ in range(12):
        centre = tuple(int(x) for x in random.integers(0, size))
        axes = tuple(int(x) for x in random.integers(width // 40, width // 6, 2))
        colour = tuple(float(x) for x in random.integers(0, 255, 3))
        cv2.ellipse(picture, centre, axes, float(random.uniform(0, 180)), 0, 360, colour, width // 200)
    return np.clip(picture, 0, 255).astype(np.uint8)


def encode(picture: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()


def graph(work: Path, name: str) -> Path:
    """The converted network in the cache of `work`."""
    os.environ["DVC_ROOT"] = str(work)
    from pipeline.bundle import Stored
    from pipeline.inference import selection
    from pipeline.inference.runtimes import converted

    stored = Stored(work / "model")
    if not kinds.KINDS[name].fitted:
        return converted.float32(stored, CACHE)
    rows = pd.read_parquet(work / TABLES[2])
    pool = next(iter(sorted(work.glob("pool-*.parquet")))).with_suffix("")
    return converted.int8(stored, selection.calibration(rows, {"pool": pool}), CACHE)


def synthetic(work: Path, name: str) -> float:
    """Images a second of OpenVINO alone, with its requests always full, on pixels in memory."""
    from pipeline.inference.runtimes.openvino import CHUNK, openvino

    network = openvino.Core().read_model(graph(work, name))
    network.reshape({"pixels": [CHUNK, SIDE, SIDE, 3]})
    precision = "bf16" if name.endswith("bf16") else "f32"
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
    requests = openvino.AsyncInferQueue(openvino.Core().compile_model(network, "CPU", hints))
    pixels = np.random.default_rng(0).integers(0, 255, (CHUNK, SIDE, SIDE, 3), dtype=np.uint8)
    return CHUNK * per_second(requests, lambda: requests.start_async({"pixels": pixels}))


def peak(name: str) -> float:
    """GMAC a second of 3 x 3 convolutions of 256 channels on 35 x 35 points, in the precision of a runtime."""
    from pipeline.inference.runtimes.openvino import openvino
    from openvino import opset13 as ops  # isort: skip

    batch, channels, side, layers = 4, 256, 35, 8
    given = ops.parameter([batch, channels, side, side], np.float32)
    x, random = given, np.random.default_rng(0)
    for _ in range(layers):
        weights = random.normal(0, 0.02, (channels, channels, 3, 3)).astype(np.float32)
        x = ops.relu(ops.convolution(x, ops.constant(weights), [1, 1], [1, 1], [1, 1], [1, 1]))
    network = openvino.Model([x], [given])
    pixels = random.normal(0, 1, (batch, channels, side, side)).astype(np.float32)
    if name.endswith("int8"):
        import nncf

        network = nncf.quantize(network, nncf.Dataset([pixels]), subset_size=1)
    precision = "bf16" if name.endswith("bf16") else "f32"
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
    requests = openvino.AsyncInferQueue(openvino.Core().compile_model(network, "CPU", hints))
    macs = batch * layers * channels * channels * 9 * side * side
    return macs * per_second(requests, lambda: requests.start_async({0: pixels})) / 1e9


def per_second(requests, start) -> float:
    """Requests a second."""
    for _ in range(4):
        start()
    requests.wait_all()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        start()
        done += 1
    requests.wait_all()
    return done / (time.perf_counter() - began)


def memory(work: Path, sizes: list[int]) -> None:
    """Peak memory of the stage with a small network, as the pool grows."""
    print(f"\n{SMALL}, pictures of {SMALL_SIZE[0]} x {SMALL_SIZE[1]}")
    print(f"{'pool':>8}  {'runtime':<16}{'images/s':>9}{'MiB':>7}{'start s':>9}")
    for size in sizes:
        pool = work / f"small-{size}"
        paint(pool, SMALL_SIZE, size)
        if not (work / "small").exists():
            make_bundle(work, SMALL, 100, pool, work / "small")
        write_tables(work, pool)
        for name in ("keras", "openvino"):
            row = identify(work, pool, name)
            print(f"{size:>8}  {name:<16}{row.rate:>9.0f}{row.peak:>7.0f}{row.ready:>9.1f}", flush=True)


def scaled_decoding(photographs: Path, folder: Path, number: int) -> None:
    """What the reduced scale at which a JPEG is decoded changes: pixels, scores and classes.

    A photograph that is too small to be decoded so is enlarged first, with the grain of a camera upon it.
    """
    from pipeline.bundle import Stored
    from pipeline.inference.runtimes.converted import Calibration
    from pipeline.library import pictures

    stored = Stored(folder)
    size = stored.card.image_size
    runtime = kinds.load("openvino", [stored], Calibration([], []), batch_size=BATCH, cache=CACHE)
    random, files = np.random.default_rng(0), sorted(photographs.rglob("*.jp*g"))
    read, full, enlarged = [], [], 0
    with tempfile.TemporaryDirectory() as scratch:
        for file in files[:: max(len(files) // number, 1)]:
            picture = np.asarray(pictures.decode(file.read_bytes()))
            if min(picture.shape[:2]) < 2 * pictures.REDUCED * size:
                factor = 2.25 * pictures.REDUCED * size / min(picture.shape[:2])
                picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
                picture = np.clip(picture + random.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
                file, enlarged = Path(scratch) / "enlarged.jpg", enlarged + 1
                file.write_bytes(encode(picture[..., ::-1]))
            read.append(pictures.read(file, size))
            whole = pictures.decode(file.read_bytes(), max_megapixels=float("inf"))
            full.append(np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR)))
    difference = np.abs(np.stack(read).astype(int) - np.stack(full)).mean(axis=(1, 2, 3))
    probs, expected = (runtime.predict(np.stack(pixels)) for pixels in (read, full))
    alike, apart = (probs.argmax(axis=1) == expected.argmax(axis=1)).mean(), np.abs(probs - expected).max(axis=1)
    print(
        f"{photographs}: {len(read)} photographs at a reduced scale, {enlarged} enlarged first; pixels differ by"
        f" {difference.mean():.2f} of 255 (the worst by {difference.max():.2f}), scores by {apart.mean():.4f}"
        f" ({apart.max():.3f}); {alike:.1%} of the classes are alike"
    )


if __name__ == "__main__":
    parser = harness.parser(__doc__)
    parser.add_argument("--images", type=int, default=96, help="pictures of each size")
    parser.add_argument("--sizes", nargs="+", default=["640x480", "2000x1500"])
    parser.add_argument("--work", type=Path, help="a folder that keeps pictures, bundle and graphs for the next run")
    parser.add_argument("--prepare", action="store_true", help="fill --work, and measure nothing")
    parser.add_argument("--rivals", default="", help="a Python with torch and timm, or openvino and simplejpeg")
    parser.add_argument("--photographs", type=Path, help="a folder of photographs: measure the scaled decoding alone")
    parser.add_argument("--bundle", type=Path, help="the model that names --photographs")
    parser.add_argument("--memory", nargs="+", type=int, help="pools of so many images: measure the memory alone")
    main(parser.parse_args())
