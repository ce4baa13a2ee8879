#!/usr/bin/env python
"""How many tracks of photographs stay whole, by names, by capture times, and without features; and the alarm.

    scripts/bench_tracks.py REPOSITORY [--track REGEX]

REPOSITORY has come to `curate` on a library whose file names tell the track: the first group of the regular expression,
by default what stands before the first underscore. Names and times are made up from the tracks, so that each kind of
evidence stands alone:

    names             as they are
    counted through   the frames of a class numbered without a gap, whatever the track
    1 and 30 frames/s names shuffled; times in whole seconds, a track every 40 s, one camera per class
    one time          names shuffled, and every image has the same time: only neighbourhoods are left

Printed: tracks whole in one burst (promised: 99 % by names and by times), images in bursts of several tracks, images in
bursts of two classes (below 0.5 %), the largest share of a class in one burst (at most a half), and, if bursts go at
random to sides of 70 and 15 %, the images of test that have a frame of their own track in train (at most 1 %; where
only neighbourhoods are left, 50 %). Then the alarm, with a quarter of each class's tracks as the benchmark: it must be
raised if frames are split, and not if tracks are.
"""

from functools import partial
from pathlib import Path

import harness
import numpy as np
import pandas as pd

from pipeline.evaluation import leakage
from pipeline.files import read_table
from pipeline.inference import frozen_features
from pipeline.library import bursts, likeness, neighbourhoods
from pipeline.workspace import Workspace

PAUSE = 40.0  # seconds between the beginnings of two tracks
LETTERS = str.maketrans("0123456789", "ghijklmnop")
SPLITS = 20  # random assignments of bursts to sides


def shuffled(rows: pd.DataFrame, seed: int = 0) -> pd.Series:
    """Names of letters alone, in an order that says nothing."""
    numbers = np.random.default_rng(seed).permutation(len(rows))
    return "library/" + rows["label"] + "/" + pd.Series([f"x{number:06d}".translate(LETTERS) for number in numbers])


def timed(rows: pd.DataFrame, frames_per_second: float) -> pd.DataFrame:
    """Shuffled names, and capture times in whole seconds."""
    tracks = rows["track"].drop_duplicates().sample(frac=1, random_state=1)
    begin = pd.Series(np.arange(len(tracks)) * PAUSE, index=tracks)
    seconds = (rows["track"].map(begin) + rows["frame"] / frames_per_second).astype(int)
    moments = pd.Timestamp("2026-05-01") + pd.to_timedelta(seconds, unit="s")
    return rows.assign(image=shuffled(rows), taken=moments.dt.strftime("%Y-%m-%dT%H:%M:%S"), camera=rows["label"])


def worlds(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    number = rows.groupby("label").cumcount().astype(str).str.zfill(6)
    return {
        "names": rows,
        "counted through": rows.assign(image="library/" + rows["label"] + "/img_" + number + ".jpg"),
        "1 frame/s": timed(rows, 1.0),
        "30 frames/s": timed(rows, 30.0),
        "one time": rows.assign(image=shuffled(rows), taken="2026-05-01T00:00:00"),
    }


def row(name: str, rows: pd.DataFrame, vectors: np.ndarray, *, frozen: bool) -> None:
    order = np.argsort(rows["image"].to_numpy(), kind="stable")
    rows = rows.iloc[order].reset_index(drop=True)
    close = partial(neighbourhoods.ties, vectors[order], known=np.zeros(len(rows), bool), part=rows["label"])
    found = bursts.find(rows, vectors[order], bursts.Settings(), neighbourhoods=close if frozen else None)
    burst = found.images["burst"]
    whole = (burst.groupby(rows["track"]).nunique() == 1).mean()
    several = (burst.map(rows["track"].groupby(burst).nunique()) > 1).mean()
    classes = (burst.map(rows["label"].groupby(burst).nunique()) > 1).mean()
    share = (rows.groupby(["label", burst]).size() / rows.groupby("label").size()).max()
    random, leaks = np.random.default_rng(0), []
    for _ in range(SPLITS):
        side = pd.Series(random.random(burst.nunique()), index=burst.unique()).reindex(burst).to_numpy()
        leaks.append(rows["track"][side < 0.15].isin(set(rows["track"][side > 0.3])).mean())
    print(f"{name:<28}{whole:>9.1%}{several:>16.1%}{classes:>14.1%}{share:>9.1%}{np.mean(leaks):>9.1%}", flush=True)


def alarm(rows: pd.DataFrame, vectors: np.ndarray, *, by: str) -> None:
    """Splits by `by`, frames (sha256) or tracks, and says whether the alarm is raised."""
    random = np.random.default_rng(0)
    field = rows.groupby("label")["track"].transform(lambda tracks: _quarter(tracks, random))
    part = pd.Series(random.random(rows[by].nunique()), index=rows[by].unique()).reindex(rows[by]).to_numpy()
    names = np.select([field, part < 0.15, part > 0.3], ["benchmark:field", "test", "train"], "val")
    near = leakage.nearest(rows.assign(set=names, torn=False, cluster=rows[by]), vectors)
    print(f"alarm, {'tracks' if by == 'track' else 'frames'} on one side: {leakage.alarms(near) or 'not raised'}")


def _quarter(tracks: pd.Series, random: np.random.Generator) -> pd.Series:
    known = np.unique(tracks)
    return tracks.isin(random.choice(known, max(1, len(known) // 4), replace=False))


def main(repository: str, track: str) -> None:
    workspace = Workspace(Path(repository).absolute())
    rows = read_table(workspace.library_table)
    rows = rows[rows["failure"] == ""].reset_index(drop=True)
    path = rows["image"].str.rsplit("/", n=2, expand=True)
    rows = rows.assign(label=path[1], track=path[1] + "/" + path[2].str.extract(track)[0], together="")
    rows = rows.assign(taken="", camera="", frame=rows["image"].str.extract(r"(\d+)\D*$")[0].astype(int))
    print(f"{len(rows):,} images, {rows['track'].nunique():,} tracks, {rows['label'].nunique()} classes")
    print(f"{'':<28}{'whole':>9}{'several tracks':>16}{'two classes':>14}{'largest':>9}{'leak':>9}")
    kinds = {"": likeness.hash_vectors(rows["phash"], rows["layout"])}
    frozen = frozen_features.read(workspace.library_features)
    if frozen:
        kinds = {"": frozen.units(rows["sha256"])[np.arange(len(rows))], ", no features": kinds[""]}
    for kind, vectors in kinds.items():
        for name, world in worlds(rows).items():
            row(f"{name}{kind}", world, vectors, frozen=bool(frozen) and not kind)
    for by in ("sha256", "track"):
        alarm(rows, kinds[""], by=by)


if __name__ == "__main__":
    arguments = harness.parser(__doc__)
    arguments.add_argument("repository")
    arguments.add_argument("--track", default=r"^([^_]+)_")
    main(**vars(arguments.parse_args()))
