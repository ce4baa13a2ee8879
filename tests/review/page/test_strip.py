"""A burst on the page: its frames as a strip, one key for all of them, and each of them left out or taken back."""

import pandas as pd
import pytest

from pipeline.files import write_table
from pipeline.review import decisions
from tests.review.page import made_up_workspace
from tests.review.page.test_browser import ROOTS, said, shown


@pytest.fixture
def workspace(tmp_path):
    """Two bursts, of five frames and of three, and two images that are alone."""
    folder = made_up_workspace.build(tmp_path, cards=10)
    queue = folder / "data/queue/low-count.parquet"
    rows = pd.read_parquet(queue)
    rows["group"] = ["a"] * 5 + ["b"] * 3 + ["c", "d"]
    rows["label"] = ["zebra"] * 5 + ["okapi"] * 3 + ["zebra", "okapi"]
    alone = ["zebra", "emu", *["zebra"] * 3, *["okapi"] * 3, "", ""]
    write_table(rows.assign(burst=["a"] * 5 + ["b"] * 3 + ["", ""], own_label=alone, own_score=0.5), queue)
    return folder


def frame(page, number: int):
    return page.locator(f'.frame[data-row="{number}"]')


def test_one_key_labels_all_frames_but_the_one_left_out_and_each_is_taken_back_by_itself(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    page.get_by_text("5 frames, one decision").wait_for()
    page.keyboard.press("x")  # to the strip
    page.keyboard.press("ArrowRight")
    page.get_by_text("alone: emu 50 %").wait_for()
    page.keyboard.press("x")
    page.get_by_text("4 of 5 frames, one decision").wait_for()
    assert frame(page, 1).get_attribute("aria-checked") == "false"
    page.keyboard.press("Enter")
    page.get_by_text("1 of 5 frames, one decision").wait_for()
    assert said(workspace) == {f"pool/shot_00{row}.png": "zebra" for row in (0, 2, 3, 4)}

    page.keyboard.press("2")  # the frame that was left out is an emu
    shown(page, 5)
    assert said(workspace)["pool/shot_001.png"] == "emu"
    page.keyboard.press("Enter")
    shown(page, 8)
    assert len(said(workspace)) == 8

    page.keyboard.press("p")
    shown(page, 5)
    page.get_by_text("3 frames, all decided").wait_for()
    frame(page, 6).click()
    page.get_by_text("1 of 3 frames, one decision").wait_for()
    left = said(workspace)
    assert "pool/shot_006.png" not in left
    assert len(left) == 7
    page.keyboard.press("u")
    shown(page, 8)
    assert said(workspace)["pool/shot_006.png"] == "unknown"
    log = decisions.read_log(workspace / "data/reviews", ROOTS)
    assert (log["decision"] == "undo").sum() == 1

    page.keyboard.press("z")  # takes back what was said of that frame alone
    shown(page, 5)
    assert len(said(workspace)) == 7
    page.keyboard.press("z")  # and then the rest of the burst
    page.get_by_text("3 frames, one decision").wait_for()
    assert sorted(said(workspace)) == [f"pool/shot_00{row}.png" for row in range(5)]


def test_the_frames_of_a_burst_say_whether_they_are_part_of_the_decision(workspace, serve, visit):
    page = visit(serve(workspace).address + "queue/low-count")
    shown(page, 0)
    boxes = page.get_by_role("checkbox")
    assert boxes.count() == 5
    assert boxes.nth(0).get_attribute("aria-label") == "pool/shot_000.png: part of the decision"
    for number in range(5):
        frame(page, number).click()
    assert page.get_by_role("button", name="Accept zebra").is_disabled()
    page.keyboard.press("Enter")
    page.get_by_text("Every frame is left out").wait_for()
    assert said(workspace) == {}
    page.keyboard.press("s")
    shown(page, 5)
