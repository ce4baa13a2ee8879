"""Tiny tables and pictures: what a test needs, on a line."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.library import labels
from pipeline.library.index import COLUMNS as INDEX_COLUMNS
from pipeline.library.index import TEXTS

MEASURED = {
    "brightness": 0.9,
    "contrast": 0.2,
    "sharpness": 500.0,
    "subject": 0.6,
    "layout": "",
    "taken": "",
    "camera": "",
    "views": "",
}


def sha(content: object) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()


def phash(content: object) -> str:
    """A hash of its own for each content, 20 bits or so from any other."""
    return sha(f"look of {content}")[:16]


def flip(hash_: str, *bits: int) -> str:
    """`hash_` with these bits changed."""
    value = int(hash_, 16)
    for bit in bits:
        value ^= 1 << bit
    return f"{value:016x}"


def label_table(*rows: dict) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=labels.COLUMNS, dtype=object).fillna("").astype("str")
    return labels.check(table, ["library", "pool", "benchmark"], "labels.csv")


def library_table(*rows: dict) -> pd.DataFrame:
    """Rows of the index; what a row does not say is that of a picture like no other."""
    filled = []
    for row in rows:
        plain = {"width": 64, "height": 64, "bytes": 1000, "format": "JPEG", "orientation": 1, "failure": ""}
        filled.append({**plain, **MEASURED, "sha256": sha(row["image"]), "phash": phash(row["image"])} | row)
    table = pd.DataFrame(filled, columns=INDEX_COLUMNS)
    return table.astype(dict.fromkeys(TEXTS, "str"))


def benchmark_table(*images: str) -> pd.DataFrame:
    return pd.DataFrame({"benchmark": "field", "image": list(images), "label": "", "sha256": ""}, dtype="str")


def noise(seed: int, side: int = 64) -> Image.Image:
    """A picture with shapes of its own: coarse noise, smoothly enlarged."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def photograph(width: int, height: int, seed: int = 1) -> Image.Image:
    """Coarse shapes under fine grain, so that a JPEG of it has frequencies of all kinds."""
    grain = np.random.default_rng(seed).normal(0, 12, (height, width, 1))
    shapes = np.asarray(noise(seed, 64).resize((width, height), Image.Resampling.BICUBIC), float)
    return Image.fromarray(np.clip(shapes + grain, 0, 255).astype(np.uint8))


def encoded(picture: Image.Image, format_: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def put(path: Path, data: bytes | Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else encoded(data))
    return path
