"""Recipes where the pool has bursts: one decision for all frames, each of which keeps its row."""

import numpy as np
import pandas as pd
import pytest

from pipeline.files import write_table
from pipeline.inference.store import LISTS
from pipeline.review import recipes, spreadsheets
from pipeline.review.recipes import units
from pipeline.review.recipes.settings import Settings
from tests.library.builders import phash, sha
from tests.review.made_up_pools import board, material, names, predictions
from tests.review.test_recipes import PARAMS


def cats(**others: tuple[str, float]) -> pd.DataFrame:
    """Four frames of a cat, of which c alone is taken for a dog, and other images."""
    table = predictions(a=("cat", 0.9), b=("cat", 0.8), c=("dog", 0.55), d=("cat", 0.7), **others)
    table["top_labels"] = [
        ["dog", "cat", "owl"] if label == "dog" else list(best)
        for label, best in zip(table["label"], table["top_labels"], strict=True)
    ]
    return table.astype(LISTS)


@pytest.fixture
def ask(tmp_path):
    """What a recipe, or all of them, find in a pool with bursts."""

    def ask(name: str, table: pd.DataFrame, *, taken=frozenset(), max_rows: int = 100, params=None, **more):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        made = material(folder, table, **more)
        settings = Settings(max_rows=max_rows, **PARAMS | (params or {}))
        if not name:
            return recipes.run(made, settings, near_duplicate_distance=4)
        return recipes.ask(made, recipes.named(name), settings, near_duplicate_distance=4, taken=taken)

    return ask


def test_a_burst_is_one_decision_and_each_frame_keeps_its_row_and_its_own_score(ask):
    table = cats(e=("cat", 0.95))
    rows = ask("low-count", table, in_bursts={"x": "abcd"}).rows
    assert names(rows) == "eabcd"
    assert rows["rank"].tolist() == [1, 2, 3, 4, 5]
    assert rows["group"].nunique() == 2
    frames = rows[rows["burst"] == "x"].set_index("image")
    assert set(frames["label"]) == {"cat"}
    assert frames["score"].nunique() == 1
    assert 0.55 < frames["score"].iloc[0] < 0.9
    assert (frames.loc["pool/c.jpg", "own_label"], frames.loc["pool/c.jpg", "own_score"]) == ("dog", 0.55)
    alone = rows[rows["image"] == "pool/e.jpg"].iloc[0]
    assert (alone["burst"], alone["own_label"]) == ("", "")
    assert np.isnan(alone["own_score"])


def test_a_row_says_how_many_frames_are_decided_together_and_what_the_model_makes_of_one_alone(ask):
    rows = ask("low-count", cats(), in_bursts={"x": "abcd"}).rows.set_index("image")
    assert rows.loc["pool/a.jpg", "reason"].endswith("; 4 frames of one event, decided together")
    assert rows.loc["pool/c.jpg", "reason"] == (
        "of one event with pool/a.jpg; of this frame alone the model says dog (55%)"
    )


def test_the_frame_that_shows_best_what_the_model_sees_leads(ask):
    table = predictions(a=("cat", 0.6), b=("cat", 0.8), c=("cat", 0.7))
    assert names(ask("low-count", table, in_bursts={"x": "abc"}).rows) == "bac"


def test_the_rows_are_counted_in_decisions(ask):
    table = predictions(**{f"{burst}{n}": ("cat", 0.9 - n / 100) for burst in "xyz" for n in range(4)})
    bursts = {burst: [f"{burst}{n}" for n in range(4)] for burst in "xyz"}
    rows = ask("low-count", table, max_rows=2, in_bursts=bursts).rows
    assert (len(rows), rows["group"].nunique()) == (8, 2)


def test_without_bursts_a_queue_is_what_it_was(ask):
    table = cats()
    before, after = ask("low-count", table).rows, ask("low-count", table, in_bursts={}).rows
    pd.testing.assert_frame_equal(before, after)
    assert list(before.columns) == recipes.COLUMNS


def test_images_that_are_in_no_burst_have_the_rows_that_they_had(ask):
    table = cats(e=("cat", 0.95), f=("emu", 0.9), g=("emu", 0.8))
    before = ask("low-count", table).rows.set_index("image")
    after = ask("low-count", table, in_bursts={"x": "abcd"}).rows.set_index("image")
    alone = ["pool/e.jpg", "pool/f.jpg", "pool/g.jpg"]
    columns = ["sha256", "group", "label", "score", "reason", "cluster"]
    pd.testing.assert_frame_equal(before.loc[alone, columns], after.loc[alone, columns])


def test_frames_that_people_have_decided_are_not_asked_again(ask):
    rows = ask("low-count", cats(), known=("a", "c"), in_bursts={"x": "abcd"}).rows
    assert sorted(names(rows)) == ["b", "d"]
    assert rows["group"].nunique() == 1


def test_a_burst_that_another_recipe_shows_is_in_none_after_it(ask):
    rows = ask("low-count", cats(), taken=frozenset({"pool/b.jpg"}), in_bursts={"x": "abcd"}).rows
    assert rows.empty


def test_frames_of_poor_quality_are_left_out_and_another_leads(ask):
    def poor() -> pd.Series:
        return pd.Series({"pool/a.jpg": "too dark"})

    rows = ask("low-count", cats(), poor=poor, in_bursts={"x": "abcd"}).rows
    assert names(rows) == "bcd"
    assert rows["reason"].iloc[0].endswith("; 3 frames of one event, decided together")


def test_of_a_long_burst_evenly_spaced_frames_are_shown(ask, monkeypatch):
    monkeypatch.setattr(units, "MOST_FRAMES", 5)
    table = predictions(**{f"{n:03d}": ("cat", 0.5 + n / 100) for n in range(40)})
    rows = ask("low-count", table, in_bursts={"x": [f"{n:03d}" for n in range(40)]}).rows
    numbers = sorted(int(image[5:8]) for image in rows["image"])
    assert numbers == [0, 8, 16, 24, 32, 39]  # the last one leads
    assert "6 of 40 frames of one event" in rows["reason"].iloc[0]


def test_near_duplicates_are_told_apart_from_what_is_decided_together(ask, tmp_path):
    looks = {"a": phash("same"), "b": phash("same")}
    rows = ask("low-count", cats(), looks=looks, in_bursts={"x": "abcd"}).rows
    assert rows["near_duplicates"].nunique() == 3
    write_table(rows, tmp_path / "queue" / "low-count.parquet")
    assert spreadsheets.groups(tmp_path / "queue")["group"].nunique() == 3
    sheet = spreadsheets.to_sheet({"low-count": rows})
    assert (len(sheet), sheet["group"].nunique()) == (4, 1)


def test_a_frame_of_which_the_model_is_not_sure_alone_comes_with_its_burst(ask):
    table = predictions(a=("emu", 0.7), b=("emu", 0.6), c=("emu", 0.4))
    assert names(ask("low-count", table, standing=board(emu=8)).rows) == "ab"
    assert names(ask("low-count", table, standing=board(emu=8), in_bursts={"x": "abc"}).rows) == "abc"


def test_the_list_for_the_quarantine_is_judged_image_by_image(ask):
    table = predictions(a=("rat", 0.3), b=("rat", 0.2), c=("rat", 0.1), d=("rat", 0.35))
    found = ask("purge-low", table, in_bursts={"x": "abcd"}, params={"purge_score": 0.4})
    assert sorted(names(found.rows)) == list("abcd")
    assert found.rows["group"].nunique() == 4
    assert set(found.rows["burst"]) == {""}


def test_what_belongs_to_a_burst_that_is_shown_is_not_put_away(ask):
    table = cats(e=("rat", 0.1))
    found = ask("", table, in_bursts={"x": "abcd"}, params={"purge_score": 0.99, "look_alike_score": 0.05})
    assert sorted(names(found["low-count"].rows)) == list("abcd")
    assert names(found["purge-low"].rows) == "e"


def test_unknown_frames_of_one_event_are_one_decision(ask):
    table = predictions(a=("cat", 0.9), b=("cat", 0.7), c=("cat", 0.6))
    rows = ask("unknown", table, unknown="ab", in_bursts={"x": "abc"}).rows
    assert sorted(names(rows)) == ["a", "b"]  # and the frame of the pool is another decision
    assert rows["group"].nunique() == 1


def test_the_champion_is_heard_on_all_frames(ask):
    table = cats()
    said = {"a": ("emu", 0.6), "b": ("cat", 0.9), "c": ("cat", 0.9), "d": ("cat", 0.9)}
    champion = pd.DataFrame([(sha(name), *one) for name, one in said.items()], columns=["sha256", "label", "score"])
    assert ask("disagree", table, champion=lambda: champion, in_bursts={"x": "abcd"}).rows.empty
    others = champion.assign(label="emu", score=0.8)
    rows = ask("disagree", table, champion=lambda: others, in_bursts={"x": "abcd"}).rows
    assert sorted(names(rows)) == list("abcd")
    assert "the champion says emu (80%)" in rows["reason"].iloc[0]


def test_equal_pools_give_equal_queues_whatever_the_order_of_the_pool(ask):
    table = cats(e=("cat", 0.8), f=("cat", 0.8), g=("emu", 0.7))
    bursts = {"x": "abcd", "y": "ef"}
    first = ask("low-count", table, in_bursts=bursts).rows
    again = ask("low-count", table.sample(frac=1, random_state=3, ignore_index=True), in_bursts=bursts).rows
    pd.testing.assert_frame_equal(first, again)
