"""MLflow: one run per round, in a SQLite store beside the repository's data. The only package that imports mlflow."""

import logging
import os

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for each small table
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # what cannot be logged now is logged later
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
logging.getLogger("alembic").setLevel(logging.WARNING)  # it narrates the making of a new store

from pipeline.tracking.models import MODEL_NAME  # noqa: E402
from pipeline.tracking.store import Tracking  # noqa: E402
from pipeline.tracking.writer import (  # noqa: E402
    ABLATIONS,
    CANDIDATE,
    CHAMPION,
    COMPARISONS,
    EXPERIMENT,
    REGISTERED,
    SERVING,
    THROWAWAYS,
)  # fmt: skip

logging.getLogger("mlflow").setLevel(logging.ERROR)  # now that MLflow has set up its own

__all__ = [
    "ABLATIONS", "CANDIDATE", "CHAMPION", "COMPARISONS", "EXPERIMENT", "MODEL_NAME", "REGISTERED", "SERVING",
    "THROWAWAYS", "Tracking",
]  # fmt: skip
