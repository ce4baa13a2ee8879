#!/usr/bin/env python
"""What a split by frames would have claimed: one round with bursts and one without, beside a benchmark of other tracks.

    scripts/bench_frame_splits.py LIBRARY [--track REGEX] [--epochs 12] [--preset inception_v4_small] [--keep FOLDER]

LIBRARY is a folder of class folders whose file names tell the track of an image: the first group of the regular
expression, by default what stands before the first underscore. A quarter of each class's tracks becomes the benchmark
`apart`, before anything else. Two repositories then run a round on the rest with the commands of the README, from the
same random weights: one as it is made, one with the keys of `bursts` switched off. Printed for both:
test images with a frame of their own track in train, accuracy on test, on isolated test images and on the benchmark,
with intervals, and whether the alarm is raised. FOLDER/frame-splits.png shows the accuracies.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import harness
import numpy as np
import pandas as pd

from pipeline.files import read_table

APART = 0.25  # share of a class's tracks
SWITCHED_OFF = {
    "names: true": "names: false",
    "seconds: 60": "seconds: 0",
    "neighbourhoods: true": "neighbourhoods: false",
}
ARMS = {"bursts on one side": {}, "frame by frame": SWITCHED_OFF}


def photographs(library: Path, track: str) -> pd.DataFrame:
    """One row per image: `path`, `label`, `track` and whether it is set `apart`."""
    paths = sorted(path for path in library.glob("*/*") if path.is_file())
    rows = pd.DataFrame({"path": paths, "label": [path.parent.name for path in paths]})
    names = rows["path"].map(lambda path: path.name).str.extract(f"^(?:{track})")[0]
    rows["track"] = rows["label"] + "/" + names.fillna(rows.index.to_series().astype(str))
    tracks = rows[["label", "track"]].drop_duplicates().sample(frac=1, random_state=0)
    order = tracks.groupby("label").cumcount() / tracks.groupby("label")["track"].transform("size")
    return rows.assign(apart=rows["track"].isin(tracks.loc[order < APART, "track"]))


def linked(rows: pd.DataFrame, folder: Path) -> None:
    for path, label in zip(rows["path"], rows["label"], strict=True):
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / path.name).symlink_to(path.absolute())


def changed(path: Path, lines: dict[str, str]) -> None:
    text = path.read_text()
    for line, other in lines.items():
        if not re.search(rf"^ +{re.escape(line)}", text, re.M):
            raise SystemExit(f"{path} has no line '{line}'")
        text = re.sub(rf"^( +){re.escape(line)}", rf"\g<1>{other}", text, count=1, flags=re.M)
    path.write_text(text)


def round_of(workspace: Path, images: Path, preset: str, epochs: int, lines: dict[str, str], embed: Path) -> None:
    def wallaby(*words: str) -> None:
        harness.measured(["wallaby", *words], workspace)

    if not (workspace / "dvc.yaml").exists():
        harness.measured(["wallaby", "new", str(workspace)])
        wallaby("import", "library", str(images / "library"))
        wallaby("import", "benchmark", "apart", str(images / "benchmark"))
        wallaby("init-base", "--model", preset)
        changed(workspace / "configs/params.yaml", {"max_epochs: 60": f"max_epochs: {epochs}", **lines})
        if embed.exists():  # features depend on contents alone, and take the longest
            shutil.copytree(embed, workspace / "data/embed", copy_function=os.link)
    harness.measured(["dvc", "repro", "evaluate"], workspace)


def figures(workspace: Path, track_of: pd.Series) -> Iterator[tuple[str, float, float, float]]:
    """Yields the name, accuracy and interval of each figure of a finished round; prints the leak and the alarm."""
    rows = read_table(workspace / "data/splits/splits.parquet")
    tracks = track_of.reindex(rows["image"].str.split("/", n=1).str[1]).to_numpy()
    test, train = rows["set"] == "test", rows["set"] == "train"
    leaked = pd.Series(tracks[test & ~rows["torn"]]).isin(set(tracks[train])).mean()
    summary = json.loads((workspace / "data/splits/summary.json").read_text())
    alarm = "raised" if summary["leakage"]["alarms"] else "not raised"
    print(f"  test images with a frame of their own track in train {leaked:.1%}; alarm {alarm}")
    sets = json.loads((workspace / "data/evaluation/metrics.json").read_text())
    slices = pd.read_csv(workspace / "data/evaluation/slices.csv")
    isolated = slices[(slices["set"] == "test") & (slices["slice"] == "isolated")]
    for name, row in [
        ("test", sets["test"]),
        *[("isolated test images", row) for _, row in isolated.iterrows()],
        ("other tracks (benchmark)", sets["benchmark:apart"]),
    ]:
        print(
            f"  {name:<28}{row['top1']:>7.1%} ({row['top1_low']:.1%} to {row['top1_high']:.1%}), {row['n']:,.0f} images"
        )
        yield name, row["top1"], row["top1_low"], row["top1_high"]


def picture(measured: dict[str, list[tuple[str, float, float, float]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.2, 3.0), layout="constrained")
    colours = {"test": "#b3541e", "isolated test images": "#d9a441", "other tracks (benchmark)": "#2f6f73"}
    for place, rows in enumerate(measured.values()):
        for number, (name, accuracy, low, high) in enumerate(rows):
            at = place + (number - (len(rows) - 1) / 2) * 0.24
            axes.barh(at, accuracy, 0.2, color=colours[name], label=name if not place else None)
            axes.plot([low, high], [at, at], color="black", linewidth=1)
            axes.text(high + 0.01, at, f"{accuracy:.0%}", va="center", fontsize=9)
    axes.set_yticks(range(len(measured)), list(measured))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.arange(0, 1.01, 0.25), ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("right answers of the same network, with 95 % intervals")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("library", type=Path)
    arguments.add_argument("--track", default="([^_]+)_")
    arguments.add_argument("--epochs", type=int, default=12)
    arguments.add_argument("--preset", default="inception_v4_small")
    arguments.add_argument("--keep", type=Path, help="a folder for the repositories; the same command continues there")
    chosen = arguments.parse_args()
    os.environ["DVC_NO_ANALYTICS"] = "1"
    with harness.scratch(chosen.keep) as folder:
        rows, images = photographs(chosen.library, chosen.track), folder / "images"
        if not images.exists():
            for name, some in rows.groupby(np.where(rows["apart"], "benchmark", "library")):
                linked(some, images / str(name))
        track_of = rows.set_index(rows["label"] + "/" + rows["path"].map(lambda path: path.name))["track"]
        measured = {}
        embed = folder / next(iter(ARMS)).replace(" ", "-") / "data/embed"
        for arm, lines in ARMS.items():
            workspace = folder / arm.replace(" ", "-")
            round_of(workspace, images, chosen.preset, chosen.epochs, lines, embed)
            print(arm)
            measured[arm] = list(figures(workspace, track_of))
        picture(measured, folder / "frame-splits.png")


if __name__ == "__main__":
    main()
