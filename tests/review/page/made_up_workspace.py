"""A workspace with pictures and queues, made up without a model: what the review page reads, and nothing else."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from pipeline.files import write_csv, write_json, write_table, write_text
from pipeline.library import board

PARAMS = Path(__file__).parents[3] / "configs/params.yaml"
MODEL = "5" * 64
COLUMNS = ["image", "sha256", "group", "rank", "label", "score", "reason", "cluster", "top_labels", "top_scores"]


def params(folder: Path, *, blind_share: float = 0.0) -> None:
    text = "roots:\n  library: {library: library}\n  pool: {pool: pool}\nreview:\n  blind_share: " + str(blind_share)
    usual = yaml.safe_load(PARAMS.read_text())
    rest = yaml.safe_dump({name: usual[name] for name in ("serve", "evaluate")})
    write_text(f"{text}\nindex:\n  max_megapixels: 100\n  max_missing: 0.3\n{rest}", folder / "configs/params.yaml")


def picture(folder: Path, image: str, colour: int) -> str:
    """Writes a small picture that is unlike any of another colour; returns its content hash."""
    path = folder / image
    path.parent.mkdir(parents=True, exist_ok=True)
    hue = np.random.default_rng(colour).integers(0, 255, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(hue).resize((160, 120), Image.Resampling.NEAREST).save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def queue_rows(images: list[str], hashes: list[str], labels: list[str], **columns) -> pd.DataFrame:
    """Rows of a queue, each image a card of its own unless `group` says otherwise."""
    number = len(images)
    scores = columns.pop("score", np.round(np.linspace(0.95, 0.4, number), 3))
    rows = pd.DataFrame(
        {
            "image": images, "sha256": hashes, "group": [f"g{i}" for i in range(number)], "rank": range(1, number + 1),
            "label": labels, "score": scores, "reason": [f"the model sees {label}" for label in labels], "cluster": "",
            "top_labels": [[label, "emu", "lynx"] for label in labels],
            "top_scores": [[float(score), 0.1, 0.05] for score in scores],
        }
    )  # fmt: skip
    return rows.assign(**columns)[COLUMNS]


def build(
    folder: Path, *, cards: int = 12, classes: tuple[str, ...] = ("zebra", "okapi"), blind_share: float = 0.0
) -> Path:
    """A workspace whose queue `low-count` has `cards` pool images, suggested as the classes in turn."""
    params(folder, blind_share=blind_share)
    images = [f"pool/shot_{number:03d}.png" for number in range(cards)]
    hashes = [picture(folder, image, number) for number, image in enumerate(images)]
    suggested = [classes[number % len(classes)] for number in range(cards)]
    write_table(queue_rows(images, hashes, suggested), folder / "data/queue/low-count.parquet")
    known = [(f"library/{name}/{number}.png", name) for name in classes for number in range(3)]
    kept = pd.DataFrame(known, columns=["image", "label"])
    kept["sha256"] = [picture(folder, image, 1000 + number) for number, image in enumerate(kept["image"])]
    kept = kept.assign(group=kept["sha256"].str[:16], subclass="", origin="real")
    write_table(kept, folder / "data/curated/images.parquet")
    write_csv(board.count(kept, min_images=5), folder / "data/curated/board.csv")
    write_csv(kept[["image", "label"]], folder / "data/labels.csv")
    write_json({"model": MODEL}, folder / "data/predictions/summary.json")
    write_text("image,sha256,score,by,at,model,note\n", folder / "data/quarantine.csv")
    (folder / "data/reviews").mkdir(parents=True, exist_ok=True)
    return folder
