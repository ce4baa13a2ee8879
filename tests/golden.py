"""What each stage writes from made-up inputs: the golden results that guard the words "same behaviour".

    python -m tests.golden STAGE ...      records what a stage writes now, once its version was raised

Each stage has inputs of its own, so that another stage's change cannot be seen here. Tables count by their values, not
by their bytes, and in floating-point numbers the first six digits: what is left is equal on all machines.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from pipeline import behaviour, bundle
from pipeline.files import digest, read_json, read_table, write_json, write_table, write_text
from pipeline.inference import frozen_features
from pipeline.library import history, lineage, splits
from pipeline.library.curation import COLUMNS as CURATED
from pipeline.library.curation import EXCLUDED_COLUMNS
from pipeline.library.index import COLUMNS as INDEXED
from pipeline.library.index import TEXTS
from pipeline.tracking import Tracking
from pipeline.workspace import Workspace

ROOT = Path(__file__).parent.parent
FILE = ROOT / "tests" / "golden.json"
LABELS = "image,label,subclass,origin,group,status,by,at,model,note,sha256\n"
EVENTS = "event,class,to,min_images,flip,by,at,note\n"
CLASSES = ["lion", "owl", "tapir"]
SIDE = 16
MODEL = "a" * 64
PARAMS: dict[str, dict[str, Any]] = {  # as they were when the results were recorded, whatever the params are today
    "roots": {
        "library": {"library": "images/library"},
        "pool": {"pool": "images/pool"},
        "benchmark": {"benchmark": "images/benchmark"},
    },
    "index": {"max_megapixels": 1},
    "embed": {
        "model": "own.onnx",
        "weights": "",
        "runtime": "onnx",
        "min_cosine": 0.99,
        "trial_images": 2,
        "batch_size": 8,
        "shard_rows": 16,
        "image_size": 0,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.3],
        "output": "",
    },
    "curate": {
        "min_images": 6,
        "max_images": 12,
        "near_duplicate_distance": 4,
        "chain_distance": 16,
        "max_per_group": 2,
        "min_side": 24,
        "min_brightness": 0.15,
        "min_contrast": 0.02,
        "min_sharpness": 4.0,
        "max_aspect_ratio": 5,
    },
    "split": {"val": 0.2, "test": 0.2, "salt": "golden"},
    "train": {
        "seed": 0,
        "batch_size": 8,
        "max_epochs": 1,
        "continued_max_epochs": 1,
        "head": "reset",
        "freeze": [],
        "head_warmup_epochs": 0,
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "continued_learning_rate": 0.01,
        "body_rate": 1.0,
        "warmup_epochs": 0,
        "decay": "cosine",
        "weight_decay": 0.02,
        "ema": 0,
        "loss": "cross_entropy",
        "label_smoothing": 0.1,
        "imbalance": "none",
        "flip": True,
        "rotate_degrees": 15,
        "zoom": 0.2,
        "stronger": {},
        "precision": "float32",
        "gpus": 0,
        "tensorboard": False,
    },
    "goal": {},
    "evaluate": {
        "ensemble": {},
        "batch_size": 8,
        "confidence": 0.95,
        "precision": 0.95,
        "min_class_images": 50,
        "audit_max_share": 0.2,
        "audit_ask_again_after": 2,
        "worst_mistakes": 2,
    },
    "gate": {
        "tolerance": 0.02,
        "confidence": 0.95,
        "min_images": 30,
        "min_class_images": 10,
        "max_latency_ms": 0,
        "max_size_mb": 0,
        "flips_shown": 0,
    },
    "identify": {
        "ensemble": {},
        "runtime": "keras",
        "engine": "local",
        "batch_size": 8,
        "shard_rows": 64,
        "top_k": 3,
        "embeddings": True,
    },
    "queue": {
        "max_rows": 12,
        "low_count_below": 1.5,
        "low_count_score": 0.5,
        "replace_staged_share": 0.3,
        "replace_staged_score": 0.5,
        "look_alike_score": 0.97,
        "look_alike_images": 200,
        "unknown_beside": 2,
        "disagree_score": 0.5,
        "purge_far": 0.05,
        "purge_images": 200,
        "purge_score": 0.4,
        "purge_share": 0.5,
        "purge_sample": 10,
    },
}


@contextmanager
def workspace():
    """A folder with the golden params, in which a stage runs; MLflow, which changes nothing, is not told."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        for function in ("log_training", "log_model", "log_evaluation", "save_view", "end"):
            stack.enter_context(mock.patch.object(Tracking, function))
        stack.enter_context(mock.patch.object(Tracking, "start", return_value="run"))
        stack.enter_context(mock.patch.dict(os.environ))
        os.environ.pop("DVC_ROOT", None)
        os.environ.pop("DVC_EXP_NAME", None)
        os.chdir(name)
        try:
            params = yaml.safe_load((ROOT / "configs/params.yaml").read_text())
            for section, values in PARAMS.items():
                params[section] |= {key: value for key, value in values.items() if key in params[section]}
            write_text(yaml.safe_dump(params), Path("configs/params.yaml"))
            write_text(EVENTS, Path("classes.csv"))
            for folder in ("benchmarks", "reviews"):
                Path(folder).mkdir(parents=True)
            yield
        finally:
            os.chdir(before)


def results(stage: str) -> dict[str, Any]:
    """Runs the stage on its made-up inputs and returns what it wrote, in digests of tables or in figures."""
    with workspace():
        return STAGES[stage]()


def of_table(table: pd.DataFrame) -> str:
    """A digest of the names, order and values of a table."""
    columns = {str(name): [_plain(value) for value in column.tolist()] for name, column in table.items()}
    return hashlib.sha256(json.dumps(columns, ensure_ascii=True, default=bytes.hex).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    return value.item() if isinstance(value, np.generic) else value


def _figures(values: Any) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def of_tables(folder: str) -> dict[str, str]:
    """The digest of each table below a folder."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix == ".parquet":
            found[path.relative_to(folder).as_posix()] = of_table(read_table(path))
        elif path.suffix == ".csv":
            found[path.relative_to(folder).as_posix()] = of_table(pd.read_csv(path, keep_default_na=False))
    return found


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def phash(text: str) -> str:
    return sha(f"look of {text}")[:16]


def near(hash_: str, bits: int) -> str:
    return f"{int(hash_, 16) ^ (2**bits - 1):016x}"


def pixels(seed: int, height: int = 32, width: int = 40) -> np.ndarray:
    """Coarse shapes under grain, uint8; RandomState never changes its numbers."""
    random = np.random.RandomState(seed)
    shapes = np.kron(random.randint(30, 226, (height // 8, width // 8, 3)), np.ones((8, 8, 1), int))
    return np.clip(shapes + random.randint(-20, 21, shapes.shape), 0, 255).astype(np.uint8)


def put(path: str, values: np.ndarray) -> str:
    """Saves an image whose bytes no library compresses; returns its path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def library_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of the index, each of a good image like no other where it says nothing else."""
    good = {"width": 64, "height": 48, "bytes": 1000, "format": "JPEG", "orientation": 1, "layout": "", "failure": ""}
    good |= {"brightness": 0.9, "contrast": 0.2, "sharpness": 500.0, "subject": 0.6}
    good |= {"taken": "", "camera": "", "views": ""}
    filled = [good | {"sha256": sha(row["image"]), "phash": phash(row["image"])} | row for row in rows]
    return pd.DataFrame(filled, columns=INDEXED).astype(dict.fromkeys(TEXTS, "str"))


def sets(number: int, *, classes: list[str] = CLASSES, benchmark: bool = True) -> pd.DataFrame:
    """Images on disk and the rows of `splits.parquet`: four of six train, one val, one test or benchmark."""
    rows = []
    for place in range(number):
        name = f"library/{place:03d}.bmp"
        values = pixels(place)
        values[..., place % 3] = np.minimum(values[..., place % 3].astype(int) + 60, 255)
        put(f"images/{name}", values)
        part = ["train", "train", "train", "train", "val", "benchmark:field" if benchmark and place % 2 else "test"]
        content = digest(Path(f"images/{name}"))
        rows.append(
            {"image": name, "sha256": content, "phash": phash(name), "group": content[:16], "together": ""}
            | {
                "label": classes[place % 3],
                "subclass": "",
                "origin": "real",
                "cluster": content[:16],
                "set": part[place // 3 % 6],
            }
        )
    table = pd.DataFrame(rows, columns=[column for column in splits.COLUMNS if column != "torn"]).astype("str")
    return table.assign(torn=False, flip=True)


def network(outputs: int):
    """The tiny network of the tests, with weights that no version of Keras draws."""
    from tests.networks import tiny

    model = tiny(outputs)
    random = np.random.RandomState(1)
    model.set_weights(
        [
            (0.5 + random.rand(*w.shape) if "var" in w.path or "gamma" in w.path else 0.4 * random.randn(*w.shape))
            for w in model.weights
        ]
    )
    return model


def save_bundle(folder: str, classes: list[str]) -> None:
    training = {"epochs": 2, "best_epoch": 1, "seconds": 3.0}
    card = bundle.Card("tiny", SIDE, round=1 if classes else 0, temperature=1.5, training=training)
    bundle.save(bundle.Bundle(network(len(classes) or 1), classes, card, lineage.empty()), Path(folder))


def index() -> dict[str, Any]:
    for place in range(6):
        put(f"images/library/{place}.bmp", pixels(place))
        put(f"images/pool/deep/{place}.bmp", pixels(10 + place))
    put("images/library/copy.bmp", pixels(0))
    put("images/library/grey.bmp", pixels(20)[..., 0])
    put("images/library/blank.bmp", np.full((32, 40, 3), 128, np.uint8))
    put("images/pool/large.bmp", np.zeros((1001, 1000, 3), np.uint8))
    put("images/benchmark/field.bmp", pixels(21, 64, 48))
    shutil.copy(ROOT / "tests/turned.jpg", "images/pool/turned.jpg")
    write_text("no image at all", Path("images/pool/text.jpg"))
    write_text("", Path("images/pool/empty.jpg"))
    write_text(
        LABELS + "library/0.bmp,lion,,real,,ok,,,,,\npool/deep/1.bmp,owl,,real,,ok,,,,,\n", Path("data/labels.csv")
    )
    write_text("image,label\nbenchmark/field.bmp,lion\n", Path("data/benchmarks/field.csv"))
    away = digest(Path("images/pool/deep/5.bmp"))
    quarantined = f"image,sha256,score,by,at,model,note\npool/deep/5.bmp,{away},0.1,Ann,2026-01-01,,\n"
    write_text(quarantined, Path("data/quarantine.csv"))
    write_text("name,images,left,by,at,note\n", Path("data/roots.csv"))

    from pipeline.stages import index

    index.main(Workspace(Path()))
    return of_tables("data/index") | {"labels": of_table(pd.read_csv("data/labels.csv", keep_default_na=False))}


def embed(name: str = "library") -> dict[str, Any]:
    """The features of 32 images, by content."""
    from pipeline.stages import embed, embed_pool
    from tests.onnx_files import network

    network(Path("own.onnx"))
    rows = []
    for place in range(32):
        image = f"{name}/{place:03d}.bmp"
        put(f"images/{image}", pixels(100 + place))
        rows.append({"image": image, "sha256": digest(Path(f"images/{image}"))})
    write_table(library_table(rows), Path(f"data/index/{name}.parquet"))
    {"library": embed.main, "pool": embed_pool.main}[name](Workspace(Path()))
    stored = frozen_features.read(Path(f"data/embed/{name}"))
    assert stored is not None
    order = np.argsort(np.array(stored.contents.to_pylist()))
    values = stored.features[:].astype(np.float64)[order]
    return {"mean": _figures(values.mean(axis=1)), "norm": _figures(np.linalg.norm(values, axis=1))}


def embed_pool() -> dict[str, Any]:
    """The same of the pool."""
    return embed("pool")


def curate() -> dict[str, Any]:
    labels: list[str] = []
    rows: list[dict[str, Any]] = []

    def add(name: str, label: str, *, origin: str = "real", group: str = "", status: str = "ok", **facts: Any) -> None:
        image = f"library/{name}.jpg"
        labels.append(f"{image},{label},,{origin},{group},{status},Ann,2026-01-01,,,\n")
        rows.append({"image": image} | facts)

    for place in range(16):
        add(f"lion{place}", "lion", origin="staged" if place % 5 == 4 else "real")
        add(f"owl{place}", "owl/barn", group="nest" if place in (3, 4) else "")
    for place in range(7):
        add(f"tapir{place}", "tapir", origin="synthetic" if place == 6 else "real")
        add(f"emu{place}", "emu")
    for place in range(5):
        add(f"gnu{place}", "gnu")  # near the cutoff
        add(f"kiwi{place}", "kiwi" if place < 2 else "lion")  # below it
    for place, bits in enumerate((1, 2, 3, 4)):
        add(f"burst{place}", "tapir", phash=near(phash("burst"), bits))
    for place in range(6):
        add(f"chain{place}", "lion", phash=near(phash("chain"), 4 * place))
    add("same1", "lion", sha256=sha("same"), phash=phash("same"))
    add("same2", "lion", sha256=sha("same"), phash=phash("same"))
    add("torn1", "lion", phash=phash("torn"))
    add("torn2", "owl", phash=near(phash("torn"), 2))
    add("yak0", "yak")
    add("nobody", "", status="unknown")
    add("junk", "lion", status="bad")
    add("small", "owl", width=20)
    add("blank", "owl", contrast=0.001)
    add("dark", "owl", brightness=0.1)
    add("blurred", "owl", sharpness=1.0)
    add("wide", "owl", width=640)
    add("gone", "owl", failure="missing", sha256="", phash="")
    rows += [{"image": "benchmark/lion.jpg"}, {"image": "library/unlabelled.jpg"}]
    add("benchmarked", "lion", phash=near(phash("benchmark/lion.jpg"), 3))
    write_text(LABELS + "".join(labels), Path("data/labels.csv"))
    write_text("image,label\nbenchmark/lion.jpg,lion\n", Path("data/benchmarks/field.csv"))
    events = "rename,emu,rhea,,,Ann,2026-01-01,\nretire,yak,,,,Ann,2026-01-02,\nset,tapir,,5,,Ann,2026-01-03,\n"
    write_text(EVENTS + events, Path("data/classes.csv"))
    write_table(library_table(sorted(rows, key=lambda row: row["image"])), Path("data/index/library.parquet"))
    seen = pd.DataFrame([{"sha256": sha(f"library/lion{n}.jpg"), "set": "test"} for n in range(3)])
    seen = seen.assign(phash=[phash(f"library/lion{n}.jpg") for n in range(3)], group="", together="")
    write_table(lineage.extend(lineage.empty(), seen, round_=1), Path("data/base/lineage.parquet"))
    board = pd.DataFrame({"label": ["lion", "emu", "tapir"], "images": [20, 7, 9], "groups": [18, 7, 6]})
    none, boards = history.empty()
    history.write(Path("data/base"), none, history.extend_boards(boards, board, 1))

    from pipeline.stages import curate

    curate.main(Workspace(Path()))
    return of_tables("data/curated") | {"summary": read_json(Path("data/curated/summary.json"))["excluded"]}


def split() -> dict[str, Any]:
    rows = []
    for label in CLASSES:
        for place in range(20):
            name = f"library/{label}{place}.jpg"
            together = "nest" if label == "owl" and place < 4 else ""
            look = near(phash(f"{label} burst"), place) if place < 3 else phash(name)
            group = together or (sha(f"{label} burst") if place < 3 else sha(name))[:16]
            rows.append(
                {"image": name, "sha256": sha(name), "phash": look, "group": group, "together": together}
                | {"burst": sha(f"{label} {place // 3}")[:16] if place >= 12 else group, "evidence": ""}
                | {"label": label, "subclass": "young" if place % 4 == 0 else ""}
                | {"origin": "staged" if place % 7 == 6 else "real"}
            )
    images = pd.DataFrame(rows, columns=CURATED).astype("str")
    write_table(images, Path("data/curated/images.parquet"))
    bursts = [{"image": f"benchmark/{n}.jpg", "burst": f"{n // 2}", "evidence": "names in sequence"} for n in range(4)]
    write_table(pd.DataFrame(bursts), Path("data/curated/bursts.parquet"))
    known = images[images["label"] == "lion"].iloc[5:15]
    known = known.assign(set=["train", "val", "test", "train", "train"] * 2)
    gone = {"sha256": sha("gone"), "phash": phash("gone"), "group": sha("gone")[:16], "together": "nest", "set": "val"}
    gone |= {"burst": "", "evidence": ""}
    known = pd.concat([known, pd.DataFrame([gone])])  # the nest's owls stay with it
    write_table(lineage.extend(lineage.empty(), known, round_=1), Path("data/base/lineage.parquet"))
    write_table(library_table([{"image": f"benchmark/{n}.jpg"} for n in range(4)]), Path("data/index/library.parquet"))
    write_text(
        "image,label\n" + "".join(f"benchmark/{n}.jpg,emu\n" for n in range(4)), Path("data/benchmarks/field.csv")
    )
    events = "rename,emu,owl,,,Ann,2026-01-01,\nset,tapir,,,no,Ann,2026-01-03,\n"
    write_text(EVENTS + events, Path("data/classes.csv"))

    from pipeline.stages import split

    split.main(Workspace(Path()))
    return of_tables("data/splits") | {"summary": read_json(Path("data/splits/summary.json"))["sets"]}


def train() -> dict[str, Any]:
    """Three steps: 24 images, 8 a step. The norm and the mean of each weight."""
    save_bundle("data/base", [])
    write_table(sets(36), Path("data/splits/splits.parquet"))

    from pipeline.stages import train

    train.main(Workspace(Path()))
    trained = bundle.load(Path("data/model")).model
    figures = {}
    for number, weight in enumerate(trained.weights):
        values = np.asarray(weight, np.float64)
        name = f"{number:02d} {weight.name}"  # Keras numbers layers of a kind through, with those of other tests
        figures[name] = _figures([np.linalg.norm(values), values.mean()])
    return figures


def evaluate() -> dict[str, Any]:
    """The scores of 32 images, and what follows from them."""
    save_bundle("data/model", CLASSES)
    history_ = {"epoch": [1, 2], "loss": [2.0, 1.0], "val_loss": [2.0, 1.0], "accuracy": [0.1, 0.2]}
    pd.DataFrame(history_ | {"val_accuracy": [0.1, 0.2], "learning_rate": [0.1, 0.1], "seconds": [1.0, 1.0]}).to_csv(
        "data/model/history.csv", index=False
    )
    rows = sets(32).drop(columns="flip")
    write_table(rows, Path("data/splits/splits.parquet"))
    near = rows.loc[rows["set"] != "train", ["image", "set"]].assign(similarity=0.75)
    write_table(near, Path("data/splits/nearest.parquet"))
    excluded = pd.DataFrame(columns=EXCLUDED_COLUMNS, dtype="str")
    write_table(excluded, Path("data/curated/excluded.parquet"))
    board = "label,images,groups,real,staged,synthetic,staged_share,wholly_staged,cutoff,short_by,standing,grew\n"
    write_text(board + "lion,11,11,11,0,0,0.0,False,6,0,in,0\n", Path("data/curated/board.csv"))
    Path("data/base").mkdir(parents=True)
    Path("data/released").mkdir(parents=True)

    from pipeline.stages import evaluate

    evaluate.main(Workspace(Path()))
    scores = read_table(Path("data/evaluation/scores.parquet")).sort_values("image")
    return {"scores": _figures(scores["score"]), "label_scores": _figures(scores["label_score"])}


def gate() -> dict[str, Any]:
    rows = sets(3).head(1).drop(columns="flip")
    rows = pd.concat([rows] * 240, ignore_index=True).assign(set="benchmark:field")
    names = [f"benchmark/{place}.jpg" for place in range(240)]
    rows = rows.assign(image=names, sha256=[sha(name) for name in names], phash=[phash(name) for name in names])
    rows["label"] = [CLASSES[place % 3] for place in range(240)]
    rows["group"] = rows["cluster"] = [sha(f"nest {place // 2}")[:16] for place in range(240)]
    for folder, target, wrong in (("data/model", "data/evaluation", 7), ("data/released", "data/released", 5)):
        write_text(f"network {Path(folder).name}", Path(folder) / bundle.MODEL)
        card = bundle.Card("tiny", SIDE, model_digest=digest(Path(folder) / bundle.MODEL))
        write_json(vars(card), Path(folder) / bundle.CARD)
        write_text("\n".join(CLASSES) + "\n", Path(folder) / bundle.CLASSES)
        write_table(lineage.empty(), Path(folder) / bundle.LINEAGE)
        named = np.array([place % wrong != 0 for place in range(240)])
        other = [CLASSES[(place + 1) % 3] for place in range(240)]
        predicted = np.where(named, rows["label"], other)
        best = [[one, *(each for each in CLASSES if each != one)] for one in predicted]
        table = rows.assign(predicted=predicted, score=0.75, top_labels=best, top_scores=[[0.75, 0.125, 0.125]] * 240)
        table = table.assign(label_score=np.where(named, 0.75, 0.125), label_rank=np.where(named, 1, 2))
        write_table(table.assign(model=card.model_digest), Path(target) / "scores.parquet")

    from pipeline.stages import gate

    gate.main(Workspace(Path()))
    return of_tables("data/gate") | {"verdict": read_json(Path("data/gate/gate.json"))["verdict"]}


def identify() -> dict[str, Any]:
    """The scores of 32 images of the pool."""
    save_bundle("data/model", CLASSES)
    rows = []
    for place in range(32):
        name = f"pool/{place:03d}.bmp"
        put(f"images/{name}", pixels(100 + place))
        rows.append({"image": name, "sha256": digest(Path(f"images/{name}"))})
    write_table(library_table(rows), Path("data/index/pool.parquet"))
    excluded = pd.DataFrame(columns=EXCLUDED_COLUMNS, dtype="str")
    write_table(excluded, Path("data/curated/excluded.parquet"))
    write_table(sets(18).drop(columns="flip"), Path("data/splits/splits.parquet"))

    from pipeline.evaluation import thresholds
    from pipeline.stages import identify

    model = bundle.check(Path("data/model")).model_digest
    promise = thresholds.Thresholds(model, 1.5, 0.95, ["val"], 30, 0.5, thresholds.ESTIMATED, {}, [])
    thresholds.write(promise, Path("data/evaluation/thresholds.json"))
    identify.main(Workspace(Path()))
    features = np.load("data/predictions/part-00000.features.npy").astype(np.float64)
    rows = read_table(Path("data/predictions/part-00000.parquet")).assign(norm=np.linalg.norm(features, axis=1))
    rows = rows.sort_values("image")
    return {"scores": _figures(rows["score"]), "features": _figures(rows["norm"])}


def queue() -> dict[str, Any]:
    random = np.random.RandomState(3)
    means = 4.0 * np.eye(4, 16)
    classes = [*CLASSES, "emu"]

    def features(kinds: list[int]) -> np.ndarray:
        return (np.stack([means[kind] for kind in kinds]) + random.randint(-8, 9, (len(kinds), 16)) / 16).astype("f2")

    known = [place % 3 if place < 42 else 3 for place in range(48)]  # the model does not know the fourth class
    images = pd.DataFrame({"image": [f"library/{place:03d}.jpg" for place in range(48)]})
    images["sha256"], images["phash"] = images["image"].map(sha), images["image"].map(phash)
    images["label"] = [classes[kind] for kind in known]
    images = images.assign(group=images["sha256"].str[:16], together="", subclass="", origin="real").astype("str")
    images = images.assign(burst=images["group"], evidence="")
    write_table(images.loc[images["label"] != "emu", CURATED], Path("data/curated/images.parquet"))
    out = images.head(0).assign(reason="", detail="")
    extra = pd.DataFrame({"image": ["pool/060.jpg", "pool/061.jpg", "library/torn1.jpg", "library/torn2.jpg"]})
    extra["sha256"], extra["phash"] = extra["image"].map(sha), extra["image"].map(phash)
    extra["reason"] = ["unknown", "bad", "label conflict", "label conflict"]
    extra["group"] = ["", "", "torn", "torn"]
    extra["label"] = ["", "", "lion", "owl"]
    extra = extra.assign(together="", subclass="", origin="real", detail="lion / owl", label_then="")
    torn = list(extra["image"][extra["group"] == "torn"])
    write_table(pd.concat([out, extra])[EXCLUDED_COLUMNS], Path("data/curated/excluded.parquet"))
    board = "label,images,groups,real,staged,synthetic,staged_share,wholly_staged,cutoff,short_by,standing,grew\n"
    board += "emu,4,4,4,0,0,0.0,False,6,2,near,1\n"
    board += "".join(f"{label},16,{8 + 4 * place},8,8,0,0.5,False,6,0,in,0\n" for place, label in enumerate(CLASSES))
    write_text(board, Path("data/curated/board.csv"))

    kinds = [int(kind) for kind in random.randint(0, 4, 64)]
    pool = pd.DataFrame({"image": [f"pool/{place:03d}.jpg" for place in range(64)]})
    pool["sha256"] = pool["image"].map(sha)
    score = random.randint(20, 64, 64) / 64
    best = [[CLASSES[kind % 3], CLASSES[(kind + 1) % 3], CLASSES[(kind + 2) % 3]] for kind in kinds]
    shares = [[high, (1 - high) * 0.75, (1 - high) * 0.25] for high in score]
    pool = pool.assign(label=[each[0] for each in best], score=score, margin=score - (1 - score) * 0.75, entropy=0.5)
    pool = pool.assign(top_labels=best, top_scores=shares, failure="", model=MODEL)
    features_of_pool = features(kinds)
    poor = {"pool/007.jpg": {"contrast": 0.001}, "pool/008.jpg": {"width": 10}}
    facts = [{"image": image} | poor.get(image, {}) for image in pool["image"]]
    write_table(library_table(facts), Path("data/index/pool.parquet"))
    write_table(
        library_table([{"image": image} for image in [*images["image"], *torn]]), Path("data/index/library.parquet")
    )
    Path("data/predictions").mkdir(parents=True)
    write_table(pool, Path("data/predictions/part-00000.parquet"), model=MODEL)
    np.save("data/predictions/part-00000.features.npy", features_of_pool)

    parts = [["train", "train", "val", "test"][place % 4] if place < 42 else "open:below-cutoff" for place in range(48)]
    right = [place % 5 != 0 for place in range(48)]
    seen = [CLASSES[(kind + (0 if good else 1)) % 3] for kind, good in zip(known, right, strict=True)]
    scores = images.drop(columns="subclass").assign(set=parts, predicted=seen, score=0.75)
    scores["top_labels"] = [[one, *(each for each in CLASSES if each != one)] for one in seen]
    scores["top_scores"] = [[0.75, 0.1875, 0.0625]] * 48
    write_table(scores.assign(model=MODEL), Path("data/evaluation/scores.parquet"))
    audited = (
        scores[~np.array(right)]
        .head(9)
        .assign(asked=True, rank=range(1, 10), trained=False, frozen=False, verdict_at="")
    )
    audited = audited.assign(label_score=0.0625, contradicted=1, reason="the model sees another class", model=MODEL)
    write_table(audited, Path("data/evaluation/audit.parquet"))
    Path("data/evaluation/outputs").mkdir(parents=True)
    write_table(images[["sha256"]], Path("data/evaluation/outputs/part-00000.parquet"), model=MODEL)
    np.save("data/evaluation/outputs/part-00000.log_probs.npy", np.zeros((48, 3), np.float16))
    np.save("data/evaluation/outputs/part-00000.features.npy", features(known))
    champion = pool[["sha256", "score"]].assign(label=[classes[(kind + 1) % 3] for kind in kinds])
    write_text("the champion", Path("data/released/model.keras"))
    write_table(champion[["sha256", "label", "score"]].assign(score=0.75), Path("data/released/pool.parquet"))

    finished_round(scores)
    for name in ("library/000.bmp", "pool/000.bmp"):  # a root without any image would stop the stage
        put(f"images/{name}", pixels(0))

    from pipeline.stages import queue

    queue.main(Workspace(Path()))
    return of_tables("data/queue")


def finished_round(scores: pd.DataFrame) -> None:
    """What the record of a round is made of, besides the scores."""
    ranks = np.where(scores["label"] == scores["predicted"], 1, 2)
    write_table(scores.assign(label_rank=ranks, model=MODEL), Path("data/evaluation/scores.parquet"))
    for name in (bundle.MODEL, bundle.LINEAGE):
        write_text(name, Path("data/model") / name)
    card = bundle.Card("tiny", SIDE, round=2, model_digest=MODEL, parent_digest="b" * 64, run_id="run")
    card = bundle.replace(card, training={"epochs": 2, "best_epoch": 1, "seconds": 30.0})
    write_json(vars(card), Path("data/model") / bundle.CARD)
    write_text("\n".join(CLASSES) + "\n", Path("data/model") / bundle.CLASSES)
    write_text("epoch,loss,val_loss,minutes\n1,2.0,1.5,0.25\n2,1.0,1.75,0.5\n", Path("data/model/history.csv"))
    write_json({"sets": {"test": 10, "train": 22, "val": 10}}, Path("data/splits/summary.json"))
    write_json({"test": {"n": 10, "top1": 0.8}}, Path("data/evaluation/metrics.json"))
    write_text("set,label,n,recall\ntest,lion,4,0.75\ntest,owl,3,1.0\n", Path("data/evaluation/per_class.csv"))
    write_json({"verdict": "pass", "reason": "none", "champion": "", "model": MODEL}, Path("data/gate/gate.json"))
    write_json({"pool": 64, "identified": 64, "failed": 0}, Path("data/predictions/summary.json"))


STAGES: dict[str, Callable[[], dict[str, Any]]] = {
    "index": index,
    "embed": embed,
    "curate": curate,
    "split": split,
    "train": train,
    "evaluate": evaluate,
    "gate": gate,
    "embed-pool": embed_pool,
    "identify": identify,
    "queue": queue,
}


def recorded() -> dict[str, dict[str, Any]]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def differing(stage: str, today: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """The names of results that are not what they were, a figure within the stage's tolerance."""
    tolerance = {"train": 1e-4, "evaluate": 1e-3, "identify": 1e-3, "embed": 1e-3, "embed-pool": 1e-3}.get(stage, 0.0)
    return [
        name
        for name in sorted(today.keys() | before.keys())
        if not _close(today.get(name), before.get(name), tolerance)
    ]


def _close(value: Any, other: Any, tolerance: float) -> bool:
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(_close(value[key], other[key], tolerance) for key in value)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_close, value, other, [tolerance] * len(value)))
    if isinstance(value, float) and isinstance(other, float):
        return abs(value - other) <= tolerance * max(1.0, abs(other)) or (value != value and other != other)
    return value == other


def record(stages: list[str]) -> int:
    """Records the results of stages whose version was raised since theirs were recorded; returns the exit code."""
    known, versions, code = recorded(), behaviour.versions(ROOT), 0
    for stage in stages:
        if stage not in STAGES:
            print(f"{stage}: has no golden results; known: {', '.join(STAGES)}", file=sys.stderr)
            return 2
        before, today = known.get(stage), results(stage)
        if before and before["version"] == versions[stage] and differing(stage, today, before["results"]):
            print(f"{stage}: differs at version {versions[stage]}: `scripts/behaviour raise {stage}`", file=sys.stderr)
            code = 3
            continue
        known[stage] = {"version": versions[stage], "results": today}
        print(f"{stage}: recorded at version {versions[stage]}")
    blocks = []
    for stage in filter(known.__contains__, STAGES):
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in known[stage]["results"].items()]
        start = f'"{stage}": {{"version": {known[stage]["version"]}, "results": {{\n'
        blocks.append(start + ",\n".join(lines) + "\n}}")
    write_text("{\n" + ",\n".join(blocks) + "\n}\n", FILE)
    return code


if __name__ == "__main__":
    sys.exit(record(sys.argv[1:] or list(STAGES)))
