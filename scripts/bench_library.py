#!/usr/bin/env python
"""The library at the size it is designed for, against named rivals in the same run.

    scripts/bench_library.py [PART ...]        (PART: index, duplicates, tables, apply; default all)

Rivals (imagededup, cleanvision, faiss-cpu) need not be installed: RIVALS=/path/to/python names an interpreter that has
them; without it their columns stay empty.
"""

import hashlib
import io
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import cv2
import harness
import numpy as np
import pandas as pd
import yaml
from PIL import Image

from pipeline.errors import Exit
from pipeline.files import read_table, write_table, write_text
from pipeline.library import classes as classes_csv
from pipeline.library import history, labels, lineage
from pipeline.library import index as index_table
from pipeline.library.duplicates import near_links, near_pairs
from pipeline.review import decisions

GOAL_GROWTH = 15.0  # times that ten million hashes may take, of what a million takes

RIVAL_INDEX = """
import sys, time
from unittest.mock import MagicMock
what, folder = sys.argv[1:]
if what.startswith("imagededup"):  # its hashes need no network, and torchvision of another build cannot load
    sys.modules.update({name: MagicMock() for name in ("imagededup.methods.cnn", "imagededup.utils.models")})
    from imagededup.methods import PHash
    run = lambda: PHash(verbose=False).encode_images(image_dir=folder, recursive=True)
else:
    from cleanvision import Imagelab
    issues = ["exact_duplicates", "near_duplicates"]
    if what.endswith("all"):
        issues += ["dark", "light", "low_information", "blurry", "odd_aspect_ratio", "odd_size"]
    lab = Imagelab(data_path=folder)
    run = lambda: lab.find_issues(dict.fromkeys(issues, {}), verbose=False)
start = time.perf_counter()
run()
print(time.perf_counter() - start)
"""


def index(sizes: tuple[int, ...] = (2_000, 20_000), unchanged: tuple[int, ...] = (10_000, 100_000)) -> None:
    """First scan of real JPEGs and re-scan of unchanged files.

    PICTURES=/a/folder names photographs to make the JPEGs from; without it they are painted.
    """
    rivals = ["imagededup PHash", "cleanvision duplicates", "cleanvision all"] if "RIVALS" in os.environ else []
    print(f"{'first scan':<28}{'files':>9}{'seconds':>9}{'us a file':>11}{'of ours':>9}")
    for number in sizes:
        with harness.scratch() as parent:
            folder = parent / "jpegs"
            make_jpegs(folder, number)
            rows = {"wallaby index": [first_scan(folder), first_scan(folder)]}
            rows |= {rival: [rival_seconds(rival, folder)] for rival in rivals}
            rows["wallaby index"].append(first_scan(folder))  # the machine may be busier at one time than at another
            rows["decoding, bare"] = [bare_decoding(folder)]
        ours = statistics.median(rows["wallaby index"])
        for what, times in rows.items():
            seconds = statistics.median(times)
            print(f"{what:<28}{number:>9,}{seconds:>9.1f}{seconds / number * 1e6:>11.0f}{seconds / ours:>9.2f}")
    print(f"{'re-scan of unchanged files':<28}{'files':>9}{'seconds':>9}{'walk alone':>11}")
    for number in unchanged:
        with harness.scratch() as parent:
            folder = parent / "files"
            for i in range(number):
                path = folder / f"{i // 500:04d}" / f"{i:07d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x" * (i % 100))
            first_scan(folder)
            again, walk = scan(folder), walk_alone(folder)
            print(f"{'wallaby index':<28}{number:>9,}{again:>9.2f}{walk:>11.2f}")


def first_scan(folder: Path) -> float:
    (folder.parent / "cache.parquet").unlink(missing_ok=True)
    return scan(folder)


def scan(folder: Path) -> float:
    """Seconds that a scan takes, with what the last one has left in the cache."""
    cache = folder.parent / "cache.parquet"
    return harness.seconds(lambda: index_table.scan({"pool": folder}, cache, max_megapixels=100))


def walk_alone(folder: Path) -> float:
    return harness.seconds(
        lambda: [os.stat(f"{below}/{file}") for below, _, names in os.walk(folder) for file in names]
    )


def rival_seconds(rival: str, folder: Path) -> float:
    command = [os.environ["RIVALS"], "-c", RIVAL_INDEX, rival, str(folder)]
    return float(harness.measured(command).output.split()[-1])


def bare_decoding(folder: Path) -> float:
    """Reading the files and decoding them in grey at a reduced scale, and nothing else: the floor of any scan."""

    def decode(path: Path) -> None:
        picture = Image.open(io.BytesIO(path.read_bytes()))
        picture.draft("L", (64, 64))
        picture.load()

    paths = list(folder.rglob("*.jpg"))
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return harness.seconds(lambda: list(workers.map(decode, paths)))


def make_jpegs(folder: Path, number: int) -> None:
    """JPEGs of 640 x 480 pixels and 60 to 100 kB: crops of photographs, or painted, under a grain as a camera's."""
    random = np.random.default_rng(0)
    sources = sorted(Path(os.environ["PICTURES"]).rglob("*.jp*g")) if "PICTURES" in os.environ else []
    places, chosen = random.random((number, 2)), random.integers(0, max(len(sources), 1), number)
    grain = random.normal(0, 6, (960, 1280, 1)).astype(np.int16)

    def paint(i: int) -> np.ndarray:
        own, picture = np.random.default_rng(i), np.full((480, 640, 3), 128.0)
        for cells in (2, 4, 8, 16, 32, 64, 128):  # weaker the finer, as in photographs
            patches = own.normal(0, 60 / cells**0.6, (cells, cells, 3))
            picture += cv2.resize(patches, (640, 480), interpolation=cv2.INTER_CUBIC)
        return picture

    def make(i: int) -> None:
        if sources:
            with Image.open(sources[chosen[i]]) as photograph:
                width, height = photograph.size
                x, y = places[i] * (width * 0.2, height * 0.2)
                box = (x, y, x + width * 0.8, y + height * 0.8)
                picture = np.asarray(photograph.convert("RGB").resize((640, 480), Image.Resampling.BICUBIC, box=box))
        else:
            picture = paint(i)
        top, left = (places[i] * (480, 640)).astype(int)
        grainy = np.clip(picture + grain[top : top + 480, left : left + 640], 0, 255).astype(np.uint8)
        path = folder / f"{i // 500:04d}" / f"{i:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grainy).save(path, quality=86)

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        list(workers.map(make, range(number)))


def duplicates(radius: int = 6, queries: int = 2_000) -> None:
    """Near-duplicates among made-up hashes, with planted pairs at every distance; all must be found."""
    print(f"near-duplicates among 64-bit hashes, at most {radius} bits apart")
    print(f"{'hashes':<22}{'search':<8}{'pairs':>12}{'seconds':>9}{'hashes a second':>17}{'peak MiB':>10}")
    rates = {}
    with harness.scratch() as folder:
        for size in (10_000, 100_000, 1_000_000, 10_000_000):
            hashes, planted = planted_hashes(size, radius)
            rates[size] = report_search(f"{size:,}", "pairs", hashes, radius, folder)
            found = np.load(folder / "pairs.npy")
            codes = np.concatenate([found, planted]) @ [size, 1]
            missed = len(planted) - np.isin(codes[len(found) :], codes[: len(found)]).sum()
            if missed:
                sys.exit(f"{missed} of {len(planted)} planted pairs were missed")
            if size == 1_000_000:
                rival = compare_with_faiss(hashes, found, radius, queries, folder)
        growth = [10 * few / many for few, many in pairwise(rates.values())]
        print("times as long for ten times the hashes: " + ", ".join(f"{times:.0f}" for times in growth))
        print(f"{harness.verdict(growth[-1] <= GOAL_GROWTH)}  of 1,000,000 at most {GOAL_GROWTH:g} times as long")
        for search in ("links", "pairs"):
            report_search("1,000,000 clustered", search, clustered_hashes(1_000_000), radius, folder)
    if rival:
        print(f"faiss IndexBinaryFlat, {queries:,} of 1,000,000: {rival:,.0f} queries a second, ours in one thread")
        print(f"  {rates[1_000_000]:,.0f}: {rates[1_000_000] / rival:.0f} times as many (goal 10)")


def planted_hashes(size: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Random hashes, and the pairs among them (M, 2) that were planted, as many at each distance from 1 on."""
    random = np.random.default_rng(size)
    hashes = random.integers(0, 2**64, size, dtype=np.uint64)
    near = np.arange(size // 100 * radius)
    flips = random.permuted(np.tile(np.arange(64), (len(near), 1)), axis=1)[:, :radius].astype(np.uint64)
    flips = np.where(np.arange(radius) <= near[:, None] % radius, np.uint64(1) << flips, np.uint64(0))
    planted = np.stack([near, size - 1 - near], axis=1)
    hashes[planted[:, 1]] = hashes[near] ^ np.bitwise_xor.reduce(flips, axis=1)
    return hashes, planted


def clustered_hashes(size: int) -> np.ndarray:
    """Half of them at most 8 bits from one of 1,000 centres, as the frames of a camera that does not move."""
    random = np.random.default_rng(size)
    hashes = random.integers(0, 2**64, size, dtype=np.uint64)
    half = hashes[: size // 2]
    half[:] = random.choice(hashes[-1000:], len(half))
    number = random.integers(0, 9, len(half))
    for flip in range(8):
        bit = random.integers(0, 64, len(half)).astype(np.uint64)
        half ^= (flip < number).astype(np.uint64) << bit
    return hashes


def report_search(name: str, search: str, hashes: np.ndarray, radius: int, folder: Path) -> float:
    """Searches in a process of its own, reports it and leaves what it found in `folder`; hashes a second."""
    np.save(folder / "hashes.npy", hashes)
    number, seconds, peak = harness.apart(searched, search, radius, folder)
    rate = len(hashes) / seconds
    print(f"{name:<22}{search:<8}{number:>12,}{seconds:>9.2f}{rate:>17,.0f}{peak:>10.0f}", flush=True)
    return rate


def searched(search: str, radius: int, folder: Path) -> tuple[int, float, float]:
    """The number of pairs or links found, the seconds it took, and the most MiB that the process held."""
    hashes = np.load(folder / "hashes.npy")
    start = time.perf_counter()
    found = (near_pairs if search == "pairs" else near_links)(hashes, radius)
    seconds, peak = time.perf_counter() - start, harness.peak()
    np.save(folder / f"{search}.npy", found)
    return len(found), seconds, peak


FAISS = """
import sys, time, numpy, faiss
hashes, sample, radius = numpy.load(sys.argv[1]), numpy.load(sys.argv[2]), int(sys.argv[3])
index = faiss.IndexBinaryFlat(64)
index.add(hashes.view(numpy.uint8).reshape(-1, 8))
start = time.perf_counter()
limits, _, _ = index.range_search(hashes[sample].view(numpy.uint8).reshape(-1, 8), radius + 1)  # nearer than that
print(time.perf_counter() - start, limits[-1])
"""


def compare_with_faiss(hashes: np.ndarray, found: np.ndarray, radius: int, queries: int, folder: Path) -> float | None:
    """Queries a second of the exact rival for a sample of `hashes`; none if it is not there."""
    if "RIVALS" not in os.environ:
        return None
    sample = np.random.default_rng(0).choice(len(hashes), queries, replace=False)
    np.save(folder / "sample.npy", sample)
    arguments = [str(folder / "hashes.npy"), str(folder / "sample.npy"), str(radius)]
    seconds, number = harness.measured([os.environ["RIVALS"], "-c", FAISS, *arguments]).output.split()
    if int(number) != queries + np.isin(found, sample).sum():  # it finds each query itself, too
        sys.exit(f"faiss found {number} neighbours of {queries} hashes, we {queries + np.isin(found, sample).sum()}")
    return queries / float(seconds)


def tables(size: int = 500_000, classes: int = 1_500, rounds: int = 20) -> None:
    """Curate, split, `wallaby why` and `wallaby board CLASS` on a made-up table of 500,000 images."""
    with harness.scratch() as workspace:
        make_workspace(workspace, size=size, classes=classes, rounds=rounds)
        print(f"{size:,} images, {classes:,} classes, {rounds} earlier rounds of lineage")
        print(f"{'command':<28}{'seconds':>9}{'limit':>7}{'peak MiB':>10}")
        stages = yaml.safe_load((harness.ROOT / "dvc.yaml").read_text())["stages"]
        for names, limit in ((("curate", "split"), 20), (("dataset",), 0)):
            runs = [harness.measured([sys.executable, *stages[name]["cmd"].split()[1:]], workspace) for name in names]
            report(" + ".join(names), sum(run.seconds for run in runs), limit, max(run.peak for run in runs))
        image = read_table(workspace / "data/splits/splits.parquet", ["image"])["image"].iloc[1000]
        for command, limit in ((["why", image], 1), (["board", "class0007"], 1)):
            report(f"wallaby {command[0]}", harness.measured(["wallaby", *command], workspace).seconds, limit, 0)


def apply(size: int = 500_000, decided: int = 100_000, sessions: int = 40) -> None:
    """`wallaby apply` of 100,000 decisions on 500,000 labels, against pandas that reads and writes the same tables."""
    with harness.scratch() as workspace:
        make_workspace(workspace, size=size, classes=1_500, rounds=1)
        make_decisions(workspace, decided=decided, sessions=sessions)
        print(f"{size:,} labels, {decided:,} decisions in {sessions} sessions, a hundredth of them in dispute")
        print(f"{'command':<28}{'seconds':>9}{'of floor':>9}{'peak MiB':>10}")
        floor = harness.measured([sys.executable, "-c", BARE_TABLES], workspace)
        print(f"{'pandas, reading and writing':<28}{floor.seconds:>9.2f}{1:>9.2f}{floor.peak:>10.0f}")
        for name, more in (
            ("apply --dry-run", ["--dry-run"]),
            ("apply", []),
            ("apply, again", []),
            ("apply --undo-session", ["--undo-session", "session0", "--by", "eve"]),
        ):
            cost = harness.measured(["wallaby", "apply", *more], workspace, codes=(0, Exit.SOME_FAILED))
            print(f"{name:<28}{cost.seconds:>9.2f}{cost.seconds / floor.seconds:>9.2f}{cost.peak:>10.0f}", flush=True)


BARE_TABLES = """
import glob, pandas as pd
read = lambda file: pd.read_csv(file, dtype=str, keep_default_na=False)
decisions = pd.concat([read(file) for file in glob.glob('data/reviews/*.csv')])
read('data/labels.csv').to_csv('data/labels-again.csv', index=False)
"""


def make_decisions(workspace: Path, *, decided: int, sessions: int) -> None:
    """Reviews of half as many new images of a pool as of labelled ones, by four people."""
    random = np.random.default_rng(1)
    known = read_table(workspace / "data/index/library.parquet", ["image", "sha256"]).sample(decided, random_state=1)
    known = known.reset_index(drop=True)
    new = random.random(decided) < 1 / 3
    known["image"] = known["image"].mask(new, "pool/" + known["image"].str.removeprefix("library/"))
    table = known.assign(decision="label", label=[f"class{n:04d}" for n in random.integers(0, 1500, decided)])
    table["by"] = random.choice(["ann", "bob", "eve", "zoe"], decided)
    table["at"] = pd.date_range("2026-03-01", periods=decided, freq="3s").strftime("%Y-%m-%dT%H:%M:%S.000+00:00")
    table = table.assign(model="m1", suggested=table["label"], recipe="low-count", seconds="3.0")
    disputed = table[: decided // 100].assign(by="dan", label="class0000")
    for number in range(sessions):
        part = pd.concat([table[number::sessions], disputed[number::sessions]])
        decisions.write(part, workspace / "data/reviews", f"session{number}")


def report(name: str, seconds: float, limit: float, peak: float) -> None:
    print(f"{name:<28}{seconds:>9.2f}{limit or '':>7}" + (f"{peak:>10.0f}" if peak else ""), flush=True)


def make_workspace(folder: Path, *, size: int, classes: int, rounds: int) -> None:
    """The sources and the index of a library as it may look after `rounds` rounds; there are no pictures."""
    random = np.random.default_rng(0)
    share = random.lognormal(0, 0.9, classes)
    label = random.choice(classes, size, p=share / share.sum())
    hashes = random.integers(0, 2**64, size, dtype=np.uint64)
    burst = random.random(size) < 0.1  # a tenth are near-duplicates of the image before, of the same class
    burst[0] = False
    source = np.maximum.accumulate(np.where(burst, 0, np.arange(size)))
    hashes = hashes[source] ^ np.where(
        burst, np.uint64(1) << random.integers(0, 64, size).astype(np.uint64), np.uint64(0)
    )
    label = label[source]
    sha256 = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(size)]
    names = pd.Series(label).map("class{:04d}".format)
    images = "library/" + names + "/" + pd.Series(np.arange(size)).map("IMG_{:07d}.jpg".format)
    library = pd.DataFrame({"image": images, "sha256": sha256, "phash": pd.Series(hashes).map("{:016x}".format)})
    plain = {"width": 640, "height": 480, "bytes": 80_000, "format": "JPEG", "orientation": 1, "failure": ""}
    quality = {"brightness": 0.9, "contrast": 0.2, "sharpness": 500.0, "subject": 0.6, "layout": ""}
    library = library.assign(**plain, **quality).reindex(columns=index_table.COLUMNS)
    library = library.sort_values("image", ignore_index=True).assign(failure="")
    write_table(library, folder / "data/index/library.parquet")
    write_table(library.iloc[:0], folder / "data/index/pool.parquet")
    origins = random.choice(["real", "staged", "synthetic"], size, p=[0.94, 0.04, 0.02])
    subclasses = random.choice(["", "male", "female", "young"], size)
    table = pd.DataFrame({"image": images, "label": names, "subclass": subclasses, "origin": origins, "status": "ok"})
    labels.write(table.reindex(columns=labels.COLUMNS, fill_value=""), folder / "data/labels.csv")
    classes_csv.write(classes_csv.none().events, folder / "data/classes.csv")
    for name in ("benchmarks", "reviews"):
        (folder / "data" / name).mkdir(parents=True)
    shutil.copytree(harness.ROOT / "configs", folder / "configs")
    write_text("", folder / "data/demo/library/no images")  # an empty folder counts as unmounted

    base = lineage.empty()
    boards = history.empty()[1]
    first_seen = random.integers(1, rounds + 5, size)  # some are new in this round
    role = random.choice(["train", "val", "test"], size, p=[0.7, 0.15, 0.15])
    role = np.where(origins == "real", role, "train")[source]
    seen = library.set_index("image").loc[images].reset_index()
    seen = seen.assign(set=role, group=seen["sha256"].str[:16], together="")
    for number in range(1, rounds + 1):
        base = lineage.extend(base, seen[first_seen == number], round_=number)
        counts = names[first_seen <= number].value_counts().rename_axis("label").reset_index(name="images")
        boards = history.extend_boards(boards, counts.assign(groups=counts["images"]), number)
    write_table(base, folder / "data/base/lineage.parquet")
    history.write(folder / "data/base", history.empty()[0], boards)


PARTS: dict[str, Callable[[], None]] = {"index": index, "duplicates": duplicates, "tables": tables, "apply": apply}

if __name__ == "__main__":
    parser = harness.parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    for name in parser.parse_args().parts or PARTS:
        PARTS[name]()
