#!/usr/bin/env python
"""How many of the images that purge-low lists are worth nothing, beside other rankings, among real photographs.

    scripts/bench_purge.py junk OUT FOLDER...          made-up pictures, a folder a kind; some are spoilt photographs
    scripts/bench_recipes.py features MODULE FOLDER... --out FEATURES       of the photographs; again of OUT
    scripts/bench_purge.py quality FEATURES JUNK_FEATURES PICTURES... [--seeds 3,4,5]

The library, the pool and the head are those of bench_recipes.py; the junk is in the pool. PICTURES are the folders that
both features were made of: the index's measures of quality are taken from them. The recipe has `low-count` and
`look-alike` run before, as in a round, and once more after 20 junk pictures were called bad.
"""

from dataclasses import replace
from pathlib import Path

import bench_recipes as bench
import harness
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

from pipeline import config, sections
from pipeline.evaluation.cosine import unit
from pipeline.library import pictures, quality
from pipeline.review import recipes
from pipeline.review.recipes.inputs import Material
from pipeline.review.recipes.settings import Settings

KINDS = ["noise", "flat", "gradient", "blob", "text", "drawn", "blurred", "dark", "bright", "mosaic", "waves"]
EACH = 24  # pictures of a kind
SIZE = WIDTH, HEIGHT = 320, 240
WORDS = [
    "invoice", "total", "date", "page", "offer", "menu", "login", "error", "update",
    "settings", "please", "name", "number", "email", "home", "file", "edit",
]  # fmt: skip
FIRST = (50, 100, 200)
CALLED_BAD = 20  # junk pictures
NEIGHBOUR = 5


def junk(out: Path, folders: list[Path]) -> None:
    files = bench.files_of(folders)
    random = np.random.default_rng(0)
    for kind in KINDS:
        (out / kind).mkdir(parents=True, exist_ok=True)
        for number in range(EACH):
            photograph = Image.open(files[int(random.integers(len(files)))]).convert("RGB")
            photograph.thumbnail(SIZE)
            made_up(kind, random, photograph).save(out / kind / f"{number:03d}.jpg", quality=90)


def made_up(kind: str, random: np.random.Generator, photograph: Image.Image) -> Image.Image:
    """A picture that is not worth labelling."""
    if kind == "text":
        return _page(random)
    if kind == "drawn":
        return _shapes(random)
    if kind == "blurred":
        return photograph.filter(ImageFilter.GaussianBlur(random.uniform(0.04, 0.09) * max(photograph.size)))
    pixels: np.ndarray = np.asarray(photograph, np.float64)
    x, y = np.linspace(0, 1, WIDTH)[None, :, None], np.linspace(0, 1, HEIGHT)[:, None, None]
    if kind == "dark":
        pixels = pixels * random.uniform(0.01, 0.06) + random.normal(0, 3, pixels.shape)
    elif kind == "bright":
        pixels = 255 - (255 - pixels) * random.uniform(0.02, 0.08)
    elif kind in ("noise", "mosaic"):
        side = int(random.integers(1, 9)) if kind == "noise" else 40
        colours = random.integers(0, 256, (HEIGHT // side + 1, WIDTH // side + 1, 3))
        pixels = np.kron(colours, np.ones((side, side, 1)))[:HEIGHT, :WIDTH]
    elif kind == "flat":
        grain = random.normal(0, random.uniform(0, 4), (HEIGHT, WIDTH, 3))
        pixels = random.integers(0, 256, 3) + grain
    elif kind == "gradient":
        corners = random.integers(0, 256, (4, 3))
        upper, lower = (1 - x) * corners[0] + x * corners[1], (1 - x) * corners[2] + x * corners[3]
        pixels = (1 - y) * upper + y * lower
    elif kind == "blob":  # a finger before the lens
        behind, skin = random.integers(0, 120, 3), np.array([205, 140, 115]) * random.uniform(0.5, 1.1)
        across, down = random.uniform(0.2, 0.8, 2)
        edge = ((x - across) ** 2 + (y - down) ** 2 - random.uniform(0.3, 0.7) ** 2) * random.uniform(10, 60)
        inside = 1 / (1 + np.exp(edge))
        pixels = inside * skin + (1 - inside) * behind + random.normal(0, 3, (HEIGHT, WIDTH, 3))
    elif kind == "waves":
        down, across = random.uniform(0.02, 0.3, 2)
        phase = down * np.arange(HEIGHT)[:, None, None] + across * np.arange(WIDTH)[None, :, None]
        pixels = 127 + 120 * np.sin(phase + random.uniform(0, 6, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _page(random: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", SIZE, _colour(random, 200, 256))
    draw = ImageDraw.Draw(picture)
    for line in range(int(random.integers(5, 18))):
        words = " ".join(random.choice(WORDS, int(random.integers(2, 9))))
        draw.text((int(random.integers(5, 40)), 8 + line * 13), words, fill=_colour(random, 0, 90))
    for _ in range(int(random.integers(0, 4))):
        left, top = (int(value) for value in random.integers(0, 200, 2))
        draw.rectangle([left, top, left + 90, top + 20], fill=_colour(random, 60, 220))
    return picture


def _shapes(random: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", SIZE, _colour(random, 0, 256))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(2, 9))):
        left, top, width, height = (int(value) for value in random.integers(0, 200, 4))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        box = [left, top, left + width + 10, top + height + 10]
        shape(box, fill=_colour(random, 0, 256), outline=(0, 0, 0))
    return picture


def _colour(random: np.random.Generator, lowest: int, highest: int) -> tuple[int, ...]:
    return tuple(int(value) for value in random.integers(lowest, highest, 3))


def measured(folders: list[Path]) -> pd.Series:
    """What curation's rules of quality say, by the names that the features have."""
    rows = []
    for file in bench.files_of(folders):
        try:
            facts = pictures.inspect(pictures.load_bytes(file))
        except pictures.PictureError:
            continue
        size = {"width": facts.width, "height": facts.height}
        rows.append({"image": bench.name_of(file)} | size | quality.measure(facts.grey))
    table = pd.DataFrame(rows)
    verdicts = quality.verdicts(table, **config.load(sections.Curate).limits())
    return verdicts.set_axis(table["image"])[(verdicts != "").to_numpy()]


def world_with(photographs: tuple[pd.DataFrame, np.ndarray], spoilt: tuple[pd.DataFrame, np.ndarray], seed: int):
    """The world of bench_recipes.py, the junk last and in its pool."""
    world = bench.World(*photographs, seed)
    middle = photographs[1].mean(axis=0)
    axes = np.linalg.lstsq(world.features - middle, world.seen, rcond=None)[0]
    world.seen = np.concatenate([world.seen, (spoilt[1] - middle) @ axes])
    world.features = np.concatenate([world.features, spoilt[1]])
    world.table = pd.concat([world.table, spoilt[0].assign(label="junk")], ignore_index=True)
    for name, value in {"test": False, "library": False, "pool": True}.items():
        setattr(world, name, np.append(getattr(world, name), np.full(len(spoilt[0]), value)))
    return world


def judge(file: Path, junk_file: Path, folders: list[Path], seeds: list[int]) -> None:
    photographs, spoilt, poor = bench.read_features(file), bench.read_features(junk_file), measured(folders)
    of_junk = poor.index.isin(spoilt[0]["image"])
    print(f"unusable by curation's rules: {of_junk.sum()} of {len(spoilt[0])} junk pictures, and {(~of_junk).sum()} of")
    print(f"{len(photographs[0])} photographs", flush=True)
    kinds = spoilt[0].set_index("image")["label"]
    found, missed = [], []
    for seed in seeds:
        world = world_with(photographs, spoilt, seed)
        model = world.fit()
        for name, images in rankings(world, model, poor, seed).items():
            worthless = images.isin(kinds.index).to_numpy()
            row = {f"of {number}": worthless[:number].mean() for number in FIRST}
            hidden = images.map(world.table.set_index("image")["label"]).isin(world.hidden)
            found.append(
                {"ranking": name, "listed": len(images), "good": (~worthless).sum(), "hidden": hidden.sum()} | row
            )
            if name == "wallaby":
                missed.append(kinds[~kinds.index.isin(images)].value_counts())
    told = pd.DataFrame(found).groupby("ranking", sort=False).mean()
    print(told.round(3).to_string())
    print("junk that wallaby does not list, a draw:", (sum_of(missed) / len(seeds)).round(1).to_dict())


def sum_of(counts: list[pd.Series]) -> pd.Series:
    return pd.concat(counts).groupby(level=0).sum()


def rankings(world, model: bench.Model, poor: pd.Series, seed: int) -> dict[str, pd.Series]:
    """Pool images, those first that seem worth least."""
    settings = Settings(**config.load(sections.Queue).model_dump() | {"purge_share": 1.0})
    with harness.scratch() as folder:
        asked, places = bench.material(world, model, folder)
        names = world.table["image"].iloc[places].reset_index(drop=True)
        asked = replace(asked, poor=lambda: poor)
        truth = world.table.set_index("image")["label"]

        def listed(material: Material, when: str) -> pd.Series:
            taken, told = set[str](), []
            for name in bench.SEARCHING:
                recipe = recipes.named(name)
                rows = recipes.ask(material, recipe, settings, near_duplicate_distance=4, taken=taken).rows
                taken |= set(rows["image"])
                own = rows["image"].map(truth)
                numbers = f"{own.eq('junk').sum()} junk and {own.isin(world.wanted_classes).sum()} wanted"
                told.append(f"{name} {numbers} ({own.head(FIRST[0]).isin(world.hidden).sum()} hidden of the first 50)")
            print(f"seed {seed}, {when}: of {len(places)} in the pool, {', '.join(told)}", flush=True)
            purge = recipes.named("purge-low")
            whole = recipes.ask(material, purge, settings, near_duplicate_distance=4, taken=taken).whole
            assert whole is not None
            return whole["image"]

        features = unit(world.features)
        near = -np.sort(-(features[places] @ features[world.library].T), axis=1)[:, NEIGHBOUR - 1]
        junk = world.table["label"].iloc[places].eq("junk").to_numpy()
        usable = np.flatnonzero(junk & ~names.isin(poor.index).to_numpy())
        bad = world.table["sha256"].iloc[places[np.random.default_rng(seed).choice(usable, CALLED_BAD, replace=False)]]
        score = model.probs[places].max(axis=1)
        found = {
            "random order": names.iloc[np.random.default_rng(seed).permutation(len(places))],
            "lowest score": names.iloc[np.argsort(score, kind="stable")],
            "distance to labelled": names.iloc[np.argsort(near, kind="stable")],
            "wallaby, no features": listed(replace(asked, vectors=lambda: None), "no features"),
            "wallaby": listed(asked, "features"),
            "wallaby, after 20 bad": listed(replace(asked, bad=bad, known=bad), "20 bad"),
        }
        return {name: images.reset_index(drop=True) for name, images in found.items()}


if __name__ == "__main__":
    parser = harness.parser(__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("junk")
    part.add_argument("out", type=Path)
    part.add_argument("folders", nargs="+", type=Path)
    part = parts.add_parser("quality")
    part.add_argument("file", type=Path)
    part.add_argument("junk_file", type=Path)
    part.add_argument("folders", nargs="+", type=Path)
    part.add_argument("--seeds", default="3,4,5")
    args = parser.parse_args()
    if args.part == "junk":
        junk(args.out, args.folders)
    else:
        judge(args.file, args.junk_file, args.folders, [int(seed) for seed in args.seeds.split(",")])
