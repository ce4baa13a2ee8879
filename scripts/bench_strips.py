#!/usr/bin/env python
"""One decision per burst: accuracy on a pool of tracks by frames and by bursts, and images per decision in its queue.

    scripts/bench_strips.py REPOSITORY [--track REGEX] [--keep FOLDER]

REPOSITORY has come to `curate` on a library with frozen features whose file names tell the track: the first group of
the regular expression, by default what stands before the first underscore. Half of each class's tracks become the pool,
in one folder, by the name of their track. The model is a linear head on the frozen features of the other half, with a
temperature fitted on a tenth of the tracks; all else is what the stages call. --keep leaves a workspace behind, in
which `wallaby review` shows the queue.

Printed: how whole the bursts are, and would be if the frames of all tracks were counted through; accuracy by frames and
by bursts, promised: at least 3 points more; images per decision, promised: at least 8; the share of decisions whose
frames are of one class; and how many suggestions were expected to be right, and are.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import harness
import numpy as np
import pandas as pd
import yaml
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from pipeline import sections
from pipeline.evaluation import audit, scores
from pipeline.files import read_table, write_csv, write_json, write_table, write_text
from pipeline.inference import frozen_features, judged_bursts, shards, store
from pipeline.library import bursts, history, pool_bursts
from pipeline.review.recipes import reading
from pipeline.stages import curate, embed_pool, queue, split
from pipeline.workspace import Workspace

MODEL = "f" * 64
POOL, TEMPERATURE = 0.5, 0.1  # shares of the tracks of each class
POOL_RECIPES = ["low-count", "replace-staged", "look-alike", "disagree"]
CUTOFF = 100  # images, so that some classes are short of them
MORE, PER_DECISION = 0.03, 8


@dataclass(frozen=True)
class Head:
    """A linear head on features of which each has mean 0 and deviation 1."""

    model: LogisticRegression
    mean: np.ndarray
    deviation: np.ndarray
    temperature: float = 1.0

    def logits(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.deviation @ self.model.coef_.T + self.model.intercept_

    def probs(self, features: np.ndarray) -> np.ndarray:
        return np.exp(log_softmax(self.logits(features) / self.temperature, axis=1)).astype(np.float32)

    @cached_property
    def classes(self) -> list[str]:
        return list(self.model.classes_)


def seen_by_the_backbone(folder: Path, sha256: pd.Series) -> np.ndarray:
    """The frozen features (N, F) of contents, of length 1."""
    frozen = frozen_features.read(folder)
    if frozen is None:
        raise SystemExit(f"there are no frozen features in {folder}: run `dvc repro embed`")
    return frozen.units(sha256)[np.arange(len(sha256))]


def parts(rows: pd.DataFrame) -> np.ndarray:
    """A number from 0 to 1 for each image (N,), the same for those of one track, evenly spaced within a class."""
    random = np.random.default_rng(0)
    tracks = rows[["label", "track"]].drop_duplicates()
    place = tracks.groupby("label")["track"].transform(lambda own: random.permutation(len(own)))
    share = (place + 0.5) / tracks.groupby("label")["track"].transform("size")
    return rows["track"].map(pd.Series(share.to_numpy(), tracks["track"])).to_numpy()


def fitted(features: np.ndarray, labels: pd.Series, part: np.ndarray) -> Head:
    train, held = part >= POOL + TEMPERATURE, (part >= POOL) & (part < POOL + TEMPERATURE)
    mean, deviation = features[train].mean(axis=0), features[train].std(axis=0) + 1e-6
    model = LogisticRegression(C=0.01, max_iter=200).fit((features[train] - mean) / deviation, labels[train])
    head = Head(model, mean, deviation)
    logits, right = head.logits(features[held]), pd.Index(head.classes).get_indexer(labels[held])

    def loss(temperature: float) -> float:
        return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(right)), right].mean())

    best = minimize_scalar(loss, bounds=(0.2, 20), method="bounded").x
    return Head(model, mean, deviation, float(best))


def build(source: Workspace, folder: Path, rows: pd.DataFrame, part: np.ndarray) -> Workspace:
    """A workspace whose library is one half of the tracks, and whose pool is the other, by the stages up to `split`."""
    made, images = Workspace(folder), source.folders["library"]
    params = yaml.safe_load(source.params_file.read_text())
    pool = rows[part < POOL]
    name = "shot_" + pool["track"].str.replace("/", "_") + "_" + pool["image"].str.extract(r"(\d+\.\w+)$")[0]
    for image, link in zip(pool["image"], name, strict=True):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "images" / link).symlink_to(images / image.partition("/")[2])
    params["curate"]["min_images"] = CUTOFF
    params["roots"] = {"library": {"library": str(images)}, "pool": {"pool": "images"}, "benchmark": {}}
    write_text(yaml.safe_dump(params), made.params_file)
    columns = read_table(source.library_table).columns
    library = rows[part >= POOL]
    write_table(library[columns].reset_index(drop=True), made.library_table)
    pool = pool.assign(image=("pool/" + name).to_numpy()).sort_values("image", ignore_index=True)
    write_table(pool[columns], made.pool_table)
    for features in (made.library_features, made.pool_features):
        features.parent.mkdir(parents=True, exist_ok=True)
        features.symlink_to(source.library_features.absolute())
    known = pd.read_csv(source.labels, dtype="str", keep_default_na=False)
    write_csv(known[known["image"].isin(library["image"])], made.labels)
    for path in (source.classes, source.quarantine, source.root_losses, source.looks, source.base / "lineage.parquet"):
        target = folder / path.relative_to(source.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for name in (history.IMAGES, history.BOARDS):
        (made.base / name).write_bytes((source.base / name).read_bytes())
    for each in (made.benchmarks, made.reviews):
        each.mkdir(parents=True)
    curate.main(made)
    split.main(made)
    return made


def evaluate(made: Workspace, head: Head, held: set[str]) -> None:
    """Writes what stage evaluate would: scores and outputs of the sets, and an audit that asks about nothing.

    Args:
      held: contents on which the head was not fitted: they are the validation set.
    """
    rows = read_table(made.splits_table)
    rows["set"] = np.where(rows["sha256"].isin(held), "val", "train")
    features = seen_by_the_backbone(made.library_features, rows["sha256"])
    table = scores.score(rows.drop(columns="score", errors="ignore"), head.probs(features), head.classes, top_k=5)
    write_table(table.assign(cluster=rows["burst"]), made.scores)
    write_table(table.head(0).reindex(columns=[*audit.COLUMNS]).astype("str"), made.evaluation / audit.FILE)
    outputs = store.Store(made.evaluation / "outputs", MODEL, by=store.BY_CONTENT, arrays=shards.ARRAYS)
    arrays = {shards.LOG_PROBS: scores.to_log_probs(head.probs(features)), shards.FEATURES: features}
    lists = {key: shards.as_lists(values.astype(np.float16)) for key, values in arrays.items()}
    outputs.append(rows[["sha256"]].assign(**lists).drop_duplicates("sha256").reset_index(drop=True))


def identify(made: Workspace, head: Head) -> None:
    """Writes what stages embed-pool and identify would: the bursts, the predictions, and those of bursts."""
    embed_pool.find_bursts(made)
    rows = read_table(made.pool_table, ["image", "sha256", "failure"])
    features = seen_by_the_backbone(made.pool_features, rows["sha256"])
    seen = scores.describe(head.probs(features), head.classes, top_k=5)
    out = store.Store(made.predictions, MODEL, arrays=[shards.FEATURES])
    out.append(pd.concat([rows, seen], axis=1).assign(model=MODEL, features=shards.as_lists(features)))
    known = read_table(made.pool_bursts, ["sha256", "burst", "evidence"])
    judged_bursts.write(made.predictions, known, head.classes, top_k=5, out=made.judged_bursts)
    write_json({"model": MODEL}, made.predictions / "summary.json")


def asked(made: Workspace) -> queue.Products:
    """What stage queue would write, which is written, too."""
    params = made.params(sections.Curate)
    material = reading.gather(
        *(made.predictions, made.curated, made.index, made.evaluation, made.released, made.classes),
        cache_folder=made.own("vectors"),
        limits=params.limits(),
        bursts=made.judged_bursts,
    )
    made_of = queue.compute(
        material,
        read_table(made.scores),
        made.params(sections.Queue),
        near_duplicate_distance=params.near_duplicate_distance,
        confidence=made.confidence,
        count=params.count,
    )
    for name, answer in made_of.answers.items():
        write_table(answer.rows, made.queue / f"{name}.parquet")
    return made_of


def counted_through(made: Workspace, truth: pd.DataFrame) -> pd.DataFrame:
    """The bursts of the same pool, if all frames were counted through in one folder, track after track in any order."""
    random = np.random.default_rng(1)
    tracks = truth["track"].drop_duplicates()
    turn = truth["track"].map(pd.Series(random.permutation(len(tracks)), tracks)).to_numpy()
    number = np.empty(len(truth), int)
    number[np.lexsort((truth["image"].to_numpy(dtype=str), turn))] = np.arange(len(truth))
    named = pd.Series([f"pool/img_{place:06d}.jpg" for place in number], truth["sha256"])
    rows = read_table(made.pool_table, pool_bursts.ASKED)
    rows = rows.assign(image=rows["sha256"].map(named)).sort_values("image", ignore_index=True)
    frozen = frozen_features.read(made.pool_features)
    return pd.concat(pool_bursts.find([rows], frozen.units if frozen else None, bursts.Settings()))


def wholeness(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    burst = found.drop_duplicates("sha256").set_index("sha256")["burst"].reindex(truth["sha256"]).to_numpy()
    burst = pd.Series(np.where(pd.isna(burst), truth["sha256"], burst))
    own = truth.reset_index(drop=True)
    whole = (burst.groupby(own["track"]).nunique() == 1).mean()
    classes = (burst.map(own["label"].groupby(burst).nunique()) > 1).mean()
    print(
        f"pool: {len(own):,} images, {own['track'].nunique():,} tracks, {burst.nunique():,} bursts and single images;"
    )
    print(f"  {whole:.1%} of the tracks are one burst, {classes:.1%} of the images stand in bursts of two classes")


def accuracy(made: Workspace, truth: pd.DataFrame) -> None:
    frames = read_table(made.predictions / "part-00000.parquet", ["image", "label"]).set_index("image")["label"]
    whole = read_table(made.judged_bursts).set_index("image")
    label = truth.set_index("image")["label"]
    alone = frames == label.reindex(frames.index)
    joint = whole["burst_label"].reindex(frames.index).fillna(frames) == label.reindex(frames.index)
    more = joint.mean() - alone.mean()
    print(f"right by frames {alone.mean():.1%}, by bursts {joint.mean():.1%}: {100 * more:+.1f} points,", end=" ")
    print(f"promised {100 * MORE:+.0f}: {harness.verdict(more >= MORE)}")


def decisions(products: queue.Products, truth: pd.DataFrame) -> None:
    label = truth.set_index("image")["label"]
    print(
        f"{'recipe':<16}{'images':>8}{'decisions':>11}{'per decision':>14}{'one class':>11}{'expected':>10}{'right':>8}"
    )
    total = np.zeros(2)
    for name in POOL_RECIPES:
        rows = products.answers[name].rows
        if rows.empty:
            continue
        true = label.reindex(rows["image"]).to_numpy()
        one = (pd.Series(true).groupby(rows["group"].to_numpy()).nunique() == 1).mean()
        right, number = (true == rows["label"]).sum(), rows["group"].nunique()
        total += len(rows), number
        print(
            f"{name:<16}{len(rows):>8,}{number:>11,}{len(rows) / number:>14.1f}{one:>11.1%}"
            f"{rows['likely'].sum():>10,.0f}{right:>8,}"
        )
    each = total[0] / total[1]
    print(f"images per decision {each:.1f}, promised {PER_DECISION}: {harness.verdict(each >= PER_DECISION)}")


def main(repository: str, track: str, keep: Path | None) -> None:
    source = Workspace(Path(repository).absolute())
    rows = read_table(source.library_table)
    rows = rows[rows["failure"] == ""].reset_index(drop=True)
    path = rows["image"].str.rsplit("/", n=2, expand=True)
    rows = rows.assign(label=path[1], track=path[1] + "/" + path[2].str.extract(track)[0])
    part = parts(rows)
    head = fitted(seen_by_the_backbone(source.library_features, rows["sha256"]), rows["label"], part)
    with harness.scratch(keep) as folder:
        made = build(source, folder, rows, part)
        evaluate(made, head, set(rows.loc[(part >= POOL) & (part < POOL + TEMPERATURE), "sha256"]))
        identify(made, head)
        named = read_table(made.pool_table, ["image", "sha256"]).drop_duplicates("sha256")
        truth = named.merge(rows[["sha256", "label", "track"]].drop_duplicates("sha256"), on="sha256")
        wholeness(read_table(made.pool_bursts), truth)
        print("counted through in one folder,", end=" ")
        wholeness(counted_through(made, truth), truth)
        accuracy(made, truth)
        decisions(asked(made), truth)


if __name__ == "__main__":
    arguments = harness.parser(__doc__)
    arguments.add_argument("repository")
    arguments.add_argument("--track", default=r"^([^_]+)_")
    arguments.add_argument("--keep", type=Path, help="a new folder for the workspace, which stays")
    main(**vars(arguments.parse_args()))
