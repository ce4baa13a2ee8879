#!/usr/bin/env python
"""The evaluation at the size it is designed for: 500,000 images x 1,500 classes, from stored outputs, beside its peers.

    scripts/bench_evaluation.py [PART ...] [--images N] [--classes N]

PART: proof (scores, thresholds, audit, metrics, page), peers (the same arrays in scikit-learn and cleanlab), gate (the
stage as `dvc repro` runs it, with a fifth of the images in benchmarks), promise (how often a threshold keeps its
promise, by its rule). Default: all. Each part runs in a process of its own, so that its memory is its own.
"""

import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
from PIL import Image

from pipeline import bundle
from pipeline.evaluation import assessment, audit, mistakes, paired_statistics, scores, thresholds
from pipeline.files import digest, read_json, write_json, write_table, write_text
from pipeline.library import lineage
from pipeline.pages import report

BLOCK = 4096
FEATURES = 512
SETS = {
    "train": 0.7,
    "val": 0.12,
    "test": 0.12,
    "benchmark:real": 0.04,
    "benchmark:messy": 0.01,
    "open:below-cutoff": 0.01,
}
WRONG_LABELS = 0.03
PARAMS: dict[str, Any] = {
    "confidence": 0.95,
    "precision": 0.95,
    "min_class_images": 50,
    "audit_max_share": 0.05,
    "audit_ask_again_after": 2,
}
BENCHMARK = 0.2  # of the images that the gate reads
PEER_IMAGES = 50_000  # cleanlab's own function holds everything as float64, several times over


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help=f"{', '.join(PARTS)}; default all")
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--classes", type=int, default=1500)
    args = parser.parse_args()
    parts = args.part or list(PARTS)
    with harness.scratch() as folder:
        print(f"{args.images:,} images x {args.classes:,} classes", flush=True)
        if {"proof", "peers"} & set(parts):
            make(folder, args.images, args.classes)
        if "gate" in parts:
            make_two_models(folder, args.images, args.classes)
        for part in parts:
            harness.apart(PARTS[part], folder)


def make(folder: Path, images: int, classes: int) -> None:
    """Made-up outputs of a good model, its images, and an older model's scores; about 80 % right, 3 % wrong labels."""
    random = np.random.default_rng(0)
    names = np.array([f"species_{number:04}" for number in range(classes)], dtype=object)
    truth = random.integers(0, classes, images)
    label = np.where(random.random(images) < WRONG_LABELS, random.integers(0, classes, images), truth)
    sets = random.choice(list(SETS), images, p=list(SETS.values()))
    means, spread = (random.normal(size=(number, FEATURES)).astype(np.float16) for number in (classes, 4096))
    noise = random.normal(size=(512, classes)).astype(np.float32)
    log_probs = np.lib.format.open_memmap(folder / "log_probs.npy", "w+", np.float16, (images, classes))
    embeddings = np.lib.format.open_memmap(folder / "embeddings.npy", "w+", np.float16, (images, FEATURES))
    for start in range(0, images, BLOCK):
        some = slice(start, start + BLOCK)
        logits = noise[random.integers(0, len(noise), len(truth[some]))]
        rows = np.arange(len(logits))
        logits[rows, truth[some]] += random.normal(8, 4.5, len(logits))
        logits[rows, (truth[some] // 4 * 4 + random.integers(0, 4, len(logits))) % classes] += 3  # look-alikes
        logits[sets[some] == "open:below-cutoff"] *= 0.8
        log_probs[some] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        embeddings[some] = means[truth[some]] + 2.5 * spread[random.integers(0, len(spread), len(logits))]
    labels = np.where(sets == "open:below-cutoff", "rare_" + names[label], names[label])
    image = [f"library/{number // 1000}/{number}.jpg" for number in range(images)]
    table = pd.DataFrame({"image": image, "sha256": image, "group": image, "label": labels, "set": sets})
    table["subclass"] = np.where(random.random(images) < 0.3, "juvenile", "")
    table["origin"] = np.where(random.random(images) < 0.1, "staged", "real")
    table["wrong"] = label != truth
    write_table(table, folder / "images.parquet")
    pd.Series(names).to_csv(folder / "classes.txt", index=False, header=False)


def make_two_models(folder: Path, images: int, classes: int) -> None:
    """Folders as evaluate and release leave them, of two models of 85 % that differ on a twelfth of the images.

    One class in a hundred of the candidate's is lost.
    """
    random = np.random.default_rng(0)
    names = np.array([f"class {number:04d}" for number in range(classes)], dtype=object)
    label = random.integers(0, classes, images)
    sets = np.where(random.random(images) < BENCHMARK, "benchmark:field", "train")
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
    os.symlink(harness.ROOT / "configs", folder / "configs")
    write_text("event,class,to,min_images,flip,by,at,note\n", folder / "data/classes.csv")
    for name, scores_folder in (("data/model", "data/evaluation"), ("data/released", "data/released")):
        changed = random.random(images) < 1 / 24
        named = right ^ changed
        if name == "data/model":
            named &= label % 100 != 42
        other = (label + 1 + random.integers(0, classes - 1, images)) % classes
        said = np.where(named, label, other)
        target = folder / name
        write_text(f"network {name}", target / bundle.MODEL)
        card = bundle.Card("made-up", 299, model_digest=digest(target / bundle.MODEL))
        write_json(asdict(card), target / bundle.CARD)
        write_text("".join(f"{each}\n" for each in names), target / bundle.CLASSES)
        write_table(lineage.extend(lineage.empty(), rows, round_=1), target / bundle.LINEAGE)
        best = np.stack([said, *((said + 7 * step) % classes for step in range(1, assessment.TOP_K))], axis=1)
        scored = rows.assign(
            predicted=names[said],
            score=0.9,
            top_labels=list(names[best]),
            top_scores=[np.linspace(0.9, 0.0, assessment.TOP_K)] * images,
            label_score=np.where(named, 0.9, 0.05),
            label_rank=np.where(named, 1, 2),
            model=card.model_digest,
        )
        write_table(scored, folder / scores_folder / "scores.parquet")


def load(folder: Path) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    classes = (folder / "classes.txt").read_text().splitlines()
    return pd.read_parquet(folder / "images.parquet"), np.load(folder / "log_probs.npy", mmap_mode="r"), classes


@contextmanager
def timed(what: str, times: dict[str, float]) -> Iterator[None]:
    start, busy = time.perf_counter(), time.process_time()
    yield
    times[what] = time.perf_counter() - start
    show(what, harness.Cost(times[what], time.process_time() - busy, harness.peak()))


def show(what: str, cost: harness.Cost) -> None:
    print(
        f"  {what:<58}{cost.seconds:>7.1f} s  ({cost.cpu:.1f} s of CPU)   peak {cost.peak / 1024:.1f} GiB", flush=True
    )


def proof(folder: Path) -> None:
    """What stage evaluate does once the outputs are stored, and how well the audit finds what was planted."""
    rows, log_probs, classes = load(folder)
    times: dict[str, float] = {}
    buffer = io.BytesIO()
    Image.new("RGB", (160, 120), "teal").save(buffer, "JPEG")
    print("proof")
    with timed("scores, thresholds, metrics, audit", times):
        assessed = assessment.assess(
            rows,
            log_probs,
            np.load(folder / "embeddings.npy", mmap_mode="r"),
            classes,
            model="m",
            temperature=1.0,
            verdicts=pd.DataFrame(columns=["image", "at", "model", "label"], dtype=str),
            audited_before=audit.nothing(),
            **PARAMS,
        )
    with timed("tables written", times):
        assessment.write(assessed, folder / "out")
    with timed("mistakes with their nearest training images", times):
        shown = mistakes.gather(assessed.scores, np.load(folder / "embeddings.npy", mmap_mode="r"), worst_mistakes=48)
    with timed("against an older model's scores", times):
        ranks = assessed.scores["label_rank"].sample(frac=1, random_state=0).to_numpy()
        older = assessed.scores.assign(label_rank=ranks)
        changed = paired_statistics.what_changed(assessed.scores, older)
    with timed("report page", times):
        report.write(
            folder / "out",
            title="Round 12",
            facts={},
            sets=pd.DataFrame([{"set": name} | values for name, values in assessed.metrics.items()]),
            threshold=vars(assessed.thresholds) | assessed.overall,
            **assessed.tables,
            **shown,
            **changed,
            audit=audit.first(assessed.audit, number=48),
            wholly_staged=[],
            conclusions=[],
            history=pd.DataFrame(columns=["epoch", "loss", "val_loss", "accuracy", "val_accuracy", "learning_rate"]),
            picture=lambda _: buffer.getvalue(),
        )
    wrong = int((assessed.scores["label_rank"] > 1).sum())
    size = (folder / "out" / report.PAGE).stat().st_size / 2**20
    print(f"  {'in all':<58}{sum(times.values()):>7.1f} s   peak {harness.peak() / 1024:.1f} GiB")
    print(f"  page: {size:.1f} MiB, {wrong:,} errors, {len(assessed.tables['confusions']):,} confused pairs")
    asked = assessed.audit[assessed.audit["asked"]]
    hits = asked["image"].isin(rows.loc[rows["wrong"], "image"])
    found, planted = int(hits.sum()), int((rows["wrong"] & (rows["set"] != "open:below-cutoff")).sum())
    print(
        f"  audit: {len(asked):,} asked, {hits.mean():.1%} of them planted; {found / planted:.1%} of {planted:,} found"
    )


def peers(folder: Path) -> None:
    """The same arrays in scikit-learn and in cleanlab's own function."""
    from cleanlab.filter import find_label_issues
    from sklearn.metrics import classification_report

    rows, log_probs, classes = load(folder)
    times: dict[str, float] = {}
    print("peers")
    known = rows["label"].isin(classes).to_numpy()
    predicted = np.asarray(classes, dtype=object)[
        np.concatenate([log_probs[n : n + BLOCK].argmax(axis=1) for n in range(0, len(rows), BLOCK)])
    ]
    with timed(f"scikit-learn, classification_report, {known.sum():,} images", times):
        classification_report(rows.loc[known, "label"], predicted[known], output_dict=True, zero_division=0.0)
    some = np.flatnonzero(known)[:PEER_IMAGES]
    targets = pd.Index(classes).get_indexer(rows["label"].iloc[some])
    with timed(f"cleanlab, find_label_issues, {len(some):,} images", times):
        probs = scores.probs_of(log_probs[some])
        find_label_issues(targets, probs, return_indices_ranked_by="self_confidence", n_jobs=1)


def gate(folder: Path) -> None:
    """The stage as a process of its own; time and memory are its own."""
    cost = harness.measured([sys.executable, "-m", "pipeline.stages.gate"], folder)
    print("gate", cost.output, sep="\n", end="")
    images = read_json(folder / "data/gate/gate.json")["images"]["all"]
    show(f"the stage, {images:,} images of benchmarks", cost)
    print(f"  page: {(folder / 'data/gate/index.html').stat().st_size / 2**20:.1f} MiB")


def promise(folder: Path) -> None:
    """Thresholds chosen on few images, held against many: how often 95 % of the answers shown are right indeed."""
    print("promise: of 100 thresholds for 95 %, how many keep it on other images")
    fresh = honest(200_000, seed=10**6)
    for number in (300, 1000, 3000, 10_000):
        kept: dict[str, list[float]] = {"lower bound": [], "share itself": []}
        for seed in range(100):
            sample = honest(number, seed)
            for rule, confidence in {"lower bound": 0.95, "share itself": 0.5}.items():
                chosen = thresholds.choose(
                    sample, precision=0.95, confidence=confidence, min_images=10**9, temperature=1.0
                )
                shown = fresh[fresh["score"] >= chosen.threshold]
                kept[rule].append(float((shown["label_rank"] == 1).mean()) if len(shown) else 1.0)
        told = "; ".join(
            f"{rule}: {np.mean(np.array(values) >= 0.95):.0%}, worst {min(values):.1%}" for rule, values in kept.items()
        )
        print(f"  {number:>6,} images   {told}")


def honest(number: int, seed: int) -> pd.DataFrame:
    """Calibrated scores of a model that is right in four of five."""
    random = np.random.default_rng(seed)
    score = random.beta(3, 0.75, number)
    rank = np.where(random.random(number) < score, 1, 2)
    return pd.DataFrame({"set": "benchmark:b", "predicted": "a", "score": score, "label_rank": rank, "model": "m"})


PARTS = {"proof": proof, "peers": peers, "gate": gate, "promise": promise}

if __name__ == "__main__":
    main()
