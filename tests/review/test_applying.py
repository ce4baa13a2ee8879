import pandas as pd
import pytest
from builders import label_table
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_decisions import ROOTS, said, table

from pipeline.library import labels
from pipeline.review import applying, decisions
from pipeline.review.applying import Applied


def apply(labelled: pd.DataFrame, *rows: dict, benchmark: tuple[str, ...] = ()) -> Applied:
    return applying.apply(labelled, table(*rows), pd.Series(benchmark, dtype="str"))


def row(applied: Applied, image: str) -> dict:
    return applied.table.set_index("image").loc[image].to_dict()


@pytest.fixture
def library() -> pd.DataFrame:
    return label_table(
        {"image": "library/a.jpg", "label": "cat", "subclass": "night", "group": "g1", "note": "by the gate"},
        {"image": "library/b.jpg", "label": "dog", "origin": "staged"},
        {"image": "library/c.jpg", "status": "unknown"},
    )


def test_a_pool_image_gets_a_row_of_its_own(library):
    applied = apply(library, said("pool/1.jpg", "owl", suggested="owl", model="m1"))
    assert (applied.added, applied.changed, applied.before) == (1, 0, 0)
    assert row(applied, "pool/1.jpg") == {
        "label": "owl", "subclass": "", "origin": "real", "group": "", "status": "ok", "by": "ann",
        "at": "2026-03-01T12:00:00", "model": "m1", "note": "",
    }  # fmt: skip
    assert labels.check(applied.table, ROOTS, "labels.csv").equals(applied.table)


def test_a_corrected_image_keeps_what_the_reviewer_did_not_decide(library):
    found = row(apply(library, said("library/a.jpg", "dog")), "library/a.jpg")
    assert (found["label"], found["group"], found["note"]) == ("dog", "g1", "by the gate")
    assert row(apply(library, said("library/b.jpg", "cat")), "library/b.jpg")["origin"] == "staged"


@pytest.mark.parametrize(("label", "subclass"), [("cat", "night"), ("dog", "")])
def test_a_subclass_goes_with_its_class(library, label, subclass):
    assert row(apply(library, said("library/a.jpg", label)), "library/a.jpg")["subclass"] == subclass


def test_an_unknown_image_is_named(library):
    found = row(apply(library, said("library/c.jpg", "giraffe")), "library/c.jpg")
    assert (found["label"], found["status"]) == ("giraffe", "ok")


@pytest.mark.parametrize("decision", ["unknown", "bad"])
def test_an_image_that_nobody_can_name_or_use_loses_its_label(library, decision):
    found = row(apply(library, said("library/a.jpg", decision=decision, model="m1")), "library/a.jpg")
    assert (found["label"], found["status"], found["by"], found["model"]) == ("", decision, "ann", "")


@pytest.mark.parametrize(("suggested", "model"), [("owl", "m1"), ("cat", ""), ("", "")])
def test_the_model_is_recorded_only_where_its_suggestion_was_accepted(library, suggested, model):
    applied = apply(library, said("pool/1.jpg", "owl", suggested=suggested, model="m1"))
    assert row(applied, "pool/1.jpg")["model"] == model


def test_applying_twice_changes_nothing(library):
    rows = said("pool/1.jpg", "owl"), said("library/a.jpg", "dog"), said("library/c.jpg", decision="bad")
    once = apply(library, *rows)
    twice = apply(once.table, *rows)
    assert (twice.added, twice.changed, twice.before) == (0, 0, 3)
    assert twice.table.equals(once.table)


def test_a_reviewer_s_later_decision_wins(library):
    applied = apply(library, said("library/a.jpg", "owl", day=2), said("library/a.jpg", "dog", day=1))
    assert row(applied, "library/a.jpg")["label"] == "owl"
    later = apply(applied.table, said("library/a.jpg", "owl", day=2), said("library/a.jpg", decision="bad", day=3))
    assert row(later, "library/a.jpg")["status"] == "bad"


@pytest.mark.parametrize(
    "other", [said("library/a.jpg", "owl", by="bob", day=2), said("library/a.jpg", decision="bad", by="bob")]
)
def test_where_reviewers_differ_nothing_is_changed_and_the_image_is_named(library, other):
    applied = apply(library, said("library/a.jpg", "dog"), other, said("pool/1.jpg", "owl"))
    assert (applied.conflicts, applied.added, applied.changed) == (["library/a.jpg"], 1, 0)
    assert row(applied, "library/a.jpg")["label"] == "cat"


def test_reviewers_who_come_to_agree_are_followed(library):
    rows = said("library/a.jpg", "dog"), said("library/a.jpg", "owl", by="bob"), said("library/a.jpg", "owl", day=2)
    applied = apply(library, *rows)
    assert (applied.conflicts, row(applied, "library/a.jpg")["label"]) == ([], "owl")


def test_a_benchmark_image_is_refused_and_named(library):
    applied = apply(
        library, said("pool/1.jpg", "owl"), said("library/a.jpg", "dog"), benchmark=("pool/1.jpg", "library/a.jpg")
    )
    assert applied.refused == ["library/a.jpg", "pool/1.jpg"]
    assert applied.table.equals(library)


def test_a_correction_by_hand_is_not_undone_by_the_decision_before_it(library):
    once = apply(library, said("library/a.jpg", "dog"))
    by_hand = once.table.assign(label=once.table["label"].replace("dog", "wolf"))
    again = apply(by_hand, said("library/a.jpg", "dog"))
    assert row(again, "library/a.jpg")["label"] == "wolf"
    assert again.changed == 0


def test_without_decisions_nothing_is_changed(library):
    applied = apply(library)
    assert (applied.added, applied.changed, applied.before, applied.conflicts, applied.refused) == (0, 0, 0, [], [])
    assert applied.table.equals(library)


def test_the_first_decisions_may_meet_an_empty_label_table():
    applied = apply(label_table(), said("pool/1.jpg", "owl"))
    assert (applied.added, list(applied.table)) == (1, labels.COLUMNS)


IMAGE = st.sampled_from([f"{root}/{n}.jpg" for root in ROOTS for n in range(4)])


DECISION = st.builds(
    said,
    IMAGE,
    st.sampled_from(["cat", "dog"]),
    by=st.sampled_from(["ann", "bob"]),
    day=st.integers(1, 3),
    suggested=st.sampled_from(["cat", ""]),
) | st.builds(said, IMAGE, decision=st.sampled_from(["unknown", "bad"]), day=st.integers(1, 3))


@given(st.sets(IMAGE), st.lists(DECISION, max_size=8), st.sets(IMAGE, max_size=2))
@settings(deadline=None, max_examples=30)
def test_no_row_is_lost_no_image_stands_twice_and_everything_adds_up(labelled, rows, benchmark):
    before = label_table(*[{"image": image, "label": "cat"} for image in labelled])
    applied = apply(before, *rows, benchmark=tuple(benchmark))
    decided = {row["image"] for row in rows} - set(applied.conflicts)
    assert set(applied.table["image"]) == labelled | (decided - benchmark)
    assert applied.table["image"].is_unique
    assert applied.added + applied.changed + applied.before + len(applied.refused) == len(decided)
    untouched = before["image"].isin(benchmark) | ~before["image"].isin(decided)
    kept = applied.table[applied.table["image"].isin(before.loc[untouched, "image"])]
    assert kept.reset_index(drop=True).equals(before[untouched].reset_index(drop=True))
    again = apply(applied.table, *rows, benchmark=tuple(benchmark))
    assert again.table.equals(applied.table)


def test_to_keep_a_label_changes_nothing_and_is_remembered(library):
    kept = said("library/a.jpg", decision="keep", model="m1", recipe="suspect-label")
    assert apply(library, kept).table.equals(library)
    assert decisions.verdicts(table(kept)).to_numpy().tolist() == [["library/a.jpg", "2026-03-01T12:00:00", "m1", ""]]


def test_who_keeps_a_label_and_who_corrects_it_differ(library):
    applied = apply(library, said("library/a.jpg", decision="keep", by="bob"), said("library/a.jpg", "dog", day=2))
    assert applied.conflicts == ["library/a.jpg"]
    assert applied.table.equals(library)
