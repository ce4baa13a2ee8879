#!/usr/bin/env python
"""How long a reviewer waits, in Debian's chromium, on a queue of millions.

    scripts/bench_review.py [ROWS] [DECISIONS]

It makes up a workspace with a queue of ROWS rows (2,000,000), 1,500 classes and photographs of 3 megapixels, serves it
as a user would, and decides DECISIONS cards (1,000) by key, 50 ms after each picture has come. Each figure has its
limit, and a rival that does the least which a page could do without ours: reading the whole table, decoding the picture
after the key was pressed, looking through all names, Pillow alone.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.files import SCHEMA_VERSION, VERSION_KEY, write_csv, write_json, write_text
from pipeline.library import board
from pipeline.review.page.thumbnails import SIDES, Thumbnails

ROOT = Path(__file__).resolve().parent.parent
CLASSES = [f"species {number:04d}" for number in range(1500)]
PHOTOGRAPHS = 60  # different ones; the rest are copies under other names, told apart by their last bytes
SIZE = (2000, 1500)
CHUNK = 250_000
THINKS_MS = 50
DECIDE = """async ([decisions, thinks]) => {
  const stage = document.querySelector("main > .stage");
  const frame = () => new Promise((shown) => requestAnimationFrame(() => setTimeout(shown)));
  const waits = [];
  for (let i = 0; i < decisions; i += 1) {
    await new Promise((next) => setTimeout(next, thinks));
    const before = stage.dataset.card;
    const key = stage.querySelector("[data-act=accept]").disabled ? "u" : "Enter"; // a second reading suggests nothing
    const start = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    while (stage.dataset.card === before) {
      if (document.querySelector("[role=alert]")) throw new Error(document.querySelector("[role=alert]").textContent);
      await new Promise((next) => setTimeout(next));
    }
    await frame();
    waits.push(performance.now() - start);
  }
  return waits;
}"""
DEAL = """async () => {
  const headers = { "content-type": "application/json", "x-wallaby": "1" };
  const body = JSON.stringify({ by: "another", number: 40 });
  const answer = await fetch("/api/queue/low-count/deal", { method: "POST", headers, body });
  return (await answer.json()).cards.map((card) => card.members[0].picture);
}"""
SHOW = """async (addresses) => {
  const waits = [];
  for (const address of addresses) {
    const start = performance.now();
    const image = new Image();
    image.src = address;
    await image.decode();
    waits.push(performance.now() - start);
  }
  return waits;
}"""
TYPE = """([text, all]) => {
  const input = document.querySelector(".find input");
  const waits = { ours: [], rival: [] };
  for (let end = 1; end <= text.length; end += 1) {
    let start = performance.now();
    input.value = text.slice(0, end);
    input.dispatchEvent(new Event("input"));
    document.body.offsetHeight;
    waits.ours.push(performance.now() - start);
    start = performance.now();
    all.filter((name) => name.toLowerCase().includes(input.value));
    waits.rival.push(performance.now() - start);
  }
  return waits;
}"""


def main(rows: int = 2_000_000, decisions: int = 1000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        photographs = make_up(workspace, rows, files=decisions + 200)
        queue = workspace / "data/queue/low-count.parquet"
        started = time.perf_counter()
        server, address = serve(workspace)
        try:
            print(f"{rows:,} rows; the first start, which unpacks them, took {time.perf_counter() - started:.1f} s")
            print(f"{'':<44}{'ours':>10}{'limit':>8}   {'rival':<40}{'':>9}{'ratio':>7}")
            whole = seconds(lambda: pq.read_table(queue).to_pandas())
            ready, waits, unprepared, typed = in_browser(address, decisions)
            tell("page ready, s", ready, 1.0, "pandas reads the table", whole)
            late = float(np.percentile(waits, 95))
            tell(f"next picture, ms, 95 % of {decisions:,}", late, 100.0, "the same, not prefetched", unprepared)
            tell("a letter typed, of 1,500 classes, ms", max(typed["ours"]), 30.0, "names.filter", max(typed["rival"]))
            ours, theirs = thumbnails(workspace, photographs[-100:])
            tell("100 thumbnails, the first time, s", ours, 1.0, "Pillow, one after the other", theirs)
        finally:
            server.kill()
            server.wait()


def tell(what: str, ours: float, limit: float, rival: str, theirs: float) -> None:
    print(f"{what:<44}{ours:>10.3g}{limit:>8g}   {rival:<40}{theirs:>9.3g}{ours / max(theirs, 1e-9):>7.2f}")


def make_up(workspace: Path, rows: int, *, files: int) -> list[Path]:
    """Writes the workspace; returns the photographs of the queue's first rows."""
    random = np.random.default_rng(0)
    kinds = [encoded(random) for _ in range(PHOTOGRAPHS)]
    photographs, hashes = [], []
    for number in range(files):
        data = kinds[number % PHOTOGRAPHS] + number.to_bytes(4, "big")
        path = workspace / f"pool/{number // 1000:05d}/IMG_{number:08d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        photographs.append(path)
        hashes.append(hashlib.sha256(data).hexdigest())
    params = (ROOT / "configs/params.yaml").read_text()
    for root in ("library", "pool"):
        params = params.replace(f"data/demo/{root}", root)
    write_text(params, workspace / "configs/params.yaml")
    write_queue(workspace / "data/queue/low-count.parquet", rows, hashes, random)
    known = pd.DataFrame({"label": np.repeat(CLASSES, 3)})
    known["image"] = "library/" + known["label"] + "/" + known.index.astype(str) + ".jpg"
    write_csv(known[["image", "label"]], workspace / "data/labels.csv")
    counted = board.count(known.assign(group=known["image"], origin="real"), min_images=40)
    write_csv(counted, workspace / "data/curated/board.csv")
    write_json({"model": "5" * 64}, workspace / "data/predictions/summary.json")
    return photographs


def encoded(random: np.random.Generator) -> bytes:
    """A JPEG with as much in it as a photograph has: about 3 bits a pixel."""
    import io

    coarse = Image.fromarray(random.integers(0, 255, (30, 40, 3), dtype=np.uint8)).resize(SIZE)
    noisy = np.asarray(coarse, np.int16) + random.normal(0, 9, (SIZE[1], SIZE[0], 1)).astype(np.int16)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def write_queue(path: Path, rows: int, hashes: list[str], random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True)
    writer = None
    for start in range(0, rows, CHUNK):
        numbers = np.arange(start, min(start + CHUNK, rows))
        labels = [CLASSES[number] for number in random.integers(0, len(CLASSES), len(numbers))]
        scores = np.round(random.random(len(numbers)), 4)
        table = pa.table(
            {
                "image": [f"pool/{number // 1000:05d}/IMG_{number:08d}.jpg" for number in numbers],
                "sha256": [hashes[number] if number < len(hashes) else f"{number:064x}" for number in numbers],
                "group": [f"{number:016x}" for number in numbers],
                "rank": numbers + 1,
                "label": labels,
                "score": scores,
                "reason": [f"{label} has only 38 images; the model sees {label}" for label in labels],
                "cluster": [""] * len(numbers),
                "top_labels": [[label, *CLASSES[:4]] for label in labels],
                "top_scores": [[score, 0.05, 0.02, 0.01, 0.0] for score in scores.tolist()],
            }
        ).replace_schema_metadata({VERSION_KEY: SCHEMA_VERSION.encode()})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()


def serve(workspace: Path) -> tuple[subprocess.Popen, str]:
    """The review page of a workspace, by this program even where the workspace has a copy of it (-P); its address."""
    code = "from pipeline.cli import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-P", "-c", code, "review", "--no-browser", "--port", "0", "--json"],
        cwd=workspace,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    return server, json.loads(server.stdout.readline())["address"]


def in_browser(address: str, decisions: int) -> tuple[float, list[float], float, dict[str, list[float]]]:
    """Seconds until the first picture; milliseconds of each next one, of one that is not prefetched, of each letter."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 720}, bypass_csp=True)
        context.add_init_script("localStorage.setItem('wallaby.by', 'bench')")
        page = context.new_page()
        page.set_default_timeout(300_000)
        page.goto(address)  # the browser itself is awake
        started = time.perf_counter()
        page.goto(address + "queue/low-count")
        page.wait_for_selector("main > .stage[data-shown]")
        ready = time.perf_counter() - started
        waits = page.evaluate(DECIDE, [decisions, THINKS_MS])
        dealt = page.evaluate(DEAL)
        unprepared = page.evaluate(SHOW, [f"{picture}&side={SIDES[2]}" for picture in dealt])
        typed = page.evaluate(TYPE, ["species 1234", CLASSES])
        browser.close()
    return ready, waits, float(np.percentile(unprepared, 95)), typed


def thumbnails(workspace: Path, photographs: list[Path]) -> tuple[float, float]:
    """Seconds for thumbnails of photographs that none has been made of, by the page's means and by Pillow alone."""
    made = Thumbnails({"pool": workspace / "pool"}, workspace / "other-cache")
    images = [str(path.relative_to(workspace)) for path in photographs]

    def all_of_them() -> None:
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda image: made.get(image, "", SIDES[1], made._key(image, "")), images))

    def by_pillow() -> None:
        for number, path in enumerate(photographs):
            picture = Image.open(path)
            picture.thumbnail((SIDES[1], SIDES[1]))
            picture.save(workspace / f"{number}.jpg")

    return seconds(all_of_them), seconds(by_pillow)


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
