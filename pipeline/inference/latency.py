"""How long one picture takes: what a user of the served model waits for."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.bundle import Bundle
from pipeline.files import read_json, write_json
from pipeline.inference.runtimes.keras import KerasRuntime

WARM_UP, RUNS = 3, 30


def keep(model: Bundle, path: Path) -> None:
    """Writes what `measure` finds to `path`, once a model: a figure that moves with each run would set off the gate."""
    digest = model.card.model_digest
    if not path.exists() or read_json(path).get("model") != digest:
        write_json(measure(model) | {"model": digest}, path)


def measure(model: Bundle) -> dict[str, Any]:
    """Times the network on one picture at a time, without reading it, after a few runs that compile it.

    Returns:
      `ms` (the median), `ms_p95`, `runs`, and `machine` and `cores`: another machine has another latency.
    """
    runtime = KerasRuntime(model, batch_size=1)
    size = model.card.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    taken = []
    for _ in range(WARM_UP + RUNS):
        started = time.perf_counter()
        runtime.predict(pixels)
        taken.append(1000 * (time.perf_counter() - started))
    median, slow = np.quantile(taken[WARM_UP:], [0.5, 0.95])
    return {
        "ms": round(float(median), 2),
        "ms_p95": round(float(slow), 2),
        "runs": RUNS,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
