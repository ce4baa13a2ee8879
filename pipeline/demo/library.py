"""The demo's library, pool and benchmark set, with what real libraries have planted in them.

Each silhouette stands in a landscape of its own, dark on light; some by night, light on dark.
"""

import io
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from pipeline.files import atomic_folder, digests, write_csv, write_json
from pipeline.library import labels

LIBRARY = {
    "bird": 330,
    "cat": 290,
    "cow": 250,
    "dog": 220,
    "elephant": 190,
    "horse": 160,
    "sheep": 58,
    "zebra": 38,
    "bear": 36,
}
POOL = {
    "bird": 150, "cat": 150, "cow": 150, "dog": 150, "elephant": 150, "horse": 150, "sheep": 150,
    "zebra": 130, "bear": 130, "giraffe": 220,
}  # fmt: skip
BENCHMARK = {
    "bird": 35, "cat": 35, "cow": 35, "dog": 35, "elephant": 35, "horse": 35, "sheep": 35,
    "zebra": 20, "bear": 20, "giraffe": 20,
}  # fmt: skip
UNKNOWN = {"giraffe": 8, "zebra": 6}
SUBCLASSES = ["cat", "horse"]  # seen by day and by night, kept as sub-classes
STAGED = {"sheep": 30}  # of LIBRARY's number, in front of a plain backdrop
EMPTY_LANDSCAPES = 20  # in the benchmark set, without a label
EXACT_DUPLICATES, NEAR_DUPLICATES, TURNED, PNGS = 6, 10, 12, 8
SIDE = 96  # of a picture, in pixels
SEED = 7
MARKER, TRUTH = "wallaby-demo.json", "truth.csv"


class _Painter:
    """Paints each picture from its own random numbers, never the same silhouette twice."""

    def __init__(self, silhouettes: dict[str, np.ndarray], seed: int):
        self.random = np.random.default_rng(seed)
        self.left = {animal: list(self.random.permutation(len(found))) for animal, found in silhouettes.items()}
        self.silhouettes = silhouettes

    def landscape(self, night: bool) -> np.ndarray:
        """A smooth random background: float32 (SIDE, SIDE, 3) in [0, 255]."""
        coarse = self.random.normal(size=(5, 5, 1)) * 16 + self.random.normal(size=(5, 5, 3)) * 6
        smooth = cv2.resize(coarse.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        return np.clip((60 if night else 185) + smooth, 0, 255)

    def animal(self, animal: str, *, night: bool, staged: bool = False) -> Image.Image:
        number = self.left[animal].pop()
        mask = cv2.resize(self.silhouettes[animal][number], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        shape = (mask.astype(np.float32) / 255)[..., None]
        background = np.full((SIDE, SIDE, 3), 225, np.float32) if staged else self.landscape(night)
        coat = self.random.normal((170 if night else 55), 14, size=(1, 1, 3))
        grain = self.random.normal(0, 6, size=(SIDE, SIDE, 1))
        picture = background * (1 - shape) + coat * shape + grain
        return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))

    def at_night(self, animal: str) -> bool:
        return animal in SUBCLASSES and bool(self.random.random() < 0.4)


def write(folder: Path, silhouettes: dict[str, np.ndarray], *, size: float = 1.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Writes the demo's pictures and its truth below `folder`.

    Args:
      size: factor on the number of pool and benchmark pictures and of the large classes, for quick trials.

    Returns:
      The label rows, and the benchmark's rows.
    """
    painter = _Painter(silhouettes, SEED)
    with atomic_folder(folder) as new:
        rows = _write_library(new / "library", painter, size)
        truth = _write_pool(new / "pool", painter, size)
        benchmark = _write_benchmark(new / "benchmark", painter, size)
        truth += [{"image": row["image"], "label": row.pop("truth")} for row in rows if row["status"] == "unknown"]
        contents = digests([new / row["image"] for row in truth])
        write_csv(pd.DataFrame(truth).assign(sha256=contents).sort_values("image"), new / TRUTH)
        write_json({"made by": "wallaby demo", "pictures": "animal-mnist, MIT"}, new / MARKER)
    return pd.DataFrame(rows).reindex(columns=labels.COLUMNS, fill_value=""), pd.DataFrame(benchmark)


def _write_library(folder: Path, painter: _Painter, size: float) -> list[dict]:
    rows: list[dict] = []

    def add(name: str, **row) -> None:
        rows.append({"image": f"library/{name}", "origin": "real", "status": "ok", "by": "demo"} | row)

    for animal, number in LIBRARY.items():
        number = number if number < 60 else max(56, round(number * size))
        staged = round(STAGED.get(animal, 0) * number / LIBRARY[animal])
        for i in range(number):
            night = painter.at_night(animal)
            subclass = ("night" if night else "day") if animal in SUBCLASSES else ""
            name = f"{animal}/{subclass}/{i:04d}.jpg".replace("//", "/")
            _save(painter.animal(animal, night=night, staged=i < staged), folder / name)
            add(name, label=animal, subclass=subclass, origin="staged" if i < staged else "real")
    for animal, number in UNKNOWN.items():
        for i in range(number):
            name = f"unknown/{animal[0]}{i:02d}.jpg"
            _save(painter.animal(animal, night=painter.at_night(animal)), folder / name)
            add(name, label="", status="unknown", truth=animal)

    plain = [row["image"].removeprefix("library/") for row in rows if row.get("label") in ("bird", "cow", "dog")]
    chosen = iter(painter.random.permutation(plain))
    for i in range(EXACT_DUPLICATES):
        source = next(chosen)
        name = f"{source.split('/')[0]}/copy of {i}.jpg"
        _write_bytes((folder / source).read_bytes(), folder / name)
        add(name, label=source.split("/")[0])
    for i in range(NEAR_DUPLICATES):
        source = next(chosen)
        name = f"{source.split('/')[0]}/again ({i}).jpg"
        picture = Image.open(folder / source).point(lambda value: min(255, value + 6))
        _save(picture, folder / name, quality=70)
        add(name, label=source.split("/")[0])
    for _ in range(TURNED):
        _turn(folder / next(chosen))
    for _ in range(PNGS):  # another format behind the ending .jpg
        _reformat(folder / next(chosen), "PNG")
    conflict = next(chosen)
    _write_bytes((folder / conflict).read_bytes(), folder / "cat" / "who is this.jpg")
    add("cat/who is this.jpg", label="cat", subclass="")
    whole = (folder / next(chosen)).read_bytes()
    _write_bytes(whole[: len(whole) // 2], folder / "bird" / "cut short.jpg")
    add("bird/cut short.jpg", label="bird")
    _write_bytes(b"These are notes, not a picture.\n", folder / "dog" / "notes.jpg")
    add("dog/notes.jpg", label="dog")
    return rows


def _write_pool(folder: Path, painter: _Painter, size: float) -> list[dict]:
    animals = [animal for animal, number in POOL.items() for _ in range(round(number * size))]
    truth = []
    for i, animal in enumerate(painter.random.permutation(animals)):
        name = f"{i // 500:02d}/{i:05d}.jpg"
        _save(painter.animal(animal, night=painter.at_night(animal)), folder / name)
        truth.append({"image": f"pool/{name}", "label": animal})
    return truth


def _write_benchmark(folder: Path, painter: _Painter, size: float) -> list[dict]:
    rows = []
    for animal, number in BENCHMARK.items():
        for i in range(max(6, round(number * size))):
            picture = painter.animal(animal, night=painter.at_night(animal))
            if i % 4 == 0:  # messy, as pictures in use are
                picture = picture.point(lambda value: int(value * 0.6)).resize((SIDE // 2, SIDE // 2))
            _save(picture, folder / f"{animal}{i:03d}.jpg", quality=60)
            rows.append({"image": f"benchmark/{animal}{i:03d}.jpg", "label": animal})
    for i in range(EMPTY_LANDSCAPES):
        landscape = painter.landscape(i % 4 == 0).astype(np.uint8)
        _save(Image.fromarray(landscape), folder / f"empty{i:03d}.jpg")
        rows.append({"image": f"benchmark/empty{i:03d}.jpg", "label": ""})
    return rows


def _turn(path: Path) -> None:
    """Lays the picture on its side and says so in its EXIF orientation, as a camera does."""
    picture = Image.open(path)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown upright, it is turned by 90 degrees clockwise
    _save(picture.transpose(Image.Transpose.ROTATE_90), path, exif=exif)


def _reformat(path: Path, format_: str) -> None:
    buffer = io.BytesIO()
    Image.open(path).save(buffer, format_)
    _write_bytes(buffer.getvalue(), path)


def _save(picture: Image.Image, path: Path, *, quality: int = 88, exif: Image.Exif | None = None) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, **({"exif": exif} if exif else {}))
    _write_bytes(buffer.getvalue(), path)


def _write_bytes(data: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
