"""Where sources and products lie, for the commands; stages are told by `dvc.yaml`."""

from pathlib import Path

LABELS = Path("data/labels.csv")
BENCHMARKS = Path("data/benchmarks")
REVIEWS = Path("data/reviews")
BASE = Path("data/base")
RELEASED = Path("data/released")
DEMO = Path("data/demo")

CURATED = Path("data/curated")
SPLITS = Path("data/splits")
MODEL = Path("data/model")
EVALUATION = Path("data/evaluation")
GATE = Path("data/gate")
PREDICTIONS = Path("data/predictions")
QUEUE = Path("data/queue")
