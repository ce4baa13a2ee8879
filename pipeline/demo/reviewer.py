"""The demo's simulated reviewer: answers the queue from the pool's truth, so that the loop can be tried alone."""

from pathlib import Path

import pandas as pd

from pipeline.demo.library import TRUTH
from pipeline.errors import DataError
from pipeline.library import labels
from pipeline.review import spreadsheets

NAME = "demo reviewer"
SESSION = "demo"  # begins the names of its review tables


def review(queues: dict[str, pd.DataFrame], demo: Path, *, at: str, model: str) -> pd.DataFrame:
    """Decides every queued image of the demo as its truth says; nothing is known of a file that was replaced.

    Args:
      queues: the recipes' tables.
      demo: the demo's folder.

    Raises:
      DataError: if the queue holds no image of the demo.
    """
    truth = labels.read_csv(demo / TRUTH, ["image", "label"]).set_index("image")
    sheet = spreadsheets.to_sheet(queues)
    sheet["decision"] = sheet["image"].map(truth["label"]).fillna("").astype("str")
    if "sha256" in truth:  # a demo of an earlier program does not say
        sheet.loc[sheet["image"].map(truth["sha256"]) != sheet["sha256"], "decision"] = ""
    found = spreadsheets.from_sheet(sheet, demo, by=NAME, at=at, model=model)
    if found.empty:
        raise DataError("the queue holds no image of the demo", where=demo, mend="run `dvc repro` on the demo first")
    return found
