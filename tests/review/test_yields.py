import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import reliability
from pipeline.files import write_csv, write_table
from pipeline.review import yields
from pipeline.review.recipes.inputs import Found
from tests.library.builders import flip, phash, sha
from tests.review.made_up_pools import board, material, predictions

BELIEVED = reliability.fit(np.empty(0), np.empty(0))  # scores as they are, give or take
DOUBTED = reliability.fit(np.full(400, 0.9), np.arange(400) < 120)  # scores of 90 % that were right three times in ten


def expected(
    tmp_path, table, *, queued: str | list[str] = "", rows=None, held=BELIEVED, count="images", **more
) -> pd.DataFrame:
    made = material(tmp_path, table, **more)
    if rows is None:
        rows = table[table["image"].isin([f"pool/{name}.jpg" for name in queued])]
    found = yields.likely({"low-count": Found(rows)}, held)
    limits = {"near_duplicate_distance": 4, "low_count_below": 1.5, "confidence": 0.95}
    told = yields.expected(made, found, held, count=count, **limits)
    return told.set_index("label")


def test_the_yield_is_the_sum_of_the_scores_and_near_duplicates_count_once(tmp_path):
    table = predictions(a=("emu", 0.8), b=("emu", 0.6), c=("emu", 0.5), d=("dog", 0.9))
    looks = {"a": phash("x"), "b": flip(phash("x"), 1)}
    emu = expected(tmp_path, table, looks=looks, queued="ac").loc["emu"]
    assert (emu["candidates"], emu["queued"]) == (2, 2)
    assert [emu["expected"], emu["queued_expected"]] == pytest.approx([1.3, 1.3], abs=0.15)
    assert emu["low"] < 1.3 < emu["high"] <= 2


def test_the_interval_is_wider_than_that_of_independent_images_for_classes_differ(tmp_path):
    table = predictions(**{f"i{i}": ("emu", 0.5) for i in range(100)})
    emu = expected(tmp_path, table).loc["emu"]
    assert emu["expected"] == pytest.approx(50, abs=3)
    assert emu["low"] < 50 - 1.96 * 5 < 50 + 1.96 * 5 < emu["high"]


def test_scores_that_promised_too_much_elsewhere_promise_less_here(tmp_path):
    table = predictions(**{f"i{i}": ("emu", 0.9) for i in range(20)})
    emu = expected(tmp_path, table, queued=["i0", "i1"], held=DOUBTED).loc["emu"]
    assert emu["expected"] < 10 < expected(tmp_path / "b", table).loc["emu", "expected"]
    assert emu["queued_expected"] < 1.2


def test_a_class_the_model_does_not_know_has_no_yield(tmp_path):
    table = predictions(a=("emu", 0.8))
    near = table.assign(label="wolf", score=np.nan)  # as `low-count` shows what is near to images of the class
    wolf = expected(tmp_path, table, standing=board(wolf=9, emu=10), rows=near).loc["wolf"]
    assert not wolf["known"]
    assert wolf["queued"] == 1
    assert pd.isna(wolf["expected"])
    assert pd.isna(wolf["queued_expected"])


def test_a_class_with_images_enough_is_left_out(tmp_path):
    assert "dog" not in expected(tmp_path, predictions(a=("dog", 0.8))).index


def said(**labels: str) -> pd.DataFrame:
    rows = [
        {"image": f"pool/{name}.jpg", "sha256": sha(name), "decision": "label" if label else "bad", "label": label}
        for name, label in labels.items()
    ]
    return pd.DataFrame(rows, columns=["image", "sha256", "decision", "label"], dtype="str")


def test_after_the_review_the_board_says_what_was_expected_and_what_was_right(tmp_path):
    rows = predictions(a=("emu", 0.8), b=("emu", 0.6), c=("cat", 0.9), d=("emu", 0.7), e=("emu", 0.5))
    write_table(rows.assign(group=list("12345"), likely=rows["score"]), tmp_path / "low-count.parquet")
    write_csv(expected(tmp_path / "m", rows).reset_index()[yields.COLUMNS], tmp_path / yields.FILE)
    told = yields.standing(tmp_path, said(a="emu", b="", c="emu", d="emu")).set_index("label")
    emu = told.loc["emu"]
    assert (emu["decided"], emu["right"], emu["gained"]) == (3, 2, 3)
    assert emu["decided_expected"] == pytest.approx(2.1)
    assert (told.loc["cat", "decided"], told.loc["cat", "right"]) == (1, 0)


def test_before_a_review_nothing_is_decided(tmp_path):
    write_csv(
        expected(tmp_path / "m", predictions(a=("emu", 0.8))).reset_index()[yields.COLUMNS], tmp_path / yields.FILE
    )
    told = yields.standing(tmp_path, said())
    assert told[["decided", "right", "gained"]].sum().sum() == 0


def test_before_the_first_queue_there_is_no_yield(tmp_path):
    assert yields.standing(tmp_path, said()).empty


BURST = dict.fromkeys([f"i{n}" for n in range(12)], ("emu", 0.8))


def test_a_burst_brings_all_its_groups_or_none(tmp_path):
    apart = expected(tmp_path / "apart", predictions(**BURST)).loc["emu"]
    together = expected(tmp_path / "together", predictions(**BURST), in_bursts={"x": list(BURST)}).loc["emu"]
    assert (apart["candidates"], together["candidates"]) == (12, 12)
    assert apart["expected"] == pytest.approx(together["expected"], rel=0.1)
    assert (together["low"], together["high"]) == (0, 12)


def test_where_the_board_counts_bursts_a_burst_brings_one(tmp_path):
    emu = expected(tmp_path, predictions(**BURST), in_bursts={"x": list(BURST)}, count="bursts").loc["emu"]
    assert (emu["candidates"], emu["high"]) == (1, 1)


def test_the_scores_of_bursts_are_believed_as_far_as_those_of_bursts_held(tmp_path):
    table = predictions(a=("emu", 0.9), b=("emu", 0.9), c=("emu", 0.9))
    rows = table.assign(burst=["x", "x", ""])
    found = yields.likely({"low-count": Found(rows)}, BELIEVED, DOUBTED)["low-count"].rows
    assert found["likely"][0] < 0.6 < found["likely"][2]


def test_after_the_review_frames_that_look_different_are_gained_each(tmp_path):
    rows = predictions(a=("emu", 0.8), b=("emu", 0.8), c=("emu", 0.7))
    rows = rows.assign(group=["x", "x", "y"], near_duplicates=list("123"), likely=rows["score"])
    write_table(rows, tmp_path / "low-count.parquet")
    write_csv(expected(tmp_path / "m", rows).reset_index()[yields.COLUMNS], tmp_path / yields.FILE)
    emu = yields.standing(tmp_path, said(a="emu", b="emu", c="")).set_index("label").loc["emu"]
    assert (emu["decided"], emu["right"], emu["gained"]) == (2, 1, 2)
