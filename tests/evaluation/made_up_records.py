"""Records of rounds as a small project has them."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation import round_record
from pipeline.evaluation.round_record import Record

CLASSES = ["cat", "dog", "NA"]
RECIPE = {"head": "reset", "learning_rate": 0.001, "max_epochs": 20, "zoom": 0.2, "gpus": []}


def digest(number: int) -> str:
    """The digest of the model of a round."""
    return f"{number:02x}" * 32


def scores(right: int, number: int = 100) -> pd.DataFrame:
    """The scores of test images of cats, of which so many are named right."""
    named = np.arange(number) < right
    return pd.DataFrame(
        {
            "set": "test",
            "sha256": [f"{place:064x}" for place in range(number)],
            "label": "cat",
            "predicted": np.where(named, "cat", "dog"),
            "score": np.where(named, 0.96, 0.3),
            "label_rank": np.where(named, 1, 2),
        }
    )


def products(number: int = 1, *, right: int = 70, **changes: Any) -> dict[str, Any]:
    """What the stages of a round leave to its record."""
    card = {
        "round": number,
        "preset": "squeezenet",
        "model_digest": digest(number),
        "parent_digest": digest(number - 1),
        "data_digest": "d" * 64,
        "run_id": f"{number}" * 32,
        "training": {"epochs": 9, "best_epoch": 7, "seconds": 5400.0, "started": f"2026-03-0{number}T08:00:00+00:00"},
    }
    seconds = {"epoch": [1, 2], "loss": [1.23456789, 1.0], "seconds": [30.0, 30.0]}
    made = {
        "card": card,
        "classes": CLASSES,
        "images_by_set": {"train": 100 * number, "val": 10, "test": 10},
        "recipe": RECIPE,
        "history": pd.DataFrame(seconds),
        "measured": {
            "test": {"n": 100, "top1": right / 100, "macro_f1": 0.5, "ece": float("nan")},
            "val": {"n": 10, "top1": 1.0},
        },
        "per_class": pd.DataFrame(
            {"set": ["test", "train"], "label": "cat", "n": [100, 50], "recall": [right / 100, 1.0]}
        ),
        "scores": scores(right),
        "scores_md5": "e" * 32,
        "verdict": {"model": digest(number), "verdict": "pass", "reason": "nothing is lost", "champion": ""},
        "pool": {"pool": 8, "identified": 8},
        "queue": {"unknown": pd.DataFrame({"group": ["a", "a", "b"]})},
    }
    return made | changes


def record(number: int = 1, *, right: int = 70, **changes: Any) -> Record:
    """The record of a round; `changes` are fields of it."""
    made = round_record.of_round(**products(number, right=right))
    return Record.model_validate(made.model_dump() | changes)
