"""How long one picture takes: what a user of the served model waits for."""

import os
import platform
import time
from typing import Any

import numpy as np

from pipeline.bundle import Bundle
from pipeline.inference.runtime import KerasRuntime

WARM_UP, RUNS = 3, 30


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
