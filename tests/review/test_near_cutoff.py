import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import reliability
from pipeline.library import classes
from pipeline.library.classes import Classes
from pipeline.review import near_cutoff
from pipeline.review.decisions import COLUMNS as DECIDED
from tests.library.builders import flip, phash, sha

GRID = np.linspace(0.01, 0.99, 50)
BELIEVED = reliability.fit(
    np.repeat(GRID, 100), (np.arange(100) < 100 * GRID[:, None]).ravel()
)  # scores that keep their word


def board(cutoff: int = 35, **groups: int) -> pd.DataFrame:
    return pd.DataFrame({"label": list(groups), "groups": list(groups.values()), "cutoff": cutoff})


def predictions(**seen: dict[str, float]) -> pd.DataFrame:
    """Images by name, and what the model sees in each."""
    rows = [
        {"image": f"pool/{name}.jpg", "sha256": sha(name), "top_labels": list(said), "top_scores": list(said.values())}
        for name, said in seen.items()
    ]
    return pd.DataFrame(rows)


def near(**short: int) -> pd.DataFrame:
    return near_cutoff.classes(board(**{name: 40 - n for name, n in short.items()}), min_images=40, cutoffs={})


def found(table: pd.DataFrame, of: pd.DataFrame, *, library=(), looks=None, max_rows: int = 10) -> pd.DataFrame:
    hashes = {image: phash(image) for image in table["image"]} | (looks or {})
    known = pd.DataFrame([(sha(name), look) for name, look in library], columns=["sha256", "phash"], dtype="str")
    return near_cutoff.grouped(
        near_cutoff.candidates(table, of, least=0.1), known, pd.Series(hashes), distance=4, max_rows=max_rows
    )


def test_the_near_classes_lie_between_the_lowered_and_the_real_cutoff():
    got = near_cutoff.classes(board(cat=34, dog=35, emu=39, owl=40), min_images=40, cutoffs={})
    assert got.set_index("label")["short_by"].to_dict() == {"emu": 1, "dog": 5}


def test_a_class_with_a_cutoff_of_its_own_is_not_lowered():
    own = pd.DataFrame({"label": ["emu"], "groups": [38], "cutoff": [39]})  # as curation counts it: its own stays
    assert near_cutoff.classes(own, min_images=40, cutoffs={"emu": 39}).empty


def test_candidates_are_those_that_fit_a_near_class_even_as_the_second_best():
    table = predictions(a={"cat": 0.6, "emu": 0.3}, b={"cat": 0.95, "emu": 0.05}, c={"emu": 0.5, "owl": 0.4})
    got = near_cutoff.candidates(table, near(emu=1, owl=2), least=0.1)
    assert got[["image", "label", "score"]].to_numpy().tolist() == [
        ["pool/a.jpg", "emu", 0.3],
        ["pool/c.jpg", "emu", 0.5],
    ]


def test_a_candidate_whose_like_is_labelled_brings_no_new_group_and_is_left_out():
    look = phash("pool/a.jpg")
    table = predictions(a={"emu": 0.9}, b={"emu": 0.8})
    got = found(table, near(emu=1), library=[("old", flip(look, 1))])
    assert got["image"].tolist() == ["pool/b.jpg"]


def test_near_duplicates_among_candidates_bring_one_group_together():
    look = phash("x")
    table = predictions(a={"emu": 0.9}, b={"emu": 0.9}, c={"emu": 0.9})
    got = found(table, near(emu=2), looks={"pool/a.jpg": look, "pool/b.jpg": flip(look, 3)})
    told = near_cutoff.outlook(near(emu=2), got, BELIEVED, confidence=0.95).iloc[0]
    assert (told["candidates"], told["groups"], told["if_all"]) == (3, 2, 40)


@pytest.mark.parametrize(("number", "score", "clears"), [(20, 0.95, "yes"), (20, 0.001, "no"), (1, 0.99, "no")])
def test_a_class_clears_the_cutoff_if_its_candidates_are_many_and_sure(number, score, clears):
    table = predictions(**{f"p{i}": {"emu": score} for i in range(number)})
    own = near_cutoff.grouped(
        near_cutoff.candidates(table, near(emu=2), least=0),
        pd.DataFrame({"sha256": [], "phash": []}, dtype="str"),
        pd.Series({image: phash(image) for image in table["image"]}),
        distance=4,
        max_rows=100,
    )
    assert near_cutoff.outlook(near(emu=2), own, BELIEVED, confidence=0.95).loc[0, "clears"] == clears


def test_a_class_without_candidates_is_told_too():
    got = found(predictions(a={"emu": 0.9}), near(emu=1, owl=1))
    told = near_cutoff.outlook(near(emu=1, owl=1), got, BELIEVED, confidence=0.95).set_index("label")
    assert told.loc["owl", ["candidates", "expected", "clears"]].tolist() == [0, 0, "no"]


def test_the_queue_has_the_likeliest_class_first_and_its_surest_image():
    table = predictions(a={"emu": 0.3}, b={"owl": 0.9}, c={"owl": 0.95})
    of = near(emu=5, owl=1)
    got = found(table, of)
    told = near_cutoff.outlook(of, got, BELIEVED, confidence=0.95)
    queue = near_cutoff.queue(got, told, BELIEVED)
    assert queue["image"].tolist() == ["pool/c.jpg", "pool/b.jpg", "pool/a.jpg"]
    assert queue["rank"].tolist() == [1, 2, 3]
    assert queue.loc[0, "reason"] == "owl is short by 1; the model sees owl (95%)"
    assert queue["likely"].is_monotonic_decreasing


def test_of_a_class_only_so_many_candidates_are_kept():
    table = predictions(**{f"p{i}": {"emu": 0.5 + i / 100} for i in range(9)})
    assert found(table, near(emu=1), max_rows=2)["image"].tolist() == ["pool/p8.jpg", "pool/p7.jpg"]


def decided(**said: str) -> pd.DataFrame:
    rows = [
        {
            "image": f"pool/{name}.jpg",
            "decision": "label" if label != "bad" else "bad",
            "label": label.replace("bad", ""),
        }
        for name, label in said.items()
    ]
    return pd.DataFrame(rows, columns=DECIDED, dtype=object).fillna("").astype("str")


def reported(decisions: pd.DataFrame, events: Classes | None = None, **groups: int) -> pd.Series:
    table = predictions(a={"emu": 0.9}, b={"emu": 0.8}, c={"emu": 0.7})
    of = near(emu=2)
    got = found(table, of)
    told = near_cutoff.outlook(of, got, BELIEVED, confidence=0.95)
    queue = near_cutoff.queue(got, told, BELIEVED)
    today = board(cutoff=40, **groups)
    return near_cutoff.report(told, queue, decisions, events or classes.none(), today).iloc[0]


def test_the_report_counts_what_was_decided_and_what_the_class_has_now():
    told = reported(decided(a="emu", b="owl", z="emu"), emu=40)
    assert told[["had", "decided", "accepted", "now"]].tolist() == [38, 2, 1, 40]
    assert told["clears"]
    assert 1 < told["expected_decided"] < told["expected"]


def test_a_bad_picture_is_decided_and_not_accepted():
    told = reported(decided(a="bad"), emu=38)
    assert told[["decided", "accepted", "now"]].tolist() == [1, 0, 38]
    assert not told["clears"]


def test_without_a_review_nothing_is_decided():
    told = reported(decided(), emu=38)
    assert told[["decided", "accepted", "expected_decided"]].tolist() == [0, 0, 0]


def test_the_last_decision_on_an_image_counts():
    told = reported(pd.concat([decided(a="emu"), decided(a="owl")], ignore_index=True), emu=38)
    assert told["accepted"] == 0


def test_a_class_that_was_renamed_meanwhile_is_followed():
    events = classes.check(pd.DataFrame([{"event": "rename", "class": "emu", "to": "rhea"}]), "classes.csv")
    told = reported(decided(a="rhea", b="emu"), events, rhea=41)
    assert (told["accepted"], told["now"]) == (2, 41)


def in_burst(table: pd.DataFrame, frames: str, best: dict[str, float]) -> pd.DataFrame:
    """What identification writes of a burst of these images."""
    rows = table[table["image"].isin([f"pool/{name}.jpg" for name in frames])][["image", "sha256"]]
    labels, scores = [list(best)] * len(rows), [list(best.values())] * len(rows)
    return rows.assign(burst="x", burst_top_labels=labels, burst_top_scores=scores)


def test_a_burst_is_one_candidate_judged_as_a_whole():
    table = predictions(a={"emu": 0.9}, b={"cat": 0.8, "emu": 0.1}, c={"cat": 0.9}, d={"emu": 0.6})
    whole = near_cutoff.with_bursts(table, in_burst(table, "abc", {"emu": 0.7, "cat": 0.2}))
    of = near(emu=2)
    rows = found(whole, of)
    assert sorted(rows["image"]) == [f"pool/{name}.jpg" for name in "abcd"]
    assert rows["group"].nunique() == 2
    expected = near_cutoff.outlook(of, rows, BELIEVED, confidence=0.95).iloc[0]
    assert (expected["candidates"], expected["groups"]) == (4, 4)
    counted = near_cutoff.outlook(of, rows, BELIEVED, confidence=0.95, count="bursts").iloc[0]
    assert counted["groups"] == 2
    queue = near_cutoff.queue(rows, near_cutoff.outlook(of, rows, BELIEVED, confidence=0.95), BELIEVED)
    assert queue["group"].tolist()[:3] == ["x"] * 3
    assert queue["own_label"].tolist() == ["emu", "cat", "cat", ""]
    assert queue["reason"][1].endswith("one of 3 frames of one event, decided together")


def test_the_candidates_of_a_class_are_counted_in_decisions():
    table = predictions(**{name: {"emu": 0.5} for name in "abcdef"})
    whole = near_cutoff.with_bursts(table, in_burst(table, "abcd", {"emu": 0.9}))
    assert sorted(found(whole, near(emu=2), max_rows=2)["image"]) == [f"pool/{name}.jpg" for name in "abcde"]


def test_where_no_image_is_in_a_burst_candidates_are_what_they_were():
    table = predictions(a={"emu": 0.9}, b={"cat": 0.8, "emu": 0.1}, c={"emu": 0.4})
    whole = near_cutoff.with_bursts(table, in_burst(table, "", {}))
    before, after = found(table, near(emu=2)), found(whole, near(emu=2))
    pd.testing.assert_frame_equal(before, after[before.columns])
