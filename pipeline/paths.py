"""Where sources and products lie, for the commands; stages are told by `dvc.yaml`."""

import os
from pathlib import Path

LABELS = Path("data/labels.csv")
CLASSES = Path("data/classes.csv")
BENCHMARKS = Path("data/benchmarks")
REVIEWS = Path("data/reviews")
REPLACED = Path("data/replaced.csv")
BASE = Path("data/base")
RELEASED = Path("data/released")
CHAMPIONS = Path("data/champions")
DEMO = Path("data/demo")
QUARANTINE = Path("data/quarantine.csv")
ROOTS = Path("data/roots.csv")

INDEX = Path("data/index")
CURATED = Path("data/curated")
SPLITS = Path("data/splits")
DATASET = Path("data/dataset")
MODEL = Path("data/model")
EVALUATION = Path("data/evaluation")
GATE = Path("data/gate")
PREDICTIONS = Path("data/predictions")
QUEUE = Path("data/queue")

EXPORT = Path("data/export")
SERVING_REPORT = Path("data/serving/report.html")


def workspace() -> Path:
    """The repository: an experiment runs stages in a copy and names the real one in DVC_ROOT."""
    return Path(os.environ.get("DVC_ROOT", ".")).absolute()
