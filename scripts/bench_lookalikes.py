#!/usr/bin/env python
"""What the second look ties and what it keeps apart: copies of photographs, a fixed camera, and unrelated photographs.

    scripts/bench_lookalikes.py LIBRARY [--copied 60] [--keep FOLDER]

LIBRARY is a folder of class folders of unrelated photographs. Names are shuffled to letters, so that only the images
themselves speak, and repositories come to `curate` with the commands of the README:

    copies      every photograph, and of `--copied` of them one copy by each change of `CHANGES`: the share of copies
                that is tied to its photograph (burst or duplicate; promised: 95 %), and what else is tied (at most 2)
    cameras     eight backgrounds with 60 animals each, 0.8 to 5.8 % of the image, noise and drifting light, and 20
                empty frames: with one class per camera and with two classes over all, the animals that are kept
                (95 %), images in label conflicts (0), and the empty frames that are left of each camera (at most 3)
"""

import random
from collections.abc import Callable
from pathlib import Path

import harness
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from pipeline.files import read_table
from pipeline.library.exclusion import Reason
from pipeline.library.pictures import decode, load_bytes

CAMERAS, ANIMALS, EMPTY, FRAME = 8, 60, 20, (800, 600)
SHARE = (0.008, 0.058)  # of the image that an animal covers
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def opened(path: Path) -> Image.Image:
    return decode(load_bytes(path))


def cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (round(share * width), round(share * height), round((1 - share) * width), round((1 - share) * height))
    )


def letterboxed(image: Image.Image) -> Image.Image:
    side = max(round(1.25 * min(image.size)), *image.size)
    return ImageOps.pad(image, (side, side), color=BLACK)


def framed(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, round(0.03 * min(image.size)), WHITE)


def watermarked(image: Image.Image) -> Image.Image:
    marked, (width, height) = image.copy(), image.size
    text = Image.new("L", (120, 24), 0)
    ImageDraw.Draw(text).text((4, 4), "(c) Photo Agency", fill=255)
    text = text.resize((int(0.8 * width), int(0.16 * width)), Image.Resampling.BICUBIC)
    marked.paste(WHITE, (int(0.1 * width), int(0.45 * height)), text.point(lambda value: int(value * 0.6)))
    return marked


def rotated(image: Image.Image, degrees: float, *, expand: bool = False) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=expand)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "turned by 90": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 180": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "letterboxed": letterboxed,
    "border of 3 %": framed,
    "cropped 2.5 % a side": lambda image: cropped(image, 0.025),
    "cropped 5 % a side": lambda image: cropped(image, 0.05),
    "rotated by 2": lambda image: rotated(image, 2),
    "rotated by 2, cropped": lambda image: cropped(rotated(image, -2), 0.035),
    "rotated by 2, larger canvas": lambda image: rotated(image, 2, expand=True),
    "watermark": watermarked,
    "brighter by 1.3": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
}


class Names:
    """Letters alone, in an order that says nothing."""

    def __init__(self) -> None:
        self.random = random.Random(0)

    def __call__(self) -> str:
        return "".join(self.random.choices("abcdefghijklmnop", k=12)) + ".jpg"


def repository(folder: Path, images: Path) -> Path:
    """A repository that has come to `curate`; it is not made again."""
    if not (folder / "data/curated/images.parquet").exists():
        harness.measured(["wallaby", "new", str(folder)])
        harness.measured(["wallaby", "import", "library", str(images)], folder)
        harness.measured(["wallaby", "init-base", "--model", "inception_v4_small"], folder)
        harness.measured(["dvc", "repro", "curate"], folder)
    return folder


def copies(library: Path, folder: Path, copied: int) -> None:
    images, name, rows = folder / "copies", Names(), []
    table = folder / "copies.csv"
    if not table.exists():
        paths = sorted(path for path in library.glob("*/*") if path.is_file())
        for path in paths:
            target = images / path.parent.name / name()
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.absolute())
            rows.append((f"copies/{path.parent.name}/{target.name}", str(path), ""))
        for path in random.Random(1).sample(paths, copied):
            photograph = opened(path)
            for change, made in CHANGES.items():
                target = images / path.parent.name / name()
                made(photograph).save(target, quality=88)
                rows.append((f"copies/{path.parent.name}/{target.name}", str(path), change))
        pd.DataFrame(rows, columns=["image", "of", "change"]).to_csv(table, index=False)
    known = pd.read_csv(table, keep_default_na=False)
    workspace = repository(folder / "of-copies", images)
    curated = workspace / "data/curated"
    tied = read_table(curated / "bursts.parquet")[["image", "burst"]]
    grouped = pd.concat(
        [read_table(curated / name, ["image", "group"]) for name in ("images.parquet", "excluded.parquet")]
    )
    known = known.assign(image="library/" + known["image"].str.partition("/")[2]).merge(tied, on="image")
    known = known.merge(grouped, on="image", how="left")
    original = known[known["change"] == ""].set_index("of")
    changed = known[known["change"] != ""]
    joined = changed["burst"] == changed["of"].map(original["burst"])
    joined |= (changed["group"] == changed["of"].map(original["group"])) & changed["group"].notna()
    print(f"{len(original):,} photographs, {copied} copied")
    for change, share in joined.groupby(changed["change"], sort=False).mean().items():
        print(f"  {change:<32}{share:>7.0%}  {harness.verdict(share >= 0.95)}")
    several = known.groupby("burst")["of"].nunique()
    wrong = known[known["burst"].map(several) > 1]
    print(f"  photographs tied to another one: {wrong['of'].nunique()} of {len(original):,}", flush=True)


def scene(background: Image.Image, animal: Image.Image, dice: np.random.Generator) -> Image.Image:
    (width, height), aspect = background.size, dice.uniform(0.7, 1.6)
    tall = np.sqrt(dice.uniform(*SHARE) * width * height * 4 / np.pi / aspect)
    size = (int(aspect * tall), int(tall))
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, size[0] - 1, size[1] - 1), fill=255)
    place = int(dice.integers(0, width - size[0])), int(dice.integers(height // 4, height - size[1]))
    shown = background.copy()
    shown.paste(ImageOps.fit(animal, size), place, mask.filter(ImageFilter.GaussianBlur(2)))
    return shown


def shot(image: Image.Image, dice: np.random.Generator) -> Image.Image:
    """With the noise of a sensor and the light of another minute."""
    pixels = np.asarray(image, np.float32) * (1 + dice.uniform(-0.04, 0.04)) + dice.uniform(-4, 4)
    return Image.fromarray(np.clip(pixels + dice.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8))


def cameras(library: Path, folder: Path, *, classes: int) -> None:
    """`classes`: 1 for each camera, or 2 over all of them."""
    images, name, rows = folder / f"cameras-{classes}", Names(), []
    table = folder / f"cameras-{classes}.csv"
    if not table.exists():
        photographs = sorted(path for path in library.glob("*/*") if path.is_file())
        random.Random(2).shuffle(photographs)
        for camera in range(CAMERAS):
            dice = np.random.default_rng(camera)
            background = ImageOps.fit(opened(photographs[camera]), FRAME)
            for number in range(ANIMALS + EMPTY):
                empty = number >= ANIMALS
                animal = photographs[CAMERAS + int(dice.integers(len(photographs) - CAMERAS))]
                shown = background if empty else scene(background, opened(animal), dice)
                label = f"camera_{camera}" if classes == 1 else f"class_{0 if empty else number % 2}"
                target = images / label / name()
                target.parent.mkdir(parents=True, exist_ok=True)
                shot(shown, dice).save(target, quality=85)
                rows.append((f"library/{label}/{target.name}", camera, empty))
        pd.DataFrame(rows, columns=["image", "camera", "empty"]).to_csv(table, index=False)
    workspace = repository(folder / f"of-cameras-{classes}", images)
    excluded = read_table(workspace / "data/curated/excluded.parquet").set_index("image")["reason"]
    shots = pd.read_csv(table)
    shots["reason"] = shots["image"].map(excluded).fillna("")
    kept = (shots["reason"] == "")[~shots["empty"]].mean()
    conflicts = int((shots["reason"] == Reason.LABEL_CONFLICT).sum())
    left = (shots["reason"] == "")[shots["empty"]].groupby(shots["camera"]).sum()
    title = "one class per camera" if classes == 1 else "two classes over all cameras"
    print(f"{CAMERAS} fixed cameras, {title}: {ANIMALS} animals and {EMPTY} empty frames each")
    print(f"  animals kept                    {kept:>7.1%}  {harness.verdict(kept >= 0.95)}")
    print(f"  images in label conflicts       {conflicts:>7}  {harness.verdict(not conflicts)}")
    print(f"  empty frames left, at most      {left.max():>7}  {harness.verdict(left.max() <= 3)}", flush=True)


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("library", type=Path)
    arguments.add_argument("--copied", type=int, default=60)
    arguments.add_argument("--keep", type=Path, help="a folder for images and repositories, which are not made again")
    chosen = arguments.parse_args()
    with harness.scratch(chosen.keep) as folder:
        for classes in (1, 2):
            cameras(chosen.library, folder, classes=classes)
        copies(chosen.library, folder, chosen.copied)


if __name__ == "__main__":
    main()
