#!/usr/bin/env python
"""Two people at the review page at once, by keyboard, who err now and then: how fast it goes, and is their error seen?

    scripts/bench_reviewers.py WORKSPACE TRUTH [--error 0.03] [--seed 0] [--queue NAME ...]

WORKSPACE has a finished round; TRUTH is a table `image,label` of what its pool shows (the demo's: data/demo/truth.csv).
Each reviewer goes through the queues in Debian's chromium, answers from TRUTH, and names another class in a share of
answers. What TRUTH does not know is skipped. Afterwards the page's own measure of each reviewer, from second, blind
readings (`review.blind_share` in the workspace's params), stands beside the share of wrong answers that were planted.
The decisions stay in the workspace's data/reviews: go on with `wallaby apply`.
"""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import harness
from bench_review import browser_page

from pipeline.library import labels
from pipeline.review import decisions, reviewers
from pipeline.workspace import Workspace

HERE = Workspace(Path())
NAMES = ["ada", "ben"]
WORDS = {"unknown": "u", "bad": "b"}
CARD = """() => {
  const stage = document.querySelector("main > .stage");
  if (!stage?.querySelector(".asked")) return null;
  const text = (where) => stage.querySelector(where)?.textContent ?? "";
  return {
    card: stage.dataset.card,
    image: text(".caption .file").replace("\\u200e", ""),
    blind: stage.querySelector(".candidates")?.hidden ?? false,
    suggested: stage.querySelector(".asked").dataset.suggested ?? "",
    candidates: [...stage.querySelectorAll("[data-label]")].map((one) => one.dataset.label),
  };
}"""
NEXT = """(before) => {
  const stage = document.querySelector("main > .stage");
  if (document.querySelector("[role=alert]")) return true;
  return stage && (stage.querySelector(".empty") || (stage.dataset.shown && stage.dataset.card !== before));
}"""


@dataclass
class Played:
    """What one reviewer did: seconds at the page, answers by how they were given, wrong ones among first readings."""

    by: str
    seconds: float = 0.0
    answers: int = 0
    wrong: int = 0
    second_readings: int = 0
    typed: int = 0
    skipped: int = 0
    left: list[str] = field(default_factory=list)


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--error", type=float, default=0.03, help="share of answers that name another class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--queue", action="append", help="only this one; again for more")
    args = parser.parse_args()
    truth = labels.read_csv(args.truth.resolve(), ["image", "label"]).set_index("image")["label"].to_dict()
    os.chdir(args.workspace)
    queues = args.queue or sorted(path.stem for path in HERE.queue.glob("*.parquet") if path.stem != "label-conflict")
    with harness.Server(Path.cwd(), "review", "--no-browser") as server, ThreadPoolExecutor(len(NAMES)) as people:
        work = [people.submit(play, by, server.address, queues, truth, args.error, args.seed) for by in NAMES]
        played = [one.result() for one in work]
    report(played, truth)


def play(by: str, address: str, queues: list[str], truth: dict[str, str], error: float, seed: int) -> Played:
    """One reviewer's session, in a browser of its own."""
    chance, played = random.Random(f"{seed} {by}"), Played(by)
    classes = sorted(set(truth.values()) - {*WORDS, ""})
    with browser_page(by, 60_000) as page:
        started = time.perf_counter()
        for queue in queues:
            page.goto(f"{address}/queue/{queue}")
            before = ""
            while True:
                page.wait_for_function(NEXT, arg=before)
                if page.locator("[role=alert]").count():
                    raise SystemExit(page.locator("[role=alert]").first.inner_text())
                if page.locator("main > .stage .empty").count():
                    played.left.append(f"{queue}: {page.locator('.empty h2').inner_text()}")
                    break
                card = page.evaluate(CARD)
                before = card["card"] if card else ""
                if card:
                    answer(page, card, truth, classes, chance, error, played)
        played.seconds = time.perf_counter() - started
    return played


def answer(page, card: dict, truth: dict[str, str], classes: list[str], chance, error: float, played: Played) -> None:
    """Presses the keys that say what the card shows, or now and then what it does not."""
    right = truth.get(card["image"], "")
    if not right:
        played.skipped += 1
        page.keyboard.press("s")
        return
    said = right
    if chance.random() < error:
        said = chance.choice([name for name in classes if name != right])
    played.answers += 1
    played.second_readings += card["blind"]
    played.wrong += said != right and not card["blind"]
    if said in WORDS:
        page.keyboard.press(WORDS[said])
    elif not card["blind"] and said == card["suggested"]:
        page.keyboard.press("Enter")
    elif not card["blind"] and said in card["candidates"]:
        page.keyboard.press(str(card["candidates"].index(said) + 1))
    else:
        played.typed += 1
        page.keyboard.press("/")
        page.keyboard.type(said)
        found = page.locator(".found li > span:first-child").all_inner_texts()
        at = found.index(said) if said in found else found.index(f"New class “{said}”")
        for _ in range(at):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")


def report(played: list[Played], truth: dict[str, str]) -> None:
    log = decisions.read_log(HERE.reviews, HERE.root_names)
    measured = reviewers.measure(log, confidence=0.95).set_index("by")
    heads = f"{'':<6}{'answers':>9}{'minutes':>9}{'a minute':>10}{'typed':>7}{'skipped':>9}{'planted':>14}"
    print(f"{heads}{'read twice':>12}{'differ':>8}  own error, by that")
    for one in played:
        first, row = one.answers - one.second_readings, measured.loc[one.by]
        planted = f"{one.wrong} ({100 * one.wrong / max(first, 1):.1f} %)"
        error = f"{100 * row['error']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        print(
            f"{one.by:<6}{one.answers:>9}{one.seconds / 60:>9.1f}{60 * one.answers / one.seconds:>10.0f}{one.typed:>7}"
            f"{one.skipped:>9}{planted:>14}{row['checked']:>12}{row['differing']:>8}  {error}"
        )
        print(f"      {'; '.join(one.left)}")
    held = decisions.in_force(log)
    held = held[held["by"].isin(NAMES) & held["image"].isin(truth)]
    wrong = held["label"].where(held["label"] != "", held["decision"]) != held["image"].map(truth)
    print(f"{held['image'].nunique()} images decided, {int(wrong.sum())} otherwise than the truth")


if __name__ == "__main__":
    main()
