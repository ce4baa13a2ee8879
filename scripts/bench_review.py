#!/usr/bin/env python
"""How long a reviewer waits, in Debian's chromium, on a queue of millions.

    scripts/bench_review.py [ROWS] [DECISIONS]

It makes up a workspace with a queue of ROWS rows (2,000,000), 1,500 classes and photographs of 3 megapixels, serves it
as a user would, and decides DECISIONS cards (1,000) by key, 50 ms after each picture has come. Each figure has its
limit, and a rival that does the least which a page could do without ours: reading the whole table, decoding the picture
after the key was pressed, looking through all names, Pillow alone.
"""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.files import SCHEMA_VERSION, VERSION_KEY, write_csv, write_json, write_text
from pipeline.library import board
from pipeline.review.page.thumbnails import SIDES, Thumbnails

CLASSES = [f"species {number:04d}" for number in range(1500)]
PHOTOGRAPHS = 60  # different ones, of about 3 bits a pixel; the rest are copies with other last bytes
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


def main(rows: int, decisions: int) -> None:
    with harness.scratch() as workspace:
        photographs = make_up(workspace, rows, files=decisions + 200)
        queue = workspace / "data/queue/low-count.parquet"
        started = time.perf_counter()
        with harness.Server(workspace, "review", "--no-browser") as server:
            print(f"{rows:,} rows; the first start, which unpacks them, took {time.perf_counter() - started:.1f} s")
            harness.heads()
            whole = harness.seconds(lambda: pq.read_table(queue).to_pandas())
            ready, waits, unprepared, typed = in_browser(server.address, decisions)
            harness.row("page ready, s", ready, "pandas reads the table", whole, limit=1)
            late, what = float(np.percentile(waits, 95)), f"next image, ms, 95 % of {decisions:,}"
            harness.row(what, late, "the same, not prefetched", unprepared, limit=100)
            ours, theirs = max(typed["ours"]), max(typed["rival"])
            harness.row("a letter typed, of 1,500 classes, ms", ours, "names.filter", theirs, limit=30)
            ours, theirs = thumbnails(workspace, photographs[-100:])
            harness.row("100 thumbnails, the first time, s", ours, "Pillow, one after the other", theirs, limit=1)


def make_up(workspace: Path, rows: int, *, files: int) -> list[Path]:
    """Writes the workspace; returns the photographs of the queue's first rows."""
    random = np.random.default_rng(0)
    kinds = [harness.photograph(seed, SIZE, grain=9, quality=88) for seed in range(PHOTOGRAPHS)]
    photographs, hashes = [], []
    for number in range(files):
        data = kinds[number % PHOTOGRAPHS] + number.to_bytes(4, "big")
        path = workspace / f"pool/{number // 1000:05d}/IMG_{number:08d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        photographs.append(path)
        hashes.append(hashlib.sha256(data).hexdigest())
    params = (harness.ROOT / "configs/params.yaml").read_text()
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


@contextmanager
def browser_page(by: str, timeout: float) -> Iterator[Any]:
    """A page in a browser of a reviewer's own; `timeout` is in milliseconds."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 720}, bypass_csp=True)
        context.add_init_script(f"localStorage.setItem('wallaby.by', {by!r})")
        page = context.new_page()
        page.set_default_timeout(timeout)
        yield page
        browser.close()


def in_browser(address: str, decisions: int) -> tuple[float, list[float], float, dict[str, list[float]]]:
    """Seconds until the first picture; milliseconds of each next one, of one that is not prefetched, of each letter."""
    with browser_page("bench", 300_000) as page:
        page.goto(address)  # the browser itself is awake
        started = time.perf_counter()
        page.goto(address + "/queue/low-count")
        page.wait_for_selector("main > .stage[data-shown]")
        ready = time.perf_counter() - started
        waits = page.evaluate(DECIDE, [decisions, THINKS_MS])
        dealt = page.evaluate(DEAL)
        unprepared = page.evaluate(SHOW, [f"{picture}&side={SIDES[2]}" for picture in dealt])
        typed = page.evaluate(TYPE, ["species 1234", CLASSES])
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

    return harness.seconds(all_of_them), harness.seconds(by_pillow)


if __name__ == "__main__":
    main(**vars(harness.parser(__doc__, rows=2_000_000, decisions=1000).parse_args()))
