#!/usr/bin/env python
"""How much sooner a continued training is as good as one from random weights, round after round, and what leaks.

    scripts/bench_rounds.py LIBRARY --out FOLDER [--arms scratch,continue,control] [--seeds 0,1,2] [--rounds 5]
    scripts/bench_rounds.py LIBRARY --out FOLDER --report

LIBRARY is `demo`, a folder of class folders, or several of them joined by commas. A fifth of it is set apart as the
benchmark before anything else. The rest arrives round after round, each class at a pace of its own, and is curated and
split by the pipeline's own functions, so that a class enters when it crosses the cutoff and no image changes sides.

Arms differ in what they start from, in their splits and in the settings of their training; `--arms` takes any of
`ARMS`. Round 1 starts from random weights in every arm, so it is run once a seed and shared. Each result is a line of
FOLDER/results.jsonl, written when it is there; the same command continues where it was interrupted, and several
processes may share a folder if each has seeds of its own. `--report` makes FOLDER/rounds.md and .png of all lines.
"""

import hashlib
import json
import shutil
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import harness
import numpy as np
import pandas as pd
from scipy.stats import binomtest

from pipeline import config, sections
from pipeline.errors import UsageError, closest, run
from pipeline.files import write_text
from pipeline.library import curation, importing, index, labels, lineage, pictures, splits
from pipeline.library.benchmarks import PREFIX

PRESET = "inception_v4_small"
DISTANCE = 4  # bits between near-duplicates, as in configs/params.yaml
MIN_IMAGES = 40
BENCHMARK_SHARE, VAL, TEST = 0.2, 0.15, 0.15
DEMO_IMAGES = 160  # of each animal
BEFORE = 4  # rounds' worth of pictures that are there before the first
FIRST, LAST = 0.25, 6.0  # exponents of the classes' arrival: share = ((round + BEFORE) / (rounds + BEFORE)) ** exponent

SETTINGS = {  # of every training; those of `fit`, but for NETWORK and BATCHES
    "dropout": 0.4,
    "batch_norm_momentum": 0.9,
    "batch_size": 32,
    "rotate_degrees": 15,
    "zoom": 0.2,
    "max_epochs": 60,
    "decay": "cosine",
    "learning_rate": 1e-3,
    "weight_decay": 0.02,
    "label_smoothing": 0.1,
    "lr_patience": 60,
    "patience": 60,
    "min_delta": 0.0,
    "head": "reset",
}
NETWORK = {"dropout", "batch_norm_momentum", "head"}
BATCHES = {"batch_size", "rotate_degrees", "zoom"}
SCRATCH, BENCHMARK = "scratch", "benchmark"
MEASURED = ("test", BENCHMARK)
HISTORY = ["loss", "accuracy", "val_loss", "val_accuracy", "seconds", "cpu_seconds"]


@dataclass(frozen=True)
class Arm:
    """What a chain of trainings has in common; `continued` overrides `settings` from the second round on."""

    warm: bool = True
    fresh_splits: bool = False
    settings: dict = field(default_factory=dict)
    continued: dict = field(default_factory=dict)


SHORT = {"max_epochs": 20}
ARMS = {
    "scratch": Arm(warm=False),
    "continue": Arm(continued=SHORT),
    "control": Arm(continued=SHORT, fresh_splits=True),
    # What each part gives:
    "scratch-long": Arm(warm=False, settings={"max_epochs": 120}),
    "scratch-short": Arm(warm=False, continued=SHORT),
    "low-rate": Arm(continued=SHORT | {"learning_rate": 3e-4}),
    "body-rate": Arm(continued=SHORT | {"body_rate": 0.3}),
    "head-warmup": Arm(continued=SHORT | {"head_warmup_epochs": 1}),
    "grow": Arm(continued=SHORT | {"head": "grow"}),
    "averages": Arm(continued=SHORT | {"ema": 0.99}),
}


@dataclass(frozen=True)
class Library:
    """`index` and `labels` as the stages have them; `pixels`, uint8 (N, S, S, 3), in the order of `index`."""

    index: pd.DataFrame
    labels: pd.DataFrame
    pixels: np.ndarray
    benchmark: pd.DataFrame


def read(names: str, out: Path) -> Library:
    from pipeline.training.batches import decode_all

    folders = dict([_demo(out)] if names == "demo" else ((Path(name).name, Path(name)) for name in names.split(",")))
    left_out = importing.LeftOut()
    rows = [importing.from_folders(folder, name, origin="real", left_out=left_out) for name, folder in folders.items()]
    table = pd.concat(rows, ignore_index=True).reindex(columns=labels.COLUMNS, fill_value="")
    scanned = index.scan(folders, out / "index.parquet", max_megapixels=pictures.MAX_MEGAPIXELS)
    scanned = scanned[scanned["failure"] == ""].reset_index(drop=True)
    paths = [labels.locate(image, folders) for image in scanned["image"]]
    pixels = decode_all(paths, config.load_preset(PRESET).image_size, out / "pixels.npy")
    whole = _curated(table, scanned, table[:0], lineage.empty(), min_images=1)
    apart = splits.assign(
        whole, lineage.empty(), val=0.0, test=BENCHMARK_SHARE, salt="benchmark", near_duplicate_distance=DISTANCE
    ).images
    benchmark = apart[apart["set"] == "test"].assign(set=PREFIX + BENCHMARK)
    return Library(scanned, table, pixels, benchmark.reset_index(drop=True))


def _curated(
    table: pd.DataFrame, scanned: pd.DataFrame, benchmark: pd.DataFrame, seen: pd.DataFrame, *, min_images: int
) -> pd.DataFrame:
    params = config.load(sections.Curate).model_dump() | {"near_duplicate_distance": DISTANCE, "min_images": min_images}
    return curation.curate(table, scanned, benchmark, seen, **params).images


def _demo(out: Path) -> tuple[str, Path]:
    from pipeline.demo import library, silhouettes

    folder = out / "demo"
    if not folder.exists():
        painter = library._Painter(silhouettes.load(), library.SEED)
        for animal in painter.silhouettes:
            (folder.with_suffix(".tmp") / animal).mkdir(parents=True, exist_ok=True)
            for number in range(DEMO_IMAGES):
                picture = painter.animal(animal, night=painter.at_night(animal))
                picture.save(folder.with_suffix(".tmp") / animal / f"{number:04d}.jpg", quality=88)
        folder.with_suffix(".tmp").rename(folder)
    return "demo", folder


def arrived(library: Library, number: int, rounds: int, seed: int) -> pd.DataFrame:
    """The label rows that are there in round `number`, counted from 1: at its own pace, each class; all in the last."""
    rows = library.labels[~library.labels["image"].isin(library.benchmark["image"])]
    order = sorted(rows["label"].unique(), key=lambda label: _position(seed, label))
    exponents = dict(zip(order, np.geomspace(FIRST, LAST, len(order)), strict=True))
    share = ((number + BEFORE) / (rounds + BEFORE)) ** rows["label"].map(exponents)
    position = rows["image"].map(lambda image: _position(seed, image))
    return rows[position.groupby(rows["label"]).rank(pct=True) <= share + 1e-9]


def _position(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def sets(library: Library, number: int, rounds: int, seed: int, *, fresh: bool) -> pd.DataFrame:
    """The rows of all sets in round `number`, as the stages curate and split would make them.

    Sticky, they follow the lineage of all rounds before; fresh, they are drawn anew as if there had been none.
    """
    seen = lineage.empty()
    for current in [number] if fresh else range(1, number + 1):
        there = arrived(library, current, rounds, seed)
        known = library.index["image"].isin([*there["image"], *library.benchmark["image"]])
        kept = _curated(there, library.index[known], library.benchmark, seen, min_images=MIN_IMAGES)
        salt = f"{seed}-{number}" if fresh else str(seed)
        assigned = splits.assign(kept, seen, val=VAL, test=TEST, salt=salt, near_duplicate_distance=DISTANCE).images
        rows = pd.concat([assigned, library.benchmark], ignore_index=True)
        if not fresh:
            lineage.refuse_overlaps(rows, seen, near_duplicate_distance=DISTANCE)
            seen = lineage.extend(seen, rows, round_=current)
    classes = rows.loc[rows["set"] == "train", "label"].unique()
    rows = rows[rows["label"].isin(classes)]
    return rows.assign(set=rows["set"].str.removeprefix(PREFIX))


def run_round(library: Library, rows: pd.DataFrame, settings: dict, *, seed: int, base: dict | None, out: Path) -> dict:
    """Trains to the plateau and saves the model as `out`; interrupted, it continues from the last whole epoch.

    Args:
      base: the line of the round before, whose model is continued; None for random weights.

    Returns:
      What a line of the results has: `images` of each set, how many of val, test and benchmark are right, `history`.
    """
    import keras

    from pipeline.models import presets
    from pipeline.models.head import renew_head
    from pipeline.training.augmentation import Augmentation
    from pipeline.training.batches import Batches
    from pipeline.training.fitting import FitSettings, fit, set_seed

    work = out.with_suffix(".work")
    work.mkdir(parents=True, exist_ok=True)
    classes = sorted(rows.loc[rows["set"] == "train", "label"].unique())
    set_seed(seed)
    if base is None:
        preset = config.load_preset(PRESET)
        options = {key: settings[key] for key in NETWORK - {"head"}}
        preset = preset.model_copy(update={"options": preset.options | options})
        model = presets.build(preset, len(classes), seed=seed)
    else:
        model = keras.saving.load_model(out.parent.parent / base["model"], compile=False)
        model = renew_head(model, classes, old_classes=base["names"], mode=settings["head"], seed=seed)
    place = pd.Series(np.arange(len(library.index)), index=library.index["image"])
    batches = {}
    for name, some in rows.groupby("set"):
        augment = Augmentation(flip=True, rotate_degrees=settings["rotate_degrees"], zoom=settings["zoom"])
        batches[name] = Batches(
            library.pixels[place[some["image"]]],
            pd.Index(classes).get_indexer(some["label"]),
            num_classes=len(classes),
            batch_size=settings["batch_size"],
            seed=seed,
            augment=augment if name == "train" else None,
        )
    clock = {0: time.process_time()}  # at the end of each epoch
    fitted = fit(
        model,
        batches["train"],
        batches["val"],
        FitSettings(**{key: value for key, value in settings.items() if key not in NETWORK | BATCHES}),
        folder=work,
        told=lambda history: clock.update({len(history): time.process_time()}),
    )
    history = fitted.history.set_index("epoch")
    cpu = pd.Series(clock).diff().reindex(history.index)  # unknown for epochs before an interruption
    history["cpu_seconds"] = cpu.fillna(cpu.median()).fillna(history["seconds"])
    result = {
        "classes": len(classes),
        "names": classes,
        "images": {name: int(number) for name, number in rows["set"].value_counts().items()},
        "best_epoch": fitted.best_epoch,
        "history": {key: history[key].round(5).tolist() for key in HISTORY},
    }
    for name in ("val", "test", BENCHMARK):
        targets = np.concatenate([batch[1] for batch in batches[name]]).argmax(1)
        result[name] = int((model.predict(batches[name], verbose=0).argmax(1) == targets).sum())
    model.save(out)
    shutil.rmtree(work)
    return result


def results(out: Path) -> list[dict]:
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_one(library: Library, out: Path, name: str, *, seed: int, number: int, rounds: int) -> None:
    """Trains one arm's round and writes its line, unless it is there."""
    arm, ours = ARMS[name], [line for line in results(out) if line["seed"] == seed]
    done = {line["round"]: line for line in ours if line["arm"] == name}
    settings = SETTINGS | arm.settings | (arm.continued if number > 1 else {})
    if number in done:
        if done[number]["settings"] != settings:
            raise UsageError(f"arm '{name}' had other settings when it was run", where=out, mend="give another --out")
        return
    shared = [line for line in ours if line["round"] == number == 1 and line["settings"] == settings]
    if shared:
        line = shared[0] | {"arm": name}
    else:
        rows = sets(library, number, rounds, seed, fresh=arm.fresh_splits and number > 1)
        base = done[number - 1] if arm.warm and number > 1 else None
        model = f"models/{name}-{seed}-{number}.keras"
        line = {"arm": name, "seed": seed, "round": number, "settings": settings, "model": model}
        line |= run_round(library, rows, settings, seed=seed, base=base, out=out / model)
    with (out / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(
        f"bench: {name}, seed {seed}, round {number}: {line['benchmark']} of {line['images']['benchmark']}", flush=True
    )


def figures(lines: list[dict]) -> pd.DataFrame:
    """A row a run, with the first epoch that is as good as `scratch` at its end, and the same of `scratch` itself.

    Returns:
      Columns `arm`, `seed`, `round`, `classes`, `images`, `plateau` (the best epoch), `epochs`, `minutes` (of the
      processor, to the plateau), `passed` (empty for never), `passed_scratch`, `plateau_scratch`, and shares and
      numbers of images.
    """
    ended = {(line["seed"], line["round"]): _val(line) for line in lines if line["arm"] == SCRATCH}
    rows = pd.DataFrame([_figures(line, ended.get((line["seed"], line["round"]), np.inf)) for line in lines])
    scratch = rows.loc[rows["arm"] == SCRATCH, ["seed", "round", "passed", "plateau"]]
    return rows.merge(scratch, on=["seed", "round"], how="left", suffixes=("", "_scratch"))


def _val(line: dict) -> float:
    return line["history"]["val_accuracy"][line["best_epoch"] - 1]


def _figures(line: dict, target: float) -> dict:
    best, images = line["best_epoch"], line["images"]
    seconds = np.array(line["history"]["cpu_seconds"])
    usual = np.minimum(seconds, 3 * np.median(seconds))  # the first epoch also builds the graph
    passes = np.flatnonzero(np.array(line["history"]["val_accuracy"]) >= target - 1e-9)
    return {
        **{key: line[key] for key in ("arm", "seed", "round", "classes")},
        "images": images["train"],
        "plateau": best,
        "epochs": len(seconds),
        "minutes": usual[:best].sum() / 60,
        "passed": passes[0] + 1.0 if len(passes) else np.nan,
        **{name: line[name] / images[name] for name in MEASURED},
        **{f"n_{name}": images[name] for name in MEASURED},
    }


def table(rows: pd.DataFrame) -> str:
    """The figures of each arm and round, means over the seeds, in Markdown."""
    lines = [
        "| round | classes | images | arm | plateau | minutes | as good after | minutes | sooner | by the same rule |"
        " test | benchmark |",
        "|" + "---|" * 12,
    ]
    for (number, arm), some in rows.groupby(["round", "arm"], sort=False):
        never, passed = some["passed"].isna(), some["passed"].fillna(some["epochs"])
        pace = some["minutes"] / some["plateau"]
        cells = [
            str(number),
            *(f"{some[name].mean():.0f}" for name in ("classes", "images")),
            arm,
            f"{some['plateau'].mean():.0f}",
            f"{some['minutes'].mean():.1f}",
            f"{passed.mean():.0f}" + (f" ({never.sum()} of {len(some)} never)" if never.any() else ""),
            f"{(pace * passed).mean():.1f}",
            *(
                f"{'< ' if never.any() else ''}{some[name].sum() / passed.sum():.1f}"
                for name in ("plateau_scratch", "passed_scratch")
            ),
            *(
                f"{mean:.1%} ({low:.1%} to {high:.1%})"
                for mean, low, high in (_wilson(some, name) for name in MEASURED)
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _wilson(some: pd.DataFrame, name: str) -> tuple[float, float, float]:
    """Mean of the seeds, and the Wilson interval for the images of one: the seeds have most of them in common."""
    mean, number = some[name].mean(), round(some[f"n_{name}"].mean())
    found = binomtest(round(mean * number), number).proportion_ci(method="wilson")
    return mean, found.low, found.high


def plot(rows: pd.DataFrame, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (epochs, *panels) = plt.subplots(1, 3, figsize=(14, 4), constrained_layout=True)
    for place, (arm, some) in enumerate(rows.groupby("arm", sort=False)):
        colour, shift = f"C{place}", 0.06 * (place - 1)
        passed = some["passed"].fillna(some["epochs"])
        epochs.plot(some["round"] + shift, passed, ".", color=colour, alpha=0.5)
        epochs.plot(passed.groupby(some["round"]).mean(), "-o", color=colour, label=arm)
        rounds = dict(list(some.groupby("round")))
        for axes, name in zip(panels, MEASURED, strict=True):
            means = np.array([_wilson(seeds, name) for seeds in rounds.values()]) * 100
            spread = np.abs(means[:, 1:] - means[:, :1]).T
            axes.errorbar(
                np.array(list(rounds)) + shift, means[:, 0], spread, fmt="-o", color=colour, capsize=2, label=arm
            )
            axes.set(title=f"accuracy on the {name} set", xlabel="round", ylabel="%")
    epochs.set(title=f"until as good as {SCRATCH} at its end", xlabel="round", ylabel="epochs", ylim=(0, None))
    panels[0].sharey(panels[1])
    for axes in (epochs, *panels):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("library")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", default="scratch,continue,control")
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stop", type=int, default=99, help="the last round to run, of so many")
    parser.add_argument("--report", action="store_true", help="only make the table and the plot of what is there")
    given = parser.parse_args()
    arms = given.arms.split(",")
    for arm in arms:
        if arm not in ARMS:
            raise UsageError(f"unknown arm '{arm}'", mend=closest(arm, set(ARMS)))
    if given.report:
        rows = figures(results(given.out))
        rows = rows[rows["arm"].isin(arms)].sort_values(["round", "seed"])
        rows = pd.concat([rows[rows["arm"] == arm] for arm in arms]).sort_values("round", kind="stable")
        write_text(table(rows), given.out / "rounds.md")
        plot(rows, given.out / "rounds.png")
        print(table(rows))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    library = read(given.library, given.out)
    for seed, number, arm in product(given.seeds, range(1, given.rounds + 1), arms):
        if number <= given.stop:
            run_one(library, given.out, arm, seed=seed, number=number, rounds=given.rounds)


if __name__ == "__main__":
    run(main)
