"""Made-up pools: what a model says of a few images, stored as identification stores it, and what recipes need."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.files import write_table
from pipeline.inference import judged_bursts, pool_predictions, shards, vectors
from pipeline.inference.store import COLUMNS, LISTS
from pipeline.review.recipes.inputs import Library, Material
from tests.library.builders import phash, sha

MODEL = "a" * 64
BOARD = {"cat": 14, "dog": 15, "emu": 10}  # groups; the cutoff is 10


def predictions(*, model: str = MODEL, **scores: tuple[str, float]) -> pd.DataFrame:
    """Images by name: the class the model sees and how surely; an owl is the second best."""
    rows = [
        {
            "image": f"pool/{name}.jpg",
            "sha256": sha(name),
            "label": label,
            "score": score,
            "margin": 0.0,
            "entropy": 0.0,
            "top_labels": [label, "owl", "rat"],
            "top_scores": [score, (1 - score) * 0.75, (1 - score) * 0.25],
            "failure": "",
            "model": model,
        }
        for name, (label, score) in scores.items()
    ]
    texts = dict.fromkeys(("image", "sha256", "label", "failure", "model"), "str")
    return pd.DataFrame(rows, columns=COLUMNS).astype(texts | {"score": "float64"} | LISTS)


def store(table: pd.DataFrame, folder: Path, features: np.ndarray | None = None, *, shard_rows: int = 3) -> Path:
    """Writes predictions in shards, with features beside them where `features` (N, F) are given."""
    for number, start in enumerate(range(0, max(len(table), 1), shard_rows)):
        shard, some = folder / f"part-{number:05d}.parquet", slice(start, start + shard_rows)
        if features is not None:
            shards.write_array(features[some], shards.array_file(shard, shards.FEATURES))
        write_table(table[some], shard, model=MODEL)
    return folder


def board(*, staged: dict[str, int] | None = None, **groups: int) -> pd.DataFrame:
    """Classes with so many groups, of which so many are staged, at a cutoff of 10."""
    rows = [
        {
            "label": label,
            "images": number,
            "groups": number,
            "real": number - (staged or {}).get(label, 0),
            "staged_share": (staged or {}).get(label, 0) / number,
            "cutoff": 10,
            "short_by": max(0, 10 - number),
        }
        for label, number in groups.items()
    ]
    return pd.DataFrame(rows, columns=["label", "images", "groups", "real", "staged_share", "cutoff", "short_by"])


def bursts(folder: Path, table: pd.DataFrame, **members: str) -> judged_bursts.Judged | None:
    """What identification makes of bursts: for each the names of its images."""
    store(table, folder)
    known = [(sha(name), burst, "names in sequence") for burst, names_ in members.items() for name in names_]
    rows = pd.DataFrame(known, columns=["sha256", "burst", "evidence"], dtype="str")
    classes = sorted({label for labels in table["top_labels"] for label in labels})
    judged_bursts.write(folder, rows, classes, top_k=3, out=folder.with_name("judged_bursts.parquet"))
    return judged_bursts.read(folder.with_name("judged_bursts.parquet"), folder)


def conflicts(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Images of groups with two labels: name, group and label of each."""
    table = pd.DataFrame(rows, columns=["image", "group", "label"], dtype="str")
    return table.assign(sha256=[sha(name) for name in table["image"]], detail="emu / owl").astype("str")


def changed(*rows: tuple[str, str]) -> pd.DataFrame:
    """Images with another content than was labelled: name, and what the other was called."""
    table = pd.DataFrame(rows, columns=["image", "label_then"], dtype="str")
    table = table.assign(sha256=table["image"].map(sha).astype("str"), image="pool/" + table["image"] + ".jpg")
    return table.assign(detail="the content 123 was called " + table["label_then"]).astype("str")


def suspects(*rows: tuple[str, int, bool]) -> pd.DataFrame:
    """Labelled images that the audit asks about: name, rank in its part, and whether the model was trained on it."""
    table = pd.DataFrame(rows, columns=["image", "rank", "trained"]).astype({"image": "str", "trained": bool})
    said = table.assign(label="owl", score=0.9, reason="labelled emu (1%); the model sees owl (90%)")
    return said.assign(sha256=table["image"].map(sha).astype("str")).astype({"label": "str", "reason": "str"})


def material(
    folder: Path,
    table: pd.DataFrame,
    *,
    unknown: str = "",
    looks: dict[str, str] | None = None,
    standing: pd.DataFrame | None = None,
    features: np.ndarray | None = None,
    library: Library | None = None,
    known: tuple[str, ...] = (),
    **more,
) -> Material:
    """The material; names in `unknown` are library images nobody could name, `in_bursts` has those of each burst."""
    found = pool_predictions.read(store(table, folder / "predictions", features))
    if "in_bursts" in more:
        more["bursts"] = bursts(folder / "predictions", table, **more.pop("in_bursts"))
    hashes = {f"pool/{name}.jpg": look for name, look in (looks or {}).items()}
    return Material(
        pool=found,
        board=board(**BOARD) if standing is None else standing,
        unknown={f"pool/{name}.jpg" for name in unknown},
        changed=more.pop("changed", changed()),
        conflicts=more.pop("conflicts", conflicts()),
        suspects=more.pop("suspects", suspects()),
        known=pd.Series([sha(name) for name in known], dtype="str"),
        phashes=lambda images: images.map(lambda image: hashes.get(image, phash(image))).astype("str"),
        vectors=lambda: vectors.of(found.features, folder / "vectors"),
        library=lambda: library,
        **more,
    )


def names(table: pd.DataFrame) -> str:
    return "".join(table["image"].str.removeprefix("pool/").str.removesuffix(".jpg"))
