"""Whole sessions, in a real browser."""

import made_up_workspace
import pandas as pd
import pytest

from pipeline import paths
from pipeline.review import decisions

ROOTS = ["library", "pool"]


def said(folder) -> dict[str, str]:
    """What holds of each image: the class, or unknown, bad or keep."""
    log = decisions.read_all(folder / paths.REVIEWS, ROOTS)
    return {row.image: row.label or row.decision for row in log.itertuples()}


def shown(page, row: int) -> None:
    """Waits until the card is there, with its picture."""
    page.wait_for_selector(f'.stage[data-shown="{row}"]')


@pytest.fixture
def workspace(tmp_path):
    return made_up_workspace.build(tmp_path)


def test_a_person_decides_a_queue_with_the_keyboard_alone(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    keys = ["Enter", "2", "u", "b", "k", "s"]
    for row, key in enumerate(keys):
        shown(page, row)
        page.keyboard.press(key)
    shown(page, 6)
    page.keyboard.press("/")
    page.keyboard.type("oka")
    page.keyboard.press("Enter")
    shown(page, 7)
    assert said(workspace) == {
        "pool/shot_000.png": "zebra", "pool/shot_001.png": "emu", "pool/shot_002.png": "unknown",
        "pool/shot_003.png": "bad", "pool/shot_004.png": "keep", "pool/shot_006.png": "okapi",
    }  # fmt: skip
    first = decisions.read_all(workspace / paths.REVIEWS, ROOTS).iloc[0]
    assert (first["by"], first["suggested"], first["model"]) == ("ann", "zebra", made_up_workspace.MODEL)
    assert pd.to_numeric(first["seconds"]) > 0
