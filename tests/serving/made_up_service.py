"""A service whose model tells light pictures from dark ones: all but the network is real."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from pipeline.evaluation.thresholds import Thresholds
from pipeline.files import read_json, write_json
from pipeline.serving import app, image_archive
from pipeline.serving.health import Health
from pipeline.serving.image_archive import Keeper
from pipeline.serving.keys import Keys
from pipeline.serving.metrics import Metrics
from pipeline.serving.releases import Releases
from pipeline.serving.served import Chosen, Served
from pipeline.serving.service import Service
from pipeline.serving.store.log import Log

CLASSES = ["dark", "light"]
SIZE = 8
BOUNDS = {
    "max_megabytes": 2.0,
    "max_megabytes_at_once": 400.0,
    "body_seconds": 5.0,
    "max_pictures": 8,
    "allowed_urls": [],
}


class Shade:
    """Counts its calls, and takes some time for each. Args:
    swapped: says the opposite.
    """

    classes, image_sizes = CLASSES, (SIZE,)

    def __init__(self, *, swapped: bool = False, seconds: float = 0.0):
        self.batches: list[int] = []
        self._swapped, self._seconds = swapped, seconds

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        time.sleep(self._seconds)
        self.batches.append(len(pixels))
        light = pixels.mean(axis=(1, 2, 3)) / 255
        probs = np.stack([1 - light, light], axis=1)
        return probs[:, ::-1] if self._swapped else probs


def model(digest: str = "a" * 64, runtime: Any = None, *, threshold: float = 0.8) -> Served:
    limits = Thresholds(digest, 1.0, 0.95, ["test"], 100, threshold, "assured", {}, [])
    return Served(
        model=digest, version=f"round-1-{digest[:12]}",
        chosen=Chosen("shade", {4: runtime or Shade()}), classes=CLASSES, image_size=SIZE,
        thresholds=limits, expected={}, _codes=np.arange(2), _top_k=2,
    )  # fmt: skip


def release(folder: Path, digest: str) -> None:
    """Makes a model the champion, as far as the service can tell."""
    write_json({"model_digest": digest}, folder / "card.json")


@dataclass
class Running:
    """A service, a client of it, and its parts."""

    client: TestClient
    service: Service
    folder: Path
    url: str

    def predict(self, *sent: bytes, **options: Any):
        files = [("file", ("picture.png", data, "image/png")) for data in sent]
        return self.client.post("/predict", files=files, **options)


@contextmanager
def running(
    folder: Path,
    *,
    url: str = "",
    models: dict[str, Served] | None = None,
    shadow: bool = False,
    keys: Path | None = None,
    share: float = 0.0,
    known: image_archive.Known | None = None,
    max_waiting: int = 64,
    answer_seconds: float = 30.0,
    **bounds: Any,
) -> Iterator[Running]:
    """A service in a folder. Args:
    models: that can be released, by digest.
    known: the pictures that are not kept.
    """
    released, url = folder / "released", url or f"sqlite:///{folder}/transactions.sqlite"
    made = models or {"a" * 64: model()}
    if not released.exists():
        release(released, next(iter(made)))

    def load(bundle: Path) -> Served:
        return made[read_json(bundle / "card.json")["model_digest"]]

    def tell(served: Served) -> None:
        metrics.serves(served.model, served.version, served.runtime)

    metrics, health = Metrics(), Health()
    log = Log(url, folder / "spool", patience=0.2, health=health)
    releases = Releases(released, folder / "shadow" if shadow else None, load, tell, health=health)
    keeper = Keeper(folder / "kept", share=share, known=known or image_archive.known([], [], distance=0), health=health)
    service = Service(
        releases,
        log,
        keeper,
        metrics,
        health=health,
        max_megapixels=1.0,
        max_waiting=max_waiting,
        answer_seconds=answer_seconds,
    )
    own = None if keys is None else Keys(keys)
    application = app.create(service, own, **(BOUNDS | bounds))
    with TestClient(application, base_url="http://localhost", raise_server_exceptions=False) as client:
        try:
            yield Running(client, service, folder, url)
        finally:
            service.close()


def picture(shade: int = 255, *, side: int = 16, format_: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    colour: Any = (
        shade if mode in ("L", "I;16", "I", "F", "P", "1") else (shade,) * len(Image.new(mode, (1, 1)).getbands())
    )
    Image.new(mode, (side, side), colour).save(buffer, format_, **options)
    return buffer.getvalue()
