#!/usr/bin/env python
"""How fast recipes are on a large pool, and how many images worth a person's time they find, beside other rankings.

    scripts/bench_recipes.py speed [--images 2000000] [--classes 1500] [--work FOLDER]
    scripts/bench_recipes.py quality FEATURES [--seeds 0,1,2]
    scripts/bench_recipes.py features MODULE FOLDER... --out FEATURES

`speed` writes made-up predictions as identification stores them, and times each recipe on them, reading included, and
`find`. `quality` takes real photographs as the features of a TensorFlow Hub module (`features` makes them of folders
with a folder a class), hides some classes in the pool and holds some just under the cutoff, trains a head, and counts
the wanted images among the first rows. The rivals are random order, modAL's three rankings (its formulas, restated: it
is not installed), and cleanlab's: active learning scores, and out-of-distribution scores by features.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import harness
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from pipeline import config, sections
from pipeline.evaluation import calibration, scores
from pipeline.evaluation.cosine import unit
from pipeline.files import write_table
from pipeline.inference import pool_predictions as pool
from pipeline.inference import shards, vectors
from pipeline.inference.store import LISTS
from pipeline.library import board, pictures
from pipeline.review import recipes
from pipeline.review.recipes import reading
from pipeline.review.recipes.inputs import Library, Material
from pipeline.review.recipes.settings import Settings

CUTOFF = 25  # images
HIDDEN = NEAR = LOW = 3  # classes that only the pool has; that the library has just below the cutoff; just above it
JUST_BELOW, JUST_ABOVE, PLENTY = 22, 28, 40  # library images of these, and of the others
RARE = 25  # pool images of each such class
TESTED = 20  # images a class, never learnt from
ROUNDS, DECISIONS = 3, 100  # of each round
FIRST = (50, 200, 1000)
SEARCHING = ("low-count", "look-alike")  # recipes that search the pool for classes that are short or missing
TOP_K = 5
SEEN = 128  # principal components of the features that the head gets
MODEL = "a" * 64


def store(folder: Path, rows: pd.DataFrame, said: pd.DataFrame, features: np.ndarray, shard_rows: int) -> pool.Pool:
    """Writes predictions as identification does."""
    rows = rows[["image", "sha256"]].reset_index(drop=True).join(said).assign(failure="", model=MODEL).astype(LISTS)
    for number, start in enumerate(range(0, len(rows), shard_rows)):
        some = slice(start, start + shard_rows)
        _write_shard(rows[some], features[some], folder / f"part-{number:05d}.parquet")
    return pool.read(folder)


def _write_shard(rows: pd.DataFrame, features: np.ndarray, path: Path) -> None:
    shards.write_array(features, shards.array_file(path, shards.FEATURES))
    write_table(rows, path)


def nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=["image", "sha256", "group", "label", "detail", "rank", "trained", "score", "reason"])


# ---- speed


def speed(images: int, classes: int, work: Path) -> None:
    params = config.load(sections.Queue).model_dump()
    folder = work / f"made-up-{images}-{classes}"
    if not (folder / "done").exists():
        made_up(folder, images, classes)
    started = time.perf_counter()
    predictions = pool.read(folder / "predictions")
    opinions = pool.read_opinions(folder / "released" / pool.OPINIONS, model=MODEL)
    asked = made_up_material(folder, predictions, opinions, classes)
    harness.heads()
    _row("reading", time.perf_counter() - started, rival="pandas.read_parquet", taking=lambda: plain(predictions))
    light, said = stored(predictions.shards, pool.LIGHT), (folder / "released" / pool.OPINIONS).stat().st_size
    print(f"  of {light / 1e6:,.0f} MB in the store, and {said / 1e6:,.0f} MB that a champion said")
    started = time.perf_counter()
    found = asked.vectors()
    assert found is not None
    print(f"codes of {found.exact.shape} features, once a round: {time.perf_counter() - started:.1f} s")
    table = plain(predictions)
    rivals = plain_rivals(asked, table, opinions, found, params)
    for recipe in recipes.RECIPES:
        if recipe.name not in rivals:
            continue
        once = partial(recipes.ask, asked, recipe, Settings(**params), near_duplicate_distance=4)
        rival, taking = rivals[recipe.name]
        _row(recipe.name, *(harness.seconds(once) for _ in range(3)), rival=rival, taking=taking)
    queries = np.random.default_rng(5).choice(len(found.exact), 20, replace=False)

    def find(query: int) -> None:
        near = found.nearest(found.exact[[query]], number=10)[0][0]
        predictions.at(near, ["image", "label", "score"])

    seconds, exact = [harness.seconds(partial(find, query)) for query in queries], list[int]()
    _row("find", *seconds, rival="exact scan, numpy", taking=lambda: exact.extend(scan(found.exact, queries[0])))
    hits = len(set(exact) & set(found.nearest(found.exact[queries[:1]], number=10)[0][0]))
    print(f"  {hits} of the exact ten found; codes {found.codes.nbytes / 1e6:,.0f} MB")


def _row(name: str, *seconds: float, rival: str, taking: Callable[[], object]) -> None:
    what = f"{name}, s (first {seconds[0]:.2f}, worst {max(seconds):.2f})"
    harness.row(what, float(np.median(seconds)), rival, harness.seconds(taking))


def made_up_material(folder: Path, predictions: pool.Pool, opinions: pd.DataFrame | str, classes: int) -> Material:
    """A board with short, staged and unknown classes, and a library, over made-up predictions."""
    names = [f"class {i:04d}" for i in range(classes)]
    groups = pd.Series(np.random.default_rng(1).integers(20, 400, classes), index=names)
    standing = pd.DataFrame(
        {"label": names, "groups": groups.to_numpy(), "images": groups.to_numpy(), "cutoff": CUTOFF}
    )
    standing["real"] = (standing["images"] * np.random.default_rng(2).random(classes)).astype(int)
    standing["staged_share"] = 1 - standing["real"] / standing["images"]
    standing["short_by"] = (CUTOFF - standing["groups"]).clip(lower=0)
    known = Library(
        pd.DataFrame({"label": np.repeat([*names, *(f"new {i}" for i in range(50))], 20)}).assign(
            set=lambda rows: np.where(np.arange(len(rows)) % 5, "train", "val")
        ),
        np.random.default_rng(3).normal(0, 1, ((classes + 50) * 20, 1280)).astype(np.float16),
    )
    extra = pd.DataFrame({"label": [f"new {i}" for i in range(50)], "groups": 30, "images": 30, "cutoff": CUTOFF})
    standing = pd.concat([standing, extra.assign(real=30, staged_share=0.0, short_by=10)], ignore_index=True)
    return Material(
        pool=predictions,
        board=standing,
        unknown=set(predictions.rows["image"].iloc[:200]),
        conflicts=nothing(),
        suspects=nothing(),
        known=pd.Series(dtype="str"),
        phashes=reading.phashes(folder / "index"),
        vectors=cache(lambda: vectors.of(predictions.features, folder / "vectors")),
        library=lambda: known,
        champion=lambda: opinions,
        poor=cache(lambda: reading.poor(folder / "index", config.load(sections.Curate).limits())),
        bad=predictions.rows["sha256"].iloc[200:220],
    )


def plain(predictions: pool.Pool) -> pd.DataFrame:
    """The light columns as pandas reads them."""
    return pd.read_parquet(predictions.shards, columns=pool.LIGHT)


def stored(shards: list[Path], columns: list[str]) -> int:
    """The bytes that these columns take in the shards."""
    total = 0
    for shard in shards:
        groups = pq.read_metadata(shard)
        for group in (groups.row_group(i) for i in range(groups.num_row_groups)):
            of = [group.column(i) for i in range(group.num_columns)]
            total += sum(one.total_compressed_size for one in of if one.path_in_schema.split(".")[0] in columns)
    return total


def plain_rivals(
    asked: Material, table: pd.DataFrame, opinions: pd.DataFrame | str, found: vectors.Vectors, params: dict
) -> dict[str, tuple[str, Callable[[], object]]]:
    """What the recipe's question costs without its structure, by name: pandas' or scikit-learn's own way."""
    board = asked.board.set_index("label")
    short = board.index[board["groups"] < params["low_count_below"] * board["cutoff"]]
    staged = board.index[board["staged_share"] >= params["replace_staged_share"]]

    def surest(labels: pd.Index, least: float) -> pd.DataFrame:
        rows = table[table["label"].isin(labels) & (table["score"] >= least)]
        return rows.sort_values(["score", "image"], ascending=[False, True]).groupby("label").head(1)

    def merged() -> pd.DataFrame:
        both = table.merge(opinions, on="sha256", suffixes=("", "_was"))
        least = both[["score", "score_was"]].min(axis=1)
        differ = both[(both["label"] != both["label_was"]) & (least >= params["disagree_score"])]
        return differ.assign(least=least).sort_values(["least", "image"], ascending=[False, True]).head(200)

    def clustered() -> np.ndarray:
        from sklearn.cluster import HDBSCAN

        hesitant = table[table["score"] <= params["look_alike_score"]].sort_values(["score", "image"])
        some = unit(found.exact[hesitant.index[: params["look_alike_images"]].to_numpy()])
        return HDBSCAN(min_cluster_size=5, min_samples=3, cluster_selection_method="leaf", copy=True).fit_predict(some)

    def neighbours() -> list[np.ndarray]:
        from sklearn.neighbors import NearestNeighbors

        unknown, answers = table.head(200), []
        for label, own in unknown.groupby("label"):
            among = found.exact[table.index[table["label"] == label].to_numpy()].astype(np.float32)
            fitted = NearestNeighbors(n_neighbors=2, algorithm="brute", metric="cosine").fit(among)
            answers.append(fitted.kneighbors(found.exact[own.index.to_numpy()].astype(np.float32))[1])
        return answers

    return {
        "unknown": ("scikit-learn, brute force", neighbours),
        "low-count": ("pandas, known classes only", lambda: surest(short, params["low_count_score"])),
        "replace-staged": ("pandas", lambda: surest(staged, params["replace_staged_score"])),
        "look-alike": ("HDBSCAN on the features as they are", clustered),
        "disagree": ("pandas merge", merged),
        "purge-low": ("pandas sort", lambda: table.sort_values(["score", "image"]).head(len(table) // 10)),
    }


def scan(exact: scores.Matrix, query: int) -> np.ndarray:
    """The ten nearest by cosine, all features read."""
    wanted = unit(exact[[query]])[0]
    cosines = [unit(exact[i : i + 65536]) @ wanted for i in range(0, exact.shape[0], 65536)]
    return np.argsort(-np.concatenate(cosines), kind="stable")[:10]


def made_up(folder: Path, images: int, classes: int) -> None:
    """Predictions, features around a centre a class, and a champion that says otherwise of a tenth."""
    random = np.random.default_rng(0)
    names = np.array([f"class {i:04d}" for i in range(classes)], dtype=object)
    centres = random.normal(0, 1, (classes, 1280)).astype(np.float32)
    noise = random.normal(0, 1, (4096, 1280)).astype(np.float32)
    rows = 2048
    for number, start in enumerate(range(0, images, rows)):
        path = folder / "predictions" / f"part-{number:05d}.parquet"
        if path.exists():
            continue
        random = np.random.default_rng([1, number])
        n = min(rows, images - start)
        best = random.integers(0, classes, (n, TOP_K))
        score = random.beta(2, 1, n)
        rest = np.sort(random.dirichlet(np.ones(TOP_K - 1), n))[:, ::-1] * (1 - score)[:, None]
        table = pd.DataFrame(
            {
                "image": [f"pool/{start // 1000:05d}/{i:08d}.jpg" for i in range(start, start + n)],
                "sha256": [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, start + n)],
                "label": names[best[:, 0]],
                "score": score,
                "margin": score - rest[:, 0],
                "entropy": 1 - score,
                "top_labels": list(names[best]),
                "top_scores": list(np.column_stack([score, rest])),
                "failure": "",
                "model": MODEL,
            }
        ).astype({"label": "str"} | LISTS)
        shift = int(random.integers(0, 2048))
        spread = noise[shift : shift + n] / np.sqrt(score)[:, None].astype(np.float32)
        _write_shard(table, centres[best[:, 0]] + spread, path)
    said = pool.read(folder / "predictions").rows
    otherwise = np.random.default_rng(2).random(len(said)) < 0.1
    label = said["label"].astype("str").mask(otherwise, str(names[0]))
    champion = folder / "released"
    write_table(said[["sha256", "score"]].assign(label=label), champion / pool.OPINIONS, model="b" * 64)
    (champion / "model.keras").touch()
    hashes = said[["image"]].assign(phash=said["sha256"].str.slice(0, 16))
    measured = {"width": 640, "height": 480, "brightness": 0.9, "sharpness": 900.0}
    contrast = np.random.default_rng(3).uniform(0.019, 0.3, len(said)).round(4)
    write_table(hashes.assign(**measured, contrast=contrast), folder / "index" / "pool.parquet")
    write_table(hashes.head(0), folder / "index" / "library.parquet")
    (folder / "done").touch()


# ---- quality


def features(module: str, folders: list[Path], out: Path) -> None:
    """Computes the features of pictures, a folder a class, with a TensorFlow Hub module (224 x 224 pixels, 0 to 1)."""
    import tensorflow as tf

    from pipeline.inference.reading import read_batches

    network = tf.saved_model.load(module)
    call = tf.function(lambda pixels: network(pixels, training=False))
    files = files_of(folders)
    rows, blocks, place = [], [], 0
    for (pixels,), failures in read_batches(files, (224,), 32):
        own = [file for file, failure in zip(files[place:], failures, strict=False) if not failure]
        place += len(failures)
        if len(pixels):
            blocks.append(call(tf.constant(pixels.astype(np.float32) / 255)).numpy())
        for file in own:
            data = pictures.load_bytes(file)
            look = pictures.inspect(data).phash
            rows.append((name_of(file), file.parent.name, hashlib.sha256(data).hexdigest(), look))
    table = pd.DataFrame(rows, columns=["image", "label", "sha256", "phash"])
    np.savez(out, features=np.concatenate(blocks).astype(np.float16), **{name: table[name] for name in table})


def files_of(folders: list[Path]) -> list[Path]:
    return [file for folder in folders for file in sorted(folder.glob("*/*")) if file.is_file()]


def name_of(file: Path) -> str:
    return "/".join(file.parts[-3:])


class World:
    """A library, a pool and a test set of real photographs, of which some classes are short or missing."""

    def __init__(self, table: pd.DataFrame, features: np.ndarray, seed: int):
        random = np.random.default_rng(seed)
        order = random.permutation(len(table))
        self.table, self.features = table.iloc[order].reset_index(drop=True), features[order].astype(np.float32)
        centred = self.features - self.features.mean(axis=0)
        axes = np.linalg.eigh(centred.T @ centred)[1][:, -SEEN:]
        self.seen = centred @ axes / (centred @ axes).std(axis=0).mean()
        names = random.permutation(sorted(table["label"].unique()))
        self.hidden, self.near = set(names[:HIDDEN]), set(names[HIDDEN : HIDDEN + NEAR])
        self.low = set(names[HIDDEN + NEAR : HIDDEN + NEAR + LOW])
        self.wanted_classes = self.hidden | self.near | self.low
        number = self.table.groupby("label").cumcount()
        share = self.table["label"].map(
            lambda name: (
                0
                if name in self.hidden
                else JUST_BELOW
                if name in self.near
                else JUST_ABOVE
                if name in self.low
                else PLENTY
            )
        )
        self.test = np.array(number < TESTED)
        self.library = np.array((number >= TESTED) & (number < TESTED + share))
        rare = self.table["label"].isin(self.wanted_classes) & (number >= TESTED + share + RARE)
        self.pool = np.array(~self.test & ~self.library & ~rare)

    def fit(self) -> "Model":
        return Model(self)


class Model:
    """A linear head on the features of the library's classes that reach the cutoff, its scores calibrated."""

    def __init__(self, world: World):
        from sklearn.linear_model import LogisticRegression

        labels = world.table["label"]
        counts = labels[world.library].value_counts()
        known = set(counts.index[counts >= CUTOFF])
        learnt = world.library & labels.isin(known).to_numpy()
        place = np.flatnonzero(learnt)
        seen = world.seen
        held = np.arange(len(place)) % 5 == 0  # for the temperature
        first = LogisticRegression(C=0.1, max_iter=200).fit(seen[place[~held]], labels.to_numpy(object)[place[~held]])
        targets = np.searchsorted(first.classes_, labels.to_numpy(object)[place[held]].astype(str))
        temperature = calibration.fit_temperature(first.predict_proba(seen[place[held]]), targets)
        head = LogisticRegression(C=0.1, max_iter=200).fit(seen[place], labels.to_numpy(object)[place])
        self.classes = [str(name) for name in head.classes_]
        self.probs = calibration.scale(head.predict_proba(seen), temperature)
        said = np.array(self.classes, object)[self.probs[world.test].argmax(axis=1)]
        self.accuracy = float((said == labels[world.test].to_numpy(object)).mean())


def material(world: World, model: Model, folder: Path) -> tuple[Material, np.ndarray]:
    """What recipes query, and the places of the pool's images in the world."""
    places = np.flatnonzero(world.pool)
    said = scores.describe(model.probs[places], model.classes, top_k=TOP_K)
    predictions = store(folder / "predictions", world.table.iloc[places], said, world.features[places], 512)
    eligible = world.table[world.library].assign(group=world.table.loc[world.library, "image"], origin="real")
    hashes = world.table.set_index("image")["phash"]
    own = world.table[world.library].reset_index(drop=True)
    own["set"] = np.where(np.arange(len(own)) % 5, "train", "val")
    library = Library(own, world.features[world.library])
    return Material(
        pool=predictions,
        board=board.count(eligible, min_images=CUTOFF),
        unknown=set(),
        conflicts=nothing(),
        suspects=nothing(),
        known=pd.Series(dtype="str"),
        phashes=lambda images: images.map(hashes).astype("str"),
        vectors=lambda: vectors.of(predictions.features, folder / "vectors"),
        library=lambda: library,
    ), places


def queue(world: World, model: Model, number: int) -> np.ndarray:
    """Places of the first images of the searching recipes, in turn from each."""
    params = config.load(sections.Queue).model_dump() | {"max_rows": number}
    with harness.scratch() as folder:
        asked, places = material(world, model, folder)
        found = [
            recipes.ask(asked, recipes.named(name), Settings(**params), near_duplicate_distance=4).rows
            for name in SEARCHING
        ]
        of = pd.Series(places, index=world.table["image"].iloc[places])
        turns = pd.concat(found).sort_values("rank", kind="stable").drop_duplicates("image").head(number)
        return of[turns["image"]].to_numpy()


def rivals(world: World, model: Model, seed: int) -> dict[str, Callable[[], np.ndarray]]:
    """Places of the pool's images by rankings of others, the most worth labelling first."""
    places = np.flatnonzero(world.pool)
    probs = model.probs[places]
    best = np.sort(probs, axis=1)

    def by(values: np.ndarray) -> np.ndarray:
        return places[np.argsort(-values, kind="stable")]

    def active() -> np.ndarray:
        from cleanlab.multiannotator import get_active_learning_scores

        learnt = world.library & world.table["label"].isin(model.classes).to_numpy()
        labels = pd.DataFrame({"one": pd.Index(model.classes).get_indexer(world.table.loc[learnt, "label"])})
        _, unlabelled = get_active_learning_scores(labels, model.probs[learnt], probs)
        return by(-unlabelled)

    def outliers() -> np.ndarray:
        from cleanlab.outlier import OutOfDistribution

        fitted = OutOfDistribution()
        learnt = world.library & world.table["label"].isin(model.classes).to_numpy()
        fitted.fit(features=world.features[learnt], verbose=False)
        return by(-fitted.score(features=world.features[places]))

    return {
        "random order": lambda: np.random.default_rng(seed).permutation(places),
        "lowest confidence (modAL uncertainty)": lambda: by(1 - best[:, -1]),
        "modAL margin": lambda: by(best[:, -2] - best[:, -1]),
        "modAL entropy": lambda: by(-(probs * np.log(np.maximum(probs, 1e-12))).sum(axis=1)),
        "cleanlab active learning": active,
        "cleanlab out of distribution": outliers,
    }


def read_features(file: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """What `features` has written: a row a photograph, and (N, F)."""
    with np.load(file, allow_pickle=True) as stored:
        table = pd.DataFrame({name: stored[name] for name in ("image", "label", "sha256", "phash")}).astype("str")
        return table, stored["features"].astype(np.float32)


def quality(file: Path, seeds: list[int]) -> None:
    table, values = read_features(file)
    found, models, ranked = [], dict[int, Model](), dict[str, np.ndarray]()
    for seed in seeds:
        world = World(table, values, seed)
        model = models[seed] = world.fit()
        wanted = world.table["label"].isin(world.wanted_classes).to_numpy()
        ranked = {name: rank() for name, rank in rivals(world, model, seed).items()}
        for number in FIRST:
            for name, order in (ranked | {"wallaby": queue(world, model, number)}).items():
                some = order[:number]
                of = {
                    kind: world.table["label"].iloc[some].isin(getattr(world, kind)).sum()
                    for kind in ("hidden", "near", "low")
                }
                found.append({"ranking": name, "rows": number, "wanted": wanted[some].sum(), **of})
        sizes = f"{world.pool.sum()} in the pool, {(wanted & world.pool).sum()} of them wanted"
        print(
            f"seed {seed}: {len(model.classes)} classes known, {model.accuracy:.1%} right of all, {sizes}", flush=True
        )
    told = pd.DataFrame(found).groupby(["ranking", "rows"], sort=False).mean().unstack("rows").round(0).astype(int)
    print(told["wanted"].to_string(), "\n", told.drop(columns="wanted", level=0).to_string(), sep="", flush=True)
    gained = [
        row
        for seed in seeds
        for name in ranked | {"wallaby": None}
        for row in rounds(World(table, values, seed), models[seed], name, seed)
    ]
    curve = pd.DataFrame(gained)
    curve = curve.groupby(["ranking", "round"], sort=False)["accuracy"].mean().unstack("round")
    curve["points per 100 decisions"] = 100 * (curve[ROUNDS] - curve[0]) / ROUNDS * (100 / DECISIONS)
    print(curve.round(3).to_string())


def rounds(world: World, model: Model, name: str, seed: int) -> list[dict]:
    """The accuracy over all classes, after each round of so many decisions."""
    told = []
    for number in range(ROUNDS + 1):
        model = world.fit() if number else model
        told.append({"ranking": name, "seed": seed, "round": number, "accuracy": model.accuracy})
        order = queue(world, model, DECISIONS) if name == "wallaby" else rivals(world, model, seed + number)[name]()
        world.library[order[:DECISIONS]], world.pool[order[:DECISIONS]] = True, False
    return told


if __name__ == "__main__":
    parser = harness.parser(__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("speed")
    part.add_argument("--images", type=int, default=2_000_000)
    part.add_argument("--classes", type=int, default=1500)
    part.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "bench_recipes")
    part = parts.add_parser("features")
    part.add_argument("module")
    part.add_argument("folders", nargs="+", type=Path)
    part.add_argument("--out", type=Path, required=True)
    part = parts.add_parser("quality")
    part.add_argument("file", type=Path)
    part.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    if args.part == "speed":
        speed(args.images, args.classes, args.work)
    elif args.part == "features":
        features(args.module, args.folders, args.out)
    else:
        quality(args.file, [int(seed) for seed in args.seeds.split(",")])
